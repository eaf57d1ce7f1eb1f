"""Indexes against exact search: equal where they must be, measured where they need not, a sentence for every fault."""

import re

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vg_core.retrieval.engines import ENGINES, Index, SyntheticPlaces, compare_disk
from vg_core.retrieval.engines.index import inverted_cells, subspaces
from vg_core.retrieval.engines.scale import Sample, tune

CITY = SyntheticPlaces(dim=64)
FEWEST = 39 * 16  # training descriptors of the smallest inverted file


def unit(count: int, dim: int, seed: int = 0) -> np.ndarray:
    table = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return table / np.linalg.norm(table, axis=1, keepdims=True)


def all_distances(queries, database) -> np.ndarray:
    """(Q, N) in float64."""
    return np.linalg.norm(queries[:, None].astype(float) - database[None].astype(float), axis=-1)


def at_most_effort(engine: str, database) -> Index:
    index = Index.build(engine, database)
    index.effort = index.efforts()[-1]
    return index


@pytest.fixture(scope="module")
def database():
    return np.concatenate(list(CITY.database(2000)))


@pytest.fixture(scope="module")
def queries():
    return CITY.queries(80, 2000)[0]


# --- answers ------------------------------------------------------------------------------------------------------
@settings(max_examples=15, deadline=None)
@given(st.integers(FEWEST, 900), st.integers(1, 24), st.integers(1, 30), st.integers(0, 1000))
def test_all_cells_probed_is_exact_search(images, dim, k, seed):
    table, asked = unit(images, dim, seed), unit(9, dim, seed + 1)
    distances, indices = at_most_effort("ivf_flat", table).search(asked, k)
    brute = all_distances(asked, table)
    np.testing.assert_allclose(distances, np.sort(brute, axis=1)[:, :k], atol=1e-3)
    np.testing.assert_allclose(np.take_along_axis(brute, indices, 1), distances, atol=1e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_highest_effort_is_as_good_as_the_codes(engine, database, queries):
    found = at_most_effort(engine, database).search(queries, 1)[1][:, 0]
    agreement = Sample.of(queries, database).agreement(found)
    least = {"exact": 1, "ivf_flat": 1, "ivf_pq": 0.1, "int8": 0.9}.get(engine, 0.97)
    assert least <= agreement <= 1


@pytest.mark.parametrize("engine", ENGINES)
def test_bytes_are_those_of_the_file(engine, database, tmp_path):
    index = Index.build(engine, database)
    faiss.write_index(index.inner, str(tmp_path / "index"))
    assert index.shape == (2000, 64)
    assert index.bytes_per_image() == (tmp_path / "index").stat().st_size / 2000


def test_on_disk_the_same_is_found():
    table = compare_disk(CITY, 2000, 8).set_index("engine")
    assert table.alike.all() and table.gap["ivf_flat"] == 0 and table.gap["exact"] < 1e-3
    assert table.bytes["exact"] == 2000 * 64 * 4 < table.bytes["ivf_flat"] and (table.ratio > 0).all()


def test_an_index_says_where_it_found_nothing():
    distances, indices = Index.build("ivf_flat", unit(FEWEST, 8)).search(unit(2, 8, seed=1), FEWEST)
    assert (np.isinf(distances) == (indices == -1)).all() and (indices[:, -1] == -1).all()


# --- what it takes ------------------------------------------------------------------------------------------------
def test_bytes_are_those_of_the_codes():
    table = unit(10_000, 64)
    flat = {name: round(Index.build(name, table).bytes_per_image()) for name in ("exact", "float16", "int8")}
    assert flat == {"exact": 256, "float16": 128, "int8": 64}
    centroids = inverted_cells(10_000) * 64 * 4 / 10_000
    coded = Index.build("ivf_pq", table).bytes_per_image() - centroids  # 16 codes of 4 bits, and a number
    assert 8 + 8 < coded < 8 + 8 + 8  # lists are filled up to blocks of 32


@pytest.mark.parametrize("dim", [1, 3, 4, 12, 17, 256, 16384])
def test_subspaces_divide_the_dimensions(dim):
    assert dim % subspaces(dim) == 0 and (dim // subspaces(dim) >= 4 or subspaces(dim) == 1)


@pytest.mark.parametrize("engine", ["exact", "ivf_flat", "ivf_pq_refined", "hnsw"])
def test_efforts_grow(engine, database):
    efforts = Index.build(engine, database).efforts()
    last = {"exact": 0, "hnsw": 1024}.get(engine, inverted_cells(2000))
    assert efforts == sorted(set(efforts)) and efforts[-1] == last


# --- tuning -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["ivf_flat", "ivf_pq_refined", "hnsw"])
@pytest.mark.parametrize("target", [0.5, 0.9, 0.99])
def test_a_target_that_is_reached_is_there_when_measured_again(engine, target, database, queries, capsys):
    index = Index.build(engine, database)
    trials, chosen = tune(index, Sample.of(queries, database), target)
    found = index.search(queries, 1)[1][:, 0]  # with the effort that the index has kept
    brute = all_distances(queries, database)
    again = np.mean(brute[np.arange(80), found] <= brute.min(axis=1) + 1e-6)
    assert chosen is trials[-1] and again == chosen.agreement >= target
    assert all(trial.agreement < target for trial in trials[:-1]) and not capsys.readouterr().out


def test_what_cannot_be_reached_is_said_and_keeps_the_least_of_the_best_efforts(database, queries, capsys):
    index = Index.build("ivf_pq", database)
    trials, chosen = tune(index, Sample.of(queries, database))
    assert [trial.effort for trial in trials] == index.efforts() and index.effort == chosen.effort
    said = (
        rf"ivf_pq cannot reach 99 %: it finds the nearest image of \d+\.\d % of 80 queries at nprobe {chosen.effort};"
    )
    assert re.match(said, capsys.readouterr().out)
    best = max(trial.agreement for trial in trials)
    assert chosen is next(trial for trial in trials if trial.agreement == best)


def test_twins_count_as_found():
    """Of two equal descriptors either is the nearest; nothing found is never right."""
    table = unit(10, 8)
    sample = Sample.of(table[:4], np.concatenate([table, table]))
    assert sample.agreement(np.array([10, 1, 12, 3])) == 1
    assert sample.agreement(np.array([10, 5, -1, 3])) == 0.5


# --- faults -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["ivf_flat", "ivf_pq", "ivf_pq_refined"])
def test_too_few_to_train_on_is_said(engine):
    with pytest.raises(ValueError, match=f"{engine} is trained on at least 624 descriptors and the database has 623"):
        Index.build(engine, unit(FEWEST - 1, 8))


def test_what_cannot_be_searched_is_said(database, queries):
    with pytest.raises(KeyError, match="no search engine is called 'ivf'; choose one of: exact, float16, int8"):
        Index.build("ivf", database)
    with pytest.raises(ValueError, match="database: no descriptors"):
        Index.build("hnsw", database[:0])
    with pytest.raises(ValueError, match="database: some descriptors are not finite"):
        Index.build("int8", database * np.nan)
    with pytest.raises(ValueError, match="queries have 63 dimensions, the database 64"):
        Index.build("int8", database).search(queries[:, :63], 1)
