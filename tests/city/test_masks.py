"""Masks of cars and people: what they cover, where they lie, and reading them back."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from data_scripts.city import dataset, masks
from data_scripts.city.masks import traffic_mask, write_masks
from data_scripts.city.scene import Scene
from data_scripts.city.shots import district_of, shots_of
from data_scripts.city.traffic import Traffic
from vg_core.datasets.places import PlaceSet
from vg_core.datasets.traffic import traffic_pixels

PLAN = dataset.make_plan("toycity", "tiny", 0)


@pytest.fixture(scope="module")
def scene():
    return Scene(district_of(PLAN, "test")[0], 8, 4)


def shot(**changes):
    first = next(one for one in shots_of(PLAN, "test") if one.kind == "queries")
    return replace(first, conditions=replace(first.conditions, **changes))


def with_people(monkeypatch, metres):
    """People so many metres ahead of the camera of the first query, nothing else."""
    camera = shot().camera
    (ahead, _) = camera.axes
    place = np.array([[camera.x + metres * ahead[0], camera.y + metres * ahead[1], 0]])
    monkeypatch.setattr(masks, "make_traffic", lambda *_: Traffic(np.zeros((0, 9)), place))


@pytest.mark.parametrize("changes", [{}, {"wet": True}, {"visibility": 60.0}])
def test_a_person_ahead_is_an_upright_patch_in_the_middle_in_any_weather(scene, monkeypatch, changes):
    with_people(monkeypatch, 4.0)
    mask = traffic_mask(scene, shot(**changes), PLAN.size.supersample)
    assert mask.shape == (PLAN.size.height, PLAN.size.width) and mask.dtype == bool
    rows, columns = np.nonzero(mask)
    assert 20 < mask.sum() < 300
    assert abs(columns.mean() - PLAN.size.width / 2) < 2 and np.ptp(rows) > 2 * np.ptp(columns)


def test_who_is_behind_the_camera_or_not_there_is_not_seen(scene, monkeypatch):
    with_people(monkeypatch, -4.0)
    assert not traffic_mask(scene, shot(), PLAN.size.supersample).any()


def test_masks_are_drawn_once_and_read_back_in_the_order_of_the_queries(tmp_path, monkeypatch):
    monkeypatch.setenv("VG_DATA", str(tmp_path))
    root = dataset.build_city(size="tiny", workers=1, queries=6, database=6)
    queries = PlaceSet.load("toycity", "test").queries.path
    found = traffic_pixels(queries)  # a process of its own draws them
    again = {file.name: file.stat().st_mtime_ns for file in (root / "masks" / "test" / "queries").iterdir()}
    assert len(found) == len(again) == 6
    for path, pixels in zip(queries, found, strict=True):
        with Image.open(path) as photo:
            assert pixels.shape == photo.size[::-1] and pixels.dtype == bool
    assert 0 < np.mean(found) < 0.3
    assert [np.array_equal(*pair) for pair in zip(found, traffic_pixels(queries), strict=True)] == [True] * 6
    assert write_masks("toycity", "test", "queries") == root / "masks" / "test" / "queries"
    assert again == {file.name: file.stat().st_mtime_ns for file in (root / "masks" / "test" / "queries").iterdir()}


def test_of_other_photographs_nobody_knows(street, monkeypatch):
    assert traffic_pixels(PlaceSet.load("street", "test").queries.path) is None
    with pytest.raises(FileNotFoundError, match="street is no generated city"):
        write_masks("street", "test", "queries")
