"""Reading photographs: what they hold, the first pass over them and every later one."""

import hashlib
import shutil
import time
from collections import deque
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from benchmarks import reference
from benchmarks.measure import Case, difference
from benchmarks.rows.registry import row
from vg_core.datasets.contents import YOUNG, digests
from vg_core.datasets.photographs import Photographs
from vg_core.models.precision import normalise
from vg_core.system.devices import WORKERS
from vg_core.system.paths import cache_root

BATCH = 16
IN_TURN = "SHA-256 of one file after the other"
RIVAL = "Pillow, ToTensor and Normalize in as many worker processes"
FULL = {"images": 512, "height": 480, "width": 640}
QUICK = {"images": 20, "height": 24, "width": 32}
MANY = FULL | {"images": 10_000}  # 440 MB
DISTINCT = 32  # photographs; all others are copies of them


@row("first pass over JPEG files", RIVAL, FULL, QUICK, bar=0.35, tolerance=1e-5)
def first_pass(device: torch.device, images: int, height: int, width: int) -> Case:
    return _passes(images, (height, width), mapped=False)


@row("later passes, shuffled, from the pixel cache", RIVAL, FULL, QUICK, bar=0.12, tolerance=1e-5)
def later_passes(device: torch.device, images: int, height: int, width: int) -> Case:
    return _passes(images, (height, width), mapped=True)


@row("contents of 10,000 photographs, first start", IN_TURN, MANY, QUICK, bar=1.25, tolerance=0)
def first_contents(device: torch.device, images: int, height: int, width: int) -> Case:
    return _contents(images, (height, width), known=False)


@row("contents of 10,000 photographs, second start", IN_TURN, MANY, QUICK, bar=0.4, tolerance=0)
def known_contents(device: torch.device, images: int, height: int, width: int) -> Case:
    return _contents(images, (height, width), known=True)


def write_photographs(count: int, size: tuple[int, int]) -> list[str]:
    """Paths of JPEG files with edges and texture at every scale: about 40 kB at 480x640, as a panorama's view."""
    folder = cache_root() / "photographs"
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number in range(min(count, DISTINCT)):
        torch.manual_seed(number)
        noise = [torch.randn(1, 3, size[0] >> level, size[1] >> level) for level in range(2, 8) if size[0] >> level]
        scaled = [F.interpolate(one, size, mode="bicubic") for one in noise]
        pixels = (sum(scaled) * 12 + 128).clamp(0, 255).byte()[0].permute(1, 2, 0)
        files.append(folder / f"{number}.jpg")
        Image.fromarray(pixels.numpy()).save(files[-1], quality=75)
    return _copies(files, count)


def _copies(files: list, count: int) -> list[str]:
    """As many paths, each a file of its own."""
    paths = []
    for number, file in enumerate(islice(cycle(files), count)):
        paths.append(str(file.with_name(f"copy_{number}.jpg")))
        file.with_name(f"copy_{number}.jpg").write_bytes(file.read_bytes())
    return paths


def _passes(count: int, size: tuple[int, int], mapped: bool) -> Case:
    """One pass in random order, by either way with as many workers; the last batch comes back.

    Ours hands over uint8 for the device to normalise, so its batch is normalised before the two are compared.
    """
    paths = write_photographs(count, size)
    photographs = Photographs(paths, size, mapped)
    order = np.random.default_rng(0).permutation(count)
    parts = [order[start : start + BATCH] for start in range(0, count, BATCH)]
    return Case(
        lambda: deque(reference.batches(paths, order, BATCH, WORKERS), maxlen=1)[0],
        lambda: deque(photographs.batches(parts), maxlen=1)[0],
        compare=lambda a, b: difference(a, normalise(b)),
    )


def _contents(count: int, size: tuple[int, int], known: bool) -> Case:
    """Digests of all files, which are in the system's memory for either way, ours with or without its table."""
    paths = write_photographs(count, size)
    if known:
        time.sleep(2 * YOUNG / 1e9)  # what was written just now is not trusted
        digests(paths)

    def ours() -> list[str]:
        if not known:
            shutil.rmtree(cache_root() / "contents", ignore_errors=True)
        return digests(paths)

    def reference() -> list[str]:
        return [hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths]

    return Case(reference, ours, compare=lambda a, b: float(a != b))
