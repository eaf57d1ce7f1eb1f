"""Which bytes photographs hold: digests in tables like git's index, so that only what looks touched is read again."""

import hashlib
import os
import stat
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from vg_core.datasets.images import UnreadableImage
from vg_core.system import own_files, paths
from vg_core.system.devices import WORKERS
from vg_core.system.progress_bar import bar

COLUMNS = ["path", "size", "mtime", "ctime", "digest"]  # times in ns; no user can set the second back
AT_A_TIME = 64  # files that a thread reads between two looks at the others
YOUNG = 2_000_000_000  # ns; a file may change again within the same tick of a coarse clock


def digests(files: Sequence[str]) -> list[str]:
    """SHA-256 of each file's bytes, as 64 hexadecimal digits, in the order given.

    A file is read unless its size and times are those of the last reading, which the cache folder keeps in a table for
    each folder of files. Raises UnreadableImage, which names the file, where there is none or it cannot be read.
    """
    files = [os.path.abspath(file) for file in files]
    if not files:
        return []
    place = _table_of(files)
    rows = own_files.read(place).itertuples(index=False, name=None) if own_files.is_intact(place) else ()
    table, now = {os.fsdecode(row[0]): row[1:] for row in rows}, time.time_ns()
    states = {file: _state(file) for file in files}
    found = {file: table[file][3] for file, state in states.items() if table.get(file, ())[:3] == state}
    touched = [file for file in states if file not in found]
    parts = [touched[start : start + AT_A_TIME] for start in range(0, len(touched), AT_A_TIME)]
    with ThreadPoolExecutor(WORKERS) as pool, bar(total=len(touched), desc="reading photographs") as done:
        for part, read in zip(parts, pool.map(_read, parts), strict=True):
            found |= dict(zip(part, read, strict=True))
            done.update(len(part))
    settled = [file for file in touched if all(abs(now - time) > YOUNG for time in states[file][1:])]
    if settled:
        table |= {file: (*states[file], found[file]) for file in settled}
        rows = [(os.fsencode(file), *row) for file, row in table.items()]
        own_files.write(place, pd.DataFrame(rows, columns=COLUMNS))
    return [found[file] for file in files]


def digest_of(files: Sequence[str]) -> str:
    """One digest, 64 hexadecimal digits, of the contents of files in their order, whatever they are called."""
    return hashlib.sha256("".join(digests(files)).encode()).hexdigest()


def _table_of(files: Sequence[str]) -> Path:
    """Where the digests of what lies in the common folder of these files are."""
    try:
        folder = os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:  # they lie on several drives of Windows
        folder = ""
    return paths.cache_root() / "contents" / f"{hashlib.sha256(os.fsencode(folder)).hexdigest()[:20]}.parquet"


def _state(file: str) -> tuple[int, int, int]:
    """Size, and both times. What is no ordinary file, such as a pipe, would be waited for without end."""
    try:
        found = os.stat(file)
    except OSError as error:
        raise UnreadableImage(f"{file}: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableImage(f"{file}: not an ordinary file; remove it")
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(files: Sequence[str]) -> list[str]:
    try:
        return [own_files.digest(file) for file in files]
    except OSError as error:
        raise UnreadableImage(f"{error.filename} cannot be read ({error.strerror}); replace or remove it") from error
