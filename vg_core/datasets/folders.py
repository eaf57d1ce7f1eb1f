"""The photographs of a folder: which files they are, what lies beside them, and what their names say, as a table."""

import heapq
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from vg_core.datasets.exif import named
from vg_core.datasets.label_tables import COLUMNS, NUMBERS, kept, label_table
from vg_core.datasets.labels import HEIC, IMAGE_SUFFIXES, parse_name
from vg_core.datasets.path_lists import LIST, read_list
from vg_core.datasets.zones import in_planes
from vg_core.system.text import printable

PICTURES = (".heic", ".heif", ".avif", ".tif", ".tiff", ".bmp", ".gif", ".jfif", ".jpe", ".jp2", ".jxl", ".dng")
SUFFIX = re.compile(r"\.[a-z0-9]{1,9}")
SAID = 5  # kinds that a sentence names


@dataclass
class Listing:
    """Photographs below a folder, and what was left out there."""

    folder: str
    paths: list[str] = field(default_factory=list)  # sorted
    left_out: list[tuple[str, str]] = field(default_factory=list)  # (kind, name)

    def __str__(self) -> str:
        """In one line what was found, what was left out and why."""
        counts, examples = Counter(kind for kind, _ in self.left_out), dict(reversed(self.left_out))
        said = []
        for kind, count in counts.most_common(SAID):
            why = "convert them to JPEG" if kind in PICTURES else printable(examples[kind])
            said.append(f"{count} {kind}{'s' if count > 1 and kind[0] != '.' else ''} ({why})")
        if rest := sum(count for _, count in counts.most_common()[SAID:]):
            said.append(f"{rest} others")
        left_out = f"; left out: {', '.join(said)}" if said else ""
        return f"{printable(self.folder)}: {len(self.paths)} photographs{left_out}"


def image_files(folder) -> list[str]:
    """Sorted paths of the photographs below ``folder``; says in one line what is left out. Raises as `listed` does."""
    found = listed(folder)
    if found.left_out:
        print(found)
    return found.paths


def listed(folder, suffixes: tuple[str, ...] = IMAGE_SUFFIXES) -> Listing:
    """Listing of ``folder`` and all below it: links are followed, and no folder is read twice, so that loops end.

    Hidden files and folders are no photographs, nor are pipes, devices and links to nothing. Raises an OSError in a
    sentence about what cannot be listed, FileNotFoundError where there is no ``folder``.
    """
    found, seen = Listing(os.fspath(folder)), set()
    todo = [(False, found.folder)]
    try:
        while todo:
            place = heapq.heappop(todo)[1]  # links last: what they lead to may be met without them
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                found.left_out.append(("repeated folder", os.path.basename(place)))
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(place) as entries:
                for entry in entries:
                    kind = _kind(entry, suffixes)
                    if kind == "photograph":
                        found.paths.append(entry.path)
                    elif kind == "folder":
                        heapq.heappush(todo, (entry.is_symlink(), entry.path))
                    elif kind:
                        found.left_out.append((kind, entry.name))
    except FileNotFoundError:
        raise FileNotFoundError(f"{place}: no images there: there is no such folder; correct the path") from None
    except OSError as error:
        raise OSError(f"{error.filename or place} cannot be listed ({error.strerror}); mend or remove it") from error
    found.paths.sort()
    return found


def _kind(entry: os.DirEntry, suffixes: tuple[str, ...]) -> str:
    """ "photograph", "folder", or why it is left out; "" for hidden files that are no photographs anyway."""
    photo = entry.name.lower().endswith(suffixes)
    if entry.name.startswith("."):
        return "hidden folder" if entry.is_dir(follow_symlinks=False) else "hidden photograph" if photo else ""
    try:
        if entry.is_dir():
            return "folder"
        if not entry.is_file():
            return "pipe or device" if os.path.exists(entry.path) else "broken link"
    except OSError:  # it leads to itself, or behind a folder that is locked
        return "broken link"
    suffix = os.path.splitext(entry.name)[1].lower()
    return "photograph" if photo else suffix if SUFFIX.fullmatch(suffix) else "other file"


def read_folder(folder, exif: bool = False) -> pd.DataFrame:
    """The table of `read_names` as a set of its own: with degrees, and in one plane for each area (see `in_planes`)."""
    (table,), said = in_planes([read_names(folder, exif)])
    if said:
        print(f"{printable(folder)}: {said}")
    return table


def read_names(folder, exif: bool = False) -> pd.DataFrame:
    """A table of the photographs below ``folder`` with the columns of PlaceSet, a row per image, sorted by path.
    ``attrs["left_out"]`` counts what else lies there.

    They are those that a file ``<folder>_images_paths.txt`` lists, where there is one: it saves searching the folder.
    Where names hold no coordinates, positions of ``exif`` data stand in if asked for, and HEIC is a photograph, too.
    Says in a line each what is left out and which fields of names make no sense. Raises OSError for a folder that
    cannot be listed or lacks what the list names, and ValueError when it holds no image or a name has no coordinates.
    """
    file = Path(os.fspath(folder).rstrip(os.sep) + LIST)
    table = read_list(file, folder) if file.is_file() else _search(folder, exif)
    if table.attrs["doubts"]:
        print(f"{printable(folder)}: {table.attrs['doubts']}")
    return table


def _search(folder, exif: bool) -> pd.DataFrame:
    """The table of what lies below a folder; says what is left out."""
    found = listed(folder, (*IMAGE_SUFFIXES, *HEIC)) if exif else listed(folder)
    if not found.paths:
        raise ValueError(f"{found}: no image found ({' '.join(IMAGE_SUFFIXES)}, in any case)")
    if found.left_out:
        print(found)
    says = [*map(named, found.paths)] if exif else found.paths
    names = (os.fsencode(f"{path}\0") for path in says)
    table = kept(names, sum(map(len, says)), lambda: label_table(says))
    if exif:
        table["path"] = found.paths
    table.attrs["left_out"] = len(found.left_out)
    return table


def taken_at(photo, others: pd.DataFrame) -> pd.DataFrame:
    """Where the name of a photograph, or else its EXIF data, says it was taken: one row as of ``read_folder``, or none
    when neither does, or in another UTM zone than those of the ``others``, from which there are no metres.
    """
    try:
        label = parse_name(named(photo))
        row = pd.DataFrame({"path": [str(photo)]} | {name: [getattr(label, name)] for name in COLUMNS}, dtype=object)
        rows = others[["path", *COLUMNS]], row.astype(dict.fromkeys(NUMBERS, float))
        (there, row), _ = in_planes(rows)
    except ValueError:
        return others.head(0)
    same = others[(there.plane == row.plane[0]).to_numpy()] if "plane" in row else others
    if same.empty:
        return others.head(0)
    return row.assign(plane=same.plane.iloc[0]) if "plane" in others else row
