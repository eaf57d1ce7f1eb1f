"""Gives photographs their positions, headings and times: from a table, a track, points, EXIF data or their names."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import utm

from vg_core.datasets.exif import Taken, read_taken
from vg_core.datasets.labels import parse_name
from vg_core.system.progress_bar import bar

from .photographs import Index, Photo
from .rows import Row, parse_time
from .tracks import Track

MAGNETIC = "heading from magnetic north"
SAME = 1e-6  # degrees


def place(
    photos: Sequence[Photo], table: Sequence[Row], track: Track | None, points: Sequence[Row], clock: "Clock"
) -> list[tuple[str, str]]:
    """Fill in what is known of each photograph; one without a position is dropped. What comes back are the rows that
    name no photograph: (their text, why).
    """
    (by_table, lost), (by_point, lost_points) = (_matched(rows, Index(photos)) for rows in (table, points))
    for photo in bar(photos, desc="reading EXIF data", unit="image"):
        taken = read_taken(photo.path)
        row, point = by_table.get(photo.name, Row("", [])), by_point.get(photo.name, Row("", []))
        photo.heading = next((one.heading for one in (row, point, taken) if one.heading is not None), None)
        magnetic = MAGNETIC if taken.magnetic and photo.heading == taken.heading else ""
        photo.remark = "; ".join(filter(None, [magnetic, row.doubt, point.doubt]))
        photo.height, photo.time = taken.height, clock.right(row.time, taken.time)
        photo.split, photo.role = row.split, row.role
        _choose(photo, row, track, point, taken)
    return lost + lost_points


class Clock:
    """Puts times right: ``offset`` seconds to add to a camera's, ``hours`` east of Greenwich where no zone is named."""

    def __init__(self, offset: float, hours: float | None):
        self.offset = timedelta(seconds=offset)
        self.zone = None if hours is None else timezone(timedelta(hours=hours))

    def right(self, written: datetime | None, camera: datetime | None) -> datetime | None:
        time = written or (camera and camera + self.offset)
        return time.replace(tzinfo=self.zone) if time and time.tzinfo is None else time


def _choose(photo: Photo, row: Row, track: Track | None, point: Row, taken: Taken) -> None:
    """Take the first position that there is, or say why there is none."""
    doubts: list[str] = []
    sources = {
        "table": lambda: row,
        "track": lambda: _on_track(photo, track),
        "points": lambda: point,
        "EXIF": lambda: taken,
        "name": lambda: _in_name(photo),
    }
    for photo.position_from, look in sources.items():
        found = look()
        if found.latitude is not None:
            photo.latitude, photo.longitude = found.latitude, found.longitude
            return
        doubts += [found.doubt] if found.doubt else []
    photo.position_from, photo.dropped = "", ": ".join(["no position", *filter(None, ["; ".join(doubts)])])


def _on_track(photo: Photo, track: Track | None) -> Taken:
    if track is None:
        return Taken()
    if photo.time is None or photo.time.tzinfo is None:
        return Taken(
            doubt="of its time the zone is unknown, give --utc_offset" if photo.time else "no time to look for"
        )
    if there := track.at(photo.time):
        return Taken(*there)
    return Taken(doubt=f"no two track points within {track.gap:g} s around {photo.time:%Y-%m-%d %H:%M:%S%z}")


def _in_name(photo: Photo) -> Taken:
    """The position that a name of the field gives; its heading and its time are taken over, too."""
    try:
        label = parse_name(photo.path)
    except ValueError:
        return Taken()
    if label.zone_number is None or not label.zone_letter:
        return Taken(doubt="its name gives no UTM zone")
    photo.heading = label.heading if photo.heading is None else photo.heading
    photo.time = photo.time or parse_time(label.timestamp)
    zone = label.easting, label.northing, label.zone_number
    return Taken(*map(float, utm.to_latlon(*zone, northern=label.zone_letter.upper() >= "N", strict=False)))


def _matched(rows: Sequence[Row], index: Index) -> tuple[dict[str, Row], list[tuple[str, str]]]:
    """Rows by the name of their photograph, and (text, why) of those that name none, or several."""
    found: dict[str, Row] = {}
    lost = []
    for row in rows:
        texts, why = [*filter(None, row.texts)], "no photograph of that name"
        try:
            photo = next(filter(None, map(index.find, texts)), None)
        except ValueError as error:
            photo, why = None, str(error)
        if photo is None:
            lost.append((texts[0] if texts else "", f"{row.where}: {why}"))
        elif _differ(first := found.setdefault(photo.name, row), row):
            doubts = [f"another position in {row.where}"]
            found[photo.name] = replace(first, latitude=None, longitude=None, doubts=doubts)
    return found, lost


def _differ(one: Row, other: Row) -> bool:
    pairs = (one.latitude, other.latitude), (one.longitude, other.longitude)
    return any(None not in pair and abs(pair[0] - pair[1]) > SAME for pair in pairs)
