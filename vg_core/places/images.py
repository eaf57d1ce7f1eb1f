"""Image files as uint8 pixels: one way to read, one way to resize."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from vg_core.devices import cores
from vg_core.watch import bar

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
WORKERS = cores()


class UnreadableImage(ValueError):
    """A file that should be a photograph and is not; the message names it."""


def read_image(path, size: tuple[int, int] | None = None, upright: bool = True) -> np.ndarray:
    """uint8 (H, W, 3) RGB pixels, resized to ``size`` = (height, width) if given.

    They are turned ``upright`` by their EXIF orientation, or left as they are stored. Resizing is bilinear with
    anti-aliasing, the same for training and inference. Raises UnreadableImage.
    """
    try:
        with Image.open(path) as image:
            pixels = _decode(image, path, upright)
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: there is no such file") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnreadableImage(f"{path}: not a readable image ({error}); replace or remove it") from error
    if size is not None and pixels.shape[:2] != tuple(size):
        resized = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
        pixels = np.asarray(resized)
    return pixels


def _decode(image: Image.Image, path, upright: bool) -> np.ndarray:
    """uint8 (H, W, 3) pixels of an opened file, of plain JPEG files in six tenths of Pillow's time."""
    turned = upright and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    if image.format == "JPEG" and image.mode in ("L", "RGB") and not turned:
        with suppress(ValueError):  # what it refuses Pillow may still read, or say what is wrong
            return simplejpeg.decode_jpeg(Path(path).read_bytes())  # Pillow's pixels: both use libjpeg-turbo
    image.load()
    return np.asarray(_to_rgb(ImageOps.exif_transpose(image) if upright else image))


def _to_rgb(image: Image.Image) -> Image.Image:
    """Grey, palette, alpha, CMYK and 16-bit pictures as 8-bit RGB; what is transparent becomes white."""
    if image.mode.startswith("I") or image.mode == "F":
        pixels = np.asarray(image, dtype=np.float64)
        depth = 255.0 if pixels.max(initial=0) <= 255 else 65535.0
        image = Image.fromarray((pixels * (255.0 / depth)).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def normalise(images: Tensor) -> Tensor:
    """float32 (B, 3, H, W) with ImageNet mean and standard deviation from uint8; keeps device and memory layout."""
    scale = 255.0 * torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1)
    shift = -torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1) * 255.0 / scale
    pixels = images.to(torch.float32, copy=True)
    return torch.addcmul(shift, pixels, 1.0 / scale, out=pixels)  # in place: fresh memory costs more than arithmetic


def unreadable(paths: Sequence[str], progress: bool = True) -> dict[str, str]:
    """The files that cannot be decoded and a sentence about each, in order; reads every file once."""

    def complaint(path) -> str:
        try:
            read_image(path)
        except UnreadableImage as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(WORKERS) as pool:
        found = bar(pool.map(complaint, paths), wanted=progress, total=len(paths), desc="checking images")
        return {path: sentence for path, sentence in zip(paths, found, strict=True) if sentence}
