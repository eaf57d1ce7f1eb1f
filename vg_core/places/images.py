"""Photographs as uint8 tensors: one way to read, one way to resize, decoded once and memory-mapped afterwards."""

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import simplejpeg
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from vg_core.devices import cores
from vg_core.files import replacing, reserve
from vg_core.paths import pixels_folder
from vg_core.watch import bar

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAPPED_SHARE_OF_DISK = 0.5  # of the free space; beyond it images are decoded each time instead
CHECKED = 4  # photographs decoded anew before mapped pixels of an earlier run are used
WORKERS = cores()
AHEAD = 8  # batches: what waits for a GPU takes pinned memory, however many cores there are


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


def ahead(mapped: bool) -> int:
    """Batches that are read while one is used: AHEAD at most, or one for each thread where these must decode."""
    return min(2 * WORKERS, AHEAD if mapped else max(AHEAD, WORKERS))


class Photographs:
    """The images of a list of files at one size (height, width).

    ``mapped=True`` decodes every file once into a memory-mapped array in the cache folder, keyed by the files' names,
    sizes and times; later passes read it at memory speed. A set too large for the disk is decoded on every pass.
    """

    def __init__(self, paths: Sequence, size: tuple[int, int], mapped: bool = False, progress: bool = True):
        self.paths = [str(path) for path in paths]
        self.size = tuple(size)
        self.pixels = self._map(progress) if mapped else None  # (N, H, W, 3) uint8

    def __len__(self) -> int:
        return len(self.paths)

    def batch(self, indices) -> Tensor:
        """uint8 (B, 3, H, W) in channels-last layout, which is how pixels are stored; pinned for a GPU, which then
        fetches them while it computes.
        """
        if self.pixels is not None:
            rows = self.pixels[np.asarray(indices, dtype=np.int64)]
        else:
            rows = np.stack([read_image(self.paths[i], self.size) for i in indices])
        pixels = torch.from_numpy(rows)
        return (pixels.pin_memory() if torch.cuda.is_available() else pixels).permute(0, 3, 1, 2)

    def batches(self, indices: Sequence[Sequence[int]]) -> Iterator[Tensor]:
        """One tensor for each list of indices; the next ones are read in threads while the present one is used."""
        waiting, most = deque(), ahead(mapped=self.pixels is not None)
        with ThreadPoolExecutor(WORKERS) as pool:
            try:
                for wanted in indices:
                    waiting.append(pool.submit(self.batch, wanted))
                    if len(waiting) > most:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()

    @property
    def nbytes(self) -> int:
        """Bytes that the decoded images take."""
        return len(self.paths) * self.size[0] * self.size[1] * 3

    def _file(self) -> Path:
        digest = hashlib.sha256(repr(self.size).encode())
        for path in self.paths:
            stat = os.stat(path) if os.path.exists(path) else None  # a missing file is named when it is read
            digest.update(f"{path}|{stat and (stat.st_size, stat.st_mtime_ns)}\n".encode())
        return pixels_folder() / f"{digest.hexdigest()[:20]}_{self.size[0]}x{self.size[1]}.npy"

    def _map(self, progress: bool) -> np.ndarray | None:
        """The pixels on disk, put there if they are not; None when the disk has no room for them."""
        file = self._file()
        pixels = self._whole(file)
        if pixels is None and self._has_room(file.parent, progress):
            self._decode_into(file, progress)
            pixels = np.load(file, mmap_mode="r")
        return pixels

    def _whole(self, file: Path) -> np.ndarray | None:
        """The file's pixels if it holds all of them and a few photographs decoded anew are the same; what was cut,
        overwritten or written by another decoder since is made anew.
        """
        some = np.linspace(0, len(self) - 1, min(len(self), CHECKED)).astype(int)
        with suppress(ValueError, EOFError, FileNotFoundError):
            found = np.load(file, mmap_mode="r")
            if found.shape == (len(self), *self.size, 3) and found.dtype == np.uint8:
                same = (np.array_equal(found[i], read_image(self.paths[i], self.size)) for i in some)
                return found if all(same) else None
        return None

    def _has_room(self, folder: Path, progress: bool) -> bool:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        need = (
            f"{len(self)} images at {self.size[0]}x{self.size[1]} take {self.nbytes / 1e9:.2f} GB of the "
            f"{free / 1e9:.1f} GB free in {folder}"
        )
        if self.nbytes > MAPPED_SHARE_OF_DISK * free:
            print(f"{need}, too much: decoding them on every pass instead (slower).")
            return False
        if progress:
            print(f"{need}: decoding them once.")
        return True

    def _decode_into(self, file: Path, progress: bool) -> None:
        """Decode into a temporary file, then rename: two processes may both do it, neither harms the other."""
        with replacing(file) as unfinished:
            pixels = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.uint8, shape=(len(self), *self.size, 3))
            reserve(unfinished)

            def decode(i: int) -> None:
                pixels[i] = read_image(self.paths[i], self.size)

            with ThreadPoolExecutor(WORKERS) as pool:
                todo = pool.map(decode, range(len(self.paths)))
                deque(bar(todo, wanted=progress, total=len(self.paths), desc="decoding", unit="image"), maxlen=0)
            pixels.flush()
