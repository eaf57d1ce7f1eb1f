"""Cars as two convex solids, body and cabin, cut by the rays of the pixels around them."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .frame import Frame

GLASS, TYRE, HUB, DARK = 0.03, 0.012, 0.28, 0.008  # linear albedo
PAINTS = [(0.75, 0.75, 0.73), (0.03, 0.03, 0.035), (0.25, 0.26, 0.28), (0.40, 0.41, 0.42), (0.34, 0.03, 0.03)]
PAINTS += [(0.04, 0.08, 0.24), (0.05, 0.14, 0.09), (0.42, 0.33, 0.10), (0.20, 0.30, 0.38), (0.55, 0.50, 0.42)]


@dataclass(frozen=True)
class Shape:
    """Metres; ``cabin`` and ``roof`` are (rear, front) ends of the cabin at the waist and of the roof."""

    length: float
    width: float
    waist: float
    top: float
    cabin: tuple[float, float]
    roof: tuple[float, float]


SHAPES = (
    Shape(4.3, 1.76, 0.88, 1.45, (-1.9, 0.85), (-1.2, 0.25)),  # saloon
    Shape(3.8, 1.70, 0.92, 1.50, (-1.85, 0.80), (-1.60, 0.20)),  # hatchback
    Shape(4.5, 1.86, 1.02, 1.72, (-2.15, 0.95), (-1.95, 0.35)),  # estate
    Shape(5.2, 1.96, 1.15, 2.30, (-2.55, 1.95), (-2.52, 1.35)),  # van
)


class Car(NamedTuple):
    """A car on the ground; ``direction`` is +1 or -1 along its axis (0 x, 1 y), colours are linear albedo."""

    x: float
    y: float
    axis: float
    direction: float
    shape: float  # index of SHAPES
    red: float
    green: float
    blue: float
    lights: float  # 1 where they are on


def draw_car(frame: Frame, car: Car) -> None:
    """Paint one car over the frame; none when it is nearer than 0.8 m or out of the picture."""
    shape = SHAPES[int(car.shape)]
    ahead = (car.direction, 0.0) if car.axis == 0 else (0.0, car.direction)  # the car's own forward
    corners = np.array([(a, b) for a in (-0.5, 0.5) for b in (-0.5, 0.5)] * 2) * (shape.length, shape.width)
    x = car.x + corners[:, 0] * ahead[0] - corners[:, 1] * ahead[1]
    y = car.y + corners[:, 0] * ahead[1] + corners[:, 1] * ahead[0]
    z = np.repeat((0, shape.top), 4)
    if frame.camera.project(x, y, z)[2].min() < 0.8:
        return
    window = frame.window(x, y, z)
    if window is None:
        return
    rays = _local_rays(frame, window, car, ahead)
    limit = frame.part(frame.depth, window)
    for planes, paint in ((_body(shape), _paint_body), (_cabin(shape), _paint_cabin)):
        limit = _draw_solid(frame, window, rays, planes, limit, (car, shape, ahead, paint))


def _local_rays(frame: Frame, window, car: Car, ahead):
    """Camera position (3,) and ray directions (3, h, w) in the car's frame: forward, left, up."""
    camera = frame.camera
    dx, dy, rise = (frame.part(a, window) for a in (frame.dx, frame.dy, frame.rise))
    ox, oy = camera.x - car.x, camera.y - car.y
    a, b = np.float32(ahead)
    origin = np.array([ox * a + oy * b, oy * a - ox * b, camera.z])
    return origin, (dx * a + dy * b, dy * a - dx * b, rise)


def _body(shape: Shape) -> np.ndarray:
    """(6, 4) outward normals and offsets: front, rear, left, right, top, bonnet's slope."""
    half, side = shape.length / 2, shape.width / 2
    slope = np.array([0.22, 0, 1.0]) / np.hypot(0.22, 1)
    edge = slope @ (half, 0, shape.waist - 0.16)
    return np.array(
        [(1, 0, 0, half), (-1, 0, 0, half), (0, 1, 0, side), (0, -1, 0, side), (0, 0, 1, shape.waist), (*slope, edge)]
    )


def _cabin(shape: Shape) -> np.ndarray:
    """(7, 4) planes: windscreen, rear window, left, right, roof, and the waist it stands on."""
    rise = shape.top - shape.waist + 0.1
    base = shape.waist - 0.1
    rows = []
    for sign, foot, head in ((1, shape.cabin[1], shape.roof[1]), (-1, shape.cabin[0], shape.roof[0])):
        normal = np.array([sign * rise, 0, abs(foot - head)])
        normal /= np.linalg.norm(normal)
        rows.append((*normal, normal @ (foot, 0, base)))
    side = shape.width / 2 - 0.04
    for sign in (1, -1):
        normal = np.array([0, sign, 0.22]) / np.hypot(1, 0.22)
        rows.append((*normal, normal @ (0, sign * side, base)))
    return np.array([*rows, (0, 0, 1, shape.top), (0, 0, -1, -base)])


def _draw_solid(frame: Frame, window, rays, planes, limit, look) -> np.ndarray:
    """Draw the convex solid where it lies before ``limit`` metres; returns the new limit."""
    car, shape, ahead, paint = look
    origin, (dx, dy, dz) = rays
    enter, leave = np.full(dx.shape, 0.0, np.float32), np.full(dx.shape, np.inf, np.float32)
    face = np.zeros(dx.shape, np.int8)
    with np.errstate(divide="ignore", invalid="ignore"):
        for k, (nx, ny, nz, offset) in enumerate(np.float32(planes)):
            towards = nx * dx + ny * dy + nz * dz
            depth = np.float32(offset - planes[k, :3] @ origin) / towards
            coming = (towards < 0) & (depth > enter)
            enter[coming], face[coming] = depth[coming], k
            np.minimum(leave, np.where(towards > 0, depth, np.inf), out=leave)
            if offset < planes[k, :3] @ origin:
                leave[towards >= 0] = -1  # outside this plane and never coming back
    hit = (enter < leave) & (enter > 0) & (enter < limit)
    if not hit.any():
        return limit
    place = [np.float32(o) + enter * d for o, d in zip(origin, (dx, dy, dz), strict=True)]
    albedo, glow = paint(car, shape, face, *place)
    light = _light(frame, car, planes[:, :3], ahead)[:, face]
    frame.blend(window, albedo * light + glow, hit.astype(np.float32), np.where(hit, enter, 0))
    return np.where(hit, enter, limit)


def _light(frame: Frame, car: Car, normals: np.ndarray, ahead) -> np.ndarray:
    """(3, faces) light on a car's faces; ``normals`` (faces, 3) in the car's frame."""
    direct, ambient = frame.light_at(car.x, car.y, 1.2)
    (a, b), (nx, ny, up) = ahead, normals.T
    towards = 0.5 + 0.5 * up  # lamps shine from above
    if not frame.conditions.night:
        sun = frame.conditions.sun_vector(frame.scene.district.rotation)
        towards = np.maximum((nx * a - ny * b) * sun[0] + (nx * b + ny * a) * sun[1] + up * sun[2], 0)
    return (direct[:, None] * towards + ambient[:, None] * (0.75 + 0.35 * up)).astype(np.float32)


def _paint_body(car: Car, shape: Shape, face, x, y, z):
    """(3, h, w) albedo and light given off, at points of the body; faces are numbered as its planes."""
    albedo = np.empty((3, *face.shape), np.float32)
    albedo[...] = np.float32((car.red, car.green, car.blue))[:, None, None]
    glow = np.zeros((3, *face.shape), np.float32)
    side = (face == 2) | (face == 3)
    ends = face < 2
    albedo[:, z < 0.24] = DARK
    albedo[:, side & (np.abs(z - 0.5) < 0.02)] *= 0.5
    wheel = np.minimum((x - shape.length * 0.31) ** 2, (x + shape.length * 0.31) ** 2) + (z - 0.32) ** 2
    albedo[:, side & (wheel < 0.39**2)] = DARK
    albedo[:, side & (wheel < 0.32**2)] = TYRE
    albedo[:, side & (wheel < 0.19**2)] = HUB
    albedo[:, ends & (z > 0.3) & (z < 0.44) & (np.abs(y) < 0.27)] = 0.6
    lens = ends & (np.abs(np.abs(y) - shape.width * 0.38) < 0.17) & (np.abs(z - shape.waist + 0.28) < 0.09)
    for end, tone in ((0, (0.7, 0.7, 0.66)), (1, (0.35, 0.02, 0.02))):
        albedo[:, lens & (face == end)] = np.float32(tone)[:, None]
        glow[:, lens & (face == end)] = np.float32(tone)[:, None] * np.float32(1.5 * car.lights)
    return albedo, glow


def _paint_cabin(car: Car, shape: Shape, face, x, y, z):
    """(3, h, w) albedo and light given off, at points of the cabin."""
    albedo = np.empty((3, *face.shape), np.float32)
    albedo[...] = np.float32((car.red, car.green, car.blue))[:, None, None]
    level = (z > shape.waist + 0.05) & (z < shape.top - 0.09)
    middle = (shape.roof[0] + shape.roof[1]) / 2
    glass = level & np.where(face < 2, np.abs(y) < shape.width / 2 - 0.17, np.abs(x - middle) > 0.05) & (face < 4)
    albedo[:, glass] = GLASS
    return albedo, np.where(glass, np.float32(0.05), np.float32(0))[None]
