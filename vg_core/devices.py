"""The device that computes: which one, in which precision, and how much memory of it is free."""

import os
import resource
import sys
from pathlib import Path

import psutil
import torch

from vg_core import processes

RAM = "VG_RAM"  # environment variable: bytes of RAM that this process may take, if not all that is free
PEAK = Path("/proc/self/clear_refs")  # of Linux


def pick_device() -> torch.device:
    """The GPU when there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU that has it; float32 elsewhere, where reduced precision is emulated and slower."""
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_it else torch.float32


def fast(device: torch.device) -> torch.autocast:
    """Context in which a network computes in ``fast_dtype``."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=fast_dtype(device) is torch.bfloat16)


def free_memory(device: torch.device) -> int:
    """Bytes that this process may still take: of its GPU, or of the RAM that all of one training here share, VG_RAM of
    it where that is set.
    """
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # kept for this process
        return torch.cuda.mem_get_info(device)[0] + reserved
    available = psutil.virtual_memory().available // processes.on_this_machine()
    if RAM not in os.environ:
        return available
    return min(available, max(0, int(os.environ[RAM]) - psutil.Process().memory_info().rss))


def forget_peak(device: torch.device) -> int:
    """Bytes in use now; the most that ``used_memory`` tells is counted from here on, where the system can forget."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif PEAK.exists():
        PEAK.write_text("5")
    return used_memory(device)[0]


def used_memory(device: torch.device) -> tuple[int, int]:
    """Bytes that this process has now, and the most that it has had at once: of its GPU, or of RAM, where pages of
    files that it maps count, too.
    """
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return psutil.Process().memory_info().rss, most
