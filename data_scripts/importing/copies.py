"""Copies of photographs: upright, without EXIF data unless these are wanted, and a JPEG with the very pixels it had."""

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import utm
from PIL import Image
from PIL.ExifTags import Base

from vg_core.datasets.images import TURNS, UnreadableImage, decode, formats, orientation
from vg_core.datasets.labels import Label, format_name, parse_name

from .photographs import Photo

QUALITY = 95  # of JPEG made from other formats
CHECKED = 32  # pixels of a side, decoded of each photograph and of its copy
LONGEST = 60  # characters that a name takes over from the original's
SOI, EOI, SOS, COM = 0xD8, 0xD9, 0xDA, 0xFE
APPLICATION = range(0xE0, 0xF0)
COLOURS = {0xE0: b"JFIF", 0xE2: b"ICC_PROFILE", 0xEE: b"Adobe"}  # segments without which pixels look different
ALONE = {0x01, SOI, *range(0xD0, 0xD8)}  # markers without a length
NEXT = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)  # a marker after compressed pixels


def name_of(photo: Photo, zone: int) -> str:
    """The name of a photograph in the field's format, without its extension."""
    try:
        label = parse_name(photo.path)
    except ValueError:
        label = Label(0, 0, pano_id=re.sub(r"[^A-Za-z0-9._-]+", "_", Path(photo.name).stem))
    place = {axis: getattr(photo, axis) for axis in ("easting", "northing", "latitude", "longitude")}
    view = {"heading": None if photo.heading is None else round(photo.heading, 1)}
    view |= {} if photo.height is None else {"height": f"{photo.height:.0f}"}
    view |= {"timestamp": f"{photo.time:%Y%m%d_%H%M%S}"} if photo.time else {}
    view |= {"zone_number": zone, "zone_letter": utm.latitude_to_zone_letter(photo.latitude)}
    texts = {"pano_id": label.pano_id[:LONGEST], "note": label.note[:LONGEST], "prefix": "", "extension": ""}
    return format_name(replace(label, **place, **view, **texts))


def extension_of(path: str, keep_exif: bool) -> str:
    """Extension of the copy: JPEG, but for PNG, which loses nothing, and what stays as it is."""
    with open(path, "rb") as file:
        start = file.read(12)
    kept = {b"\x89PNG": ".png"} | ({b"RIFF": ".webp"} if keep_exif else {})
    return kept.get(start[:4], ".jpg")


def write_copy(photo: Photo, target: Path, keep_exif: bool) -> bool:
    """Write the copy; True when its pixels were encoded anew with a loss. UnreadableImage for what is no photograph."""
    pixels, content = decode(photo.path, about=CHECKED), Path(photo.path).read_bytes()
    jpeg = content.startswith(b"\xff\xd8\xff")
    if keep_exif and (jpeg or target.suffix != ".jpg"):
        target.write_bytes(content)
        return False
    if jpeg:
        target.write_bytes(bare_jpeg(content))
        if _shows(target, pixels):
            return False
    _encode(photo.path, target, keep_exif)
    return target.suffix == ".jpg"


def bare_jpeg(content: bytes) -> bytes:
    """The JPEG with the same compressed pixels and without EXIF, XMP, comments, further pictures and whatever follows
    its end, such as the film of a motion photograph; its orientation stays.
    """
    head, body = [content[:2]], []
    for marker, segment in _segments(content):
        if marker in APPLICATION and segment.startswith(COLOURS.get(marker, b"none"), 4):
            head.append(segment)
        elif marker not in APPLICATION and marker != COM:
            body.append(segment)
    with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
        turn = orientation(image)
    if turn in TURNS:
        exif = Image.Exif()
        exif[Base.Orientation] = turn
        head.append(b"\xff\xe1" + (len(exif.tobytes()) + 2).to_bytes(2, "big") + exif.tobytes())
    return b"".join([*head, *body, b"\xff\xd9"])


def _segments(content: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, bytes) of each segment up to the end of the first picture, compressed pixels with what precedes them."""
    at = 2
    while content[at : at + 1] == b"\xff" and at + 1 < len(content) and (marker := content[at + 1]) != EOI:
        if marker == 0xFF:  # filling
            at += 1
            continue
        end = at + 2 + (0 if marker in ALONE else int.from_bytes(content[at + 2 : at + 4], "big"))
        if marker == SOS:
            found = NEXT.search(content, end)
            end = found.start() if found else len(content)
        yield marker, content[at:end]
        at = end


def _shows(file: Path, pixels: np.ndarray) -> bool:
    """True when a file has these pixels, decoded small."""
    try:
        return np.array_equal(decode(file, about=CHECKED), pixels)
    except UnreadableImage:
        return False


def _encode(path: str, target: Path, keep_exif: bool) -> None:
    """Write upright RGB pixels anew, with the profile of their colours."""
    with Image.open(path, formats=formats(path)) as image:
        exif, profile = image.getexif(), image.info.get("icc_profile")
    exif.pop(Base.Orientation, None)
    more = {"exif": exif} if keep_exif else {}
    Image.fromarray(decode(path)).save(target, quality=QUALITY, icc_profile=profile, **more)
