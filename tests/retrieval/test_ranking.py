"""Descriptors of files, exact search against brute force, and evaluation from photographs to ranks."""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.benchmarks.hungry import peak_is_told
from tests.children import child
from tests.tiny import TINY
from vg_core.datasets.images import UnreadableImage
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within, first_hits
from vg_core.mining import products
from vg_core.models import build_model
from vg_core.retrieval import ranking
from vg_core.retrieval.descriptors import describe
from vg_core.retrieval.exact_search import exact
from vg_core.retrieval.ranking import evaluate, nearest_on_device, search
from vg_core.retrieval.strategies import make_strategy
from vg_core.system.devices import peak_of
from vg_core.system.paths import cache_root


@pytest.fixture(scope="module")
def model():
    return build_model(TINY)


def test_descriptors_do_not_depend_on_the_batch(model, street):
    paths = list(PlaceSet.load("street", "val").queries.path)
    one = describe(model, paths, (32, 32), batch_size=1, progress=False)
    all_at_once = describe(model, paths, (32, 32), batch_size=64, progress=False)
    assert one.shape == (16, model.dim)
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, all_at_once, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


def test_a_corrupt_photograph_is_named(model, street):
    paths = list(PlaceSet.load("street", "val").queries.path)
    with open(paths[5], "wb") as file:
        file.write(b"\xff\xd8broken")
    with pytest.raises(UnreadableImage, match=r"@.*\.jpg"):
        describe(model, paths, (32, 32), progress=False)


@given(st.integers(1, 30), st.integers(1, 12), st.integers(1, 8), st.integers(1, 40), st.integers(0, 1000))
def test_search_equals_brute_force(database, queries, width, k, seed):
    rng = np.random.default_rng(seed)
    d, q = rng.normal(size=(database, width)), rng.normal(size=(queries, width))
    distances, indices = search(q, d, k)
    brute = np.linalg.norm(q[:, None] - d[None], axis=-1)
    assert indices.shape == (queries, min(k, database))
    np.testing.assert_allclose(distances, np.sort(brute, axis=1)[:, :k], atol=1e-3)
    np.testing.assert_allclose(np.take_along_axis(brute, indices, 1), distances, atol=1e-3)


@given(
    st.integers(1, 30), st.integers(1, 12), st.integers(1, 40), st.sampled_from([1, 500, 2**28]), st.sampled_from("CF")
)
def test_search_on_the_device_equals_search(database, queries, k, budget, order):
    rng = np.random.default_rng(database)
    d, q = (rng.normal(size=(count, 6)).astype(np.float32, order) for count in (database, queries))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(products, "BLOCK_BYTES", budget)
        distances, indices = nearest_on_device(torch.from_numpy(q), torch.from_numpy(d), k)
    expected = search(q, d, k)
    np.testing.assert_allclose(distances, expected[0], atol=1e-3)
    np.testing.assert_array_equal(indices, expected[1])


def test_search_on_the_device_refuses_what_is_not_finite():
    with pytest.raises(ValueError, match="not finite: has the training diverged"):
        nearest_on_device(torch.eye(3), torch.eye(3) * torch.nan, 1)
    with pytest.raises(ValueError, match="queries: some descriptors are not finite"):
        nearest_on_device(torch.eye(3) * torch.nan, torch.eye(3), 1)


def test_search_refuses_what_it_cannot_search():
    good = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match="queries: no descriptors"):
        search(good[:0], good, 1)
    with pytest.raises(ValueError, match="queries have 2 dimensions, the database 3"):
        search(good[:, :2], good, 1)
    with pytest.raises(ValueError, match="not finite"):
        search(good, good * np.nan, 1)


def test_evaluation_has_one_row_a_query(model, street):
    places = PlaceSet.load("street", "test")
    result = evaluate(model, places, (32, 32), Within(25))
    assert len(result.ranks) == len(places.queries)
    # 16 database images, fewer than the 20 that are retrieved elsewhere
    assert result.indices.shape == (16, 16)
    assert (result.ranks["rank"] >= 1).all()
    assert (result.ranks.within_1 >= result.ranks.within_20).all()
    # photographs of a place differ by brightness only: even a random network finds most of them
    assert (result.ranks["rank"] == 1).mean() > 0.5


@dataclass(frozen=True)
class Twin:
    """A protocol of another kind: the only right image is the query's twin, and 1 % of the database is retrieved."""

    def how_many(self, database):
        return max(1, -(-database // 100))

    def parts(self, queries, database):
        return [(np.arange(len(queries)), np.arange(len(database)))]

    def ranks(self, queries, database, indices, positives):
        return pd.DataFrame({"query": queries.path, "rank": first_hits(indices, positives), "database": len(database)})


class Pairs(PlaceSet):
    """A set of another kind, in which the database image in the query's row is its twin."""

    def positives(self, protocol):
        assert isinstance(protocol, Twin)
        return [np.array([row]) for row in range(len(self.queries))]


def test_another_protocol_fits_in(model, street):
    places = PlaceSet.load("street", "test")
    pairs = Pairs("pairs", "test", places.database, places.queries)
    result = evaluate(model, pairs, (32, 32), Twin())
    assert result.indices.shape == (16, 1)
    assert result.ranks["rank"].tolist() == (result.indices[:, 0] == np.arange(16)).astype(int).tolist()
    assert result.ranks["rank"].any()
    assert evaluate(model, places, (32, 32), Within(25.0, retrieved=3)).indices.shape == (16, 3)


@pytest.mark.parametrize("share", [0.5, 0.0], ids=["memory", "disk"])
@pytest.mark.parametrize("name", ["hard_resize", "five_crops"])
def test_queries_search_the_images_of_their_own_zone(model, street, monkeypatch, name, share):
    """MSLS's city-wise protocol: as if each zone was a set of its own, and 12 images are fewer than 20."""
    monkeypatch.setattr(ranking, "MEMORY_SHARE", share)
    street = PlaceSet.load("street", "test")
    tables = [table.assign(plane=(np.arange(16) % 8 > 5).astype(int)) for table in (street.database, street.queries)]
    both, strategy = PlaceSet("both", "test", *tables), make_strategy(name)
    result = evaluate(model, both, (32, 32), Within(search="own_zone"), 5, strategy)
    for plane, size in enumerate((12, 4)):
        one = [table[table.plane == plane].drop(columns="plane").reset_index(drop=True) for table in tables]
        alone = evaluate(model, PlaceSet("one", "test", *one), (32, 32), Within(), 5, strategy)
        asked = tables[1].plane == plane
        assert (result.indices[asked, size:] == -1).all() and np.isinf(result.distances[asked, size:]).all()
        assert (tables[0].plane.to_numpy()[result.indices[asked, :size]] == plane).all()
        np.testing.assert_allclose(result.distances[asked, :size], alone.distances, atol=1e-3)  # views of a place tie
        assert result.ranks.within_20[asked].tolist() == alone.ranks.within_20.tolist()


class Drawn:
    """So many photographs that nobody took."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def batches(self, indices):
        for wanted in indices:
            yield torch.randint(0, 256, (len(wanted), 3, 24, 24), dtype=torch.uint8)


BUDGET, AT_ONCE = 64 * 2**20, 64  # bytes of a search, images described between two writes


def peak_of_evaluation(method, photo):
    """(values of a descriptor, bytes that an evaluation by disk takes)"""
    ranking.MEMORY_SHARE, ranking.STORED_AT_ONCE, exact.__defaults__ = 0, AT_ONCE, (BUDGET,)
    model = build_model(TINY.replace(pooling="netvlad", clusters=400))

    def table(count):
        easting = np.arange(count) * 10.0
        return pd.DataFrame({"path": [photo] * count, "easting": easting, "northing": 0.0, "heading": 0.0})

    def judge(count):
        places = PlaceSet("drawn", "test", table(count), table(8))
        evaluate(model, places, (24, 24), Within(25), 64, make_strategy(method), Drawn(count + 8))

    judge(64)  # libraries have loaded what they need
    return model.dim, peak_of(lambda: judge(1500), torch.device("cpu"))


@peak_is_told
@pytest.mark.parametrize("method", ["hard_resize", "five_crops"])
def test_memory_of_an_evaluation_by_disk_is_that_of_its_blocks(tmp_path, method):
    """1,500 descriptors of 25,600 values would take 146 MiB; 64 of them are made at a time, and searched in blocks."""
    Image.new("RGB", (30, 30), "teal").save(photo := tmp_path / "photo.jpg")
    dim, peak = child(peak_of_evaluation, method, str(photo))
    assert dim == 25_600
    assert BUDGET / 2 < peak < BUDGET + 2 * AT_ONCE * 4 * dim + 32 * 2**20


def test_descriptors_without_room_in_memory_go_to_disk(model, street, monkeypatch):
    places = PlaceSet.load("street", "test")
    whole, before = evaluate(model, places, (32, 32), Within(25)), sorted(os.listdir(cache_root()))
    written, original = [], ranking.DescriptorStore.write

    def write(path, parts, shape):
        store = original(path, (written.append(len(part)) or part for part in parts), shape)
        assert len(os.listdir(cache_root())) == len(before) + 1
        return store

    monkeypatch.setattr(ranking.DescriptorStore, "write", write)
    monkeypatch.setattr(ranking, "MEMORY_SHARE", 0)
    monkeypatch.setattr(ranking, "STORED_AT_ONCE", 5)
    stored = evaluate(model, places, (32, 32), Within(25))
    assert written == [5, 5, 5, 1]
    np.testing.assert_allclose(stored.distances, whole.distances, atol=2e-3)
    assert (stored.ranks["rank"] == whole.ranks["rank"]).mean() > 0.9
    assert sorted(os.listdir(cache_root())) == before
