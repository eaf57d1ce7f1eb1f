"""The photographs of the sources, and which of them a text in a stranger's file means."""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from vg_core.datasets.folders import listed
from vg_core.datasets.labels import HEIC, IMAGE_SUFFIXES
from vg_core.system.text import count, printable

SUFFIXES = (*IMAGE_SUFFIXES, *HEIC)


@dataclass
class Photo:
    """A photograph of the sources: what is known of it, and what becomes of it."""

    path: str
    name: str  # below the folder that all sources lie in
    latitude: float | None = None  # degrees, as longitude
    longitude: float | None = None
    position_from: str = ""
    easting: float | None = None  # metres, as northing
    northing: float | None = None
    heading: float | None = None  # degrees clockwise from north
    height: float | None = None  # metres
    time: datetime | None = None  # of the camera's clock, put right; without a zone where that is unknown
    remark: str = ""
    split: str = ""
    role: str = ""  # database or queries
    dropped: str = ""  # why: a kind, or "kind: details"
    copy: str = ""  # where it lies below the data set's folder


def gather(sources: Sequence[Path]) -> tuple[list[Photo], Counter]:
    """The photographs of folders and single files, in the order of their names, and what else lies there: kind ->
    count. FileNotFoundError for a source that does not exist, ValueError where there is no photograph.
    """
    paths, left_out = set(), Counter()
    for source in map(os.path.abspath, sources):
        if os.path.isfile(source):
            paths.add(source)
        else:
            found = listed(source, SUFFIXES)
            paths.update(found.paths)
            left_out.update(kind for kind, _ in found.left_out)
    if not paths:
        raise ValueError(f"no photograph ({' '.join(SUFFIXES)}) in {', '.join(map(printable, sources))}")
    root = os.path.commonpath([os.path.dirname(os.path.abspath(source)) for source in sources])
    photos = [Photo(path, Path(os.path.relpath(path, root)).as_posix()) for path in sorted(paths)]
    for photo in photos:
        photo.dropped = "" if os.access(photo.path, os.R_OK) else "unreadable: its permissions forbid it"
    return photos, left_out


class Index:
    """Finds the photograph that a text names: by as much of its path's end as both have, or by its name without suffix,
    for lists often name what a HEIC was converted to. Upper and lower case are the same.
    """

    def __init__(self, photos: Iterable[Photo]):
        self.found = defaultdict(list)
        for photo in photos:
            for key in _keys(photo.name):
                self.found[key].append(photo)

    def find(self, text: str) -> Photo | None:
        """The photograph, None when there is none; ValueError where several have that name."""
        photos = next(filter(None, map(self.found.get, _keys(text))), [])
        if len(photos) > 1:
            both = " and ".join(printable(photo.name) for photo in photos[:2])
            raise ValueError(f"it names {count(len(photos), 'photograph')}, such as {both}; write their folders, too")
        return photos[0] if photos else None


def _keys(text: str) -> list[str]:
    """'a/b.jpg', 'b.jpg' and '*b' of 'A\\B.jpg': the most precise first."""
    parts = text.strip().replace("\\", "/").lower().split("/")
    stem, suffix = os.path.splitext(parts[-1])
    stem = stem if suffix in SUFFIXES else parts[-1]
    return ["/".join(parts[start:]) for start in range(len(parts))] + [f"*{stem}"] * bool(stem)
