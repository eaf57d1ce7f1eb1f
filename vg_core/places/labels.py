"""File names that say where a photograph was taken: the ``@`` format of the field, and UTM coordinates.

A name is ``@easting@northing@zone_number@zone_letter@latitude@longitude@pano_id@tile@heading@pitch@roll@height``
``@timestamp@note@.jpg``. Only easting and northing are mandatory.
Source: dataset format of the Turin group (VPR-datasets-downloader).
"""

import math
from dataclasses import dataclass
from pathlib import PurePath

import utm

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
ZONE_LETTERS = "CDEFGHJKLMNPQRSTUVWX"


@dataclass(frozen=True)
class Label:
    """What a file name says. Lengths in metres, angles in degrees, heading clockwise from north in [0, 360]."""

    easting: float
    northing: float
    zone_number: int | None = None
    zone_letter: str = ""
    latitude: float | None = None
    longitude: float | None = None
    pano_id: str = ""
    tile: str = ""
    heading: float | None = None
    pitch: str = ""
    roll: str = ""
    height: str = ""
    timestamp: str = ""
    note: str = ""
    extension: str = ".jpg"
    prefix: str = ""  # text before the first "@", as in "night@…"


def parse_name(path) -> Label:
    """Label of a photograph from its base name; folders may contain ``@``.

    Raises ValueError, naming the file, when coordinates are missing, not numbers, or outside the UTM range.
    """
    name = PurePath(path).name
    stem, extension = _split_extension(name)
    prefix, *fields = stem.split("@")
    if len(fields) < 2:
        raise ValueError(f"{path}: no coordinates in the name; expected '@easting@northing@….jpg'")
    fields += [""] * (14 - len(fields))
    label = Label(
        easting=_number(fields[0], "easting", path),
        northing=_number(fields[1], "northing", path),
        zone_number=_zone_number(fields[2], path),
        zone_letter=fields[3],
        latitude=_optional(fields[4], "latitude", path),
        longitude=_optional(fields[5], "longitude", path),
        pano_id=fields[6],
        tile=fields[7],
        heading=_optional(fields[8], "heading", path),
        pitch=fields[9],
        roll=fields[10],
        height=fields[11],
        timestamp=fields[12],
        note="@".join(fields[13:]).removesuffix("@"),
        extension=extension,
        prefix=prefix,
    )
    _check_range(label, path)
    return label


def format_name(label: Label) -> str:
    """File name of a label, in the field's widths: 7 + 2 digits of metres, signed zero-padded degrees."""
    fields = [
        label.prefix,
        f"{label.easting:010.2f}",
        f"{label.northing:010.2f}",
        "" if label.zone_number is None else f"{label.zone_number:02d}",
        label.zone_letter,
        "" if label.latitude is None else f"{label.latitude:0{9 + (label.latitude < 0)}.5f}",
        "" if label.longitude is None else f"{label.longitude:0{9 + (label.longitude < 0)}.5f}",
        label.pano_id,
        label.tile,
        "" if label.heading is None else f"{label.heading:g}",
        label.pitch,
        label.roll,
        label.height,
        label.timestamp,
        label.note,
        label.extension,
    ]
    return "@".join(fields)


def to_utm(lat: float, lon: float) -> tuple[float, float, int, str]:
    """(easting in metres, northing in metres, zone number, zone letter) of a WGS 84 position in degrees."""
    easting, northing, number, letter = utm.from_latlon(lat, lon)
    return float(easting), float(northing), int(number), str(letter)


def _split_extension(name: str) -> tuple[str, str]:
    """('stem', '.jpg'); a dot inside a coordinate is not an extension."""
    for suffix in IMAGE_SUFFIXES:
        if name.lower().endswith(suffix):
            return name[: -len(suffix)], name[-len(suffix) :]
    return name, ""


def _number(text: str, what: str, path) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{path}: {what} '{text}' is not a number") from None
    if not math.isfinite(value):
        raise ValueError(f"{path}: {what} '{text}' is not a finite number")
    return value


def _optional(text: str, what: str, path) -> float | None:
    return _number(text, what, path) if text else None


def _zone_number(text: str, path) -> int | None:
    if text and not text.isdecimal():
        raise ValueError(f"{path}: UTM zone number '{text}' is not a whole number")
    return int(text) if text else None


def _check_range(label: Label, path) -> None:
    """A value outside what UTM and degrees allow is most often a swapped field."""
    limits = [
        ("easting", label.easting, 100_000, 1_000_000),
        ("northing", label.northing, 0, 10_000_000),
        ("UTM zone number", label.zone_number, 1, 60),
        ("latitude", label.latitude, -90, 90),
        ("longitude", label.longitude, -180, 180),
        ("heading", label.heading, 0, 360),
    ]
    for what, value, low, high in limits:
        if value is not None and not low <= value <= high:
            raise ValueError(f"{path}: {what} {value:g} is outside {low}…{high}")
    if label.zone_letter and (len(label.zone_letter) != 1 or label.zone_letter.upper() not in ZONE_LETTERS):
        raise ValueError(f"{path}: UTM zone letter '{label.zone_letter}' is not one of {ZONE_LETTERS}")
