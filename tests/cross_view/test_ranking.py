"""Ranks of the right images: against plain sorting, ties, directions, and the table that comparisons read."""

import numpy as np
import pandas as pd
import pytest
import torch

from vg_core.cross_view import ranking
from vg_core.cross_view.ranking import one_percent, pair_ranks, ranked
from vg_core.datasets.places import neighbours
from vg_core.evaluation.comparisons import paired_gain, recall_table


def unit(count, dim=8, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(count, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def side(count, name, east=40.0):
    """A table of places ``east`` metres apart."""
    paths = [f"{name}/{row}.png" for row in range(count)]
    return pd.DataFrame({"path": paths, "easting": east * np.arange(count), "northing": 0.0, "heading": 0.0})


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_ranks_are_those_of_sorting_whatever_the_blocks(monkeypatch, kind):
    rng = np.random.default_rng(1)
    queries, database = unit(23), unit(57, seed=2)
    positives = [rng.choice(57, rng.integers(0, 4), replace=False) for _ in queries]
    order = np.argsort(-(queries.astype(float) @ database.T.astype(float)), axis=1)
    first = [np.flatnonzero(np.isin(row, right)) for row, right in zip(order, positives, strict=True)]
    expected = [found[0] + 1 if len(found) else 0 for found in first]
    for block, rows in ((2**28, 1024), (8 * 57 * 5, 10), (1, 57)):
        monkeypatch.setattr(ranking, "BLOCK_BYTES", block)
        monkeypatch.setattr(ranking, "ROWS", rows)
        ranks, indices, distances = ranked(kind(queries), kind(database), positives)
        assert ranks.tolist() == expected and indices.tolist() == order[:, :20].tolist()
        apart = np.linalg.norm(queries[:, None] - database[order[:, :20]], axis=2)
        np.testing.assert_allclose(distances, apart, atol=1e-6)


def test_no_more_than_a_block_is_held(monkeypatch):
    shapes = []
    products = ranking._products

    def seen(queries, database):
        shapes.append((len(queries), len(database)))
        return products(queries, database)

    monkeypatch.setattr(ranking, "_products", seen)
    monkeypatch.setattr(ranking, "BLOCK_BYTES", 8 * 30 * 7)
    ranked(unit(20), unit(30), np.arange(20)[:, None])
    assert shapes == [(7, 30), (7, 30), (6, 30)]


@pytest.mark.parametrize(("strict", "rank"), [(False, 40), (True, 1)])
def test_a_network_that_tells_nothing_apart_finds_nothing_but_for_strict_counting(strict, rank):
    same = np.repeat(unit(1, 4096), 40, axis=0)
    table = pair_ranks((same, same), side(40, "ground"), side(40, "aerial"), strict=strict)[0]
    assert (table["rank"] == rank).all()


def test_a_wrong_image_that_ties_comes_first_unless_counting_is_strict():
    database = unit(6)
    database[3] = database[2]
    twins = np.arange(6)[:, None]
    assert ranked(database, database, twins)[0].tolist() == [1, 1, 2, 2, 1, 1]
    assert ranked(database, database, twins)[1][2, :2].tolist() == [3, 2]  # as the images are listed, too
    assert ranked(database, database, twins, strict=True)[0].tolist() == [1] * 6
    both = [[0], [1], [2, 3], [2, 3], [4], [5]]
    assert ranked(database, database, both)[0].tolist() == [1] * 6  # right images do not come before each other


def test_both_directions():
    ground, aerial = unit(30), unit(30, seed=1)
    there = pair_ranks((ground, aerial), side(30, "ground"), side(30, "aerial"))[0]
    back = pair_ranks((aerial, ground), side(30, "aerial"), side(30, "ground"))[0]
    products = ground.astype(float) @ aerial.T.astype(float)
    assert there["rank"].tolist() == (1 + (products > products.diagonal()[:, None]).sum(1)).tolist()
    assert back["rank"].tolist() == (1 + (products > products.diagonal()).sum(0)).tolist()


def test_published_counts_of_one_percent():
    assert (one_percent(8884), one_percent(8884, plus_one=True)) == (88, 89)
    assert (one_percent(92_802), one_percent(92_802, plus_one=True)) == (928, 929)
    assert (one_percent(30), one_percent(30, plus_one=True)) == (1, 1)
    assert (one_percent(100), one_percent(100, plus_one=True)) == (1, 2)


def test_the_table_is_read_by_all_comparisons():
    ground, aerial = unit(300, 4), unit(300, 4, seed=1)
    sides = side(300, "ground"), side(300, "aerial")
    good = pair_ranks((ground, ground + 0.5 * aerial), *sides)[0].assign(variant="good", seed=0)
    bad = pair_ranks((ground, aerial), *sides)[0].assign(variant="bad", seed=0)
    assert good["rank"].max() > 20  # where other searches say 0
    assert good["top_1"].iloc[0].endswith(".png") and (good["threshold"] == 0).all() and (good["database"] == 300).all()
    recalls = recall_table(pd.concat([good, bad]), at=(1, 5, 10, 100)).set_index(["variant", "n"])["recall"]
    assert recalls["good", 100] == pytest.approx(100 * (good["rank"] <= 100).mean())
    gain = paired_gain(pd.concat([good, bad]), "good", "bad", n=100)
    assert gain["low"] > 0 and gain["places"] == 300


def test_within_five_metres_is_right_in_the_test_of_cvact():
    """Places 3 m apart: the twin and its neighbours."""
    ground, aerial = unit(40), unit(40, seed=1)
    sides = side(40, "ground", 3.0), side(40, "aerial", 3.0)
    where = sides[0][["easting", "northing"]].to_numpy()
    table = pair_ranks((ground, aerial), *sides, positives=neighbours(where, where, 5.0), metres=5.0)[0]
    order = np.argsort(-(ground.astype(float) @ aerial.T.astype(float)), axis=1)
    expected = [1 + np.flatnonzero(np.abs(row - query) <= 1)[0] for query, row in enumerate(order)]
    assert table["rank"].tolist() == expected
    for n in (1, 5, 10, 20):
        assert ((table[f"within_{n}"] <= 5) == (table["rank"] <= n)).all()


def test_where_positions_are_not_known_nothing_is_said_in_metres():
    sides = [side(30, name).assign(easting=np.nan, northing=np.nan) for name in ("ground", "aerial")]
    table = pair_ranks((unit(30), unit(30, seed=1)), *sides)[0]
    assert table["place"].nunique() == 30 and table[["easting", "metres", "within_20"]].isna().all(axis=None)
    known = pair_ranks((unit(30), unit(30, seed=1)), side(30, "ground"), side(30, "aerial"))[0]
    assert table["rank"].tolist() == known["rank"].tolist()


@pytest.mark.parametrize(
    ("queries", "database", "said"),
    [
        (unit(4), unit(3), "4 queries and 3 database images are no pairs: give positives"),
        (unit(3), unit(3, 9), r"descriptors of shapes \(3, 8\) and \(3, 9\): expected \(Q, D\) and \(N, D\)"),
        (unit(3), unit(3) * np.nan, "database: some descriptors are not finite; the model has diverged"),
        (unit(0), unit(0), r"descriptors of shapes \(0, 8\) and \(0, 8\)"),
    ],
)
def test_what_cannot_be_ranked_is_said(queries, database, said):
    with pytest.raises(ValueError, match=said):
        pair_ranks((queries, database), side(len(queries), "ground"), side(len(database), "aerial"))


def test_each_query_needs_its_list_of_right_images():
    with pytest.raises(ValueError, match="2 lists of right images do not go with 3 queries"):
        ranked(unit(3), unit(3), [[0], [1]])
