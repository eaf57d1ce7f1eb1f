"""File names that say where a photograph was taken: the ``@`` format of the field, and UTM coordinates.

A name is ``@easting@northing@zone_number@zone_letter@latitude@longitude@pano_id@tile@heading@pitch@roll@height``
``@timestamp@note@.jpg``. Only easting and northing are mandatory.
Source: dataset format of the Turin group (VPR-datasets-downloader).
"""

import os
import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import utm

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
HEIC = (".heic", ".heif")  # of phones; read where someone brings their own photographs
ZONE_LETTERS = "CDEFGHJKLMNPQRSTUVWX"  # bands of latitude from south to north; N begins at the equator
BAND_EDGES = (*range(-80, 80, 8), 84)  # degrees
BAND_SLACK = 50_000  # metres: parallels bend away from the equator towards the sides of a zone
EASTING, NORTHING = (100_000, 1_000_000), (0, 10_000_000)  # metres
MADE_UP = 1e9  # at most, in units of coordinates that are no UTM, such as frames; distances stay exact
NOWHERE = "UTM has no such position"
NUMBER = re.compile(r"[+-]?(\d{1,20}(\.\d{0,20})?(e[+-]?\d{1,3})?)", re.ASCII | re.IGNORECASE)
ZONE = re.compile(r"(\d{1,3})(\.0*)?", re.ASCII)  # 17.0 is what a table with gaps makes of 17


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
    doubts: tuple[tuple[str, str], ...] = ()  # (field, its text) of what makes no sense, and is taken as unknown


def parse_name(path, made_up: bool = False) -> Label:
    """Label of a photograph from its base name; folders may contain ``@``.

    Raises ValueError, naming the file, when easting or northing are missing, not numbers, or where UTM has no place; if
    they are to be ``made_up``, as numbers of frames are, when they may be meant as a place.
    Of the other fields, what makes no sense is unknown, and listed in ``doubts``.
    """
    stem, extension = _split_extension(os.path.basename(path))
    prefix, *fields = stem.split("@")
    if len(fields) < 2:
        raise ValueError(f"{path}: no coordinates in the name; expected '@easting@northing@….jpg'")
    fields += [""] * (14 - len(fields))
    easting, northing = _metres(fields, path, made_up)
    doubts: list[tuple[str, str]] = []
    latitude, longitude = _angle(fields[4], "latitude", 90, doubts), _angle(fields[5], "longitude", 180, doubts)
    heading = _angle(fields[8], "heading", 720, doubts)
    heading = heading % 360 if heading not in (None, 360) else heading
    letter = _zone_letter(fields[3], northing, latitude, doubts, path)
    if letter and latitude is not None and not BANDS[letter.upper()][2] <= latitude <= BANDS[letter.upper()][3]:
        doubts.append(("latitude", f"{fields[4]} in zone letter {letter}"))
        latitude = longitude = None
    number, note = _zone_number(fields[2], doubts), "@".join(fields[13:]).removesuffix("@")
    place, view = (easting, northing, number, letter, latitude, longitude), (*fields[6:8], heading, *fields[9:13], note)
    return Label(*place, *view, extension, prefix, tuple(doubts))


def format_name(label: Label) -> str:
    """File name of a label, in the field's widths: 7 + 2 digits of metres, signed zero-padded degrees."""
    metres = [f"{label.easting:010.2f}", f"{label.northing:010.2f}"]
    zone = ["" if label.zone_number is None else f"{label.zone_number:02d}", label.zone_letter]
    angles = label.latitude, label.longitude
    degrees = ["" if angle is None else f"{angle:0{9 + (angle < 0)}.5f}" for angle in angles]
    view = [label.pano_id, label.tile, "" if label.heading is None else f"{label.heading:g}", label.pitch, label.roll]
    rest = [label.height, label.timestamp, label.note, label.extension]
    return "@".join([label.prefix, *metres, *zone, *degrees, *view, *rest])


def to_utm(lat: float, lon: float) -> tuple[float, float, int, str]:
    """(easting in metres, northing in metres, zone number, zone letter) of a WGS 84 position in degrees."""
    easting, northing, number, letter = utm.from_latlon(lat, lon)
    return float(easting), float(northing), int(number), str(letter)


def _split_extension(name: str) -> tuple[str, str]:
    """('stem', '.jpg'); a dot inside a coordinate is not an extension."""
    stem, suffix = os.path.splitext(name)
    return (stem, suffix) if suffix.lower() in IMAGE_SUFFIXES else (name, "")


def _metres(fields: list[str], path, made_up: bool) -> tuple[float, float]:
    """(easting, northing), or ValueError that says what they most likely are instead."""
    for what, text in zip(("easting", "northing"), fields, strict=False):
        if not NUMBER.fullmatch(text):
            raise ValueError(f"{path}: {what} '{text}' is not a number")
    easting, northing = map(float, fields[:2])
    if made_up:
        possible = EASTING[0] <= easting <= EASTING[1] and NORTHING[0] <= northing <= NORTHING[1]
        countable = max(abs(easting), abs(northing)) <= MADE_UP
        if possible or not countable or any(fields[2:6]) or _likely(easting, northing) != NOWHERE:
            raise ValueError(f"{path}: its coordinates look like a place, those of other photographs are made up")
        return easting, northing
    for what, value, (low, high) in (("easting", easting, EASTING), ("northing", northing, NORTHING)):
        if not low <= value <= high:
            raise ValueError(f"{path}: {what} {value:g} is outside {low}…{high} metres: {_likely(easting, northing)}")
    return easting, northing


def _likely(easting: float, northing: float) -> str:
    if 0 < min(abs(easting), abs(northing)) <= 90 and max(abs(easting), abs(northing)) <= 180:
        return "these look like degrees, turn them into UTM coordinates"
    swapped = EASTING[0] <= northing <= EASTING[1] and NORTHING[0] <= easting <= NORTHING[1]
    return "easting and northing look swapped" if swapped else NOWHERE


def _angle(text: str, what: str, limit: float, doubts: list[tuple[str, str]]) -> float | None:
    """Degrees, or None, in doubt where something else than nothing stands."""
    if NUMBER.fullmatch(text) and abs(value := float(text)) <= limit:
        return value
    doubts += [(what, text)] if text else []
    return None


def _zone_number(text: str, doubts: list[tuple[str, str]]) -> int | None:
    if (found := ZONE.fullmatch(text)) and 1 <= (number := int(found[1])) <= 60:
        return number
    doubts += [("zone number", text)] if text else []
    return None


def _zone_letter(text: str, northing: float, latitude: float | None, doubts: list[tuple[str, str]], path) -> str:
    """The letter of the band that a northing lies in; ValueError when it lies elsewhere."""
    letter = text.upper()
    if letter not in BANDS:
        doubts += [("zone letter", text)] if text else []
        return ""
    low, high, south, north = BANDS[letter]
    fits = low <= northing <= high
    if letter == "S" and (not fits or (latitude or 0) < 0):
        doubts.append(("zone letter", "S: a band of latitude, 32…40° north, not the south"))
        return ""
    if not fits:
        raise ValueError(
            f"{path}: northing {northing:g} is outside {max(low, 0):.0f}…{high:.0f} metres, where zone letter {text} "
            f"({south}…{north}° of latitude) lies: one of them is wrong"
        )
    return text


def _bands() -> dict[str, tuple[float, float, float, float]]:
    """Least and largest northing (metres) and latitude (degrees) of each zone letter, with some room at the edges.

    N is often meant as north: it goes with all northings of that half.
    """
    edges = np.array(BAND_EDGES, dtype=float)
    reach = np.sign(edges) * utm.from_latlon(abs(edges), np.full(len(edges), -177.0))[1]  # metres from the equator
    bands = {}
    for letter, metres, (south, north) in zip(ZONE_LETTERS, pairwise(reach), pairwise(BAND_EDGES), strict=True):
        low, high = metres + np.array([-BAND_SLACK, BAND_SLACK]) + (NORTHING[1] if letter < "N" else 0)
        bands[letter] = (float(low), float(high), south - 1, north + 1)
    bands["N"] = (bands["N"][0], bands["X"][1], bands["N"][2], bands["X"][3])
    return bands


BANDS = _bands()
