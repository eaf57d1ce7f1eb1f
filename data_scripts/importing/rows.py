"""What a row of a stranger's table, or a point of a map, says about a photograph."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from vg_core.datasets.exif import place_doubt
from vg_core.system.bounds import shortened

COLUMNS = {  # their usual names, without blanks and signs
    "file": "file filename filepath name image imagename photo photograph path img picture key sourcefile",
    "latitude": "lat latitude gpslat gpslatitude y",
    "longitude": "lon lng long longitude gpslon gpslng gpslongitude x",
    "heading": "heading bearing direction azimuth compass compassangle yaw gpsimgdirection",
    "time": "time timestamp datetime date capturedat taken takenat datetimeoriginal",
    "split": "split set",
    "role": "role",
}
KINDS = {name: kind for kind, names in COLUMNS.items() for name in names.split()}
NUMBER = re.compile(r"[+-]?\d{1,20}(\.\d{0,30})?", re.ASCII)
EPOCH = re.compile(r"(\d{10})(\d{3})?(\.\d+)?", re.ASCII)  # seconds or milliseconds since 1970
CHOICES = {
    "split": {name: name for name in ("train", "val", "test")},
    "role": {"database": "database", "db": "database", "queries": "queries", "query": "queries"},
}


@dataclass
class Row:
    """Where it stands, the texts that may name its photograph, what it says, and what of that makes no sense."""

    where: str  # "photos.csv line 5"
    texts: Sequence[str]
    latitude: float | None = None  # degrees, as longitude
    longitude: float | None = None
    heading: float | None = None
    time: datetime | None = None
    split: str = ""
    role: str = ""
    doubts: list[str] = field(default_factory=list)

    @property
    def doubt(self) -> str:
        return f"{self.where}: {', '.join(self.doubts)}" if self.doubts else ""


def kind_of(column: str) -> str:
    """One of COLUMNS, "" for any other."""
    return KINDS.get(re.sub(r"[\W_]", "", column.lower()), "")


def make_row(where: str, texts: Sequence[str], values: Mapping[str, str]) -> Row:
    """The row of a file's texts by their kinds."""
    row = Row(where, texts)
    values = {kind: text for kind, text in values.items() if text}
    numbers = {kind: _number(values[kind]) for kind in ("latitude", "longitude", "heading") if kind in values}
    row.doubts += [f"{kind} {shortened(values[kind])} is no number" for kind, n in numbers.items() if n is None]
    for kind, choices in CHOICES.items():
        if kind in values:
            setattr(row, kind, choices.get(values[kind].lower(), ""))
            row.doubts += (
                [] if getattr(row, kind) else [f"{kind} {shortened(values[kind])} is none of {', '.join(choices)}"]
            )
    if "time" in values:
        row.time = parse_time(values["time"])
        row.doubts += [] if row.time else [f"time {shortened(values['time'])} is not written as 2025-12-31 23:59:59"]
    if (heading := numbers.get("heading")) is not None:
        row.heading = heading % 360
    place = numbers.get("latitude"), numbers.get("longitude")
    if ("latitude" in values) != ("longitude" in values):
        row.doubts.append("of latitude and longitude one is missing")
    elif None not in place:
        doubt = place_doubt(*place)
        row.latitude, row.longitude = (None, None) if doubt else place
        row.doubts += [doubt] if doubt else []
    return row


def parse_time(text: str) -> datetime | None:
    """The time of a text as ISO 8601, EXIF or seconds since 1970 have it; None for any other, such as 1/2/2025."""
    with suppress(ValueError, OverflowError, OSError):
        if found := EPOCH.fullmatch(text):
            return datetime.fromtimestamp(float(found[1] + (found[3] or "")), UTC)
        text = re.sub(r"^(\d{4})[:/](\d\d)[:/](\d\d)(?=\D|$)", r"\1-\2-\3", text)
        return datetime.fromisoformat(re.sub(r"^(\d{8})_(\d{6})$", r"\1T\2", text))
    return None


def _number(text: str) -> float | None:
    """A number with a point or a comma, with or without a sign of degrees."""
    text = text.replace("\u2212", "-").rstrip("° ")
    text = text.replace(",", ".") if text.count(",") == 1 else text
    return float(text) if NUMBER.fullmatch(text) else None
