"""The photographs below a folder, and what lies beside them: nothing is left out without a word."""

import heapq
import os
import re
from collections import Counter
from dataclasses import dataclass, field

from vg_core.datasets.labels import IMAGE_SUFFIXES
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
