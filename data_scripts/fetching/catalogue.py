"""What there is to fetch, as ``catalogue.toml`` tells it: terms, addresses, and how many photographs to expect."""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vg_core.datasets.folders import listed
from vg_core.system.errors import ByName

from . import conversions
from .source import Photo, Source


@dataclass(frozen=True)
class Entry:
    """A data set, with all that is known about getting it; see the head of the file for the fields."""

    title: str
    terms: str
    files: tuple[tuple[str, ...], ...] = ()
    rsync: str = ""
    ask: str = ""
    form: str = ""
    convert: tuple[str, ...] = ("laid_out",)
    counts: Mapping[str, int] = field(default_factory=dict)
    source: str = ""

    @property
    def way(self) -> str:
        return "direct" if self.files else "rsync" if self.rsync else "by request"

    def photos(self, source: Source) -> Iterator[Photo]:
        """What is to be taken over from a source, which may have the form that is the aim already."""
        name, *arguments = ("laid_out",) if source.is_laid_out() else self.convert
        return getattr(conversions, name)(source, *arguments)

    def compared(self, folder: Path) -> tuple[list[str], list[str]]:
        """Lines about what a folder holds, and sentences about what differs from what is published."""
        lines, faults = [], []
        for place, expected in self.counts.items():
            there = next(filter(Path.exists, (folder / one for one in place.split("|"))), folder / place.split("|")[0])
            found, name = _count(there), there.relative_to(folder)
            lines.append(f"{name}: {found:,} of {expected:,}")
            if found != expected:
                faults.append(f"{there} holds {found:,}, published are {expected:,} ({self.source})")
        if not self.counts:
            lines.append(f"{_count(folder):,} photographs; no number is published to compare with")
        return lines, faults


def _count(place: Path) -> int:
    """Photographs below a folder, or files if there are none; lines of a file; 0 where nothing is."""
    if place.is_dir():
        return len(listed(place).paths) or sum(not name.startswith(".") for name in os.listdir(place))
    if not place.exists():
        return 0
    with place.open("rb") as file:
        return sum(bool(line.strip()) for line in file)


CATALOGUE: dict[str, Entry] = ByName(
    "data set",
    {
        name: Entry(**fields)
        for name, fields in tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")).items()
    },
)
