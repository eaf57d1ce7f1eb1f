"""Night made of day: uint8 images (B, 3, H, W) to uint8 images, on the images' device.

Fourier domain adaptation (Yang and Soatto, CVPR 2020) and a synthetic night, with the constants of AMLSquad/CosPlace.
There each photograph is changed once, at 512 x 1024, and stored as JPEG; here a batch is changed anew each time, at its
own size, and lamps are blurred by the share of the height that is 80 pixels of 512. Everything is drawn on the CPU from
torch's global generator, so that ``torch.manual_seed`` decides what comes out, except noise: its seed is drawn so, and
a GPU makes other noise of a seed.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from math import floor, sqrt
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from vg_core.config import Config
from vg_core.datasets.images import read_image

BETA = Config.fda_beta  # the study also has 0.05 and 0.09
REFERENCE = 512, 1024  # height and width that the reference stretches every image to
LAMPS = 8  # discs of an image that stay light
DARKNESS = 100  # of 255, between them
BLUR = 80 / 512  # of the height: how far lamps shine (standard deviation)
SKY = 1.2  # heights of the image from its lower edge, which stays, to where black would be complete
NOISE = 5.0  # grey levels (standard deviation)
SMALLEST = 1e-3  # singular value of a blur that is seen


class Factors(NamedTuple):
    """From where to where `synthetic_night` draws its factors."""

    brightness: tuple[float, float]
    colour: tuple[float, float]
    blue: tuple[float, float]
    contrast: tuple[float, float]


STAND_ALONE = Factors((0.7, 0.8), (0.8, 0.9), (1.15, 1.2), (1.1, 1.2))
AFTER_FDA = Factors((0.8, 0.9), (0.9, 0.95), (1.05, 1.15), (1.05, 1.1))


# --- Fourier domain adaptation -------------------------------------------------------------------------------------
class FDA:
    """Images whose lowest frequencies have the amplitudes of a random style image each, and keep their own phases.

    ``styles`` are uint8 images (3, H, W) of the size of the images, as a tensor (N, 3, H, W) or one after the other.
    ``beta`` in 0…1 gives the `band`; 0 changes nothing. By default images stay at their size and are rounded. With
    ``reference``, for checks, images and styles of any size are stretched to 512 x 1024, whose band it is, cut to whole
    numbers and brought back, as the reference does. ValueError for no styles, a beta out of range and another size.
    """

    def __init__(self, styles: Iterable[Tensor], beta: float = BETA, reference: bool = False):
        if not 0 <= beta <= 1:
            raise ValueError(f"beta={beta:g} is no share of the frequencies; choose one from 0 to 1, such as {BETA}")
        self.beta, self.reference, self.size, amplitudes = beta, reference, None, []
        for style in styles:
            pixels = _resized(style[None], REFERENCE) if reference else style[None].float()
            size, self.size = self.size, tuple(pixels.shape[2:])
            if size not in (None, self.size):
                sizes = f"style image {len(amplitudes)} is {_by(self.size)}, those before it are {_by(size)}"
                raise ValueError(f"{sizes}; bring all of them to the size of the images")
            amplitudes.append(_coefficients(pixels, beta).abs())
        if not amplitudes:
            raise ValueError("there are no style images: FDA needs photographs by night, at least one")
        self.amplitudes = torch.cat(amplitudes)  # (N, 3, 2b - 1, b)

    @classmethod
    def of(cls, paths: Sequence, size: tuple[int, int], beta: float = BETA, reference: bool = False) -> "FDA":
        """FDA to the style of photographs, read at the size (height, width) of the images; UnreadableImage."""
        pixels = (torch.from_numpy(read_image(path, None if reference else size).copy()) for path in paths)
        return cls((image.permute(2, 0, 1) for image in pixels), beta, reference)

    def __call__(self, images: Tensor) -> Tensor:
        if not self.reference and tuple(images.shape[2:]) != self.size:
            sizes = f"the style images are {_by(self.size)}, the images {_by(images.shape[2:])}"
            raise ValueError(f"{sizes}; read the style images at the size of the images")
        chosen = torch.randint(len(self.amplitudes), (len(images),))  # (B,)
        change = self._by_reference if self.reference else self._changed
        amplitudes = self.amplitudes[chosen].to(images.device)  # (B, 3, 2b - 1, b)
        return torch.cat([change(*part) for part in _parts(images, amplitudes)])

    def _changed(self, images: Tensor, amplitudes: Tensor) -> Tensor:
        return self._styled(images.float(), amplitudes).clamp_(0, 255).round_().to(torch.uint8)

    def _by_reference(self, images: Tensor, amplitudes: Tensor) -> Tensor:
        whole = self._styled(_resized(images, REFERENCE), amplitudes).clamp_(0, 255).floor_()
        return _resized(whole, images.shape[2:]).to(torch.uint8)

    def _styled(self, pixels: Tensor, amplitudes: Tensor) -> Tensor:
        own = _coefficients(pixels, self.beta)  # (B, 3, 2b - 1, b)
        return _images(torch.polar(amplitudes, own.angle()) - own, tuple(pixels.shape[2:])).add_(pixels)


def band(beta: float, height: int, width: int) -> int:
    """b: frequencies below b cycles per image are changed, so that 0 is none and 1 the mean colour alone.

    The published betas are meant for 512 rows, where 0.01 gives 2; below 200 rows it gives 0, and 0.1 does as much.
    """
    return floor(beta * _widest(height, width))


def beta_for(b: int, height: int, width: int) -> float:
    """A beta that gives this `band` in images of this size, or their widest."""
    return min(1.0, (b + 0.5) / _widest(height, width))


def _widest(height: int, width: int) -> float:
    return 0.5 * min(height, 2 * (width // 2 + 1))


@lru_cache(maxsize=8)
def _waves(b: int, height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Waves down (2b - 1, H) and across (b, W) an image, and the share (b,) of each of the latter in a sum of them."""
    down, across = torch.arange(min(1 - b, b), b), torch.arange(b)  # cycles; those to the left follow by symmetry
    alone = (across == 0) | (2 * across == width)  # columns that are their own mirror image
    share = torch.where(alone, 1, 2) / (height * width)
    turns = (cycles[:, None] * torch.arange(n) % n / n for cycles, n in ((down, height), (across, width)))
    return *(torch.exp(-2j * torch.pi * turn).to(device) for turn in turns), share.to(device)


def _coefficients(pixels: Tensor, beta: float) -> Tensor:
    """Those of ``rfft2`` in the band, (B, 3, 2b - 1, b), by the sums that define them: six times as fast as all."""
    size = pixels.shape[2:]
    down, across, _ = _waves(band(beta, *size), *size, pixels.device)
    return down @ torch.complex(pixels @ across.real.T, pixels @ across.imag.T)


def _images(coefficients: Tensor, size: tuple[int, int]) -> Tensor:
    """The images (B, 3, H, W) of which these coefficients are all there is."""
    down, across, share = _waves(coefficients.shape[3], *size, coefficients.device)
    rows = down.conj().T @ (coefficients * share)  # (B, 3, H, b)
    return (rows.real @ across.real).add_(rows.imag @ across.imag)


# --- synthetic night -----------------------------------------------------------------------------------------------
def synthetic_night(images: Tensor, factors: Factors = STAND_ALONE) -> Tensor:
    """Images that are darker, paler, bluer and of more contrast, under a black sky, lit by lamps, with noise ("PP").

    Each step gives whole numbers, as Pillow's do. By itself the study gives it to half of the images only.
    """
    drawn, lamps, seeds = draw_night(len(images), images.shape[2:], factors)
    device = images.device
    return torch.cat([_night(*part) for part in _parts(images, drawn.to(device), lamps.to(device), seeds)])


def with_fda(fda: FDA) -> Callable[[Tensor], Tensor]:
    """FDA and then the synthetic night, whose factors are milder behind it."""
    return lambda images: synthetic_night(fda(images), AFTER_FDA)


def draw_night(count: int, size: tuple[int, int], factors: Factors) -> tuple[Tensor, Tensor, Tensor]:
    """(factors (B, 4), lamps (B, 3, LAMPS): their x, y and radius, seeds of the noise (B,)) of ``count`` images."""
    (height, width), smallest = size, size[0] // 5
    drawn = torch.stack([torch.empty(count).uniform_(*bounds) for bounds in factors], dim=1)
    x, y = torch.randint(width, (count, LAMPS)), torch.randint(height // 4, height, (count, LAMPS))
    radius = torch.randint(smallest, max(height // 3, smallest + 1), (count, LAMPS))
    return drawn, torch.stack([x, y, radius], dim=1), torch.randint(2**62, (count,))


def _night(images: Tensor, factors: Tensor, lamps: Tensor, seeds: Tensor) -> Tensor:
    pixels = _dark(images, factors, lamps)  # (B, 3, H, W)
    for image, seed in zip(pixels, seeds.tolist(), strict=True):
        noise = torch.Generator(images.device).manual_seed(seed)
        image += torch.empty_like(image).normal_(0, NOISE, generator=noise).trunc_()
    return pixels.clamp_(0, 255).to(torch.uint8)


def _dark(images: Tensor, factors: Tensor, lamps: Tensor) -> Tensor:
    """Float images without the noise, by factors (B, 4) and lamps (B, 3, LAMPS): x, y, radius."""
    brightness, colour, blue, contrast = factors[..., None, None, None].unbind(1)  # (B, 1, 1, 1) each
    pixels = images.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    pixels.mul_(brightness).floor_()
    grey = _grey(pixels)  # (B, 1, H, W)
    pixels.sub_(grey).mul_(colour).add_(grey).floor_()
    pixels[:, 2:].mul_(blue).floor_().clamp_(max=255)
    mean = (_grey(pixels).mean(dim=(1, 2, 3), keepdim=True) + 0.5).floor_()
    pixels.sub_(mean).mul_(contrast).add_(mean).clamp_(0, 255).floor_()
    height, width = images.shape[2:]
    up = torch.arange(height - 1, -1, -1, dtype=torch.float64, device=images.device)[:, None]  # (H, 1)
    sky = (up / (SKY * height) * 255).floor_().float()
    pixels.mul_(1 - sky / 255).round_()
    down, across = (_blur(length, BLUR * height, images.device) for length in (height, width))
    unlit = (~_lit(lamps, height, width)).float()  # (B, H, W)
    shade = (DARKNESS * down[0]) @ (down[1] @ unlit @ across[1].T) @ across[0].T  # (B, H, W)
    return pixels.mul_(shade.round_().div_(-255).add_(1)[:, None]).round_()


def _grey(pixels: Tensor) -> Tensor:
    """Luminance (B, 1, H, W) of whole numbers, rounded as Pillow does."""
    red, green, blue = pixels.split(1, dim=1)
    return (red * 19595).add_(green, alpha=38470).add_(blue, alpha=7471).add_(2**15).div_(2**16).floor_()


def _lit(lamps: Tensor, height: int, width: int) -> Tensor:
    """Where a lamp shines, bool (B, H, W), from the first and the last pixel of each disc in each row."""
    x, y, radius = lamps[:, :, None].unbind(1)  # (B, 1, LAMPS) each
    squared = radius * (radius + 1) - (torch.arange(height, device=lamps.device)[:, None] - y) ** 2  # (B, H, LAMPS)
    half, inside = squared.clamp(min=0).sqrt().long(), (squared >= 0).float()
    edges = torch.zeros(len(lamps), height, width + 1, device=lamps.device)
    edges.scatter_add_(2, (x - half).clamp(min=0), inside)
    edges.scatter_add_(2, (x + half + 1).clamp(max=width), -inside)
    return edges.cumsum(2)[..., :width] > 0


@lru_cache(maxsize=8)
def _blur(length: int, sigma: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Factors (length, r) and (r, length) of the matrix of Pillow's Gaussian blur: three means of a box whose ends
    count in part, beyond the border of the image its last pixel (Gwosdek et al., SSVM 2011).

    What is blurred so much has few degrees of freedom: r is 13 for 512 pixels, and the product is exact within a
    hundredth of a grey level.
    """
    variance = sigma**2 / 3
    whole = floor((sqrt(12 * variance + 1) - 1) / 2)
    part = (2 * whole + 1) * (whole * (whole + 1) - 3 * variance) / (6 * (variance - (whole + 1) ** 2))
    offsets = torch.arange(-whole - 1, whole + 2)
    weights = torch.where(offsets.abs() > whole, part, 1.0) / (2 * (whole + part) + 1)
    found = (torch.arange(length)[:, None] + offsets).clamp(0, length - 1)
    box = torch.zeros(length, length).scatter_add_(1, found, weights.expand(length, -1))
    left, values, right = torch.linalg.svd(torch.linalg.matrix_power(box, 3))
    kept = values > SMALLEST
    return (left * values)[:, kept].to(device), right[kept].to(device)


# --- parts ---------------------------------------------------------------------------------------------------------
def _parts(images: Tensor, *theirs: Tensor) -> Iterable[tuple[Tensor, ...]]:
    """Images and what is theirs: all at once on a GPU; one by one on a CPU, whose cache holds one's float copies."""
    size = 1 if images.device.type == "cpu" else max(1, len(images))
    return zip(*(tensor.split(size) for tensor in (images, *theirs)), strict=True)


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Whole float numbers 0…255, bicubic as Pillow's."""
    return interpolate(images.float(), tuple(size), mode="bicubic", antialias=True).round_().clamp_(0, 255)


def _by(size: Sequence[int]) -> str:
    return "x".join(map(str, size))
