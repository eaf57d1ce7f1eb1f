"""Looks at a training that keep no weights: the range test on a real network, and the positives that mining picks."""

import numpy as np
import pandas as pd
import pytest

from tests.tiny import GROUPS, TINY
from vg_core.datasets.places import PlaceSet
from vg_core.models import build_model
from vg_core.retrieval.descriptors import describe
from vg_core.runs import probes
from vg_core.runs.probes import (
    learning_rate_range,
    mined_negatives,
    mined_positives,
    photograph_classes,
    positives_lost,
)
from vg_core.system import paths


@pytest.mark.usefixtures("street")
def test_the_range_test_keeps_its_curve_and_no_weights(monkeypatch):
    curve = learning_rate_range(TINY, low=1e-5, high=1e-1, steps=6)
    assert curve.lr.is_monotonic_increasing and 1 <= len(curve) <= 6
    assert np.isfinite(curve.loss.iloc[0]) and curve.loss.iloc[0] > 0
    assert not paths.checkpoints_folder("smoke").exists() and not paths.runs_folder("smoke").exists()
    monkeypatch.setattr(probes, "Trainer", None)  # what is there is read back
    pd.testing.assert_frame_equal(curve, learning_rate_range(TINY, low=1e-5, high=1e-1, steps=6))
    with pytest.raises(TypeError):
        learning_rate_range(TINY, low=1e-5, high=1e-1, steps=7)


@pytest.mark.usefixtures("street")
def test_mined_positives_are_the_nearest_descriptors_within_the_threshold():
    model = build_model(TINY).eval()
    table = mined_positives(model, TINY)
    places = PlaceSet.load("street", "train")
    database, queries = (describe(model, list(t.path), TINY.image_size) for t in (places.database, places.queries))
    assert list(table["query"]) == list(places.queries.path)
    for row, near in enumerate(places.neighbours(TINY.task.train_positives_dist_threshold)):
        distances = np.linalg.norm(queries[row] - database[near], axis=1)
        chosen = near[distances.argmin()]
        assert table.positive[row] == places.database.path[chosen]
        assert table.distance[row] == pytest.approx(distances.min(), abs=1e-5)
        assert table.metres[row] <= TINY.task.train_positives_dist_threshold


@pytest.mark.parametrize("mining", ["full", "partial", "msls_weighted", "random"])
def test_mined_negatives_are_those_that_a_training_would_get(street, mining):
    config = TINY.replace(mining=mining, neg_samples_num=24, val_positives_dist_threshold=40.0)
    model, places = build_model(config).eval(), PlaceSet.load("street", "train")
    table = mined_negatives(model, config)
    assert table.groupby("query").size().eq(3).all() and table["query"].nunique() == 24
    assert table.metres.min() > 40 and table.turn.isna().all() and table.shared.isna().all()
    database, queries = (describe(model, list(t.path), config.image_size) for t in (places.database, places.queries))
    numbers = {path: number for number, path in enumerate(places.database.path)}
    first = table[table["query"] == places.queries.path[0]].negative.map(numbers)
    distances = np.linalg.norm(queries[0] - database, axis=1)
    far = np.setdiff1d(range(24), places.neighbours(40)[0])
    if mining != "random":  # the pool is the whole database; views of one place look alike
        np.testing.assert_allclose(distances[first], np.sort(distances[far])[:3], atol=1e-6)
    pd.testing.assert_frame_equal(table, mined_negatives(model, config))


@pytest.mark.usefixtures("street")
def test_queries_without_a_positive_are_shown_as_lost():
    """Database views stand at 0 and 1 m, queries at (3, 4) and (4, 4) m from the corner of a place: 4.24 … 5.66 m."""
    lost = positives_lost(TINY, [4, 4.5, 5.2, 10, 40]).set_index("threshold")
    assert lost.lost.tolist() == [100, 50, 0, 0, 0]
    assert lost.positives.tolist()[0] == 0 and lost.positives[10] == 2
    assert lost.positives[40] > 2  # the next place is 30 m away
    near = mined_positives(build_model(TINY).eval(), TINY.replace(train_positives_dist_threshold=4.5))
    assert (near.positive == "").sum() == 12 and near.metres.isna().sum() == 12
    assert near.metres.max() <= 4.5
    none = mined_positives(build_model(TINY).eval(), TINY.replace(train_positives_dist_threshold=1.0))
    assert (none.positive == "").all()


def test_classes_of_photographs_are_those_that_are_learned(street, write_photo):
    far = write_photo(street / "images" / "train" / "queries", 401_000, 5_000_004)  # alone in its cell and its group
    config = GROUPS.replace(min_images_per_class=1, N=100)
    table = photograph_classes(config.replace(N=2)).set_index("path")
    places = (table.easting // 30).astype(int)
    assert (table.group == 1 + places % 2).all() and table["class"].nunique() == 13
    assert (table.groupby("class").easting.agg(lambda metres: metres.max() // 30 - metres.min() // 30) == 0).all()
    assert photograph_classes(config).group.eq(0).all(), "of one class each"
    table = photograph_classes(GROUPS).set_index("path")
    assert table.loc[str(far), ["class", "group"]].tolist() == [-1, 0] and len(table) == 49
