"""What stands in the way: trees, lamps and people as cut-outs, cars as solids; drawn far to near over the walls."""

import numpy as np

from . import sprites
from .cars import Car, draw_car
from .frame import Frame
from .traffic import Traffic

REACH = 110.0  # metres; farther objects are not drawn
LAMP_HEIGHT = 5.2  # metres
TREE, LAMP_POST, PERSON, CAR = range(4)


def draw_objects(frame: Frame, traffic: Traffic) -> None:
    """Blend everything within REACH into the frame's light, farthest first."""
    things = _things(frame.scene.district.trees, frame.scene.district.lamps, traffic)
    (fx, fy), (rx, ry) = frame.camera.axes
    place = things[:, :2] - (frame.camera.x, frame.camera.y)
    ahead, right = place @ (fx, fy), place @ (rx, ry)
    width, height, nearest = things[:, 2:5].T
    reach = float(np.abs(frame.side).max())
    seen = np.flatnonzero((ahead > nearest) & (ahead < REACH) & (np.abs(right) < reach * ahead + width))
    sight = _eye_level(frame)
    for k in seen[np.argsort(-ahead[seen])]:
        if not _in_sight(frame, sight, ahead[k], right[k], width[k]):
            continue
        kind, number = things[k, 5:].astype(int)
        if kind == CAR:
            draw_car(frame, Car(*traffic.cars[number]))
            continue
        image = (
            sprites.tree(frame.conditions.season, number % sprites.TREES)
            if kind == TREE
            else sprites.lamp()
            if kind == LAMP_POST
            else sprites.person(number)
        )
        _draw_sprite(frame, things[k, :2], ahead[k], right[k], width[k], height[k], image)
        if kind == LAMP_POST and frame.conditions.night:
            _draw_halo(frame, things[k, :2])


def _things(trees, lamps, traffic: Traffic) -> np.ndarray:
    """(n, 7) x, y, width, height, nearest distance at which it is drawn, kind, number."""

    def rows(place, width, height, nearest, kind, number):
        columns = np.broadcast_arrays(width, height, nearest, kind, number, place[:, 0])
        return np.column_stack([place[:, :2], *columns[:5]])

    people = traffic.people
    return np.concatenate(
        [
            rows(trees, 0.8 * trees[:, 2], trees[:, 2], 1.6, TREE, np.arange(len(trees))),
            rows(lamps, 0.16 * LAMP_HEIGHT, LAMP_HEIGHT, 1.0, LAMP_POST, 0),
            rows(people, 0.7, 1.6 + 0.03 * people[:, 2], 1.2, PERSON, people[:, 2]),
            rows(traffic.cars, 5.0, 2.0, 3.2, CAR, np.arange(len(traffic.cars))),
        ]
    )


def _eye_level(frame: Frame) -> np.ndarray:
    """(W,) metres to the wall at eye level in each column."""
    rise = frame.rise.reshape(frame.shape)[:, 0]
    return frame.depth.reshape(frame.shape)[np.abs(rise).argmin()]


def _in_sight(frame: Frame, sight, ahead, right, width) -> bool:
    """False where walls at eye level hide the whole width."""
    columns = frame.shape[1] / 2 + frame.camera.focal * (right + np.array((-0.6, 0.6)) * width) / ahead
    low, high = np.clip(columns, 0, frame.shape[1]).astype(int)
    return bool((sight[low : high + 1] > ahead - 2.5).any())


def _draw_sprite(frame: Frame, place, ahead, right, width, height, pyramid) -> None:
    camera = frame.camera
    (_, _), (rx, ry) = camera.axes
    x = place[0] + np.array([-1, 1, -1, 1]) * rx * width / 2
    y = place[1] + np.array([-1, 1, -1, 1]) * ry * width / 2
    window = frame.window(x, y, np.array([0, 0, height, height]))
    if window is None:
        return
    level = int(np.clip(np.log2(pyramid[0].shape[0] * ahead / (camera.focal * height)), 0, len(pyramid) - 1))
    image = pyramid[level]
    side = frame.part(frame.side, window)
    rise = frame.part(frame.rise, window)[:, :1]
    u = (side * np.float32(ahead) - np.float32(right)) / np.float32(width) + np.float32(0.5)
    v = (np.float32(camera.z) + rise * np.float32(ahead)) / np.float32(height)
    inside = (u >= 0) & (u < 1) & (v >= 0) & (v < 1)
    inside &= frame.part(frame.depth, window) > ahead
    h, w = image.shape[:2]
    texel = image[np.clip(v * h, 0, h - 1).astype(np.int32), np.clip(u * w, 0, w - 1).astype(np.int32)]
    direct, ambient = frame.light_at(*place, height * 0.6)
    light = (0.65 * direct + ambient)[:, None, None]
    albedo = (texel[..., :3].astype(np.float32) / 255) ** 2
    opacity = texel[..., 3] * (inside * np.float32(1 / 255))
    frame.blend(window, np.moveaxis(albedo, 2, 0) * light, opacity, np.float32(ahead))


def _draw_halo(frame: Frame, place) -> None:
    """Glare of a lit lamp."""
    camera = frame.camera
    column, row, ahead = camera.project(*place, LAMP_HEIGHT * 0.97)
    radius = camera.focal * 1.6 / ahead
    h, w = frame.shape
    rows = np.arange(max(0, int(row - radius)), min(h, int(row + radius) + 1))
    columns = np.arange(max(0, int(column - radius)), min(w, int(column + radius) + 1))
    if not rows.size or not columns.size:
        return
    window = np.ix_(rows, columns)
    square = ((rows[:, None] - row) ** 2 + (columns - column) ** 2) / radius**2
    glare = np.maximum(0, 0.06 / (square + 0.02) - 0.06) * (frame.depth.reshape(frame.shape)[window] > ahead)
    for c, tone in enumerate((1.0, 0.78, 0.48)):
        frame.light[c].reshape(frame.shape)[window] += np.float32(tone) * glare.astype(np.float32)
