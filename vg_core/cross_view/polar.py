"""The polar transform: an aerial image as a panorama from its middle sees it, directions as columns.

Source: Shi, Liu, Yu, Li, Spatial-aware feature aggregation for cross-view image based geo-localization, NeurIPS 2019.
"""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

PUBLISHED = 112, 616  # height and width of a polar image


def polar_coordinates(side: int, size: tuple[int, int] = PUBLISHED) -> Tensor:
    """float64 (h, w, 2): row and column of the square aerial image, ``side`` pixels wide, that each pixel shows.

    The lowest row is the middle of the aerial image, the highest what is farthest away. Column w / 2 looks north, which
    is up in the aerial image, columns to the right clockwise from there.
    """
    height, width = size
    radius = side / 2 * torch.arange(height - 1, -1, -1, dtype=torch.float64)[:, None] / height  # (h, 1)
    angle = 2 * torch.pi * torch.arange(width, dtype=torch.float64) / width  # (w,), from south by west
    return side / 2 + torch.stack([radius * angle.cos(), -radius * angle.sin()], 2)


def polar(images: Tensor, size: tuple[int, int] = PUBLISHED, stretch: bool = False) -> Tensor:
    """uint8 (B, 3, h, w) polar images of uint8 square aerial images (B, 3, S, S), on their device.

    In images smaller than twice the height, the highest row lies just beyond the border, which is repeated. With
    ``stretch`` the darkest value of each image's three channels becomes 0 and the lightest 255, as in the files that
    the authors' script wrote.
    """
    *_, height, width = images.shape
    if height != width:
        raise ValueError(f"an aerial image of {height}x{width} pixels is not square; cut it to a square")
    grid = _grid(height, tuple(size), images.device)
    at_once = 1 if images.device.type == "cpu" else len(images)  # what a core's caches hold
    floats = torch.empty_like(images[:at_once], dtype=torch.float32)  # for all of them: new memory costs as much again
    return torch.cat([_sampled(floats.copy_(some), grid, stretch) for some in images.split(at_once)])


def _sampled(images: Tensor, grid: Tensor, stretch: bool) -> Tensor:
    grid = grid.expand(len(images), -1, -1, -1)
    found = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
    if stretch:
        low, high = found.amin((1, 2, 3), keepdim=True), found.amax((1, 2, 3), keepdim=True)
        found = (found - low) * (255 / (high - low).clamp(min=1))  # less is what sampling rounds
    return found.add_(0.5).to(torch.uint8)


@lru_cache(maxsize=16)
def _grid(side: int, size: tuple[int, int], device: torch.device) -> Tensor:
    """float32 (1, h, w, 2): the coordinates as `grid_sample` wants them, x before y, from -1 to 1."""
    scaled = 2 * polar_coordinates(side, size) / (side - 1) - 1
    return scaled.flip(2)[None].to(device, torch.float32)
