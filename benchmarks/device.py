"""What a device does at best, measured on it: the time of a call, operations and bytes a second; and its name."""

import platform
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from vg_core.models.precision import network_dtype
from vg_core.system.devices import cores

MATRIX = {"cpu": 2048, "cuda": 8192}  # rows of the square matrices that are multiplied
CHANNELS, SIDE = 256, 64  # of the square maps that are convolved, as large as those of ResNet-18's layers
COPIED = 256 * 2**20  # bytes
TRIES = 10  # of which the fastest counts


# --- time ----------------------------------------------------------------------------------------------------------
def seconds(call: Callable[[], object], often: int, device: torch.device) -> float:
    """Seconds of one call, the mean of ``often`` calls."""
    synchronise(device)
    started = time.perf_counter()
    for _ in range(often):
        call()
    synchronise(device)
    return (time.perf_counter() - started) / often


def synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


# --- operations ----------------------------------------------------------------------------------------------------
class Work(NamedTuple):
    """``run(n)`` does n of at most ``rows`` rows of ``operations`` floating-point operations each, in the precision
    that networks compute in.
    """

    run: Callable[[int], object]
    rows: int
    operations: int


def product(device: torch.device) -> Work:
    """A matrix product into memory that is there already: to write fresh memory takes its own time."""
    side = MATRIX[device.type]
    a, b, found = torch.rand(3, side, side, device=device, dtype=network_dtype(device))
    return Work(lambda n: torch.mm(a[:n], b, out=found[:n]), side, 2 * side**2)


def convolution(device: torch.device) -> Work:
    """A convolution of 3x3, channels last: on some CPUs its library is faster than the one that multiplies matrices.

    Its output is small enough for its memory to be used again and again.
    """
    shapes = (1, CHANNELS, SIDE, SIDE), (CHANNELS, CHANNELS, 3, 3)
    maps, weight = (
        torch.rand(shape, device=device, dtype=network_dtype(device)).to(memory_format=torch.channels_last)
        for shape in shapes
    )
    return Work(lambda n: F.conv2d(maps[:, :, :n], weight, padding=1), SIDE, 2 * 9 * CHANNELS**2 * SIDE)


@cache
def fastest(device: torch.device) -> tuple[float, Work]:
    """Floating-point operations a second of a matrix product or of a convolution, whichever does more; and which."""
    works = product(device), convolution(device)
    rates = [work.rows * work.operations / _best(partial(work.run, work.rows), device) for work in works]
    return max(zip(rates, works, strict=True), key=lambda pair: pair[0])


def matrix_rate(device: torch.device) -> float:
    """Floating-point operations a second that nothing is known to exceed on this device."""
    return fastest(device)[0]


def floor_of(call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """As many operations as a call takes, at the ``matrix_rate``: its floor where these are all that counts."""
    work = fastest(device)[1]
    whole, rest = divmod(operations(call) // work.operations, work.rows)

    def run() -> None:
        for rows in [work.rows] * whole + [rest] * (rest > 0):
            work.run(rows)

    return run


def operations(call: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions that PyTorch runs in a call, the second one:
    what is made once is not counted.
    """
    call()
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


# --- bytes ---------------------------------------------------------------------------------------------------------
@cache
def bandwidth(device: torch.device) -> float:
    """Bytes a second, read and written, of a copy into memory that is there already."""
    source, target = torch.ones(2, COPIED // 4, device=device)
    return 2 * COPIED / _best(lambda: target.copy_(source), device)


def _best(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of the fastest of TRIES calls."""
    return min(seconds(call, 1, device) for _ in range(TRIES))


# --- name ----------------------------------------------------------------------------------------------------------
def machine(device: torch.device) -> dict[str, object]:
    """What the numbers were measured on."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{_processor()}, {cores()} cores"
    return {"machine": name, "threads": torch.get_num_threads(), "torch": torch.__version__}


def _processor() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
