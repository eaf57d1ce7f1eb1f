"""Photographs' files, whoever made them, as uint8 pixels: one way to decode and one way to resize."""

import os
import stat
import warnings
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import ExifTags, Image

from vg_core.datasets.labels import HEIC
from vg_core.system.bounds import allowed_bytes

LIMIT = "VG_IMAGE_BYTES"  # environment variable: bytes that the decoded pixels of one photograph may take
DECODED_BYTES = 10**9  # where it is not set
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "BMP", "GIF", "JPEG2000", "PPM", "TIFF")  # whatever the suffix; no programs
DEPTHS = (1, 8, 10, 12, 14, 16)  # bits of the values that a picture of more than 8 bits may hold
_TURNS = "FLIP_LEFT_RIGHT ROTATE_180 FLIP_TOP_BOTTOM TRANSPOSE ROTATE_270 TRANSVERSE ROTATE_90"
TURNS = dict(enumerate((Image.Transpose[name] for name in _TURNS.split()), start=2))  # by EXIF orientation

Image.MAX_IMAGE_PIXELS = None  # else Pillow warns of panoramas, or refuses them; LIMIT stands in for it


class UnreadableImage(ValueError):
    """A file that should be a photograph and is not; the message names it."""


def formats(path) -> tuple[str, ...]:
    """Formats that a file may have: HEIC, whose decoder is large, where its name says so, as in no dataset's folder."""
    if not str(path).lower().endswith(HEIC):
        return FORMATS
    import_module("pillow_heif").register_heif_opener(thumbnails=False)
    return (*FORMATS, "HEIF")


def read_image(path, size: tuple[int, int] | None = None, upright: bool = True) -> np.ndarray:
    """uint8 (H, W, 3) RGB pixels, resized to ``size`` = (height, width) if given.

    They are turned ``upright`` by their EXIF orientation, or left as they are stored. Resizing is bilinear with
    anti-aliasing, the same for training and inference. Raises UnreadableImage.
    """
    pixels = decode(path, upright)
    if size is None or pixels.shape[:2] == tuple(size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def decode(path, upright: bool = True, about: int = 0) -> np.ndarray:
    """uint8 (H, W, 3) RGB pixels of an image file; what is transparent becomes white. Raises UnreadableImage.

    ``about`` asks for so many pixels of a side at least: a JPEG is then decoded faster, at a fraction of its size.
    Grey of more than 8 bits is scaled by the smallest range of 8, 10, 12, 14 or 16 bits that holds its maximum: cameras
    store 12 bits in files of 16. So is a PNG of 48-bit colour; with alpha, or as TIFF, its high bytes are what is left.
    """
    most = allowed_bytes(LIMIT, DECODED_BYTES)
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for ever
            raise OSError("it is no file but a folder, a pipe or a device")
        with Image.open(path, formats=formats(path)) as image:
            if about:
                image.draft("RGB", (about, about))
            _check_room(image, path, most)
            pixels = _pixels(image, path, fast=not about and status.st_size <= most)
            turn = TURNS.get(orientation(image)) if upright else None
        return pixels if turn is None else np.asarray(Image.fromarray(pixels).transpose(turn))
    except UnreadableImage:
        raise
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: there is no such file") from None
    except MemoryError:
        raise UnreadableImage(f"{path}: there is too little memory for its pixels; make it smaller") from None
    except Exception as error:  # on bytes of strangers decoders raise whatever they stumble over
        raise UnreadableImage(f"{path}: not a readable image ({error}); replace or remove it") from error


def _check_room(image: Image.Image, path, most: int) -> None:
    need = 3 * image.width * image.height
    if need > most:
        pixels = f"{image.width}x{image.height} pixels take {need / 1e9:.2f} GB, {LIMIT} allows {most / 1e9:.2f}"
        raise UnreadableImage(f"{path}: its {pixels}; make it smaller, or set {LIMIT}={need} if you trust the file")


def orientation(image: Image.Image) -> int:
    """EXIF orientation, 1 where there is none or none that is a plain number."""
    with suppress(Exception):  # the header is a stranger's, too; the pixels are there whatever it says
        found = image.getexif().get(ExifTags.Base.Orientation)
        return found if type(found) is int else 1
    return 1


def _pixels(image: Image.Image, path, fast: bool) -> np.ndarray:
    """uint8 (H, W, 3) pixels as an opened file stores them; ``fast``: plain JPEG in six tenths of Pillow's time."""
    if fast and image.format == "JPEG" and image.mode in ("L", "RGB"):
        with suppress(ValueError):  # what it refuses Pillow may still read, or say what is wrong
            return simplejpeg.decode_jpeg(Path(path).read_bytes())  # Pillow's pixels: both use libjpeg-turbo
    halved = any(tile.args in ("RGB;16B", "RGBA;16B", "LA;16B") for tile in image.tile)  # Pillow keeps the high bytes
    image.load()
    pixels = np.asarray(_to_rgb(image))
    if halved and np.asarray(image)[..., : 1 if image.mode == "LA" else 3].max(initial=0) < 2**6:
        if image.mode != "RGB":
            warnings.warn(f"{path}: nearly black, as of its 16 bits the upper 8 are read; save it with 8", stacklevel=2)
            return pixels
        pixels = _to_bytes(pixels * np.uint16(2**8) + _low_bytes(path))
    return pixels


def _low_bytes(path) -> np.ndarray:
    """uint8 (H, W, 3) low bytes of a PNG of 16 bits a colour: what would be the high ones in the other order."""
    with Image.open(path, formats=["PNG"]) as image:
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        return np.asarray(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    """Grey, palette, alpha, CMYK and 16-bit pictures as 8-bit RGB; what is transparent becomes white."""
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_to_bytes(np.asarray(image)))
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("RGB")


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """uint8 of values of more bits, see ``decode``; of numbers between 0 and 1, as floats are, the range is that."""
    values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    top = values.max(initial=0)
    depth = next((2**bits - 1 for bits in DEPTHS if top <= 2**bits - 1), top)
    scaled = values * (np.float64(255) / depth)
    return scaled.clip(0, 255, out=scaled).astype(np.uint8)
