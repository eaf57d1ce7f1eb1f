"""Descriptors on disk, exact search in bounded memory, and the synthetic city on which engines are measured."""

import os
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.benchmarks.hungry import peak_is_told
from tests.children import child
from tests.retrieval.test_engines import all_distances, unit
from vg_core.retrieval.engines import DescriptorStore, Index, SyntheticPlaces, exact, extrapolate, measure_engines
from vg_core.retrieval.exact_search import BYTES_A_RESULT, WORKSPACE_BYTES, blocks
from vg_core.retrieval.ranking import search
from vg_core.system import paths
from vg_core.system.devices import peak_of


def store_of(folder, table: np.ndarray, parts: int = 3) -> DescriptorStore:
    return DescriptorStore.write(folder / "d.npy", np.array_split(table, parts), table.shape)


# --- store --------------------------------------------------------------------------------------------------------
def test_a_store_gives_back_what_float16_keeps(tmp_path):
    table = unit(50, 7)
    store = store_of(tmp_path, table[:, ::-1])  # not contiguous
    half = table[:, ::-1].astype(np.float16)
    assert store.shape == (50, 7) and len(store.first(9)) == 9
    np.testing.assert_array_equal(store[10:20], half[10:20])
    np.testing.assert_array_equal(store[np.array([4, 49, 4])], half[[4, 49, 4]])
    np.testing.assert_array_equal(store.first(9)[:], half[:9])
    np.testing.assert_array_equal(np.load(tmp_path / "d.npy"), half)  # a NumPy file like any other
    assert os.listdir(tmp_path) == ["d.npy"]


def test_a_store_that_would_be_wrong_is_refused_and_the_old_one_stays(tmp_path):
    store = store_of(tmp_path, unit(4, 3))
    old = store[:].copy()
    for parts, complaint in (
        ([unit(3, 3)], "3 descriptors were given for .*, 4 were announced"),
        ([unit(2, 3), unit(2, 4)], r"from row 2 on have shape \(2, 4\), expected \(any, 3\)"),
        ([unit(3, 3), np.full((1, 3), 1e6)], "from row 3 on are not finite in float16"),
    ):
        with pytest.raises(ValueError, match=complaint):
            DescriptorStore.write(tmp_path / "d.npy", parts, (4, 3))
    np.testing.assert_array_equal(store[:], old)
    assert os.listdir(tmp_path) == ["d.npy"]


# --- bounded memory -----------------------------------------------------------------------------------------------
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.integers(1, 9), st.integers(1, 9), st.integers(1, 80), st.integers(1, 70))
def test_search_in_blocks_is_search_in_memory(images, dim, queries, k, rows):
    folder = paths.cache_root()
    table, asked = unit(images, dim, seed=images), unit(queries, dim, seed=k)
    store = store_of(folder, table, parts=2)
    in_memory = store[:].astype(np.float32)
    budget = WORKSPACE_BYTES + BYTES_A_RESULT * queries * min(k, images) + rows * (6 * dim + 4)  # blocks of ``rows``
    distances, indices = exact(asked, store, k, budget)
    brute = all_distances(asked, in_memory)
    assert indices.shape == (queries, min(k, images))
    np.testing.assert_allclose(distances, exact(asked, in_memory, k)[0], atol=1e-3)
    np.testing.assert_allclose(np.take_along_axis(brute, indices, 1), distances, atol=1e-3)


def test_search_reads_a_store_and_a_small_budget_is_refused(tmp_path):
    store, asked = store_of(tmp_path, unit(30, 4)), unit(5, 4, seed=1)
    np.testing.assert_array_equal(search(asked, store, 3)[1], exact(asked, store[:].astype(np.float32), 3)[1])
    with pytest.raises(ValueError, match=r"10 MiB cannot hold one database image .* give at least 41 MiB"):
        exact(asked, store, 3, memory_bytes=10 * 2**20)
    with pytest.raises(ValueError, match="queries have 3 dimensions, the database 4"):
        search(asked[:, :3], store, 3)


def test_more_queries_than_the_budget_has_results_for_are_searched_in_parts(tmp_path, monkeypatch):
    store, asked = store_of(tmp_path, unit(30, 4)), unit(9, 4, seed=1)
    passes, original = [], blocks

    def counted(*of):
        passes.append(of)
        return original(*of)

    monkeypatch.setattr(sys.modules["vg_core.retrieval.exact_search"], "blocks", counted)
    found = exact(asked, store, 3, memory_bytes=WORKSPACE_BYTES + 2 * BYTES_A_RESULT * 3 * 4)  # four queries at a time
    assert len(passes) == 3
    np.testing.assert_array_equal(found[1], exact(asked, store[:].astype(np.float32), 3)[1])
    assert [part.shape for part in found] == [(9, 3), (9, 3)]


def test_built_from_a_store_is_built_from_its_values(tmp_path):
    store, asked = store_of(tmp_path, unit(700, 8)), unit(20, 8, seed=1)
    one, other = Index.build("ivf_flat", store), Index.build("ivf_flat", store[:].astype(np.float32))
    np.testing.assert_array_equal(one.search(asked, 5), other.search(asked, 5))


def peak_of_search(file, memory_bytes):
    table = np.random.default_rng(0).standard_normal((10_000, 256), dtype=np.float32)
    store, asked = DescriptorStore.write(file, [table] * 15, (150_000, 256)), table[:50]
    exact(asked, store.first(100), 20)  # libraries have loaded what they need
    return peak_of(lambda: exact(asked, store, 20, memory_bytes), torch.device("cpu"))


@peak_is_told
@pytest.mark.parametrize("mebibytes", [48, 64])
def test_memory_stays_within_the_budget(mebibytes, tmp_path):
    """150,000 descriptors of 256 values: 73 MiB on disk, 146 MiB as float32; neither is ever in memory at once."""
    peak = child(peak_of_search, tmp_path / "d.npy", mebibytes * 2**20)
    assert (mebibytes - WORKSPACE_BYTES / 2**20) / 2 < peak / 2**20 <= mebibytes


# --- the synthetic city -------------------------------------------------------------------------------------------
CITY = SyntheticPlaces(dim=32, views=3, places=4)


def test_a_larger_city_begins_with_the_smaller_one():
    small, large = (np.concatenate(list(CITY.database(images))) for images in (700, 1500))
    assert small.shape == (700, 32) and small.dtype == large.dtype == np.float32
    np.testing.assert_array_equal(large[:700], small)
    np.testing.assert_allclose(np.linalg.norm(large, axis=1), 1, atol=1e-5)
    assert CITY.fingerprint != SyntheticPlaces(dim=32, views=3, places=4, seed=1).fingerprint


def test_queries_show_their_places():
    table = np.concatenate(list(CITY.database(1500)))
    queries, places = CITY.queries(400, 1500)
    assert queries.shape == (400, 32) and places.min() >= 0 and places.max() < 500
    found = exact(queries, table, 1)[1][:, 0] // CITY.views
    assert np.mean(found == places) > 0.2  # one in 500 by chance


def test_variance_falls_along_the_axes():
    table = np.concatenate(list(SyntheticPlaces(views=1, places=1, shared=0.0).database(4000)))
    variances = np.linalg.eigvalsh(np.cov(table.T))[::-1]
    axes = np.arange(4, 100)
    assert np.polyfit(np.log(axes), np.log(variances[axes]), 1)[0] == pytest.approx(-1, abs=0.1)


def test_a_measurement_has_one_chosen_row_for_each_engine_and_size():
    trials = measure_engines(["exact", "ivf_flat", "ivf_pq"], CITY, [700, 1400], target=0.9)
    chosen = trials[trials.chosen].set_index(["engine", "images"])
    assert len(chosen) == 6 and not list(paths.cache_root().iterdir())
    assert (chosen.loc["exact", "agreement"] == 100).all() and (chosen.loc["ivf_flat", "agreement"] >= 90).all()
    assert trials.notna().all(axis=None) and (trials.ms > 0).all()
    assert chosen.recall["exact", 700] > chosen.recall["ivf_pq", 700]


def test_extrapolation_follows_the_laws():
    trials = pd.DataFrame(
        {"engine": np.repeat(["exact", "ivf_flat", "hnsw"], 2), "images": [10_000, 1_000_000] * 3}
        | {"ms": [0.01, 1.0, 0.1, 1.0, 1.0, 1.5], "bytes_per_image": 1000.0, "build_seconds": 36.0, "chosen": True}
    )
    table = extrapolate(trials, {"larger": 100_000_000}).set_index("engine")
    np.testing.assert_allclose(table.gigabytes, 100)
    np.testing.assert_allclose(table.ms_law, [100, 10, 1.5 * 8 / 6])
    np.testing.assert_allclose(table.exponent, [1, 0.5, np.log(1.5) / np.log(100)])
    np.testing.assert_allclose(table.ms_trend, [100, 10, 1.5 * 1.5])
    np.testing.assert_allclose(table.build_hours, [1, 10, 0.01 * 100 * 8 / 6])
