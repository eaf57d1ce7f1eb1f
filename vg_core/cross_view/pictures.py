"""The photographs of a pair as the networks take them: panoramas cut to the horizon, aerial images plain or polar."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from vg_core.cross_view.polar import polar
from vg_core.datasets.images import UnreadableImage, decode


def read_ground(path, size: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 (H, W, 3) panorama, resized to (height, width) by area if given.

    It shows all directions from left to right. Of one that shows the whole sphere, twice as wide as high but for a
    hundredth, the middle half of the rows is kept, 45 degrees up and down. UnreadableImage where it is narrower or
    cannot be read.
    """
    pixels = decode(path)
    height, width, _ = pixels.shape
    if width < 1.98 * height:
        raise UnreadableImage(
            f"{path}: {width} pixels wide and {height} high, which is no panorama of all directions: expected twice as "
            "wide as high, or wider where it is cut above and below"
        )
    if width <= 2.02 * height:
        pixels = pixels[height // 4 : height - height // 4]
    return pixels if size is None else _array(area_resize(_batch(pixels), size))


def read_aerial(path, size: tuple[int, int] | None = None, as_polar: bool = False, stretch: bool = False) -> np.ndarray:
    """uint8 (H, W, 3) aerial image, resized to (height, width) by area if given, or its polar image of that size.

    UnreadableImage where it is not square or cannot be read. ``stretch``: see `polar`.
    """
    pixels = decode(path)
    if pixels.shape[0] != pixels.shape[1]:
        height, width, _ = pixels.shape
        raise UnreadableImage(f"{path}: {width}x{height} pixels are no square around one spot; cut it to one")
    if size is None:
        return pixels
    return _array(polar(_batch(pixels), size, stretch) if as_polar else area_resize(_batch(pixels), size))


def area_resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 (B, 3, h, w) of uint8 images (B, 3, H, W): each pixel is the mean of what it covers, parts counted as such.

    As OpenCV's INTER_AREA makes images smaller, which neither PyTorch's "area" nor Pillow's "box" does at ratios that
    are no whole numbers.
    """
    rows, columns = (_shares(*sides, images.device) for sides in zip(images.shape[2:], size, strict=True))
    return (rows @ images.float() @ columns.T).add_(0.5).to(torch.uint8)


@lru_cache(maxsize=16)
def _shares(before: int, after: int, device: torch.device) -> Tensor:
    """float32 (after, before): the share of each pixel before in each pixel after."""
    edges = torch.arange(after + 1, dtype=torch.float64)[:, None] * before / after  # (after + 1, 1)
    covered = (edges - torch.arange(before)).clamp(0, 1)  # of each pixel before, left of each edge
    return (covered.diff(dim=0) * after / before).to(device, torch.float32)


def _batch(pixels: np.ndarray) -> Tensor:
    return torch.tensor(pixels).permute(2, 0, 1)[None]


def _array(images: Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).contiguous().numpy()
