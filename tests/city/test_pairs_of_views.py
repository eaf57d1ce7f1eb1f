"""Generated pairs: a panorama and a tile from above show the same spot, each in its own light and traffic."""

import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from data_scripts.city import dataset
from data_scripts.city.aerial import TopView, look_down, roof_colour
from data_scripts.city.camera import Overhead, Panorama
from data_scripts.city.conditions import BY_DAY, DATABASE, FLIGHT
from data_scripts.city.layout import BUILDING
from data_scripts.city.panorama import look_around
from data_scripts.city.scene import Scene
from data_scripts.city.shots import district_of
from data_scripts.city.traffic import Traffic, make_traffic
from vg_core.cross_view import PairSet, polar

SPLITS = ("train", "val", "test")
EMPTY = Traffic(np.zeros((0, 9)), np.zeros((0, 3)))


@pytest.fixture(scope="module")
def scene() -> Scene:
    """A district without trees and lamps."""
    district = district_of(dataset.make_plan("toycity", "tiny", 0), "train")[0]
    return Scene(replace(district, trees=np.zeros((0, 3)), lamps=np.zeros((0, 2))), 6, 4)


@pytest.fixture(scope="module")
def spot(scene) -> tuple[float, float]:
    street = scene.district.streets[0]
    return street.point(street.low + 0.3 * (street.high - street.low), 0.0)


def car(x: float, y: float) -> Traffic:
    return Traffic(np.array([[x, y, 1, 1, 0, 0.9, 0.0, 0.0, 0]]), np.zeros((0, 3)))


def changed(take, scene: Scene, camera, traffic: Traffic) -> np.ndarray:
    """(n, 2) rows and columns where a picture with traffic differs from one without."""
    pictures = [take(scene, camera, DATABASE, some, np.random.default_rng(0)) for some in (traffic, EMPTY)]
    return np.argwhere(np.abs(pictures[0] - pictures[1]).max(0) > 1e-3)


@pytest.mark.parametrize("heading", [0.0, -50.0, 100.0, 171.0])
def test_a_car_stands_where_a_panorama_of_equal_steps_has_it(scene, spot, heading):
    x, y = spot
    camera = Panorama(x, y, 1.7, heading, 56, 308, 154.5)
    rows, columns = changed(look_around, scene, camera, car(x + 1.5, y + 14)).T
    bearing = math.degrees(math.atan2(1.5, 14))
    middle = 154 + (bearing - heading) / 360 * 308  # index of the column that looks to it
    turn = (columns - middle + 154) % 308 - 154
    assert len(turn) > 20 and abs(turn.mean()) < 1 and np.ptp(turn) < 16
    down = math.atan2(1.7, 14 - 2) * 308 / (2 * math.pi)  # rows from the horizon to the nearest wheels
    assert rows.max() == pytest.approx(27.5 + down, abs=1.5)


def test_no_car_is_drawn_that_pictures_of_the_panorama_would_cut(scene, spot):
    x, y = spot
    assert not changed(look_around, scene, Panorama(x, y, 1.7, 0.0, 20, 110, 55.5), car(x + 2.2, y + 5)).size


@pytest.mark.parametrize("rotation", [0.0, 33.0, -21.0])
def test_a_car_stands_where_the_map_has_it(scene, spot, rotation):
    turned = Scene(replace(scene.district, rotation=rotation), 6, 4)
    x, y = spot
    camera = Overhead(x, y, 80.0, 160, rotation)
    rows, columns = changed(look_down, turned, camera, car(x + 1.5, y + 14)).T
    (east, north), (here_east, here_north) = (turned.district.to_utm(*at) for at in ((x + 1.5, y + 14), spot))
    middle_row, middle_column = ((some.min() + some.max() + 1) / 2 for some in (rows, columns))
    assert middle_column == pytest.approx((east - here_east + 40) * 2, abs=0.6)
    assert middle_row == pytest.approx((here_north - north + 40) * 2, abs=0.6)
    assert len(rows) == pytest.approx(4.3 * 1.76 * 4, rel=0.2)  # pixels of a quarter of a square metre


def test_panorama_and_polar_picture_line_up(scene, spot):
    x, y = spot
    for dx, dy in ((1.5, 14), (-2, -22), (0.5, -12)):
        down = changed(look_down, scene, Overhead(x, y, 80.0, 160, 0.0), car(x + dx, y + dy))
        tile = torch.zeros(1, 3, 160, 160, dtype=torch.uint8)
        tile[:, :, down[:, 0], down[:, 1]] = 255
        seen = np.argwhere(polar(tile, (56, 308))[0, 0].numpy() > 128)[:, 1]
        around = changed(look_around, scene, Panorama(x, y, 1.7, 0.0, 56, 308, 154.5), car(x + dx, y + dy))[:, 1]
        directions = [np.angle(np.exp(2j * np.pi * columns / 308).mean(), deg=True) for columns in (seen, around)]
        assert abs((directions[0] - directions[1] + 180) % 360 - 180) < 2.0


def test_roofs_tell_of_their_facades(scene):
    boxes, styles = scene.district.boxes, scene.styles
    flat = [b for b in range(len(styles)) if boxes.kind[b] == BUILDING and styles[b].roof == "flat"][:4]
    for box in flat:
        x, y = boxes.rect[box].reshape(2, 2).mean(0)
        light = look_down(scene, Overhead(x, y, 8.0, 16, 0.0), FLIGHT, EMPTY, np.random.default_rng(0))
        colour = np.sqrt(light.mean((1, 2)) / (np.array(FLIGHT.sun) + FLIGHT.ambient))  # as an albedo's code
        wanted = roof_colour(styles[box])
        assert np.corrcoef(colour, wanted)[0, 1] > 0.9 or np.ptp(wanted) < 20
        assert (
            np.linalg.norm(wanted - styles[box].base)
            <= 0.4 * np.linalg.norm(np.array((148, 146, 140)) - styles[box].base) + 1
        )


def test_houses_cast_shadows_on_the_map(scene, spot):
    view = TopView(scene, Overhead(*spot, 60.0, 60, 0.0), FLIGHT)
    ground = [
        look_down(scene, view.camera, replace(FLIGHT, elevation=e), EMPTY, np.random.default_rng(0)) for e in (20, 85)
    ]
    street = np.s_[:, :, 27:33]
    assert ground[0][street].mean() < 0.7 * ground[1][street].mean()


def test_shadows_of_the_flight_fall_elsewhere_than_those_of_any_panorama():
    for _, session in BY_DAY:
        if any(session.sun):
            assert abs((session.azimuth - FLIGHT.azimuth + 180) % 360 - 180) > 45


@pytest.fixture(scope="module")
def small():
    """Shots of each split of the pairs as they are drawn for rehearsals."""
    plan = dataset.make_plan("toycity_pairs", "small", 0)
    return {split: dataset.shots_of(plan, split) for split in SPLITS}


def positions(shots) -> np.ndarray:
    return np.array([(shot.label.easting, shot.label.northing) for shot in shots if shot.kind == "ground"])


def test_pairs_are_apart_from_each_other_and_splits_are_districts_of_their_own(small):
    assert {split: len(positions(shots)) for split, shots in small.items()} == {"train": 1000, "val": 100, "test": 300}
    for shots in small.values():
        places = positions(shots)
        metres = np.hypot(*(places[:, None] - places).transpose(2, 0, 1)) + np.diag(np.full(len(places), np.inf))
        assert metres.min() > 8.9
    for first, second in combinations(SPLITS, 2):
        assert np.hypot(*(positions(small[first])[:, None] - positions(small[second])).transpose(2, 0, 1)).min() > 300


def test_twins_have_one_name_and_place_but_other_light_and_traffic(small):
    district = district_of(dataset.make_plan("toycity_pairs", "small", 0), "test")[0]
    shots = small["test"]
    for ground, aerial in zip(shots[:40:2], shots[1:40:2], strict=True):
        assert (ground.kind, aerial.kind) == ("ground", "aerial") and ground.name == aerial.name
        assert (ground.camera.x, ground.camera.y) == (aerial.camera.x, aerial.camera.y)
        assert ground.camera.heading == -aerial.camera.rotation and ground.label.heading == 0
        step = ground.camera.width // 308  # of the columns that become column 154: their middle looks north
        assert ground.camera.angles()[1][154 * step : 155 * step].mean() == pytest.approx(0, abs=1e-9)
        assert aerial.conditions is FLIGHT is not ground.conditions
        traffic = [make_traffic(district, shot).cars for shot in (ground, aerial)]
        assert not np.array_equal(*traffic)


def test_pairs_are_rendered_on_first_use_and_loaded(monkeypatch):
    monkeypatch.setattr("vg_core.datasets.splits._render", lambda name: dataset.build_city(name, "tiny", workers=1))
    pairs = PairSet.load("toycity_pairs", "train")
    assert len(pairs.aerial) == 8 and pairs.ground.heading.eq(0).all()
    assert [Path(path).name for path in pairs.aerial.path] == [Path(path).name for path in pairs.ground.path]
    assert [len(PairSet.load("toycity_pairs", split).ground) for split in ("val", "test")] == [4, 4]


def test_numbers_of_panoramas_are_those_of_tiles():
    assert dataset.make_plan("toycity_pairs", "tiny", 0, database=3).total() == 18
    with pytest.raises(ValueError, match="queries 5: toycity_pairs has as many panoramas as tiles; give database"):
        dataset.make_plan("toycity_pairs", "tiny", 0, queries=5)
