"""Photographs at one size, fit for a network: one way to resize, one way to normalise."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from vg_core.datasets.decoding import UnreadableImage, decode
from vg_core.system.devices import cores
from vg_core.system.progress_bar import bar

WORKERS = cores()


def read_image(path, size: tuple[int, int] | None = None, upright: bool = True) -> np.ndarray:
    """uint8 (H, W, 3) RGB pixels, resized to ``size`` = (height, width) if given.

    They are turned ``upright`` by their EXIF orientation, or left as they are stored. Resizing is bilinear with
    anti-aliasing, the same for training and inference. Raises UnreadableImage.
    """
    pixels = decode(path, upright)
    if size is not None and pixels.shape[:2] != tuple(size):
        resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        pixels = np.asarray(resized)
    return pixels


def unreadable(paths: Sequence[str]) -> dict[str, str]:
    """The files that cannot be decoded and a sentence about each, in order; reads every file once."""

    def complaint(path) -> str:
        try:
            read_image(path)
        except UnreadableImage as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(WORKERS) as pool:
        found = bar(pool.map(complaint, paths), total=len(paths), desc="checking images")
        return {path: sentence for path, sentence in zip(paths, found, strict=True) if sentence}
