"""Photographs as uint8 tensors, decoded once and memory-mapped afterwards."""

import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from vg_core.datasets.contents import digest_of
from vg_core.datasets.images import UnreadableImage, decode, read_image
from vg_core.system.devices import WORKERS
from vg_core.system.files import replacing, reserve
from vg_core.system.paths import pixels_folder
from vg_core.system.progress_bar import bar
from vg_core.system.text import printable

MAPPED_SHARE_OF_DISK = 0.5  # of the free space; beyond it images are decoded each time instead
CHECKED = 4  # photographs decoded anew before mapped pixels of an earlier run are used
AHEAD = 8  # batches: what waits for a GPU takes pinned memory, however many cores there are


def ahead(mapped: bool) -> int:
    """Batches that are read while one is used: AHEAD at most, or one for each thread where these must decode."""
    return min(2 * WORKERS, AHEAD if mapped else max(AHEAD, WORKERS))


def in_parts(indices: Sequence, size: int) -> Iterator:
    """The indices in consecutive parts of at most ``size`` each."""
    return (indices[start : start + size] for start in range(0, len(indices), size))


def unreadable(paths: Sequence[str]) -> dict[str, str]:
    """The files that cannot be decoded and a sentence about each, in order; reads every file once."""

    def complaint(path: str) -> str:
        try:
            decode(path)
        except UnreadableImage as error:
            return str(error)
        return ""

    with ThreadPoolExecutor(WORKERS) as pool:
        found = bar(pool.map(complaint, paths), total=len(paths), desc="checking images")
        return {path: sentence for path, sentence in zip(paths, found, strict=True) if sentence}


class Photographs:
    """The images of a list of files at one size (height, width).

    ``mapped=True`` decodes every file once into a memory-mapped file in the cache folder, named after the contents of
    the photographs; later passes read it at memory speed. Each picture there has a checksum, looked at when the picture
    is first used: one that does not hold is decoded anew. A set too large for the disk is decoded on every pass.
    """

    kind = ""  # in the name of the file: what reads otherwise has another one

    def __init__(self, paths: Sequence, size: tuple[int, int], mapped: bool = False):
        self.paths = [str(path) for path in paths]
        self.size = tuple(size)
        self.pixels = self._map() if mapped and self.paths else None  # (N,) of ``_record``
        self.checked = np.zeros(len(self.paths), dtype=bool)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, path: str) -> np.ndarray:
        """uint8 (H, W, 3) pixels of one file at the size."""
        return read_image(path, self.size)

    def batch(self, indices) -> Tensor:
        """uint8 (B, 3, H, W) in channels-last layout, which is how pixels are stored; pinned for a GPU, which then
        fetches them while it computes.
        """
        if self.pixels is not None:
            rows = self._mapped(np.asarray(indices, dtype=np.int64))
        else:
            rows = np.array([self.read(self.paths[i]) for i in indices], np.uint8).reshape(-1, *self.size, 3)
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

    @property
    def _record(self) -> np.dtype:
        """What the file holds per photograph."""
        return np.dtype([("pixels", np.uint8, (*self.size, 3)), ("checksum", np.uint32)])

    def _mapped(self, indices: np.ndarray) -> np.ndarray:
        """uint8 (B, H, W, 3) of the file; a picture that is damaged there is decoded anew."""
        rows = self.pixels["pixels"][indices]
        for place in np.flatnonzero(~self.checked[indices]):
            photo = indices[place]
            if crc32(rows[place]) != self.pixels["checksum"][photo]:
                print(printable(f"{self.pixels.filename}: damaged; {self.paths[photo]} is decoded anew"), flush=True)
                with suppress(OSError):  # made anew by the next run; here it stays mapped, which Windows forbids
                    Path(self.pixels.filename).unlink()
                rows[place] = self.read(self.paths[photo])
            else:
                self.checked[photo] = True
        return rows

    def _map(self) -> np.ndarray | None:
        """The pixels on disk, put there if they are not; None when the disk has no room for them."""
        file = pixels_folder() / f"{digest_of(self.paths)[:20]}_{self.size[0]}x{self.size[1]}{self.kind}.npy"
        pixels = self._complete(file)
        if pixels is None and self._has_room(file.parent):
            self._decode_into(file)
            pixels = np.load(file, mmap_mode="r")
        return pixels

    def _complete(self, file: Path) -> np.ndarray | None:
        """The file's pixels if it has a place for each photograph and a few decoded anew are the same: another decoder
        may have written it.
        """
        some = np.linspace(0, len(self) - 1, min(len(self), CHECKED)).astype(int)
        with suppress(ValueError, EOFError, OSError):
            found = np.load(file, mmap_mode="r")
            if found.shape == (len(self),) and found.dtype == self._record:
                same = (np.array_equal(found["pixels"][i], self.read(self.paths[i])) for i in some)
                return found if all(same) else None
        return None

    def _has_room(self, folder: Path) -> bool:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        fits = self.nbytes <= MAPPED_SHARE_OF_DISK * free
        print(
            f"{len(self)} images at {self.size[0]}x{self.size[1]} take {self.nbytes / 1e9:.2f} GB of the "
            f"{free / 1e9:.1f} GB free in {folder}"
            + (": decoding them once." if fits else ", too much: decoding them on every pass instead (slower).")
        )
        return fits

    def _decode_into(self, file: Path) -> None:
        """Decode into a temporary file, then rename: two processes may both do it, neither harms the other."""
        with replacing(file) as unfinished:
            pixels = np.lib.format.open_memmap(unfinished, mode="w+", dtype=self._record, shape=(len(self),))
            reserve(unfinished)

            def decode(i: int) -> None:
                photo = self.read(self.paths[i])
                pixels["pixels"][i], pixels["checksum"][i] = photo, crc32(photo)

            with ThreadPoolExecutor(WORKERS) as pool:
                todo = pool.map(decode, range(len(self.paths)))
                deque(bar(todo, total=len(self.paths), desc="decoding", unit="image"), maxlen=0)
            pixels.flush()
