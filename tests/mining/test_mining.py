"""Mining against a plain loop over queries, its promises about metres and memory, and the random draws."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.hungry import peak_is_told
from tests.children import child
from vg_core.mining import TooFew, draw_pool, excluded, hardness, mine, nearest_positives, products, random_negatives
from vg_core.mining.rounds import Round, mine_round
from vg_core.system.devices import peak_of


def mine_by_loop(queries, database, hard, soft, pool, count, kept):
    """One query at a time, in float64, ties to the smaller index."""

    def closest(ids, query):
        distances = np.linalg.norm(database[ids].astype(np.float64) - query.astype(np.float64), axis=1)
        return ids[np.lexsort((ids, distances))]

    positives, negatives = [], []
    for row, query in enumerate(queries):
        own = pool[row] if pool.ndim == 2 else pool
        old = kept[row][kept[row] >= 0]
        positives.append(closest(np.unique(hard[row]), query)[0])
        negatives.append(closest(np.setdiff1d(np.union1d(own, old), soft[row]), query)[:count])
    return np.array(positives), np.array(negatives)


def every_other_row(table):
    """The same values in rows that lie apart."""
    return np.repeat(table, 2, axis=0)[::2]


@st.composite
def rounds(draw):
    """A mining round of any shape: full or shared pool, kept negatives or not, many ties or few, three float types."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, width, count = draw(st.integers(1, 6)), draw(st.integers(1, 20)), draw(st.integers(1, 4))
    size = draw(st.integers(count + 7, 40))
    kind, dtype = draw(st.sampled_from(["grid", "normal", "far", "equal"])), draw(st.sampled_from("efd"))
    layout = draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray, every_other_row]))

    def descriptors(rows):
        normal = rng.normal(size=(rows, width))
        shapes = {"grid": np.rint(normal), "normal": normal, "far": 500 + normal / 500, "equal": np.ones((rows, width))}
        return layout(shapes[kind].astype(dtype))

    hard = [rng.choice(size, rng.integers(1, 5)) for _ in range(queries)]
    soft = [np.union1d(one, rng.choice(size, 2)) for one in hard]
    pools = [rng.choice(size, draw(st.integers(count + 6, size)), replace=False) for _ in range(1)] * queries
    pool = pools[0] if draw(st.booleans()) else np.stack([rng.permutation(size)[: len(p)] for p in pools])
    kept = rng.integers(-1, size, (queries, draw(st.integers(0, 4))))
    return descriptors(queries), descriptors(size), hard, soft, pool, count, kept


@settings(max_examples=200, deadline=None)
@given(rounds(), st.sampled_from([1, 5000, 2**28]))
def test_same_tuples_as_a_loop_over_queries(case, budget):
    expected = mine_by_loop(*case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "BLOCK_BYTES", budget)
        patch.setattr(products, "CHUNK_BYTES", budget)
        positives, negatives = mine(*case)
    np.testing.assert_array_equal(positives, expected[0])
    np.testing.assert_array_equal(negatives, expected[1])
    np.testing.assert_array_equal(nearest_positives(*case[:3]), expected[0])
    dropped = sum(
        len(np.intersect1d(soft, np.union1d(case[4][row] if case[4].ndim == 2 else case[4], case[6][row])))
        for row, soft in enumerate(case[3])
    )
    assert excluded(case[3], case[4], case[6], len(case[1])) == dropped


def test_wide_near_duplicates_are_ordered_exactly():
    """Views of one wall differ by less than what a float32 product of 4096 numbers can tell."""
    rng = np.random.default_rng(0)
    wall = rng.normal(size=4096).astype(np.float32)
    database = (wall + 1e-6 * rng.normal(size=(300, 4096))).astype(np.float32)
    queries = (wall + 1e-6 * rng.normal(size=(20, 4096))).astype(np.float32)
    none = np.full((20, 0), -1)
    case = queries, database, [np.arange(40)] * 20, [np.arange(50)] * 20, np.arange(300), 10, none
    expected = mine_by_loop(*case)
    for pool in (np.arange(300), np.tile(np.arange(300), (20, 1))):
        found = mine(*case[:4], pool, 10)
        np.testing.assert_array_equal(found[0], expected[0])
        np.testing.assert_array_equal(found[1], expected[1])


def test_no_negative_within_25_metres_though_the_first_query_has_no_positive():
    """The fault of the assignment's skeleton: it drops query 0 from its hard positives but not from its soft ones."""
    rng = np.random.default_rng(0)
    places = np.arange(40) * 30.0  # metres along a street, three database images at each place
    at = np.repeat(places, 3) + rng.uniform(0, 3, 120)
    query_at = np.concatenate([[10_000.0], places])
    metres = np.abs(query_at[:, None] - at)
    hard, soft = ([np.flatnonzero(row <= radius) for row in metres] for radius in (10, 25))
    look = np.eye(40)
    database = np.repeat(look, 3, axis=0) + 0.1 * rng.normal(size=(120, 40))
    queries = np.concatenate([look[:1], look]) + 0.1 * rng.normal(size=(41, 40))
    trainable = np.flatnonzero([len(found) for found in hard])
    assert trainable[0] == 1
    pick = [[lists[q] for q in trainable] for lists in (hard, soft)]
    everything = np.tile(np.arange(120), (40, 1))
    positives, negatives = mine(queries[trainable], database, *pick, everything, 5)
    assert (metres[trainable[:, None], negatives] > 25).all()
    assert (metres[trainable, positives] <= 10).all()
    misaligned = mine(queries[trainable], database, pick[0], soft[:-1], everything, 5)[1]
    assert (metres[trainable[:, None], misaligned] <= 25).any()  # what the skeleton would have trained on


def test_kept_negatives_stay_candidates_until_nearer_ones_come():
    database, query = np.arange(10.0)[:, None], np.zeros((1, 1))
    case = query, database, [np.array([0])], [np.array([0, 1])]
    assert mine(*case, np.array([7, 8, 9]), 2)[1].tolist() == [[7, 8]]
    assert mine(*case, np.array([7, 8, 9]), 2, kept=np.array([[3, -1]]))[1].tolist() == [[3, 7]]
    assert mine(*case, np.array([7, 8, 9]), 2, kept=np.array([[1, 8]]))[1].tolist() == [[7, 8]]  # 1 is too close by


def test_reads_nothing_but_pool_kept_and_hard_positives():
    database = np.full((9, 2), np.nan)
    database[[0, 4, 5, 8]] = 1.0
    found = mine(np.ones((1, 2)), database, [[0]], [[0, 1]], np.array([4, 5]), 3, kept=np.array([[8, -1]]))
    assert found[1].tolist() == [[4, 5, 8]]


def test_precision_set_by_training_changes_nothing_and_survives():
    rng = np.random.default_rng(1)
    case = rng.normal(size=(5, 64)), rng.normal(size=(200, 64)), [[0]] * 5, [[0]] * 5, np.arange(1, 200)
    expected = mine(*case)[1]
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.equal(mine(*(torch.from_numpy(d).float() for d in case[:2]), *case[2:])[1], expected)
        table = torch.ones(2, 2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (table @ table).dtype is torch.bfloat16
            with products.true_float32(table.device):
                assert (table @ table).dtype is torch.float32 and torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"hard_positives": [[0], []]}, "query 1 has 0 hard positives"),
        ({"pool": np.arange(1, 4)}, "query 1 has 2 candidate negatives, needs 3"),
        ({"pool": np.arange(1, 99)}, "pool indices 1…98 do not fit a database of 9"),
        ({"pool": np.ones((3, 5), dtype=int)}, r"pool of shape \(3, 5\) for 2 queries"),
        ({"soft_positives": [[0], [9]]}, "index 9 does not fit a database of 9"),
        ({"soft_positives": [[0]]}, "1 lists of database indices for 2 query"),
        ({"query_descriptors": np.ones((2, 3))}, r"expected \(Q, D\) and \(N, D\)"),
        ({"query_descriptors": np.array([[1, 1], [np.inf, 1]])}, "descriptor of query 1 is not finite"),
        ({"database_descriptors": np.full((9, 2), np.nan)}, "database descriptors are not finite"),
    ],
)
def test_bad_input_is_named(change, sentence):
    good = {
        "query_descriptors": np.ones((2, 2)),
        "database_descriptors": np.ones((9, 2)),
        "hard_positives": [[0], [0]],
        "soft_positives": [[0], [0, 1]],
        "pool": np.arange(1, 9),
        "count": 3,
    }
    mine(**good)
    with pytest.raises(ValueError, match=sentence):
        mine(**(good | change))


@pytest.mark.parametrize(
    ("pool", "remedy"), [(np.arange(1, 4), "draw a larger pool, or"), (np.arange(9), "too few\\):")]
)
def test_too_few_negatives_name_the_query_and_advise_no_pool_beyond_the_database(pool, remedy):
    ones = np.ones((2, 2)), np.ones((9, 2))
    for candidates in (pool, np.stack([pool, pool])):
        with pytest.raises(TooFew, match=f"{remedy} ask for fewer negatives$") as error:
            mine(*ones, [[0], [0]], [[0], np.arange(8)], candidates, 3)
        assert error.value.row == 1
    with pytest.raises(TooFew, match=r"2 candidate negatives, needs 3 .*: ask for fewer negatives") as error:
        random_negatives([np.arange(3), np.arange(7)], 9, 3, np.random.default_rng(0))
    assert error.value.row == 1


def test_hardness_of_a_square():
    queries, database = np.zeros((2, 2)), np.array([[0.3, 0.4], [1.0, 0.0], [0.0, 0.55], [2.0, 0.0]])
    facts = hardness(queries, database, torch.tensor([0, 1]), torch.tensor([[2, 1], [2, 3]]), margin=0.1)
    assert facts["active"] == pytest.approx(0.5)  # 0.5 + 0.1 > 0.55 and 1 + 0.1 > 0.55; not 1, not 2
    assert facts["positive_distance"] == pytest.approx(0.75)
    assert facts["negative_distance"] == pytest.approx((0.55 + 1 + 0.55 + 2) / 4)
    assert facts["hardest_margin"] == pytest.approx((-0.05 + 0.45) / 2)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 40), st.integers(0, 45), st.integers(0, 9))
def test_pools_are_distinct_and_as_large_as_can_be(queries, database, size, seed):
    rng = np.random.default_rng(seed)
    full, partial = (draw_pool(mining, queries, database, size, rng) for mining in ("full", "partial"))
    assert full.shape == (queries, min(size, database)) and partial.shape == (min(size, database),)
    for row in (*full, partial):
        assert (np.diff(row) > 0).all() and np.isin(row, np.arange(database)).all()


@pytest.mark.parametrize("size", [3, 8])
def test_draws_are_uniform(size):
    drawn = draw_pool("full", 20_000, 10, size, np.random.default_rng(0))
    counts = np.bincount(drawn.ravel(), minlength=10) / 20_000
    np.testing.assert_allclose(counts, size / 10, atol=0.02)
    pairs = (drawn == 4).any(axis=1) & (drawn == 7).any(axis=1)
    assert pairs.mean() == pytest.approx(size * (size - 1) / 90, abs=0.01)


def test_random_negatives_avoid_soft_positives():
    soft = [np.array([0, 3, 4]), np.array([], dtype=int), np.arange(16)]
    drawn = np.stack([random_negatives(soft, 20, 4, np.random.default_rng(seed)) for seed in range(1500)])
    for row, near in enumerate(soft):
        share = np.bincount(drawn[:, row].ravel(), minlength=20) / 1500
        far = np.setdiff1d(np.arange(20), near)
        assert share[near].sum() == 0
        np.testing.assert_allclose(share[far], 4 / len(far), atol=0.05)
    assert (np.diff(drawn, axis=2) > 0).all()
    with pytest.raises(ValueError, match="query 2 has 4 candidate negatives, needs 5"):
        random_negatives(soft, 20, 5, np.random.default_rng(0))
    with pytest.raises(ValueError, match="no pool for mining 'random'"):
        draw_pool("random", 1, 20, 5, np.random.default_rng(0))


def test_what_queries_of_one_place_share_is_read_once(monkeypatch):
    """Two places with five images each, whose queries come in turns: each place is a group of its own."""
    original, read = products.table_scores, []

    def counted(queries, table, ids=None):
        read.append(0 if ids is None else len(ids))
        return original(queries, table, ids)

    monkeypatch.setattr(products, "table_scores", counted)
    rng = np.random.default_rng(0)
    queries, database = rng.normal(size=(2 * products.GROUP, 6)), rng.normal(size=(40, 6))
    hard = [np.arange(5) + 5 * (row % 2) for row in range(len(queries))]
    none = np.full((len(queries), 0), -1)
    found = mine(queries, database, hard, hard, np.arange(20, 40), 3)
    assert sum(read) == 10
    expected = mine_by_loop(queries, database, hard, hard, np.arange(20, 40), 3, none)
    np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize(("run", "bytes_at_once"), [(1, 16), (1, 2**20), (1000, 16), (1000, 2**20)])
def test_rows_are_the_same_as_views_and_as_copies(monkeypatch, run, bytes_at_once):
    for name, value in (("RUN", run), ("BLOCK_BYTES", bytes_at_once), ("CHUNK_BYTES", bytes_at_once)):
        monkeypatch.setattr(products, name, value)
    queries, table = torch.rand(3, 2), torch.rand(30, 2)
    ids = torch.tensor([0, 2, 3, 4, 5, 9, 11, 12, 29])
    scores, largest = products.table_scores(queries, table, ids)
    exact = torch.cdist(queries, table[ids]).square() - queries.square().sum(1)[:, None]
    torch.testing.assert_close(scores, exact, atol=1e-5, rtol=0)
    torch.testing.assert_close(largest, table[ids].square().sum(1).max())
    assert products.table_scores(queries, table, ids[:0])[0].shape == (3, 0)


@peak_is_told
def test_memory_stays_near_the_budget():
    """Scores of 1,000 queries against 10,000 images alone take 38 MiB; in blocks of 4 MiB, all temporaries together,
    they never exist at once. Those of one block and a copy of them are 1 MiB.
    """
    assert 0.75 < child(peak_of_mining, 37) / 2**20 < 12


def peak_of_mining(pool=None):
    """Bytes that mining for 1,000 queries takes in blocks of 4 MiB: each from so many of 10,000 images, or all from
    all of them, which are the same.
    """
    products.BLOCK_BYTES = 4 * 2**20
    rng = np.random.default_rng(0)
    queries, database = (rng.normal(size=(count, 8)).astype(np.float32) for count in (1000, 10_000))
    lists, pools = [np.arange(3)] * 1000, np.tile(np.arange(3, 3 + (pool or 0)), (1000, 1))
    if not pool:
        database[:], pools = 1, np.arange(3, 10_000)
    mine(queries[:8], database, lists[:8], lists[:8], pools[:8] if pool else pools)  # libraries have loaded all
    return peak_of(lambda: mine(queries, database, lists, lists, pools), torch.device("cpu"))


@peak_is_told
def test_memory_stays_near_the_budget_when_all_images_are_the_same():
    """Every score ties with every other, so that all 10 million pairs are compared exactly: 77 MiB in one block.

    The exact comparison takes a block's budget and some chunks of it, and glibc keeps pieces between them: 15 MiB were
    seen.
    """
    assert 3 < child(peak_of_mining) / 2**20 < 40


@pytest.mark.parametrize("mining", ["full", "partial", "random"])
def test_a_round_describes_what_it_needs_and_mines_as_if_it_had_described_all(mining):
    rng = np.random.default_rng(0)
    queries, database = rng.normal(size=(6, 4)), rng.normal(size=(50, 4))
    hard = [rng.choice(50, 3, replace=False) for _ in queries]
    soft = [np.union1d(one, rng.choice(50, 4)) for one in hard]
    previous, asked = rng.integers(-1, 50, (6, 3)), []

    def describe(images):
        asked.extend(images)
        return torch.from_numpy(np.concatenate([database, queries])[images])

    start = Round(50, 50, np.arange(6), hard, soft, previous)
    positives, negatives, facts = mine_round(start, mining, 12, 0.1, describe, np.random.default_rng(1))
    again = np.random.default_rng(1)
    if mining == "random":
        drawn = random_negatives(soft, 50, 3, again)
        expected = nearest_positives(queries, database, hard), drawn
        assert facts["excluded"] == 0
    else:
        drawn = draw_pool(mining, 6, 50, 12, again)
        expected = mine(queries, database, hard, soft, drawn, 3, previous)
        assert facts["excluded"] == excluded(soft, drawn, previous, 50)
    for found, one in zip((positives, negatives), expected, strict=True):
        np.testing.assert_array_equal(found, one)
    needed = np.unique(np.concatenate([drawn.ravel(), *hard, previous[previous >= 0] if mining != "random" else []]))
    assert asked == [*(range(50) if mining == "full" else needed), *range(50, 56)]
