"""Night made of photographs by day, a batch at once."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from benchmarks import reference
from benchmarks.measure import Case
from benchmarks.rows.registry import row
from vg_core.augmentation.night import BETA, FDA, NOISE, STAND_ALONE, draw_night, synthetic_night

FULL = {"images": 8, "height": 512, "width": 512}
QUICK = {"images": 2, "height": 128, "width": 96}
GREY_LEVEL = 1.01 / 255
BARS = {"bar": 0.33, "tolerance": GREY_LEVEL, "gpu_tolerance": GREY_LEVEL}


@row("FDA with one style", "transforms of image and style, one image after the other", FULL, QUICK, **BARS)
def fda(device: torch.device, images: int, height: int, width: int) -> Case:
    pixels = _pixels(images + 1, height, width)
    style, arrays, pixels = pixels[:1] // 3, _arrays(pixels[1:]), pixels[1:].to(device)
    ours, (other,) = FDA(style, BETA * 512 / height), _arrays(style)

    def theirs() -> Tensor:
        return _images(reference.fda(one, other, ours.beta) for one in arrays)

    return Case(theirs, lambda: ours(pixels), compare=_gap)


@row("synthetic night", "Pillow and NumPy, one image after the other", FULL, QUICK, **BARS)
def night(device: torch.device, images: int, height: int, width: int) -> Case:
    """Noise differs, so means of 32 x 32 pixels are compared."""
    pixels = _pixels(images, height, width)
    arrays, pixels = _arrays(pixels), pixels.to(device)
    torch.manual_seed(0)
    factors, lamps, _ = draw_night(images, (height, width), STAND_ALONE)
    drawn = list(zip(arrays, factors.tolist(), lamps.transpose(1, 2).tolist(), strict=True))

    def theirs() -> Tensor:
        return _images(reference.synthetic_night(*one, NOISE) for one in drawn)

    def ours() -> Tensor:
        torch.manual_seed(0)
        return synthetic_night(pixels)

    def compare(a: Tensor, b: Tensor) -> float:
        return _gap(*(avg_pool2d(images.float(), 32) for images in (a, b)))

    return Case(theirs, ours, compare=compare)


def _gap(a: Tensor, b: Tensor) -> float:
    """Largest difference, as a share of white."""
    return float((a.float() - b.float().cpu()).abs().max()) / 255


def _pixels(count: int, height: int, width: int) -> Tensor:
    """uint8 (B, 3, H, W): noise about greys that differ."""
    draws = torch.Generator().manual_seed(0)
    grey = torch.randint(60, 200, (count, 3, 1, 1), generator=draws)
    return (grey + torch.randint(-50, 50, (count, 3, height, width), generator=draws)).to(torch.uint8)


def _arrays(images: Tensor) -> np.ndarray:
    return np.ascontiguousarray(images.permute(0, 2, 3, 1))


def _images(arrays: Iterable[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(list(arrays))).permute(0, 3, 1, 2)
