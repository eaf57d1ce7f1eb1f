"""Own files in tests: faults of the disk, kinds of damage, and files changed on purpose that are to be believed."""

import os
import resource
import signal
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from vg_core.system.own_files import SUMS, sums_of


def vouch(folder) -> None:
    """Give a folder the digests of what it holds now."""
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.name != SUMS}
    (folder / SUMS).write_bytes(sums_of(files))


def gone(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-7])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def one_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) * 2 // 3] ^= 16
    file.write_bytes(data)


DAMAGES = [gone, cut, empty, one_bit]


@contextmanager
def full_disk(room: int = 8):
    """Within the block, no file can be longer than so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def killed(work: Callable[[], object], moment: Callable[[Callable[[], None]], None]) -> bool:
    """Did a copy of this process die of SIGKILL while it did the work? ``moment`` arranges for the call that kills."""
    child = os.fork()
    if not child:
        signal.alarm(60)  # a copy of a process with threads might wait for one that was not copied
        try:
            moment(lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
            work()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
