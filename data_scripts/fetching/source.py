"""Where a data set lies before it is ours: unpacked, in folders of other people's making."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vg_core.datasets.folders import listed
from vg_core.datasets.splits import SPLITS
from vg_core.system.text import printable

DEPTH = 4  # folders below the one given, in which the parts of a data set are looked for
DATABASES = ("database", "gallery")  # names of a database's folder


class Photo(NamedTuple):
    """A file to be taken over."""

    source: Path
    target: str  # path in the folder of the data set
    short_side: int = 0  # pixels that it is shrunk to; 0 leaves it as it is


class Source:
    """Folders in which a data set lies, unpacked, at whatever depth."""

    def __init__(self, roots: Sequence[Path]):
        self.roots = roots

    def folder(self, *names: str) -> Path:
        """The folder, as near to the top as possible, that holds a file or folder of one of these names."""
        level = list(self.roots)
        for _ in range(DEPTH):
            for folder in level:
                if any((folder / name).exists() for name in names):
                    return folder
            level = [Path(entry) for folder in level for entry in sorted(os.scandir(folder), key=_name) if _open(entry)]
        there = " and ".join(map(str, self.roots))
        raise FileNotFoundError(f"{' or '.join(map(printable, names))} is not in {there}; put all parts there")

    def below(self, name: str) -> Path:
        """The file or folder of that name."""
        return self.folder(name) / name

    def is_laid_out(self) -> bool:
        """True when it has the folders, and names of photographs, that are the aim."""
        places = [f"{above}{split}/{role}/@*" for above in ("", "*/", "*/*/") for split in SPLITS for role in DATABASES]
        return any(next(root.glob(place), None) for root in self.roots for place in places)

    def photographs(self) -> list[Path]:
        """Those of the first folder that has some."""
        return [*map(Path, next(filter(None, (listed(root).paths for root in self.roots)), []))]


def _name(entry: os.DirEntry) -> str:
    return entry.name


def _open(entry: os.DirEntry) -> bool:
    return entry.is_dir() and not entry.name.startswith(".")
