"""Orientation maps of OriCNN, which say where each pixel looks, and augmentations that change them with the picture.

Maps are float32 (B, 2, H, W); of ground images azimuth and altitude, of aerial images azimuth and distance. North is 0,
east 1/2, south ±1. Everything random is drawn on the CPU from torch's global generator, as all augmentation is.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

LEAST_CROP = 512 / 750  # of the side of CVUSA's tiles: smaller crops would have to be enlarged, and are not made
Oriented = tuple[Tensor, Tensor]  # images (B, 3, H, W), and the maps (B, 2, H, W) of their pixels
Augmentation = Callable[[Tensor, Tensor], Oriented]


def ground_map(height: int, width: int) -> Tensor:
    """(2, H, W) of a panorama: azimuth -1…1 from the left to the right, and altitude in the same unit, π, negative at
    the top as in the authors' file. The centre looks north.
    """
    columns, rows = torch.linspace(-1, 1, width), torch.arange(height) - (height - 1) / 2  # (W,), (H,)
    return torch.stack(torch.meshgrid(rows * 2 / (width - 1), columns, indexing="ij")[::-1])


def aerial_map(height: int, width: int) -> Tensor:
    """(2, H, W) of a tile whose top is north: azimuth seen from the centre; distance, -1 there and 1 at the corners.

    The authors' file is lost: zero and sense of the azimuth are chosen to agree with panoramas.
    """
    down, right = (torch.arange(side, dtype=torch.float32) - (side - 1) / 2 for side in (height, width))  # (H,), (W,)
    down, right = torch.meshgrid(down, right, indexing="ij")  # (H, W) each
    distance = torch.hypot(down, right)
    return torch.stack([torch.atan2(right, -down) / math.pi, 2 * distance / distance.max() - 1])


def shifted(x: Tensor, columns: Tensor) -> Tensor:
    """Images or maps (B, C, H, W), each moved to the right by its number of ``columns`` (B,), around the circle."""
    width = x.shape[3]
    sources = (torch.arange(width) - columns[:, None]) % width  # (B, W)
    return x.gather(3, sources.to(x.device)[:, None, None].expand(x.shape))


def turned(x: Tensor, quarters: Tensor) -> Tensor:
    """Square images or maps (B, C, S, S), each turned to the left by its number of ``quarters`` (B,)."""
    if x.shape[2] != x.shape[3]:
        raise ValueError(f"aerial images of {x.shape[2]} x {x.shape[3]} pixels cannot be turned: give square ones")
    turned = x.clone()
    for number in (1, 2, 3):
        some = (quarters % 4 == number).to(x.device)  # (B,)
        turned[some] = x[some].rot90(number, (2, 3))
    return turned


def cropped(images: Tensor, maps: Tensor, shares: Tensor) -> Oriented:
    """The middle of aerial images with their maps, so large a share (B,) of the side, stretched to the old size.

    Around the centre azimuths stay and distances shrink, so that maps need no interpolation, which would mix the two
    ends of the circle.
    """
    shares = shares.to(images.device)
    middle = torch.eye(2, 3, device=images.device) * shares[:, None, None]  # (B, 2, 3)
    grid = affine_grid(middle, list(images.shape), align_corners=False)
    sampled = grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    azimuth, distance = maps.split(1, dim=1)  # (B, 1, H, W) each
    maps = torch.cat([azimuth, (distance + 1) * shares[:, None, None, None] - 1], dim=1)
    return sampled.round().to(images.dtype), maps


def any_heading(images: Tensor, maps: Tensor) -> Oriented:
    """Panoramas that begin at a random column, with their maps."""
    columns = torch.randint(images.shape[3], (len(images),))
    return shifted(images, columns), shifted(maps, columns)


def any_turn(images: Tensor, maps: Tensor) -> Oriented:
    """Tiles turned by random quarters, the middle of a third of them alone, with their maps.

    The authors draw five quarters, of which two are none, and turn about the corner of a pixel, so that a black row and
    a column come in: here all four are as likely, and exact. Their crops are of the file, these of the resized image.
    """
    shares, quarters = torch.rand(len(images)), torch.randint(4, (len(images),))
    images, maps = cropped(images, maps, shares.where(shares > LEAST_CROP, 1.0))
    return turned(images, quarters), turned(maps, quarters)
