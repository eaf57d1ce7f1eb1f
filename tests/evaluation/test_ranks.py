"""Recall, average precision and the ranks table: golden values, plain twins, and the corners of the protocol."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vg_core.datasets.places import neighbours
from vg_core.evaluation.ranks import Within, average_precisions, first_hits, panorama_nms, recall


def table(easting, northing=0.0, name="photo"):
    rows = len(easting)
    paths = [f"folder/{name}{row}.jpg" for row in range(rows)]
    return pd.DataFrame({"path": paths, "easting": easting, "northing": northing, "heading": [np.nan] * rows})


@st.composite
def rankings(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    queries, size, width = draw(st.integers(1, 6)), draw(st.integers(1, 30)), draw(st.integers(1, 30))
    indices = np.stack([rng.permutation(np.append(np.arange(size), np.full(30, -1)))[:width] for _ in range(queries)])
    layout = draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray]))
    return layout(indices), [rng.choice(size, rng.integers(0, size + 1), replace=False) for _ in range(queries)]


@settings(deadline=None)
@given(rankings())
def test_recall_is_the_loop_over_queries_and_n(case):
    indices, positives = case
    at = range(1, indices.shape[1] + 1)
    loop = {n: 100.0 * np.mean([np.isin(i[:n], p).any() for i, p in zip(*case, strict=True)]) for n in at}
    assert recall(indices, positives, at) == pytest.approx(loop)
    first = [next((r for r, i in enumerate(row, 1) if i in set(p)), 0) for row, p in zip(*case, strict=True)]
    assert first_hits(indices, positives).tolist() == first


def test_recall_counts_queries_without_positives_as_misses():
    indices = np.array([[0, 1], [1, 0], [0, 1], [1, 0]])
    assert recall(indices, [[0], [0], [], [5]], (1, 2)) == {1: 25.0, 2: 50.0}


def test_no_image_is_never_a_hit():
    """-1 of one query must not be taken for the last image of the query before it."""
    assert recall(np.array([[0], [-1]]), [[9], [3]], (1,)) == {1: 0.0}


@pytest.mark.parametrize("offset", [(25, 0), (0, -25), (15, 20), (-7, 24), (24, -7)])
@pytest.mark.parametrize("scale, hit", [(1.0, 1.0), (25.01 / 25, 0.0)])
def test_25_metres_is_a_hit_and_a_centimetre_more_is_not(offset, scale, hit):
    east, north = 545_981.19, 4_184_971.70
    queries, database = table([east], [north]), table([east + scale * offset[0]], [north + scale * offset[1]])
    positives = neighbours(*(t[["easting", "northing"]].to_numpy() for t in (database, queries)), 25)
    ranks = Within(25).ranks(queries, database, np.array([[0]]), positives)
    assert (ranks["rank"] == 1).mean() == (ranks["within_1"] <= 25).mean() == hit


def test_recall_refuses_what_it_cannot_count():
    with pytest.raises(ValueError, match="the query set is empty"):
        recall(np.empty((0, 20), dtype=int), [])
    with pytest.raises(ValueError, match="recall@20 needs 20 retrieved images for each query, there are 3"):
        recall(np.zeros((1, 3), dtype=int), [[0]])
    with pytest.raises(ValueError, match="do not go with 2 queries"):
        recall(np.zeros((1, 20), dtype=int), [[0], [0]])


@pytest.mark.parametrize(
    ("ranks", "positives", "expected"),
    [([0, 2], 2, 19 / 24), ([1], 1, 0.25), ([4], 1, 0.1), ([0, 1, 2], 3, 1.0), ([0], 2, 0.5), ([], 2, 0.0)],
)
def test_average_precision_golden(ranks, positives, expected):
    found = np.full((1, 5), 1000)
    found[0, ranks] = np.arange(len(ranks))
    assert average_precisions(found, [np.arange(positives)]) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None)
@given(rankings(), st.integers(0, 2**32 - 1))
def test_average_precision_of_many_queries_and_junk_changes_nothing(case, seed):
    indices, positives = case
    positives = [found if len(found) else np.array([0]) for found in positives]
    expected = []
    for row, right in zip(indices, positives, strict=True):
        ranks = np.flatnonzero(np.isin(row[row >= 0], right)).tolist()
        both = [(before / rank if rank else 1.0) + (before + 1) / (rank + 1) for before, rank in enumerate(ranks)]
        expected.append(sum(both) / 2 / len(right))
    assert average_precisions(indices, positives) == pytest.approx(expected)
    rng = np.random.default_rng(seed)
    mixed = []  # images 1000 and 1001 are junk, put anywhere
    for row in indices:
        mixed.append(np.insert(row, rng.integers(0, len(row) + 1, 2), [1000, 1001]))
    junk = [np.array([1000, 1001])] * len(mixed)
    assert average_precisions(np.stack(mixed), positives, junk) == pytest.approx(expected)


def test_average_precision_needs_positives():
    with pytest.raises(ValueError, match="query 1 has no positives"):
        average_precisions(np.zeros((2, 1), dtype=int), [[0], []])


def test_only_the_first_image_of_each_panorama_is_kept():
    """Tokyo 24/7 with two panoramas of 12 views."""
    panoramas = np.repeat(["b", "a"], 12)
    indices = np.array([[3, 0, 5, 14, 1, 23], [12, 13, 14, 15, 16, 17], [-1, 7, -1, 8, 20, -1]])
    assert panorama_nms(indices, panoramas, 2).tolist() == [[3, 14], [12, -1], [7, 20]]
    assert panorama_nms(indices, panoramas, 1).tolist() == [[3], [12], [7]]


@settings(deadline=None)
@given(rankings(), st.integers(1, 6), st.integers(1, 8))
def test_panorama_nms_is_the_loop(case, views, k):
    indices = case[0]
    panoramas = np.arange(30) // views
    for row, kept in zip(indices, panorama_nms(indices, panoramas, k), strict=True):
        seen = {}
        for image in row[row >= 0]:
            seen.setdefault(panoramas[image], image)
        expected = list(seen.values())[:k]
        assert kept.tolist() == expected + [-1] * (k - len(expected))


def test_ranks_table_has_one_row_a_query():
    database = table(np.array([0.0, 30.0, 100.0]), np.array([0.0, 40.0, 0.0]), "db")
    queries = table(np.array([0.0, -1.0]), np.array([10.0, 10.0]), "query")
    ranks = Within(25).ranks(queries, database, np.array([[2, 1, 0], [1, 2, 0]]), [[0], []])
    columns = "query easting northing heading place positives rank metres within_1 within_5 within_10 within_20 top_1"
    assert list(ranks) == [*columns.split(), "threshold", "database"] and ranks["database"].tolist() == [3, 3]
    assert ranks["query"].tolist() == ["query0.jpg", "query1.jpg"]
    assert ranks["place"].tolist() == ["e0_n0", "e-1_n0"]
    assert ranks["positives"].tolist() == [1, 0] and ranks["rank"].tolist() == [3, 0]
    assert ranks["metres"].tolist() == ranks["within_1"].tolist()
    assert ranks["metres"][0] == pytest.approx(np.hypot(100, 10), abs=1e-6)
    assert ranks["within_5"].tolist() == ranks["within_20"].tolist() == [10.0, pytest.approx(np.hypot(1, 10), abs=1e-6)]
    assert ranks["top_1"].tolist() == ["db2.jpg", "db1.jpg"]
    assert not ranks.drop(columns="heading").isna().any(axis=None)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_recall_grows_with_n_and_with_the_threshold(seed, width):
    rng = np.random.default_rng(seed)
    database, queries = (table(*rng.uniform(0, 100, (2, rows))) for rows in (30, 8))
    indices = np.argsort(rng.random((8, 30)), axis=1)[:, :width]
    here, there = (t[["easting", "northing"]].to_numpy() for t in (queries, database))
    before = -1.0
    for threshold in (5, 25, 60):
        positives = neighbours(there, here, threshold)
        ranks = Within(threshold).ranks(queries, database, indices, positives)
        found = [(ranks[f"within_{n}"] <= threshold).mean() for n in (1, 5, 10, 20)]
        assert found == [ranks["rank"].between(1, n).mean() for n in (1, 5, 10, 20)]
        assert found == sorted(found) and found[0] >= before
        before = found[0]


def test_names_that_are_no_utf_8_go_into_tables(tmp_path):
    database = table([0.0, 5.0]).assign(path=pd.Series(["db/\udcff.jpg", "db/b.jpg"], dtype=object))
    queries = table([0.0, 5.0]).assign(path=pd.Series(["q/\udcff.jpg", "q/\udcfe.jpg"], dtype=object))
    ranks = Within(25).ranks(queries, database, np.array([[0, 1], [1, 0]]), [[0], [1]])
    ranks.to_parquet(tmp_path / "ranks.parquet")
    assert pd.read_parquet(tmp_path / "ranks.parquet")["query"].tolist() == [r"\udcff.jpg", r"\udcfe.jpg"]
    assert ranks["top_1"].tolist() == [r"\udcff.jpg", "b.jpg"]


def test_nothing_to_rank_is_said():
    with pytest.raises(ValueError, match="nothing to rank: 1 queries, 0 database images"):
        Within(25).ranks(table([0.0]), table([]), np.empty((1, 0), dtype=int), [[]])
