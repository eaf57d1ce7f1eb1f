"""Flat cut-outs that turn to the camera: trees in four seasons, people, lamp posts. RGBA, row 0 at the bottom."""

from functools import cache

import numpy as np

from .canvas import NOISE, cloud_noise, white_noise

TREES, PEOPLE = 5, 10  # variants
LEAVES = {
    "summer": [(58, 92, 40), (70, 100, 46), (50, 80, 48)],
    "spring": [(110, 146, 60), (126, 156, 78), (206, 170, 176)],
    "autumn": [(176, 110, 40), (150, 74, 34), (170, 140, 52)],
    "winter": [(84, 70, 58)],
}
SKIN = [(224, 180, 150), (150, 106, 80), (196, 150, 118)]
CLOTHES = [(40, 44, 60), (120, 40, 44), (60, 84, 60), (170, 160, 140), (36, 36, 38), (70, 96, 140), (190, 150, 60)]


@cache
def tree(season: str, variant: int) -> list[np.ndarray]:
    """Pyramid of a tree as tall as its texture and 0.8 times as wide."""
    rng = np.random.default_rng((11, variant))
    image = np.zeros((200, 160, 4), np.uint8)
    bark = np.array((78, 62, 50))
    image[:70, 76:84] = (*bark, 255)
    _branches(image, rng, (80.0, 60.0), np.pi / 2, 46.0 if season == "winter" else 34.0, 4.5, bark)
    if season != "winter":
        _crown(image, rng, LEAVES[season][variant % len(LEAVES[season])])
    return _pyramid(image)


def _branches(image, rng, start, angle, length, width, colour) -> None:
    if width < 0.7:
        return
    steps = np.arange(0, length, 0.5)
    x, y = start[0] + np.cos(angle) * steps, start[1] + np.sin(angle) * steps
    for dx in np.arange(-width / 2, width / 2 + 0.1, 0.7):
        i, j = np.clip(y, 0, 199).astype(int), np.clip(x + dx, 0, 159).astype(int)
        image[i, j] = (*colour, 255)
    for turn in (-1, 1, rng.uniform(-0.3, 0.3)):
        bend = turn * rng.uniform(0.25, 0.75)
        _branches(image, rng, (x[-1], y[-1]), angle + bend, length * rng.uniform(0.6, 0.8), width * 0.62, colour)


def _crown(image, rng, leaf) -> None:
    rows, columns = np.mgrid[:200, :160].astype(np.float32)
    body = np.full((200, 160), -1.0, np.float32)
    for _ in range(16):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1) ** 0.5
        x, y = 80 + 48 * distance * np.cos(angle), 128 + 42 * distance * np.sin(angle)
        radius = rng.uniform(20, 30)
        body = np.maximum(body, 1 - ((columns - x) ** 2 + (rows - y) ** 2) / radius**2)
    a, b = rng.integers(NOISE, size=2)
    i, j = (rows.astype(int) * 2 + a) % NOISE, (columns.astype(int) * 2 + b) % NOISE
    leafy = body + 0.8 * cloud_noise()[i, j] + 0.35 * white_noise()[i, j] > 0.12
    tone = 0.72 + 0.45 * (rows - 80) / 120 + 0.5 * cloud_noise()[j, i] + 0.25 * white_noise()[j, i]
    colour = np.clip(np.array(leaf) * np.clip(tone, 0.3, 1.6)[..., None], 0, 255)
    image[leafy, :3] = colour[leafy]
    image[leafy, 3] = 255


@cache
def person(variant: int) -> list[np.ndarray]:
    """Pyramid of a pedestrian, 0.42 times as wide as tall."""
    rng = np.random.default_rng((12, variant))
    image = np.zeros((96, 40, 4), np.uint8)
    skin, coat, trousers = (options[rng.integers(len(options))] for options in (SKIN, CLOTHES, CLOTHES))
    hair = (50, 40, 34) if rng.random() < 0.7 else (170, 150, 110)
    stride = rng.integers(1, 7)
    rows, columns = np.mgrid[:96, :40]
    for side in (-1, 1):  # legs, then arms
        centre = 20 + side * (2.5 + stride * (1 - rows / 46))
        image[(rows < 46) & (np.abs(columns - centre) < 3.6)] = (*trousers, 255)
        image[(rows < 4) & (np.abs(columns - centre) < 4.6)] = (34, 30, 30, 255)
        centre = 20 + side * (9 + stride * 0.35 * (78 - rows) / 30)
        image[(rows > 42) & (rows < 79) & (np.abs(columns - centre) < 2.6)] = (*(int(c * 0.8) for c in coat), 255)
    hem = 28 if rng.random() < 0.3 else 42
    image[(rows > hem) & (rows < 80) & (np.abs(columns - 20) < 8.2 + (rows < 46) * 1.5)] = (*coat, 255)
    head = ((columns - 20) / 5.0) ** 2 + ((rows - 88) / 7.2) ** 2
    image[head < 1] = (*skin, 255)
    image[(head < 1.15) & (rows > 90)] = (*hair, 255)
    return _pyramid(image)


@cache
def lamp() -> list[np.ndarray]:
    """Pyramid of a lamp post, 0.16 times as wide as tall; its head lies at 0.97 of the height."""
    image = np.zeros((240, 40, 4), np.uint8)
    image[:228, 18:21] = (62, 66, 64, 255)
    image[:26, 16:23] = (62, 66, 64, 255)
    image[222:228, 12:28] = (62, 66, 64, 255)
    image[228:239, 13:27] = (216, 210, 190, 255)
    return _pyramid(image)


def _pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Halved copies; colours are weighted by opacity so that edges do not darken."""
    levels = [image]
    while min(levels[-1].shape[:2]) > 4:
        big = levels[-1][: levels[-1].shape[0] // 2 * 2, : levels[-1].shape[1] // 2 * 2].astype(np.float32)
        quads = big.reshape(big.shape[0] // 2, 2, big.shape[1] // 2, 2, 4)
        weight = quads[..., 3:]
        colour = (quads[..., :3] * weight).sum((1, 3)) / np.maximum(weight.sum((1, 3)), 1)
        levels.append(np.concatenate([colour, weight.mean((1, 3))], -1).astype(np.uint8))
    return levels
