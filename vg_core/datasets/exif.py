"""Where and when a photograph was taken, as its EXIF data say; a stranger's: what makes no sense is unknown."""

import math
import warnings
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base

from vg_core.datasets.images import formats
from vg_core.datasets.labels import Label, format_name, parse_name, to_utm

LARGEST = 1 << 16  # bytes, as many as a JPEG holds; Pillow would copy whatever an entry of a larger one points at
TIMES = ((Base.DateTimeOriginal, Base.OffsetTimeOriginal), (Base.DateTimeDigitized, Base.OffsetTimeDigitized))


@dataclass(frozen=True)
class Taken:
    """What EXIF data say. Degrees of WGS 84, heading clockwise from north, metres above the sea, time of the camera."""

    latitude: float | None = None
    longitude: float | None = None
    heading: float | None = None
    magnetic: bool = False  # the heading is measured from magnetic north
    height: float | None = None
    time: datetime | None = None  # with its time zone where the camera gives one
    doubt: str = ""  # why there is no position though something is said about it


def read_taken(path) -> Taken:
    """What the EXIF data of a file say, nothing where it has none or cannot be read."""
    with warnings.catch_warnings(), suppress(Exception):  # on bytes of strangers decoders raise whatever they meet
        warnings.simplefilter("ignore")
        with Image.open(path, formats=formats(path)) as image:
            if (size := len(image.info.get("exif") or b"")) > LARGEST:
                return Taken(doubt=f"its EXIF data take {size / 1e6:.1f} MB and are not read")
            return _said(image.getexif())
    return Taken()


def named(path) -> str:
    """The path, or where its name holds no coordinates the name that the position of its EXIF data would give it.

    ValueError where there is neither.
    """
    try:
        parse_name(path)
        return str(path)
    except ValueError as error:
        taken = read_taken(path)
        if taken.latitude is None:
            raise ValueError(f"{error}; nor is there a position in its EXIF data") from None
        return format_name(Label(*to_utm(taken.latitude, taken.longitude), taken.latitude, taken.longitude))


def place_doubt(latitude: float, longitude: float) -> str:
    """Why degrees are no position of a photograph, "" where they may be one."""
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        return f"{latitude:g}, {longitude:g} are no degrees of latitude and longitude"
    if not -80 <= latitude <= 84:
        return f"latitude {latitude:g} lies outside of 80° S … 84° N, where UTM ends"
    return "position 0, 0: the receiver had no fix" if latitude == longitude == 0 else ""


def _said(exif: Image.Exif) -> Taken:
    gps, exposure = exif.get_ifd(IFD.GPSInfo), {}
    with suppress(Exception):  # a position is one without a time, too
        exposure = exif.get_ifd(IFD.Exif)
    heading, height = _number(gps.get(GPS.GPSImgDirection)), _number(gps.get(GPS.GPSAltitude))
    heading = heading % 360 if heading is not None and 0 <= heading <= 360 else None
    if height is not None and gps.get(GPS.GPSAltitudeRef) in (1, b"\x01"):
        height = -height
    magnetic = heading is not None and _text(gps.get(GPS.GPSImgDirectionRef)) == "M"
    view = heading, magnetic, height, _time(exposure) or _gps_time(gps)
    if GPS.GPSLatitude not in gps and GPS.GPSLongitude not in gps:
        return Taken(None, None, *view)
    latitude = _degrees(gps.get(GPS.GPSLatitude), _text(gps.get(GPS.GPSLatitudeRef)), "NS")
    longitude = _degrees(gps.get(GPS.GPSLongitude), _text(gps.get(GPS.GPSLongitudeRef)), "EW")
    if None in (latitude, longitude):
        return Taken(None, None, *view, "the position in its EXIF data lacks N or S, E or W, or is no number")
    doubt = place_doubt(latitude, longitude)
    return Taken(None, None, *view, doubt) if doubt else Taken(latitude, longitude, *view)


def _degrees(value, half: str, halves: str) -> float | None:
    """Signed degrees of degrees, minutes and seconds; None without the half of the globe, which nobody should guess."""
    parts = value if isinstance(value, tuple) else (value,)
    numbers = [_number(part) for part in parts[:3]]
    if None in numbers or half not in [*halves]:
        return None
    return sum(number / 60**place for place, number in enumerate(numbers)) * (1 if half == halves[0] else -1)


def _number(value) -> float | None:
    """A finite number; None for anything else, such as a fraction whose denominator is zero."""
    with suppress(TypeError, ValueError, ArithmeticError):
        return number if math.isfinite(number := float(value)) else None
    return None


def _text(value) -> str:
    """A text without the NULs and blanks that cameras fill it up with."""
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.replace("\0", "").strip()


def _time(exposure: dict) -> datetime | None:
    """When it was exposed, or digitized; not ``DateTime``, which is when it was edited last."""
    for time, zone in TIMES:
        text = _text(exposure.get(time))
        for words, form in ((text + _text(exposure.get(zone)), "%Y:%m:%d %H:%M:%S%z"), (text, "%Y:%m:%d %H:%M:%S")):
            with suppress(ValueError):
                return datetime.strptime(words, form)
    return None


def _gps_time(gps: dict) -> datetime | None:
    """The receiver's time."""
    with suppress(TypeError, ValueError, ArithmeticError):
        hours, minutes, seconds = map(float, gps.get(GPS.GPSTimeStamp))
        day = datetime.strptime(_text(gps.get(GPS.GPSDateStamp)), "%Y:%m:%d").replace(tzinfo=UTC)
        return day + timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return None
