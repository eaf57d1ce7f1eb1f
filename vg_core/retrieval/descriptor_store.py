"""Descriptors on disk as float16: half the bytes, and the nearest image stays the nearest for nearly every query."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vg_core.system.files import replacing


@dataclass(frozen=True)
class DescriptorStore:
    """float16 (N, D) descriptors in a NumPy file; rows are mapped while they are used, the table is never loaded."""

    path: Path
    shape: tuple[int, int]

    @classmethod
    def write(cls, path, parts: Iterable[np.ndarray], shape: tuple[int, int]) -> "DescriptorStore":
        """The store made of consecutive ``parts``, (any, D) each; one part is in memory at a time.

        Raises ValueError when parts do not add up to ``shape`` = (N, D) or hold what float16 cannot; OSError. The file
        appears when it is whole.
        """
        header = {"descr": np.dtype(np.float16).str, "fortran_order": False, "shape": tuple(map(int, shape))}
        written = 0
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for part in parts:
                file.write(_half(part, shape[1], written))
                written += len(part)
                del part  # before the next one is made
            if written != shape[0]:
                raise ValueError(f"{written:,} descriptors were given for {path}, {shape[0]:,} were announced")
        return cls(Path(path), shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows) -> np.ndarray:
        """float16 rows of a slice or of an array of indices. Those of a slice are a mapping that ends with the array:
        pages of rows no longer used never add up."""
        return np.load(self.path, mmap_mode="r")[: len(self)][rows]

    def first(self, count: int) -> "DescriptorStore":
        """The first rows as a store of their own, in the same file."""
        return DescriptorStore(self.path, (min(count, len(self)), self.shape[1]))


def _half(part: np.ndarray, width: int, start: int) -> memoryview:
    part = np.asarray(part)
    if part.ndim != 2 or part.shape[1] != width:
        raise ValueError(f"descriptors from row {start:,} on have shape {part.shape}, expected (any, {width})")
    with np.errstate(over="ignore"):  # what overflows is infinite, and named
        half = np.ascontiguousarray(part, dtype=np.float16)
    if not np.isfinite(half).all():
        raise ValueError(f"descriptors from row {start:,} on are not finite in float16: are they of unit length?")
    return half.data
