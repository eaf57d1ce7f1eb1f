"""The processes of one training, one for each GPU: which is this, what is its share, putting the shares together.

All of them run the same program on the same configuration and read the same folders; only the first one writes.
``torchrun`` starts them. A process that is alone has rank 0 of 1, everything is its share, and nobody is waited for.
"""

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from datetime import timedelta
from itertools import pairwise

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

PATIENCE = timedelta(hours=2)  # with a process that decodes or tests while the others wait; one that dies shows at once


def size() -> int:
    """Number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def launched() -> int:
    """Number of processes that ``torchrun`` started, whether they have joined or not."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def on_this_machine() -> int:
    """Number of processes on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def first() -> bool:
    """True in the first process, the only one that writes."""
    return rank() == 0


@contextmanager
def joined() -> Iterator[None]:
    """Within the block this process is one of those that ``torchrun`` started; without torchrun it is alone.

    All but the first are silent. Raises ConnectionError, in a sentence, when another process is lost,
    KeyboardInterrupt when torchrun ends this one, and ValueError when there is no GPU left for it.
    """
    if launched() == 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        own, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= there:
            raise ValueError(f"process {own + 1} of this machine, which has {there} GPUs: lower --nproc-per-node")
        torch.cuda.set_device(own)
    signal.signal(signal.SIGTERM, _interrupt)
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(sys.stdout if first() else nowhere):
            yield
    except RuntimeError as error:
        if not _is_connection(error):
            raise
        raise ConnectionError(
            f"process {rank()} of {size()} lost another one ({str(error).splitlines()[0]}); "
            "the same command goes on from the last round"
        ) from error
    finally:
        dist.destroy_process_group()


def share(count: int, unit: int = 1) -> slice:
    """Slice of this process's part of ``count`` things. Parts differ by one unit at most; only the last one is cut."""
    return _parts(count, unit)[rank()]


def together(part: Tensor, count: int, unit: int = 1) -> Tensor:
    """All ``count`` rows, of which each process has the ``share``, on every process."""
    if size() == 1:
        return part
    whole = part.new_empty(count, *part.shape[1:])
    whole[share(count, unit)] = part
    return complete(whole, unit)


def complete(whole: Tensor, unit: int = 1) -> Tensor:
    """The same rows, of which each process has made its ``share``, with those of the others put in place."""
    if size() > 1:
        for owner, part in enumerate(_parts(len(whole), unit)):
            if part.start < part.stop:
                dist.broadcast(whole[part], owner)  # no second copy of the rows, which gathering them would need
    return whole


@torch.no_grad()
def same(module: nn.Module) -> nn.Module:
    """The module with the first process's weights and buffers."""
    if size() > 1:
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor, 0)
    return module


def mean(value: Tensor) -> Tensor:
    """Mean of a tensor over the processes, in place."""
    if size() > 1:
        dist.all_reduce(value)
        value /= size()
    return value


def agreed(value: object) -> object:
    """The value that the first process has, on every process."""
    values = [value]
    if size() > 1:
        dist.broadcast_object_list(values)
    return values[0]


def wait() -> None:
    """Return when all processes have come here."""
    if size() > 1:
        dist.barrier()


@contextmanager
def one_goes_ahead() -> Iterator[None]:
    """The first process of each machine runs the block alone; the others follow and find what it has written."""
    ahead = int(os.environ.get("LOCAL_RANK", "0")) == 0
    if not ahead:
        wait()
    yield
    if ahead:
        wait()


def averaging(module: nn.Module, rests: bool = False) -> nn.Module:
    """The module, starting from the first process's values, with gradients that are averaged over all processes.

    ``rests``: some parameters take no part in some steps. Their gradient stays None, as it does in one process; to find
    them takes a walk through the graph in each step.
    """
    if size() == 1:
        return module
    return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=rests)


def _parts(count: int, unit: int) -> list[slice]:
    units, many = -(-count // unit), size()
    ends = [min(count, units * number // many * unit) for number in range(many + 1)]
    return [slice(*both) for both in pairwise(ends)]


def _interrupt(*_signal) -> None:
    raise KeyboardInterrupt(f"process {rank()} was ended by torchrun; the same command goes on from the last round")


def _is_connection(error: RuntimeError) -> bool:
    """NCCL and the store have classes for a lost peer, Gloo has not."""
    lost = r"closed by peer|reset by peer|Connection refused|Broken pipe|[Tt]imed out"
    return isinstance(error, dist.DistError) or re.search(lost, str(error)) is not None
