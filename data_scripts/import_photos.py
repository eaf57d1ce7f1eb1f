"""Brings your own photographs into the field's layout, below ``VG_DATA`` (default ``data/``):

  python data_scripts/import_photos.py ~/Pictures/walk --name my_town

writes data/my_town/images/{train,val,test}/{database,queries}/@easting@northing@….jpg, a line for each photograph in
import_report.csv, and import_map.html. The position of a photograph is the first that there is of: a row of --csv, the
--gpx track at its time, a point of --points, its EXIF data, its @ name. Whole places go to train, val or test, with a
guard distance between them; the first days become database, the last ones queries. Rows of --csv may give a split
(train, val, test) and a role (database, queries) themselves. The same photographs give the same bytes.

Copies have no EXIF data but their orientation; their names hold the original's name, its time and its position. A JPEG
keeps its very pixels, other formats than PNG become JPEG. Faces and number plates stay as they are: this command does
not blur, so do it before you hand photographs on.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from vg_core.system import interrupts


def main() -> int:
    """Exit status of the command."""
    return interrupts.exit_status(copy)


def copy() -> None:
    """What the command does. What takes a second to import is imported here, where Ctrl-C is a sentence."""
    if __package__:
        from .importing.layout import import_photos
    else:  # run as a script: its own folder is on the path
        from importing.layout import import_photos
    import_photos(parser().parse_args())


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="folders of photographs, or single ones")
    p.add_argument("--name", required=True, help="of the data set")
    p.add_argument("--csv", type=Path, metavar="FILE", help="table: file, lat, lon[, heading, time, split, role]")
    p.add_argument("--gpx", type=Path, metavar="FILE", nargs="+", help="tracks with times")
    p.add_argument("--points", type=Path, metavar="FILE", nargs="+", default=[], help=".kml or .geojson, named by file")
    p.add_argument(
        "--gap",
        type=within(0, 1e6),
        default=60,
        metavar="SECONDS",
        help="seconds between track points to draw a line (default: 60)",
    )
    help_of_clock = "seconds to add to the camera's times (default: 0)"
    p.add_argument("--clock_offset", type=within(-1e9, 1e9), default=0, metavar="SECONDS", help=help_of_clock)
    help_of_utc = "hours east of Greenwich, such as 2 or -5, of cameras that name no time zone"
    p.add_argument("--utc_offset", type=within(-14, 14), metavar="HOURS", help=help_of_utc)
    help_of_guard = "metres between splits (default: 25, the distance within which a recall counts)"
    p.add_argument("--guard", type=within(0, 1e6), default=25, metavar="METRES", help=help_of_guard)
    p.add_argument(
        "--seed", type=within(0, 2**32, int), default=0, help="another number puts the splits elsewhere (default: 0)"
    )
    p.add_argument("--test_only", action="store_true", help="one split, test: nothing will be trained on it")
    p.add_argument("--keep_exif", action="store_true", help="leave EXIF data, with names and positions, in the copies")
    p.add_argument("--force", action="store_true", help="replace a data set of this name that was imported before")
    return p


def within(low: float, high: float, kind=float) -> Callable:
    """A function that makes a number between two others of a text."""

    def number(text: str):
        if not low <= (value := kind(text)) <= high:
            raise ValueError
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
