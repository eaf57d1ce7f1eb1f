"""Walls that photographs of a city show: what is before the camera, what two photographs share, and reading it back."""

import numpy as np
import pytest

from data_scripts.city import dataset
from data_scripts.city.scene import Scene
from data_scripts.city.shots import district_of, shots_of
from data_scripts.city.sight import PIECE, walls_seen
from vg_core.datasets import generated
from vg_core.datasets.places import PlaceSet
from vg_core.datasets.walls import shared_walls

PLAN = dataset.make_plan("toycity", "tiny", 0)


def first_box_ahead(district, camera) -> tuple[int, tuple[float, float]]:
    """The box that a walk straight ahead from the camera, 5 cm a step, ends in, and where; -1 within 200 m is none."""
    (ahead, _), (x0, y0, x1, y1) = camera.axes, district.boxes.rect.T
    for metres in np.arange(0.05, 200, 0.05):
        x, y = camera.x + metres * ahead[0], camera.y + metres * ahead[1]
        inside = np.flatnonzero((x0 <= x) & (x <= x1) & (y0 <= y) & (y <= y1))
        if len(inside):
            return int(inside[0]), (x, y)
    return -1, (x, y)


def test_walls_are_of_the_boxes_before_the_camera():
    scene = Scene(district_of(PLAN, "train")[0], 8, 4)
    for shot in shots_of(PLAN, "train")[:12]:
        seen = walls_seen(scene, shot.camera)
        assert 0 < seen.share.sum() <= 1 + 1e-9
        box, (x, y) = first_box_ahead(scene.district, shot.camera)
        if box >= 0:
            wall = seen[seen.wall // 4 == box]
            along = np.where(wall.wall % 4 < 2, y, x) / PIECE - wall.piece  # in pieces, of the point that was met
            assert ((along >= -0.1) & (along <= 1.1)).any()


def test_photographs_share_the_walls_that_both_show(tmp_path, monkeypatch):
    monkeypatch.setenv("VG_DATA", str(tmp_path))
    root = dataset.build_city(size="tiny", workers=1, queries=6, database=12)
    places = PlaceSet.load("toycity", "train")
    database, queries = list(places.database.path), list(places.queries.path)
    with_itself = shared_walls(database, database)  # the table is drawn now
    assert (with_itself > 0).all() and (with_itself <= 1.001).all()
    monkeypatch.setattr(generated, "run_script", None)  # and read back from now on
    turned = shared_walls(np.repeat(database[:6], 6), database[:6] * 6).reshape(6, 6)  # six views of one place
    assert (turned.max(axis=1) == turned.diagonal()).all() and ((turned == 0).sum(axis=1) == 3).all()  # but neighbours
    one, other = np.repeat(queries, 12), database * 6
    found = shared_walls(one, other)
    np.testing.assert_allclose(found, shared_walls(other, one))
    assert found.max() > 0.3 and (root / "walls" / "train.csv").exists()


@pytest.mark.usefixtures("street")
def test_of_other_photographs_nobody_knows():
    paths = PlaceSet.load("street", "train").queries.path
    assert np.isnan(shared_walls(paths, paths)).all() and not len(shared_walls([], []))
