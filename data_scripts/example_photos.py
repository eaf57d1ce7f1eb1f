"""Photographs as a telephone leaves them, to try import_photos.py on:

  python data_scripts/example_photos.py walk

fills the folder walk with IMG_0001.jpg and so on, which show the test district of the generated city on several days,
with positions, headings and times in their EXIF data. As in folders of real ones not all is well: positions scatter by
3 m, and of the later days one in 10 lies 60 to 120 m off; some photographs have no position, or 0, 0; some are HEIC,
some are there twice, and the last one is cut.
"""

import argparse
import io
import shutil
import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pillow_heif
import utm
from PIL import Image, TiffImagePlugin
from PIL.ExifTags import GPS, IFD, Base

from vg_core.datasets.labels import Label, parse_name
from vg_core.datasets.splits import find_split
from vg_core.system import interrupts
from vg_core.system.files import not_written, unfinished
from vg_core.system.text import printable

SCATTER = 3.0  # metres, standard deviation of each axis
WRONG, FAR = 1 / 10, (60, 120)  # share of positions of the later days, and metres that they are off
EVERY = {"no position": (50, 7), "0, 0": (100, 20), "HEIC": (50, 30), "twice": (100, 60)}  # so many, from which one on


def main() -> int:
    """Exit status of the command."""
    return interrupts.exit_status(take)


def take() -> None:
    """What the command does."""
    folder = parser().parse_args().folder
    if folder.exists():
        raise FileExistsError(f"{folder} is there already; name another folder")
    count = fill(folder)
    print(f"{printable(folder)}: {count:,} photographs of the generated city, with EXIF data")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", type=Path, metavar="FOLDER", help="where they shall lie; it must not be there yet")
    return p


def fill(folder: Path, city: str = "toycity") -> int:
    """Write the photographs, all at once; their number."""
    split, scratch = find_split(city, "test"), unfinished(folder)
    labelled = [(parse_name(file), file) for role in ("database", "queries") for file in (split / role).iterdir()]
    labelled.sort(key=lambda pair: (pair[0].timestamp, pair[1].name))
    rng, first_day = np.random.default_rng(0), labelled[0][0].timestamp[:8]
    try:
        scratch.mkdir(parents=True)
        for number, (label, file) in enumerate(labelled, 1):
            turn, off = rng.uniform(0, 2 * np.pi), rng.uniform(*FAR)
            wrong = rng.random() < WRONG and not label.timestamp.startswith(first_day)
            move = rng.normal(0, SCATTER, 2) + wrong * off * np.array([np.cos(turn), np.sin(turn)])
            kinds = {kind for kind, (every, start) in EVERY.items() if number % every == start}
            whole = _write(scratch / f"IMG_{number:04}.jpg", file.read_bytes(), exif_of(label, move, kinds), kinds)
        (scratch / f"IMG_{number + 1:04}.jpg").write_bytes(whole[: len(whole) // 2])
        scratch.rename(folder)
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return len(list(folder.iterdir()))


def exif_of(label: Label, move: np.ndarray, kinds: set[str]) -> bytes:
    """EXIF data of a photograph whose position is off by so many metres (2,)."""
    exif, taken = Image.Exif(), datetime.strptime(label.timestamp, "%Y%m%d_%H%M%S")
    exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = f"{taken:%Y:%m:%d %H:%M:%S}"
    if "no position" not in kinds:
        place = np.array([label.easting, label.northing]) + move
        degrees = utm.to_latlon(*place, label.zone_number, label.zone_letter) if "0, 0" not in kinds else (0, 0)
        (south, north), (west, east) = ((bool(d < 0), _sexagesimal(abs(float(d)))) for d in degrees)
        gps = {"GPSLatitudeRef": "NS"[south], "GPSLatitude": north, "GPSImgDirectionRef": "T"}
        gps |= {"GPSLongitudeRef": "EW"[west], "GPSLongitude": east}
        gps |= {"GPSImgDirection": TiffImagePlugin.IFDRational(round(10 * label.heading), 10)}
        exif.get_ifd(IFD.GPSInfo).update({GPS[name]: value for name, value in gps.items()})
    return exif.tobytes()


def _sexagesimal(degrees: float) -> tuple:
    """Degrees, minutes and seconds as fractions."""
    parts = (degrees // 1, 1), (degrees * 60 % 60 // 1, 1), (round(degrees * 3.6e7) % 600_000, 10_000)
    return tuple(TiffImagePlugin.IFDRational(*map(int, part)) for part in parts)


def _write(path: Path, jpeg: bytes, exif: bytes, kinds: set[str]) -> bytes:
    """Write the photograph with EXIF data; as a JPEG, with the very pixels it had, it comes back."""
    content = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    if "HEIC" in kinds:
        with Image.open(io.BytesIO(jpeg)) as image:
            pillow_heif.from_pillow(image).save(path.with_suffix(".heic"), exif=exif)
        return content
    for file in [path, path.with_stem(f"{path.stem} (1)")][: 1 + ("twice" in kinds)]:
        file.write_bytes(content)
    return content


if __name__ == "__main__":
    sys.exit(main())
