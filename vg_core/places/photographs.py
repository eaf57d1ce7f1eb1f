"""Photographs as uint8 tensors, decoded once and memory-mapped afterwards."""

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vg_core.files import replacing, reserve
from vg_core.paths import pixels_folder
from vg_core.places.images import WORKERS, read_image
from vg_core.watch import bar

MAPPED_SHARE_OF_DISK = 0.5  # of the free space; beyond it images are decoded each time instead
CHECKED = 4  # photographs decoded anew before mapped pixels of an earlier run are used
AHEAD = 8  # batches: what waits for a GPU takes pinned memory, however many cores there are


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
