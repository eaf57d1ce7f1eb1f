"""Has anything changed that the results of a notebook follow from, since it was executed?

Its stamp lies in the metadata of the executed copy. It holds digests of the copy itself, of its sources (the notebook,
its parameters, the package, the tables in reports/ and benchmarks/, the installed libraries, what notebooks before it
exported) and of the files that it reads and writes (photographs by name, size and times, and its own export).
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import distributions
from pathlib import Path

from vg_core.system import own_files, paths
from vg_core.system.files import replacing

KEY = "vg_core_stamp"
FAILED = ", failed: "  # what a sweep writes of a variant that is missing in its table


def unchanged(notebook: Path, parameters: dict, copy: Path) -> bool:
    """Is the executed copy still what an execution would give?"""
    try:
        content = json.loads(copy.read_text())
        found = content["metadata"].pop(KEY)
        export = _assets(parameters) / notebook.stem
        if export.exists():
            own_files.require_folder(export, "it is made again")
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # whatever is left of it
        return False
    return found == [_digest(content), sources(notebook, parameters), files(notebook, parameters)]


def mark(notebook: Path, parameters: dict, copy: Path, before: str) -> None:
    """Stamp an executed copy whose ``sources`` were those before its execution, unless they have changed meanwhile or
    a run failed in it.
    """
    content = json.loads(copy.read_text())
    if before != sources(notebook, parameters) or any(FAILED in text for text in _said(content)):
        return
    content["metadata"].pop(KEY, None)
    content["metadata"][KEY] = [_digest(content), before, files(notebook, parameters)]
    with replacing(copy) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False))


def sources(notebook: Path, parameters: dict) -> str:
    """Digest of the contents that a notebook's results follow from."""
    exports = [file for kind in ("csv", "json") for file in _assets(parameters).glob(f"*/*.{kind}")]
    reads = ".exported(" in notebook.read_text()  # else others may write theirs meanwhile
    earlier = [file for file in exports if file.parent.name < notebook.stem] if reads else []
    tables = [*paths.REPORTS.glob("*.csv"), *(paths.ROOT / "benchmarks").glob("*.csv")]
    code = [file for file in (paths.ROOT / "vg_core").rglob("*") if file.suffix != ".pyc"]
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for file in [notebook, *sorted(code), *sorted(tables), *sorted(earlier)]:
        if file.is_file():
            digest.update(f"{file.name}\n".encode() + file.read_bytes())
    digest.update("\n".join(sorted({f"{one.name} {one.version}" for one in distributions()})).encode())
    return digest.hexdigest()


def files(notebook: Path, parameters: dict) -> str:
    """Digest of names, sizes and times of datasets, of files that parameters name, and of the notebook's export."""
    read = [paths.data_root(), *map(Path, _paths_in(parameters)), _assets(parameters) / notebook.stem]
    return hashlib.sha256("\n".join(line for place in read for line in sorted(_listing(place))).encode()).hexdigest()


def _digest(content: dict) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _assets(parameters: dict) -> Path:
    return paths.assets_folder(parameters.get("profile", "smoke"))


def _said(content: dict) -> Iterator[str]:
    """What the cells of an executed copy wrote to their streams."""
    for cell in content["cells"]:
        for output in cell.get("outputs", ()):
            yield "".join(output.get("text", ()))


def _paths_in(value: object) -> Iterator[str]:
    """Texts somewhere in a parameter that are absolute paths, such as of a dataset or of weights."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _paths_in(inner)
    elif isinstance(value, str) and os.path.isabs(value):
        yield value


def _listing(place: Path) -> Iterator[str]:
    """A line for each file at or below a path: name, size, times of its last writing and of any other change."""
    seen, files = set(), [place] if place.is_file() else []
    for folder, below, names in os.walk(place, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            below.clear()  # links may lead in a circle
            continue
        seen.add((status.st_dev, status.st_ino))
        files += [Path(folder, name) for name in names]
    for file in files:
        with suppress(OSError):  # a link to nothing or to itself, or gone meanwhile
            found = file.stat()
            yield f"{file} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
