"""Photographs of a user as a data set in the field's layout, written beside its place and moved there when complete."""

import re
import shutil
from argparse import Namespace
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vg_core.datasets.images import UnreadableImage
from vg_core.datasets.splits import GENERATED, SPLITS
from vg_core.system import own_files
from vg_core.system.files import not_written, remove_leftovers, unfinished
from vg_core.system.paths import data_root
from vg_core.system.progress_bar import bar

from .areas import cut, divide, to_one_zone
from .copies import QUALITY, extension_of, name_of, write_copy
from .photographs import Photo, gather
from .positions import MAGNETIC, Clock, place
from .reports import MAP, ROLES, TABLE, write_reports
from .tables import read_csv, read_points
from .tracks import Track

THREADS = 4
COSTLY = 0.1  # of the photographs: a guard that costs more is too wide for the area


def import_photos(options: Namespace) -> None:
    """Write the data set. ValueError and OSError in sentences; what was there is then still whole."""
    target = _target(options.name, options.force)
    table = read_csv(options.csv) if options.csv else []
    track = Track(options.gpx, options.gap) if options.gpx else None
    points = [row for file in options.points for row in read_points(file)]
    photos, left_out = gather(options.sources)
    inside = [photo.name for photo in photos if Path(photo.path).resolve().is_relative_to(target.resolve())]
    if target.exists() and inside:
        raise ValueError(f"{inside[0]} lies in {target}, which --force replaces; choose another --name")
    lost = place(photos, table, track, points, Clock(options.clock_offset, options.utc_offset))
    remarks = [f"left out, {kind}: {number:,}" for kind, number in left_out.most_common()]
    doubts = sum(photo.remark not in ("", MAGNETIC) for photo in photos)
    said = f"rows that make no sense in part: {doubts:,}; that name no photograph, or several: {len(lost):,}"
    remarks += [said] * bool(doubts or lost)
    if not (placed := _alive(photos)):
        why = Counter(photo.dropped for photo in photos).most_common(1)[0]
        raise ValueError(f"no photograph has a position ({why[0]}: {why[1]:,}); --csv, --gpx or --points give one")
    zone, given = to_one_zone(placed), any(photo.split for photo in placed)
    if not given:
        _drop_copies(_alive(placed))
    remarks += _assign(_alive(placed), given, options)
    scratch = unfinished(target)
    try:
        remarks += _copy(_alive(placed), zone, scratch / options.name, options.keep_exif)
        said = write_reports(scratch / options.name, photos, lost, remarks)
        if target.exists():
            target.rename(scratch / "old")
        (scratch / options.name).rename(target)
    except OSError as error:
        raise not_written(target, error) from error
    finally:
        if (scratch / "old").exists() and not target.exists():  # stopped between the two
            (scratch / "old").rename(target)
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{said}{target}: look at {MAP} and {TABLE} there")


def _alive(photos: Sequence[Photo]) -> list[Photo]:
    return [photo for photo in photos if not photo.dropped]


def _target(name: str, force: bool) -> Path:
    """Where the data set will lie; ValueError for a name that is none, FileExistsError where something lies already."""
    if not re.fullmatch(r"\w[\w.-]{0,99}", name) or name in GENERATED:
        raise ValueError(f"--name {name!r} must be letters, digits, _, - and ., and no generated city; choose another")
    target = data_root() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    if target.exists() and not force:
        raise FileExistsError(f"{target} is there already; --force replaces it, or choose another --name")
    if target.exists() and not (target / TABLE).is_file():
        raise FileExistsError(f"{target} was not made by import_photos.py; move it away, or choose another --name")
    return target


def _drop_copies(photos: Sequence[Photo]) -> None:
    """Of photographs with the same bytes all but the first are dropped: they would be in database and queries."""
    first: dict[str, Photo] = {}
    for photo in bar(photos, desc="looking for copies", unit="image"):
        if (found := first.setdefault(own_files.digest(photo.path), photo)) is not photo:
            photo.dropped = f"copy: the same bytes as {found.name}"


def _assign(photos: Sequence[Photo], given: bool, options: Namespace) -> list[str]:
    """Give each photograph its split and its role, or drop it; sentences about how. ValueError where one has none."""
    remarks, splits = [], ["test"] if options.test_only else [*SPLITS]
    if given:
        for photo in photos:
            photo.dropped = "" if photo.split else "no split: the table gives one to others"
        splits = {photo.split: 0 for photo in _alive(photos)}
        remarks.append("splits as the table says, without a guard distance between them")
    elif options.test_only:
        for photo in photos:
            photo.split = "test"
    else:
        metres = np.array([(photo.easting, photo.northing) for photo in photos])
        for photo, split in zip(photos, cut(metres, options.guard, options.seed), strict=True):
            photo.split = str(split)
            photo.dropped = "" if split else f"guard: within {options.guard / 2:g} m of a border between splits"
        lost = len(photos) - len(_alive(photos))
        remarks.append(f"the guard of {options.guard:g} m between splits costs {lost / len(photos):.0%} of all")
        if lost > COSTLY * len(photos):
            remarks.append("that is much: --test_only needs none; with a shorter --guard splits see the same walls")
    for split in splits:
        if own := [photo for photo in _alive(photos) if photo.split == split]:
            remarks.append(f"{split}: {divide(own, options.seed)}")
    _check(photos, splits)
    magnetic = sum(MAGNETIC in photo.remark for photo in _alive(photos))
    return remarks + [f"headings from magnetic north, as such some degrees off: {magnetic:,}"] * bool(magnetic)


def _check(photos: Sequence[Photo], splits: Sequence[str]) -> None:
    """ValueError where a split lacks database or queries."""
    kept = {(photo.split, photo.role) for photo in _alive(photos)}
    for split in splits:
        for role in ROLES:
            if (split, role) not in kept:
                why = Counter(photo.dropped.partition(":")[0] for photo in photos if photo.dropped).most_common()
                said = ", ".join(f"{number:,} dropped: {kind}" for kind, number in why) or "too few in the area"
                advice = "try --test_only, another --seed or a shorter --guard"
                raise ValueError(f"no photograph is left for {split} {role} ({said}); {advice}")


def _copy(photos: Sequence[Photo], zone: int, folder: Path, keep_exif: bool) -> list[str]:
    """Write the copies below ``folder``, drop what cannot be decoded; sentences about it."""
    names: set[str] = set()
    for photo in photos:
        fields, tile = name_of(photo, zone).split("@"), 0
        extension = extension_of(photo.path, keep_exif)
        while not photo.copy or photo.copy.lower() in names:
            photo.copy = f"images/{photo.split}/{photo.role}/{'@'.join(fields)}{extension}"
            fields[8], tile = str(tile + 1), tile + 1  # of photographs with one name at one place
        names.add(photo.copy.lower())
        (folder / photo.copy).parent.mkdir(parents=True, exist_ok=True)

    def write(photo: Photo) -> bool:
        try:
            return write_copy(photo, folder / photo.copy, keep_exif)
        except UnreadableImage as error:
            photo.dropped, photo.copy = f"unreadable: {str(error).removeprefix(f'{photo.path}: ')}", ""
            return False

    with ThreadPoolExecutor(THREADS) as pool:
        anew = sum(bar(pool.map(write, photos), total=len(photos), desc="copying", unit="image"))
    _check(photos, {photo.split: 0 for photo in photos})
    return [f"encoded anew, as JPEG of quality {QUALITY}: {anew:,}"] if anew else []
