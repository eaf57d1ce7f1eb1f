"""The device that computes: which one, how much of its memory is free and taken, and the cores beside it."""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from vg_core.system import processes
from vg_core.system.bounds import allowed_bytes, whole_number

CORES = "VG_CORES"  # environment variable: processor cores that this process may use, if not all that there are
RAM = "VG_RAM"  # environment variable: bytes of RAM that this process may take, if not all that is free
PEAK, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")  # of Linux


def pick_device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def cores() -> int:
    """Processor cores for this process: VG_CORES or all that it may use, shared out among all of one training here."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(usable, whole_number(CORES, usable, "cores", 2)) // processes.on_this_machine())


WORKERS = cores()  # threads that read photographs


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still take: of its GPU, or of the RAM that all of one training here share, VG_RAM of
    it where that is set. ValueError where VG_RAM is no number.
    """
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # held by this process
        return torch.cuda.mem_get_info(device)[0] + reserved
    available = psutil.virtual_memory().available // processes.on_this_machine()
    if RAM not in os.environ:
        return available
    return min(available, max(0, allowed_bytes(RAM) - psutil.Process().memory_info().rss))


def peak_of(call: Callable[[], object], device: torch.device) -> int:
    """Bytes that a call takes at its peak beyond what is in use before it, where the system forgets earlier peaks."""
    before = forget_peak(device)
    call()
    return used_memory(device)[1] - before


def forget_peak(device: torch.device) -> int:
    """Bytes in use now; the most that ``used_memory`` tells is counted from here on, where the system can forget."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif PEAK.exists():
        libc = ctypes.CDLL(None)
        if hasattr(libc, "malloc_trim"):  # of glibc: freed memory that it keeps would take nothing when used again
            libc.malloc_trim(0)
        PEAK.write_text("5")
    return used_memory(device)[0]


def used_memory(device: torch.device) -> tuple[int, int]:
    """Bytes that this process has now, and the most that it has had at once: of its GPU, or of RAM, where pages of
    files that it maps count, too.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    told = dict(line.split(":", 1) for line in STATUS.read_text().splitlines()) if STATUS.exists() else {}
    if "VmHWM" in told:  # getrusage would tell the peak of the process that started this one, if it was higher
        return tuple(1024 * int(told[entry].split()[0]) for entry in ("VmRSS", "VmHWM"))
    memory = psutil.Process().memory_info()
    if hasattr(memory, "peak_wset"):
        return memory.rss, memory.peak_wset
    import resource  # Windows lacks it, and has the above

    return memory.rss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
