"""A tile of a district seen straight from above: ground, cars, roofs and crowns of trees, with their shadows."""

import math

import numpy as np

from .camera import Overhead
from .canvas import GRASS, LEAF, MATTE, NOISE, cloud_noise
from .cars import GLASS, SHAPES, Car
from .conditions import Conditions
from .frame import GROUND
from .layout import BUILDING, EAST, HEDGE
from .light import shade
from .scene import Scene
from .sprites import LEAVES, TREES
from .styles import CONCRETE, Style
from .traffic import Traffic

FACADE = 0.6  # share of the façade's colour in that of its roof: without it nothing but geometry links the two views
SLOPE = math.radians(35)  # of pitched roofs
DIRECT = 0.75  # share of the sun in the light on a roof
CROWN = 0.38  # radius of a crown over the height of its tree
CAR_TOP = 1.2  # metres


class TopView:
    """What `shade` lights, as a `Frame`: flat arrays of P pixels, rows from the north; a ray ends one metre away."""

    def __init__(self, scene: Scene, camera: Overhead, conditions: Conditions):
        self.scene, self.camera, self.conditions = scene, camera, conditions
        self.shape = camera.pixels, camera.pixels
        self.step = camera.metres / camera.pixels
        east = (np.arange(camera.pixels) + 0.5) * self.step - camera.metres / 2
        north = -east[:, None]
        self.turn = math.cos(math.radians(camera.rotation)), math.sin(math.radians(camera.rotation))
        c, s = self.turn
        self.dx, self.dy = (np.float32(d).ravel() for d in (c * east - s * north, s * east + c * north))
        self.rise = np.zeros(self.dx.size, np.float32)  # metres above the ground
        self.depth = np.ones(self.dx.size, np.float32)
        self.facing = np.full(self.dx.size, GROUND, np.uint8)
        self.texel = np.zeros(self.dx.size, np.uint32)
        self.light = np.zeros((3, self.dx.size), np.float32)

    def within(self, x0: float, y0: float, x1: float, y1: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pixels in a rectangle of local metres, and where they are, x and y from its middle."""
        x, y = (x0 + x1) / 2 - self.camera.x, (y0 + y1) / 2 - self.camera.y
        wide, deep = (x1 - x0) / 2, (y1 - y0) / 2
        c, s = self.turn
        n, half = self.camera.pixels, self.camera.metres / 2
        spans = []
        for along, across in ((c, s), (s, -c)):  # columns to the east, rows to the south
            middle, reach = along * x + across * y + half, abs(along) * wide + abs(across) * deep
            low, high = (middle - reach) / self.step, (middle + reach) / self.step
            spans.append(np.arange(max(0, int(low)), min(n, int(high) + 1)))
        pixels = (spans[1][:, None] * n + spans[0]).ravel()
        dx, dy = self.dx.take(pixels) - np.float32(x), self.dy.take(pixels) - np.float32(y)
        inside = (np.abs(dx) < wide) & (np.abs(dy) < deep)
        return pixels[inside], dx[inside], dy[inside]

    def paint(self, pixels: np.ndarray, colour, tone=1.0, code: int = MATTE, height=0.0) -> None:
        """Give pixels a colour, (3,) or (n, 3), times a tone, (n,), and a height."""
        rgb = np.clip(np.asarray(colour) * np.reshape(tone, (-1, 1)), 0, 255)
        channels = np.empty((len(pixels), 4), np.uint8)
        channels[:, :3], channels[:, 3] = rgb, code
        self.texel[pixels], self.rise[pixels] = channels.view(np.uint32)[:, 0], height


def look_down(
    scene: Scene, camera: Overhead, conditions: Conditions, traffic: Traffic, rng: np.random.Generator
) -> np.ndarray:
    """(3, H, W) float32 linear light that leaves the ground and whatever stands on it, straight up."""
    view = TopView(scene, camera, conditions)
    _ground(view)
    for car in traffic.cars[np.abs(traffic.cars[:, :2] - (camera.x, camera.y)).max(1) < camera.metres]:
        _car(view, Car(*car))
    near = np.abs(scene.district.boxes.rect.reshape(-1, 2, 2).mean(1) - (camera.x, camera.y)).max(1) < camera.metres
    for box in np.flatnonzero(near):
        _roof(view, box)
    for tree in np.flatnonzero(np.abs(scene.district.trees[:, :2] - (camera.x, camera.y)).max(1) < camera.metres):
        _crown(view, tree)
    shade(view, rng)
    return view.light.reshape(3, *view.shape)


def _ground(view: TopView) -> None:
    x, y = np.float32(view.camera.x) + view.dx, np.float32(view.camera.y) + view.dy
    view.texel[:] = view.scene.ground(x, y, np.full_like(x, view.step))
    x0, y0, x1, y1 = view.scene.district.bounds
    beyond = np.flatnonzero((x < x0) | (x > x1) | (y < y0) | (y > y1))
    view.paint(beyond, (96, 112, 62), 1 + 0.22 * _noise(view, beyond, 2), GRASS)


def _car(view: TopView, car: Car) -> None:
    shape = SHAPES[int(car.shape)]
    half = np.array((shape.length, shape.width)[:: 1 if car.axis == 0 else -1]) / 2
    pixels, dx, dy = view.within(car.x - half[0], car.y - half[1], car.x + half[0], car.y + half[1])
    ahead = (dx if car.axis == 0 else dy) * car.direction
    glass = (ahead > shape.cabin[0]) & (ahead < shape.cabin[1]) & ~((ahead > shape.roof[0]) & (ahead < shape.roof[1]))
    albedo = np.where(glass[:, None], GLASS, (car.red, car.green, car.blue))
    view.paint(pixels, 255 * np.sqrt(albedo), height=CAR_TOP)


def _roof(view: TopView, box: int) -> None:
    boxes, style = view.scene.district.boxes, view.scene.styles[box]
    rect, height = boxes.rect[box], float(view.scene.heights[box])
    pixels, dx, dy = view.within(*rect)
    if boxes.kind[box] != BUILDING:
        hedge = boxes.kind[box] == HEDGE
        view.paint(pixels, (62, 84, 42) if hedge else style.trim, code=LEAF if hedge else MATTE, height=height)
        return
    if style.roof == "flat":
        edge = np.minimum((rect[2] - rect[0]) / 2 - np.abs(dx), (rect[3] - rect[1]) / 2 - np.abs(dy)) < 0.5
        tone = np.where(edge, 1.15, 1 + 0.12 * _noise(view, pixels, 4))
        view.paint(pixels, roof_colour(style), tone, height=style.wall_height)
        return
    to_east = bool(boxes.fronts[box, : EAST + 1].any()) != (style.roof == "gable")  # else the slopes look along y
    across = dx / ((rect[2] - rect[0]) / 2) if to_east else dy / ((rect[3] - rect[1]) / 2)
    sun = view.conditions.sun_vector(view.camera.rotation)
    slope = math.cos(SLOPE) + np.sign(across) * math.sin(SLOPE) * sun[0 if to_east else 1] / sun[2]
    tone = np.sqrt(np.clip(slope, 0, 2) * DIRECT + 1 - DIRECT) * (1 + 0.08 * _noise(view, pixels, 8))
    view.paint(pixels, roof_colour(style), tone, height=height - style.roof_height * np.abs(across))


def roof_colour(style: Style) -> np.ndarray:
    """(3,) colour of a roof: its tiles or concrete, and its façade."""
    own = CONCRETE[1] if style.roof == "flat" else style.tiles
    return FACADE * np.array(style.base) + (1 - FACADE) * np.array(own)


def _crown(view: TopView, tree: int) -> None:
    x, y, height = view.scene.district.trees[tree]
    radius = CROWN * height
    pixels, dx, dy = view.within(x - radius, y - radius, x + radius, y + radius)
    middle = 1 - (dx * dx + dy * dy) / radius**2
    leafy = (middle + 0.45 * _noise(view, pixels, 10) > 0.15) & (view.rise[pixels] < height)
    colours = LEAVES[view.conditions.season]
    tone = (0.75 + 0.35 * middle + 0.5 * _noise(view, pixels, 24))[leafy]
    view.paint(pixels[leafy], colours[tree % TREES % len(colours)], tone, height=height)


def _noise(view: TopView, pixels: np.ndarray, texels: int) -> np.ndarray:
    """Fractal noise in [-1, 1] that is fixed to the ground, ``texels`` of it a metre."""
    x, y = view.camera.x + view.dx.take(pixels), view.camera.y + view.dy.take(pixels)
    return cloud_noise()[(x * texels).astype(int) % NOISE, (y * texels).astype(int) % NOISE]
