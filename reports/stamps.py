"""Has anything changed that the results of a notebook follow from, since it was executed?

Its stamp lies in the metadata of the executed copy. It is a digest of the notebook, its parameters, the package, the
tables in reports/ and benchmarks/, the installed libraries, the photographs (names, sizes, times), the results that
notebooks before it exported, and of what it exported itself.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from importlib.metadata import distributions
from pathlib import Path

from vg_core import paths
from vg_core.files import replacing

KEY = "vg_core_stamp"


def unchanged(notebook: Path, parameters: dict, copy: Path) -> bool:
    """Is the executed copy still what an execution would give?"""
    try:
        found = json.loads(copy.read_text())["metadata"].get(KEY)
    except (OSError, ValueError, KeyError):
        return False
    return found == stamp(notebook, parameters)


def mark(notebook: Path, parameters: dict, copy: Path) -> None:
    """Stamp an executed copy."""
    content = json.loads(copy.read_text())
    content["metadata"][KEY] = stamp(notebook, parameters)
    with replacing(copy) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False))


def stamp(notebook: Path, parameters: dict) -> str:
    """Hexadecimal digest of all that is named above."""
    assets = paths.assets_folder(parameters.get("profile", "smoke"))
    earlier = [file for file in sorted(assets.glob("*/numbers.json")) if file.parent.name < notebook.stem]
    tables = [*sorted(paths.REPORTS.glob("*.csv")), *sorted((paths.ROOT / "benchmarks").glob("*.csv"))]
    code = sorted((paths.ROOT / "vg_core").rglob("*.py"))
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for file in [notebook, *code, *tables, *earlier]:
        digest.update(f"{file.name}\n".encode() + file.read_bytes())
    libraries = {f"{one.name} {one.version}" for one in distributions()}
    read = [paths.data_root(), *map(Path, _paths_in(parameters)), assets / notebook.stem]
    for line in [*sorted(libraries), *(line for place in read for line in _listing(place))]:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _paths_in(value: object) -> Iterator[str]:
    """Texts somewhere in a parameter that are absolute paths, such as of a dataset or of weights."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _paths_in(inner)
    elif isinstance(value, str) and os.path.isabs(value):
        yield value


def _listing(place: Path) -> Iterable[str]:
    """A line for each file at or below a path: name, size, time of its last change."""
    if place.is_file():
        return [_line(place)]
    folders = os.walk(place, followlinks=True)
    return sorted(_line(Path(folder, name)) for folder, _, names in folders for name in names)


def _line(file: Path) -> str:
    found = file.stat()
    return f"{file} {found.st_size} {found.st_mtime_ns}"
