"""Photographs at one size, fit for a network: one way to resize, one way to normalise."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from vg_core.datasets.decoding import UnreadableImage, decode
from vg_core.system.devices import cores
from vg_core.system.progress_bar import bar

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
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


def normalise(images: Tensor) -> Tensor:
    """float32 (B, 3, H, W) with ImageNet mean and standard deviation from uint8; keeps device and memory layout."""
    scale = 255.0 * torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1)
    shift = -torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1) * 255.0 / scale
    pixels = images.to(torch.float32, copy=True)
    return torch.addcmul(shift, pixels, 1.0 / scale, out=pixels)  # in place: fresh memory costs more than arithmetic


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
