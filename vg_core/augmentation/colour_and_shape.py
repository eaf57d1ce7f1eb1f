"""Augmentations of uint8 images (B, 3, H, W), on the images' device, each image with random parameters of its own.

Everything random is drawn on the CPU from torch's global generator, whatever the device: ``torch.manual_seed`` alone
decides what comes out. torchvision draws one set of parameters per call, which takes a batch image by image: so it does
here with crops, RandAugment and grey. The others are its own within one grey level, but a whole batch at once, as GPUs
want it; on a CPU they take as long as torchvision's, hue half of that.
"""

from collections.abc import Callable
from functools import partial, reduce
from importlib import import_module

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from vg_core.system.errors import ByName

Augmentation = Callable[[Tensor], Tensor]

# Strengths of colour: the published defaults of CosPlace and EigenPlaces; DVGL has the same four options without any.
BRIGHTNESS = CONTRAST = SATURATION = 0.7  # factors are drawn from 1 - strength … 1 + strength
HUE = 0.5  # of a full turn, so any hue becomes any other
MILD = 0.2  # for all four, the hue of the course group whose colour jitter gained most on another city
SMALLEST_CROP = 0.5  # of the area (CosPlace)
DISTORTION = 0.5  # how far corners may move, of half a side (torchvision's default)
DEGREES = 15.0  # what a hand-held camera may tilt
OPERATIONS = 3  # of RandAugment, as GSV-Cities trains; magnitude 9 of 30


# --- colour --------------------------------------------------------------------------------------------------------
def brightness(images: Tensor, strength: float = BRIGHTNESS) -> Tensor:
    """Images times a factor from 1 ± ``strength``."""
    return _away_from(lambda part: 0.0, images, strength)


def contrast(images: Tensor, strength: float = CONTRAST) -> Tensor:
    """Images whose distance from their own mean grey is multiplied by a factor from 1 ± ``strength``."""
    return _away_from(lambda part: _grey(part).mean(dim=(1, 2, 3), keepdim=True), images, strength)


def saturation(images: Tensor, strength: float = SATURATION) -> Tensor:
    """Images whose pixels' distance from their own grey is multiplied by a factor from 1 ± ``strength``."""
    return _away_from(_grey, images, strength)


def hue(images: Tensor, strength: float = HUE) -> Tensor:
    """Images whose hue is turned by up to ± ``strength`` turns; lightest and darkest channel of a pixel keep value."""
    return _split(_turn_hue, images, _uniform(images, -strength, strength))


def greyscale(images: Tensor) -> Tensor:
    """Images half of which, at random, have lost their colour."""
    return _half(lambda some: _grey(some).to(torch.uint8).expand_as(some), images)


def colour_jitter_any_order(images: Tensor) -> Tensor:
    """Images after all four of ``COLOURS``, each image in a random order of its own, as torchvision's ColorJitter and
    CosPlace.
    """
    orders, images = torch.rand(len(images), len(COLOURS)).argsort(dim=1), images.clone()  # (B, 4), (B, 3, H, W)
    for turn in orders.T:  # (B,)
        for number, change in enumerate(COLOURS):
            images[turn == number] = change(images[turn == number])
    return images


# --- geometry ------------------------------------------------------------------------------------------------------
def horizontal_flip(images: Tensor) -> Tensor:
    """Images half of which, at random, are mirrored."""
    return _half(lambda some: some.flip(-1), images)


def random_resized_crop(images: Tensor) -> Tensor:
    """A random part of each image, at least half its area and of aspect 3/4 … 4/3, stretched to the old size."""
    return _one_by_one(_torchvision().RandomResizedCrop(tuple(images.shape[-2:]), scale=(SMALLEST_CROP, 1.0)), images)


def perspective(images: Tensor) -> Tensor:
    """Images half of which, at random, are seen from an angle; black where nothing was photographed."""
    view = _torchvision().RandomPerspective(DISTORTION)

    def change(some: Tensor) -> Tensor:
        drawn = [[*view.make_params([image])["coefficients"], 1.0] for image in some]
        return _split(_warp, some, torch.tensor(drawn, device=images.device).reshape(-1, 3, 3))

    return _half(change, images)


def rotation(images: Tensor) -> Tensor:
    """Images turned by up to ± ``DEGREES`` about their centre; black where nothing was photographed."""
    return _split(_turn, images, _uniform(images, -DEGREES, DEGREES).deg2rad())


def rand_augment(images: Tensor) -> Tensor:
    """Images after ``OPERATIONS`` random operations of colour or geometry each (Cubuk et al., NeurIPS 2020)."""
    v2 = _torchvision()
    return _one_by_one(v2.RandAugment(OPERATIONS, interpolation=v2.InterpolationMode.BILINEAR), images)


# --- parts ---------------------------------------------------------------------------------------------------------
def check_images(images: Tensor) -> Tensor:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        found = f"{images.dtype} {tuple(images.shape)}"
        raise ValueError(f"augmentations take uint8 images (B, 3, H, W) before normalisation, not {found}")
    return images


def _uniform(images: Tensor, low: float, high: float) -> Tensor:
    """One number per image (B, 1, 1, 1)."""
    return torch.empty(len(images), 1, 1, 1).uniform_(low, high).to(images.device)


def _away_from(grey: Callable[[Tensor], Tensor | float], images: Tensor, strength: float) -> Tensor:
    """Images whose distance from what ``grey`` makes of them is multiplied by a factor from 1 ± ``strength``."""

    def adjust(part: Tensor, factors: Tensor) -> Tensor:
        return _pixels((part * factors).add_((1 - factors) * grey(part)))

    return _split(adjust, images, _uniform(images, max(0.0, 1 - strength), 1 + strength))


def _pixels(values: Tensor) -> Tensor:
    """uint8 of float values in 0…255 and beyond; overwrites them."""
    return values.clamp_(0, 255).round_().to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """Luminance (B, 1, H, W), ITU-R 601."""
    red, green, blue = images.split(1, dim=1)
    return (red * 0.2989).add_(green, alpha=0.587).add_(blue, alpha=0.114)


def _turn_hue(images: Tensor, turns: Tensor) -> Tensor:
    """Images whose hue is turned by ``turns`` (B, 1, 1, 1), by way of sixths of a turn, lowest channel and chroma."""
    red, green, blue = images.float().split(1, dim=1)  # (B, 1, H, W) each
    highest = torch.maximum(torch.maximum(red, green), blue)  # (B, 1, H, W)
    lowest = torch.minimum(torch.minimum(red, green), blue)
    chroma = highest - lowest
    is_red, is_green = highest == red, highest == green  # (B, 1, H, W) each
    sixths = torch.where(is_red, green - blue, torch.where(is_green, blue - red, red - green))
    sixths /= chroma.clamp(min=1)  # greys have chroma 0 and no hue; colours at least 1
    sixths += torch.where(is_red, 0.0, torch.where(is_green, 2.0, 4.0)) + 6 * turns
    sixths.remainder_(6)
    shares = torch.cat([(sixths - 3).abs_() - 1, 2 - (sixths - 2).abs_(), 2 - (sixths - 4).abs_()], dim=1)
    return _pixels(shares.clamp_(0, 1).mul_(chroma).add_(lowest))


def _turn(images: Tensor, angles: Tensor) -> Tensor:
    """Images turned counterclockwise about their centre by angles (B, 1, 1, 1) in radians."""
    height, width = images.shape[-2:]
    cos, sin = angles.view(-1).cos(), angles.view(-1).sin()  # (B,) each
    across = torch.stack([cos, -sin, (width - width * cos + height * sin) / 2], dim=1)
    down = torch.stack([sin, cos, (height - width * sin - height * cos) / 2], dim=1)  # (B, 3), as the others
    same = torch.tensor([0.0, 0.0, 1.0], device=images.device).expand_as(down)
    return _warp(images, torch.stack([across, down, same], dim=1))


def _warp(images: Tensor, matrices: Tensor) -> Tensor:
    """Images of which matrices (B, 3, 3) tell where a pixel comes from: (x, y, 1) to a multiple of that.

    x and y are in pixels from the left and from the top. Bilinear, black where nothing was photographed.
    """
    height, width = images.shape[-2:]
    x = torch.arange(width, device=images.device) + 0.5
    y = torch.arange(height, device=images.device)[:, None] + 0.5
    by_x, by_y, shift = matrices[..., None, None].unbind(2)  # (B, 3, 1, 1) each
    x, y, scale = (by_x * x + by_y * y + shift).unbind(1)  # (B, H, W) each
    grid = torch.stack([x / scale * (2 / width) - 1, y / scale * (2 / height) - 1], dim=-1)  # (B, H, W, 2)
    # the border fades to black by the share of a pixel that was photographed, and by it again: as torchvision's
    marked = torch.cat([images, torch.ones_like(images[:, :1])], dim=1).float()  # (B, 4, H, W)
    found = grid_sample(marked, grid, align_corners=False)
    return _pixels(found[:, :3] * found[:, 3:])


def _split(adjust: Callable[[Tensor, Tensor], Tensor], images: Tensor, parameters: Tensor) -> Tensor:
    """``adjust`` on the whole batch on a GPU; image by image on a CPU, whose cache holds one image's float copies."""
    size = 1 if images.device.type == "cpu" else len(images)
    parts = zip(images.split(size), parameters.split(size), strict=True)
    return torch.cat([adjust(part, some) for part, some in parts])


def _half(change: Augmentation, images: Tensor) -> Tensor:
    """``change`` applied to each image with probability 1/2."""
    return some_of(change, images, torch.rand(len(images)) < 0.5)


def some_of(change: Augmentation, images: Tensor, chosen: Tensor) -> Tensor:
    """``change`` applied to the images ``chosen`` (B,)."""
    images = images.clone()  # (B, 3, H, W)
    images[chosen] = change(images[chosen])
    return images


def _torchvision():
    """Its transforms; to import them takes seconds, and most uses of this package need none."""
    return import_module("torchvision.transforms.v2")


def _one_by_one(transform: Augmentation, images: Tensor) -> Tensor:
    return torch.stack([transform(image) for image in images])


def _chain(*parts: Augmentation) -> Augmentation:
    return lambda images: reduce(lambda done, part: part(done), parts, images)


def _by_name(*functions: Augmentation) -> dict[str, Augmentation]:
    return {function.__name__: function for function in functions}


COLOURS = (brightness, contrast, saturation, hue)
JITTERS = {
    "colour_jitter": _chain(*COLOURS),  # always in this order, as DVGL
    "colour_jitter_mild": _chain(*(partial(part, strength=MILD) for part in COLOURS)),
    "colour_jitter_any_order": colour_jitter_any_order,
}
OTHERS = (horizontal_flip, random_resized_crop, perspective, rotation, greyscale, rand_augment)
AUGMENTATIONS = ByName("augmentation", {"none": _chain()} | _by_name(*COLOURS) | JITTERS | _by_name(*OTHERS))
