"""Where the descriptors of a set lie: in memory while they have room there, on disk when they have not."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from math import prod
from pathlib import Path

import numpy as np
import torch

from vg_core.devices import free_memory
from vg_core.engines import DescriptorStore
from vg_core.files import scratch_folder
from vg_core.paths import cache_root

MEMORY_SHARE = 0.5  # of what is free; beyond it descriptors go to disk


def has_room(values: int, device: torch.device) -> bool:
    """Do so many float32 values fit in MEMORY_SHARE of what is free, both on the device and in RAM?"""
    return 4 * values <= MEMORY_SHARE * min(map(free_memory, {device, torch.device("cpu")}))


@contextmanager
def scratch_file() -> Iterator[Path]:
    """A path in the cache folder for descriptors; what is written there goes when the block ends."""
    with scratch_folder(cache_root()) as folder:
        yield Path(folder) / "descriptors.npy"


@contextmanager
def kept(parts: Iterator[np.ndarray], shape: tuple[int, int]) -> Iterator[np.ndarray | DescriptorStore]:
    """The descriptors (N, D) = ``shape`` that consecutive parts make: an array, or a float16 store until the block ends
    when they have no room.
    """
    if has_room(prod(shape), torch.device("cpu")):
        yield filled(parts, shape[0])
        return
    with scratch_file() as file:
        yield DescriptorStore.write(file, parts, shape)


def filled(parts: Iterable[np.ndarray], count: int) -> np.ndarray:
    """The ``count`` rows of consecutive parts, at least one of them; each part goes to its place when it comes, since
    to concatenate them would hold all rows twice.
    """
    parts = iter(parts)
    first = next(parts)
    whole, start = np.empty((count, *first.shape[1:]), first.dtype), 0
    for part in chain([first], parts):
        whole[start : start + len(part)] = part
        start += len(part)
    return whole
