"""Cross-view retrieval: what the two sides of a pair need."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks import reference
from benchmarks.measure import Case
from benchmarks.rows.registry import row
from vg_core.cross_view.polar import polar, polar_coordinates
from vg_core.cross_view.soft_margin import ALPHA, soft_margin

GREY_LEVEL = 1.01 / 255
FULL, QUICK = {"pairs": 32, "dim": 4096}, {"pairs": 4, "dim": 32}


@row(
    "soft-margin loss of pairs, forward and backward",
    "loop over both sides",
    FULL,
    QUICK,
    bar=0.02,
    tolerance=1e-4,
    gpu_tolerance=1e-4,
)
def soft_margin_loss(device: torch.device, pairs: int, dim: int) -> Case:
    generator = torch.Generator().manual_seed(0)
    ground, aerial = normalize(torch.randn(2, pairs, dim, generator=generator), dim=2).to(device).unbind()

    def trained(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], tuple[Tensor, ...]]:
        def step() -> tuple[Tensor, ...]:
            sides = [side.detach().requires_grad_() for side in (ground, aerial)]
            value = loss(*sides)
            return value.detach(), *torch.autograd.grad(value, sides)

        return step

    return Case(trained(partial(reference.soft_margin, alpha=ALPHA)), trained(soft_margin))


@row(
    "polar transform of aerial images",
    "SciPy's map_coordinates, one channel of one image after the other",
    {"images": 8, "side": 750},
    {"images": 2, "side": 90},
    bar=0.2,
    tolerance=GREY_LEVEL,
    gpu_tolerance=GREY_LEVEL,
)
def polar_images(device: torch.device, images: int, side: int) -> Case:
    draws = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8, generator=draws)
    arrays, where = pixels.numpy(), polar_coordinates(side).permute(2, 0, 1).numpy()
    pixels = pixels.to(device, memory_format=torch.channels_last)  # as photographs are stored

    def theirs() -> np.ndarray:
        channels = (
            map_coordinates(one, where, np.float64, order=1, mode="nearest") for image in arrays for one in image
        )
        rounded = np.stack([(one + 0.5).astype(np.uint8) for one in channels])
        return rounded.reshape(images, 3, *where.shape[1:])

    return Case(theirs, lambda: polar(pixels))
