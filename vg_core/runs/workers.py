"""Workers that make runs: those of a Dask scheduler, or processes of this machine, which stay for the next sweep."""

import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vg_core.system.devices import RAM, free_memory

if TYPE_CHECKING:
    from distributed import Client

# One thread each, since threads of several processes fight for cores. And glibc keeps the memory it has: given back
# after every batch, as Dask would have it, it is mapped and zeroed anew, and a training step takes 1.6 times as long.
SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
}
IDLE = 60.0  # seconds after which local workers give their memory back


@dataclass
class _Local:
    """Workers of this machine, how many, what they found in the environment, and when they were last used."""

    client: "Client"
    count: int
    environment: dict[str, str]
    used: float = 0.0

    def serve(self, count: int) -> bool:
        return self.count >= count and self.environment == os.environ and self.client.status == "running"


_kept: list[_Local] = []  # at most one
_lock = threading.RLock()  # a timer ends what no sweep uses


@contextmanager
def workers(cluster: str, count: int) -> Iterator["Client"]:
    """A Dask client with the workers of a scheduler's address, or with ``count`` processes of this machine ("local").

    These stay a minute for the next sweep, which need not wait until they have started, imported PyTorch and decoded
    photographs. An error or an interrupt ends them and what they do.
    """
    if cluster != "local":
        from distributed import Client  # takes a second that reading runs back shall not pay

        with Client(cluster) as client:
            yield client
        return
    with _lock:
        if not (_kept and _kept[0].serve(count)):
            end()
            _kept.append(_Local(_started(count), count, dict(os.environ)))
        try:
            yield _kept[0].client
        except BaseException:
            end()
            raise
        _kept[0].used = time.monotonic()
    timer = threading.Timer(IDLE, end, [IDLE])
    timer.daemon = True
    timer.start()


def end(idle: float = 0.0) -> None:
    """End the workers of this machine if there are any that have been idle for so many seconds."""
    with _lock:
        if _kept and time.monotonic() - _kept[0].used >= idle:
            _kept.pop().client.close()


def _started(count: int) -> "Client":
    import dask
    from distributed import Client

    share = {RAM: str(free_memory(torch.device("cpu")) // count)}
    local = {"n_workers": count, "threads_per_worker": 1, "memory_limit": 0, "env": share, "dashboard_address": ":0"}
    local["silence_logs"] = logging.CRITICAL  # that a worker does not end in time is no concern of the reader's
    with dask.config.set({"distributed.nanny.pre-spawn-environ": SETTINGS}):
        return Client(**local)
