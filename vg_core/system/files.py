"""Files replaced in one step: neither a kill nor a full disk leaves half a file under the real name."""

import errno
import hashlib
import os
import platform
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from filelock import FileLock, Timeout

# names of what is unfinished: the machine and the process that write it
OWNED = re.compile(r"\.vg-(?P<machine>[0-9a-f]{10})-(?P<process>\d+)-.*", re.DOTALL)


@contextmanager
def replacing(path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well and vanishes when it does not.

    Raises OSError, naming the file and what to do, when it cannot be written; the old file is then still whole.
    """
    if Path(path).exists() and not Path(path).is_file():
        raise OSError(f"{path} is no ordinary file; name another one to write")
    path = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
    new = unfinished(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(path.parent)
        yield new
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise not_written(path, error) from error
    finally:
        with suppress(OSError):  # a read-only disk says so above
            new.unlink(missing_ok=True)


def not_written(path, error: OSError) -> OSError:
    """An OSError that says what could not be written, why, and what to do; one of ours says so already."""
    if error.errno is None:
        return error
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    advice = "free some space and run again" if full else "choose another place or check its permissions"
    return OSError(error.errno, f"{path} could not be written ({error.strerror or error}); {advice}")


def unfinished(path) -> Path:
    """A hidden name beside ``path`` for what is not finished yet: it says which process of which machine writes it."""
    path = Path(path)
    return path.with_name(f"{_owner()}{uuid.uuid4().hex[:8]}{path.suffix}")


@contextmanager
def one_at_a_time(file: Path, waiting: str) -> Iterator[None]:
    """Within the block no other process of this machine is in one with the same file; ``waiting`` is said if one is."""
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(waiting, flush=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def scratch_folder(parent: Path) -> TemporaryDirectory:
    """Context with a folder in ``parent`` that goes when the block ends; after a kill, with `remove_leftovers`."""
    parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(parent)
    return TemporaryDirectory(prefix=_owner(), dir=parent)


def _owner() -> str:
    return f".vg-{_machine()}-{os.getpid()}-"


def remove_leftovers(folder) -> None:
    """Remove the unfinished files and folders that dead processes of this machine have left in a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            owned = OWNED.fullmatch(entry.name)
            if owned and owned["machine"] == _machine() and not psutil.pid_exists(int(owned["process"])):
                with suppress(OSError):  # another process removes it, too
                    shutil.rmtree(entry) if entry.is_dir(follow_symlinks=False) else os.unlink(entry)


@cache
def _machine() -> str:
    """Ten hexadecimal digits of this machine and its space of process numbers: containers have their own."""
    namespace = os.stat("/proc/self/ns/pid").st_ino if os.path.exists("/proc/self/ns/pid") else 0
    return hashlib.sha256(f"{platform.node()} {uuid.getnode()} {namespace}".encode()).hexdigest()[:10]


def reserve(path: Path) -> None:
    """Give a file the disk space for its whole length, or OSError. Writing to memory that maps a file for which the
    disk has no space left kills the process, without a sentence.
    """
    if hasattr(os, "posix_fallocate"):  # macOS lacks it
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
