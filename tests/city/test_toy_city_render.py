"""The renderer: pinhole geometry, occlusion, light and weather."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_scripts.city import dataset, layout
from data_scripts.city.camera import Camera
from data_scripts.city.conditions import DATABASE, SESSIONS
from data_scripts.city.frame import FAR, GROUND, SKY, Frame
from data_scripts.city.light import develop
from data_scripts.city.objects import draw_objects
from data_scripts.city.render import render
from data_scripts.city.scene import Scene
from data_scripts.city.shots import district_of
from data_scripts.city.trace import trace
from data_scripts.city.traffic import Traffic

PLAN = dataset.make_plan("toycity", "tiny", 0)
EMPTY = Traffic(np.zeros((0, 9)), np.zeros((0, 3)))
CONDITIONS = {c.name: c for _, c in SESSIONS}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return Scene(district_of(PLAN, "train")[0], 8, 4)


def camera_on(scene: Scene, along=0.3, lateral=0.0, heading=0.0, pitch=0.0, fov=75.0, size=(96, 128)) -> Camera:
    """A camera on the first street, ``along`` its length from 0 to 1."""
    street = scene.district.streets[0]
    x, y = street.point(street.low + along * (street.high - street.low), lateral)
    return Camera(x, y, 1.7, heading, pitch, fov, *size)


def traced(scene: Scene, camera: Camera) -> Frame:
    frame = Frame(scene, camera, DATABASE)
    trace(frame)
    return frame


def picture(scene: Scene, camera: Camera, conditions) -> np.ndarray:
    """(H, W) grey photograph without noise, traffic or jitter."""
    conditions = replace(conditions, noise=0.0)
    light = render(scene, camera, conditions, EMPTY, np.random.default_rng(0))
    return develop(light, conditions, 1, np.random.default_rng(0)).mean(2)


def test_a_point_of_a_facade_lies_where_a_pinhole_puts_it(scene):
    """East wall of the first street, looked at squarely: columns are f · metres along the wall / metres away."""
    camera = camera_on(scene, heading=90.0)
    frame = traced(scene, camera)
    depth, facing = frame.depth.reshape(frame.shape), frame.facing.reshape(frame.shape)
    focal = 64 / math.tan(math.radians(37.5))
    rect = scene.district.boxes.rect
    checked = 0
    for x0, y0, _, y1 in rect:
        away = x0 - camera.x
        for y in (y0 + 0.5, (y0 + y1) / 2, y1 - 0.5):
            column = 64 - focal * (y - camera.y) / away  # looking east, north lies to the left
            row = 48 - focal * (1.9 - camera.z) / away
            if not (0 < away < 15 and 0 <= column < 128):
                continue
            assert facing[int(row), int(column)] == layout.WEST
            assert depth[int(row), int(column)] == pytest.approx(away, abs=1e-3)
            checked += 1
    assert checked >= 3


@settings(max_examples=25, deadline=None)
@given(
    along=st.floats(0.1, 0.9),
    lateral=st.floats(-3, 3),
    heading=st.floats(0, 360),
    pitch=st.floats(-10, 20),
    fov=st.floats(50, 90),
)
def test_every_pixel_sees_a_point_that_projects_back_to_it(scene, along, lateral, heading, pitch, fov):
    camera = camera_on(scene, along, lateral, heading, pitch, fov)
    frame = traced(scene, camera)
    depth = frame.depth
    x, y = camera.x + depth * frame.dx, camera.y + depth * frame.dy
    z = camera.z + depth * frame.rise
    seen = frame.facing != SKY
    column, row, ahead = camera.project(x[seen], y[seen], z[seen])
    rows, columns = (grid.ravel()[seen] + 0.5 for grid in np.indices(frame.shape))
    assert np.abs(column - columns).max() < 0.05
    assert np.abs(row - rows).max() < 0.05
    assert ahead == pytest.approx(depth[seen], rel=1e-3)
    ground = frame.facing == GROUND
    assert z[ground] == pytest.approx(0, abs=1e-3)
    assert (z[seen & ~ground] > -1e-3).all()
    assert (z[seen & ~ground] <= scene.heights.max() + 0.1).all()


def test_walls_are_where_the_boxes_are(scene):
    frame = traced(scene, camera_on(scene, heading=40.0))
    rect = scene.district.boxes.rect
    for face, column, values in ((0, 0, frame.dx), (1, 2, frame.dx), (2, 1, frame.dy), (3, 3, frame.dy)):
        wall = frame.facing == face
        start = frame.camera.x if face < 2 else frame.camera.y
        place = start + frame.depth[wall] * values[wall]
        assert (np.abs(place[:, None] - rect[:, column]).min(1) < 1e-2).all()


def test_sky_is_above_and_ground_below(scene):
    frame = traced(scene, camera_on(scene))
    facing = frame.facing.reshape(frame.shape)
    assert (facing[-1] == GROUND).all()
    assert not (facing[:48] == GROUND).any()
    assert not (facing[48:] == SKY).any()
    assert (frame.depth[frame.facing == SKY] == FAR).all()


def test_a_full_texture_store_changes_no_picture(scene):
    camera = camera_on(scene)
    full = Scene(scene.district, 8, 4)
    first = traced(full, camera).texel.copy()
    full.atlas.used = len(full.atlas.texels)
    assert (traced(full, camera_on(scene, along=0.8, heading=180.0)).texel != first).any()
    assert (traced(full, camera).texel == first).all()


def car(x: float, y: float) -> Traffic:
    return Traffic(np.array([[x, y, 1, 1, 0, 0.9, 0.0, 0.0, 0]]), np.zeros((0, 3)))


def test_cars_hide_and_are_hidden(scene):
    bare = Scene(replace(scene.district, trees=np.zeros((0, 3)), lamps=np.zeros((0, 2))), 8, 4)
    camera = camera_on(bare)
    frame = traced(bare, camera)
    draw_objects(frame, car(camera.x, camera.y + 8))
    drawn = np.any(frame.light > 0, axis=0).reshape(frame.shape)
    column, row, _ = camera.project(camera.x, camera.y + 8, 0.6)
    assert drawn[int(row), int(column)]
    assert not drawn[:30].any()  # no car reaches the upper third
    behind = traced(bare, camera)
    draw_objects(behind, car(camera.x + 40, camera.y + 45))  # inside a block
    assert not behind.light.any()


def test_night_is_darker_than_day(scene):
    camera = camera_on(scene, pitch=7.0)
    assert picture(scene, camera, CONDITIONS["night"]).mean() < 0.65 * picture(scene, camera, DATABASE).mean()


def test_fog_lowers_contrast(scene):
    camera = camera_on(scene, pitch=7.0)
    fog = CONDITIONS["fog"]
    clear = picture(scene, camera, replace(fog, visibility=2000.0))
    assert picture(scene, camera, fog).std() < 0.75 * clear.std()


def test_sun_casts_shadows_and_a_grey_sky_none(scene):
    camera = camera_on(scene, pitch=-10.0)
    ground = (traced(scene, camera).facing == GROUND).reshape(96, 128)
    low = replace(DATABASE, elevation=20.0, azimuth=90.0 + scene.district.rotation)
    assert (
        picture(scene, camera, low)[ground].mean()
        < 0.75 * picture(scene, camera, replace(DATABASE, elevation=85.0))[ground].mean()
    )


def test_lit_windows_shine_at_night(scene):
    camera = camera_on(scene, pitch=7.0, heading=60.0)
    night = picture(scene, camera, CONDITIONS["night"])
    assert np.percentile(night, 99.5) > 3 * np.median(night)


def test_seasons_colour_the_trees(scene):
    green = DATABASE
    x, y = scene.district.streets[0].point(scene.district.streets[0].low + 12, 0)
    planted = Scene(replace(scene.district, trees=np.array([[x, y + 9, 7.0]])), 8, 4)
    camera = Camera(x, y, 1.7, 0.0, 7.0, 60.0, 96, 128)
    photos = {
        season: render(planted, camera, replace(green, season=season), EMPTY, np.random.default_rng(0))
        for season in ("summer", "autumn", "winter")
    }
    crown = np.s_[:, 20:40, 50:78]
    red_to_green = {season: light[crown][0].mean() / light[crown][1].mean() for season, light in photos.items()}
    assert red_to_green["autumn"] > 1.3 * red_to_green["summer"]


def test_shadows_longer_than_the_district(scene):
    """A sun near the horizon darkens everything but the side from which it shines."""
    low = scene.shadows((1.0, 0.0, 0.02)).reshape(scene.cells[::-1])
    middle = low[low.shape[0] // 2]
    assert middle[: len(middle) // 2].min() > 0
    assert (low[:, -1] == -2).all()
