"""The photographs of a folder: which files they are, what lies beside them, and what their names say, as a table."""

import heapq
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import utm

from vg_core.datasets.label_tables import COLUMNS, NUMBERS, kept, label_table
from vg_core.datasets.labels import IMAGE_SUFFIXES, parse_name
from vg_core.datasets.path_lists import LIST, read_list
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


def listed(folder) -> Listing:
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
                    kind = _kind(entry)
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


def _kind(entry: os.DirEntry) -> str:
    """ "photograph", "folder", or why it is left out; "" for hidden files that are no photographs anyway."""
    photo = entry.name.lower().endswith(IMAGE_SUFFIXES)
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


def read_folder(folder) -> pd.DataFrame:
    """A table of the photographs below ``folder`` with the columns of PlaceSet, a row per image, sorted by path.
    ``attrs["left_out"]`` counts what else lies there.

    They are those that a file ``<folder>_images_paths.txt`` lists, where there is one: it saves searching the folder.
    Says in a line each what is left out and which fields of names make no sense. Raises OSError for a folder that
    cannot be listed or lacks what the list names, and ValueError when it holds no image or a name has no coordinates.
    """
    file = Path(os.fspath(folder).rstrip(os.sep) + LIST)
    table = read_list(file, folder) if file.is_file() else _search(folder)
    if table.attrs["doubts"]:
        print(f"{printable(folder)}: {table.attrs['doubts']}")
    return with_degrees(table, one_zone(table))


def _search(folder) -> pd.DataFrame:
    """The table of what lies below a folder; says what is left out."""
    found = listed(folder)
    if not found.paths:
        raise ValueError(f"{found}: no image found ({' '.join(IMAGE_SUFFIXES)}, in any case)")
    if found.left_out:
        print(found)
    names = (os.fsencode(f"{path}\0") for path in found.paths)
    table = kept(names, sum(map(len, found.paths)), lambda: label_table(found.paths))
    table.attrs["left_out"] = len(found.left_out)
    return table


def taken_at(photo, others: pd.DataFrame) -> pd.DataFrame:
    """Where the name of a photograph says it was taken: one row as of ``read_folder``, or none when the name does not
    say, or names another UTM zone than those of the ``others``, from which there are no metres.
    """
    try:
        label = parse_name(photo)
        row = pd.DataFrame({"path": [str(photo)]} | {name: [getattr(label, name)] for name in COLUMNS}, dtype=object)
        half = one_zone(pd.concat([others[COLUMNS], row]))
    except ValueError:
        return others.head(0)
    return with_degrees(row.astype(dict.fromkeys(NUMBERS, float)), half)


def one_zone(table: pd.DataFrame) -> str:
    """ "north" or "south", the half of the globe that the grid of all rows lies in; "" where no name has a letter.

    Distances are planar, so eastings of two UTM grids must never meet: ValueError. Letters are bands of one grid, N and
    beyond north of the equator; a name without a letter goes with those that have one.
    """
    letters = table.zone_letter.unique()
    half_of = {letter: letter and ("north" if letter.upper() >= "N" else "south") for letter in letters}
    halves, numbers = {*half_of.values()} - {""}, table.zone_number
    if numbers.nunique() + numbers.isna().any() > 1 or len(halves) > 1:
        grids, zones = Counter(), table.groupby(["zone_number", "zone_letter"], dropna=False, sort=False)
        for (number, letter), count in zones.size().items():
            grids["no zone" if pd.isna(number) else str(int(number)), half_of[letter]] += count
        counts = ", ".join(f"{' '.join(grid).strip()} ({n} images)" for grid, n in grids.most_common())
        raise ValueError(f"mixed UTM zones: {counts}. Distances in metres need one zone: split the set by zone.")
    return max(halves, default="")


def with_degrees(table: pd.DataFrame, half: str) -> pd.DataFrame:
    """Fill latitude and longitude (degrees) from UTM where names give a zone but not both, on this ``half``."""
    rows = table.index[(table.latitude.isna() | table.longitude.isna()) & table.zone_number.notna()]
    if half and len(rows):
        metres, number = (table[axis][rows].to_numpy() for axis in ("easting", "northing")), table.zone_number[rows[0]]
        degrees = utm.to_latlon(*metres, int(number), northern=half == "north", strict=False)
        table.loc[rows, "latitude"], table.loc[rows, "longitude"] = degrees
    return table
