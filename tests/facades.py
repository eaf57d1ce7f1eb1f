"""Made-up façades with corners that can be found again, seen from here and there."""

from pathlib import Path

import numpy as np
from PIL import Image

WALL = 260, 340  # pixels, height and width


def facade(seed: int, symmetric: bool = False) -> Image.Image:
    """A wall with many windows, each of its own shape and brightness; symmetric: the same windows on both sides."""
    rng, wall = np.random.default_rng(seed), np.full(WALL, 120.0)
    for _ in range(150):
        top, left, high, wide = (int(rng.integers(0, most)) for most in (*WALL, 30, 40))
        wall[top : top + high + 6, left : left + wide + 6] = rng.integers(20, 240)
    if symmetric:
        wall = np.maximum(wall, wall[:, ::-1])
    return Image.fromarray(wall.astype(np.uint8))


def view(wall: Image.Image, path: Path, shift: int = 0, noise: int = 0) -> Path:
    """A photograph of a part of the wall, from a little closer where it is shifted; the path comes back."""
    part = wall.crop((20 + shift, 20 + shift // 2, 320 + shift // 2, 240)).resize((240, 176), Image.Resampling.BICUBIC)
    grain = np.random.default_rng(noise).normal(0, 4, (176, 240))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((np.asarray(part) + grain).clip(0, 255).astype(np.uint8)).save(path, quality=95)
    return path
