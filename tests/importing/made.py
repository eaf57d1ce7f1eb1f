"""Photographs as cameras make them, and the command that imports them."""

import io
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pillow_heif
from PIL import Image, TiffImagePlugin
from PIL.ExifTags import GPS, IFD, Base

from data_scripts import import_photos
from tests.conftest import write
from vg_core.system.paths import data_root

HOME = 45.05, 9.0  # degrees, of the first place
NORTH = 9e-6  # degrees of latitude, one metre


def degrees(value: float) -> tuple:
    """Degrees, minutes and seconds as fractions."""
    whole, minutes = int(value), int(value * 60 % 60)
    return tuple(
        TiffImagePlugin.IFDRational(*pair) for pair in ((whole, 1), (minutes, 1), (round(value * 3.6e6) % 60000, 1000))
    )


def exif(place: tuple | None = None, time: datetime | None = None, zone: str = "", turn: int = 1, **gps) -> Image.Exif:
    """EXIF data; ``gps`` replaces entries of the position, None removes them."""
    data = Image.Exif()
    data[Base.Orientation], data[Base.Make] = turn, "Maker of Cameras"
    if time:
        data.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = f"{time:%Y:%m:%d %H:%M:%S}"
    if zone:
        data.get_ifd(IFD.Exif)[Base.OffsetTimeOriginal] = zone
    entries = {}
    if place:
        halves = "NS"[place[0] < 0], "EW"[place[1] < 0]
        entries = {"GPSLatitudeRef": halves[0], "GPSLatitude": degrees(abs(place[0]))}
        entries |= {"GPSLongitudeRef": halves[1], "GPSLongitude": degrees(abs(place[1]))}
    for name, value in (entries | gps).items():
        if value is not None:
            data.get_ifd(IFD.GPSInfo)[GPS[name]] = value
    return data


def picture(seed: int, size=(64, 48)) -> Image.Image:
    """Noise that is the same for a seed, (width, height) pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def photograph(path: Path, seed: int = 0, data: Image.Exif | None = None, **options) -> Path:
    """A photograph in the format of its suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    options |= {"exif": data} if data else {}
    if path.suffix.lower() == ".heic":  # without telling Pillow of it, which is up to what is tested
        pillow_heif.from_pillow(picture(seed)).save(path, **({"exif": data.tobytes()} if data else {}))
    else:
        picture(seed).save(path, **options)
    return path


def walk(
    folder: Path, places: int = 40, days=(1, 2), metres: float = 10, suffix: str = ".jpg", zone: str = "", **gps
) -> list[Path]:
    """Photographs of a way to the north, one at each place on each day; without positions in names."""
    return [
        photograph(
            folder / f"day{day}" / f"IMG_{day}{n:03}{suffix}",
            1000 * day + n,
            exif((HOME[0] + n * metres * NORTH, HOME[1]), datetime(2025, 12, day, 12, n), zone, **gps),
        )
        for day in days
        for n in range(places)
    ]


def small_city(places: int = 120) -> Path:
    """The test split of toycity, where each place of a street is seen on two days."""
    split = data_root() / "toycity" / "images" / "test"
    for place in range(places):
        for day, role in enumerate(("database", "queries"), 1):
            view = {"heading": 3.0 * place, "timestamp": f"2025010{day}_{place // 60:02}{place % 60:02}00"}
            write(split / role, 402_000 + 5 * place + day, 5_000_000, 1000 * day + place, **view)
    return split


def run(monkeypatch, *words, name: str = "town") -> int:
    """Exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["import_photos.py", *map(str, words), "--name", name])
    return import_photos.main()


def report() -> pd.DataFrame:
    """A row for each photograph, by its file's name."""
    table = pd.read_csv(data_root() / "town" / "import_report.csv", keep_default_na=False)
    return table.set_index(table.photograph.str.rpartition("/")[2])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def as_bytes(image: Image.Image, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()
