"""Own files: believed only while they hold what was written; what `write` wrote, `read` gives back."""

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd

from vg_core.system.files import not_written, remove_leftovers, replacing, unfinished
from vg_core.system.text import printable

SUMS = "SHA256SUMS"  # in each folder of own files: a line for every writing; earlier ones of a name hold, too


class Damaged(ValueError):
    """An own file that does not hold what was written, or is gone; the message names it and says what to do."""


def write(path, value) -> None:
    """Write an own file in the format that its suffix names, and its digest to ``SHA256SUMS`` beside it.

    Formats: .json, .csv, .parquet and .feather (a table without its index; the last is read fastest), .npy, .pt
    (tensors and plain values), .safetensors (bytes). Raises OSError in a sentence; the old file is then still intact,
    and so it is after a kill at any moment.
    """
    path = Path(path)
    with replacing(path) as unfinished_file, unfinished_file.open("wb") as file:
        sink = _Sink(file)
        try:
            FORMATS[path.suffix][0](value, sink)
        except Exception as error:  # a library may hide what the disk said behind an error of its own
            if sink.error:
                raise sink.error from error
            raise
        # before what it vouches for gets its name, and in one go: after a kill, the old file has its line, too
        with path.with_name(SUMS).open("ab", buffering=0) as sums:
            sums.write(os.fsencode(_line(sink.digest.hexdigest(), path.name)))
            os.fsync(sums.fileno())


def write_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Replace a folder by one of own files (name -> bytes) as a whole; returns it. Raises OSError in a sentence.

    The new one is written beside it, then the two names are swapped: a kill before that leaves the old one whole.
    """
    new, old = unfinished(folder), unfinished(folder)
    try:
        new.mkdir(parents=True)
        remove_leftovers(folder.parent)
        for name, content in {**files, SUMS: sums_of(files)}.items():
            (new / name).write_bytes(content)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        if os.path.exists(old) and not os.path.exists(folder):  # stopped between the two
            old.rename(folder)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
    return folder


def read(path, remedy: str = ""):
    """What `write` wrote to this path. Raises Damaged, which names the file and says the remedy, by default to delete
    its folder.
    """
    path = Path(path)
    require(path, remedy or f"delete {path.parent} and run again")
    with path.open("rb") as file:  # some libraries take no path that is not UTF-8
        return FORMATS[path.suffix][1](file)


def read_or_make(path, make: Callable[[], object]):
    """What `read` gives; where that is missing or damaged, which is said, what ``make`` returns is written first."""
    try:
        return read(path, "it is made again")
    except Damaged as error:
        if Path(path).exists():
            print(printable(error), flush=True)
        write(path, make())
    return read(path)


def require(path: Path, remedy: str) -> None:
    """Raises Damaged, with the remedy, where the file is not intact."""
    if not is_intact(path):
        what = "is damaged: it does not hold what was written" if path.exists() else "is missing"
        raise Damaged(f"{path} {what}; {remedy}")


def require_folder(folder: Path, remedy: str) -> None:
    """`require` of every file that ``SHA256SUMS`` in a folder names; Damaged, too, where that file is missing."""
    for name in dict.fromkeys(line[66:] for line in _sums(folder).splitlines()) or [SUMS]:
        require(folder / name, remedy)


def is_intact(path) -> bool:
    """True when the file holds what `write` once wrote under its name."""
    path = Path(path)
    return path.is_file() and _line(digest(path), path.name) in _sums(path.parent)


def has_digest(path) -> bool:
    """True when there is a digest of a file of this name beside it: files that came from elsewhere have none."""
    return f"  {Path(path).name}\n" in _sums(Path(path).parent)


def digest(path) -> str:
    """SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sums_of(contents: Mapping[str, bytes]) -> bytes:
    """The ``SHA256SUMS`` of a folder whose files are all written at once."""
    return "".join(_line(hashlib.sha256(data).hexdigest(), name) for name, data in contents.items()).encode()


class _Sink(io.RawIOBase):
    """Passes bytes on to a file, digests them, and remembers what the disk says."""

    def __init__(self, file: io.BufferedWriter):
        self.file, self.digest, self.error = file, hashlib.sha256(), None

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        try:
            self.file.write(data)
        except OSError as error:
            self.error = error
            raise
        self.digest.update(data)
        return memoryview(data).nbytes


def _line(hexadecimal: str, name: str) -> str:
    return f"{hexadecimal}  {name}\n"


def _sums(folder: Path) -> str:
    """All lines, the empty text where there is no file. One that a kill has cut does no harm: they are looked for as
    parts of the text.
    """
    try:
        return os.fsdecode((folder / SUMS).read_bytes())
    except FileNotFoundError:
        return ""


def _read_csv(file) -> pd.DataFrame:
    text = file.read()
    return pd.read_csv(io.BytesIO(text)) if text.strip() else pd.DataFrame()


FORMATS: dict[str, tuple[Callable, Callable]] = {  # (value, sink) -> None, file -> value
    ".json": (lambda value, sink: sink.write((json.dumps(value, indent=1) + "\n").encode()), json.load),
    ".csv": (lambda t, sink: sink.write(t.to_csv(index=False, lineterminator="\n").encode()), _read_csv),
    ".parquet": (lambda table, sink: table.to_parquet(sink, index=False), pd.read_parquet),
    ".feather": (lambda table, sink: table.to_feather(sink), pd.read_feather),
    ".npy": (lambda array, sink: np.save(sink, array, allow_pickle=False), partial(np.load, allow_pickle=False)),
    ".pt": (
        lambda state, sink: import_module("torch").save(state, sink),  # it takes seconds; the PDF does without
        lambda file: import_module("torch").load(file, map_location="cpu", weights_only=True),
    ),
    ".safetensors": (lambda data, sink: sink.write(data), lambda file: file.read()),
}
