"""Writing so that a killed process or a full disk never leaves half a file under the real name."""

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends well and vanishes when it does not.

    Raises OSError, naming the file and what to do, when it cannot be written; the old file is then still whole.
    """
    path = Path(path)
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
        unfinished.replace(path)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space and run again" if full else "choose another place or check its permissions"
        raise OSError(error.errno, f"{path} could not be written ({error.strerror or error}); {advice}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def reserve(path: Path) -> None:
    """Give a file the disk space for its whole length, or OSError. Writing to memory that maps a file for which the
    disk has no space left kills the process, without a sentence.
    """
    if hasattr(os, "posix_fallocate"):  # macOS lacks it
        with path.open("rb+") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
