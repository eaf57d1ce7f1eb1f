"""Where a receiver was at a time: GPX tracks, with straight lines between their points."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from vg_core.datasets.exif import place_doubt

from .rows import parse_time
from .tables import track_points


class Track:
    """The points of GPX files in the order of their times; between two that lie further apart than ``gap`` seconds
    nothing is known.
    """

    def __init__(self, files: Sequence[Path], gap: float):
        points = [point for file in files for point in _points(file)]
        self.seconds, latitudes, longitudes = np.array(sorted(set(points)), float).reshape(-1, 3).T
        self.places = np.column_stack([latitudes, np.unwrap(longitudes, period=360)])  # (N, 2) degrees
        self.gap = gap

    def at(self, time: datetime) -> tuple[float, float] | None:
        """(latitude, longitude) at a time with its zone; None where the track has a gap, before it and after it."""
        second = time.timestamp()
        after = int(np.searchsorted(self.seconds, second))
        if after < len(self.seconds) and self.seconds[after] == second:
            latitude, longitude = self.places[after]
        elif not 0 < after < len(self.seconds) or self.seconds[after] - self.seconds[after - 1] > self.gap:
            return None
        else:
            latitude, longitude = (np.interp(second, self.seconds, column) for column in self.places.T)
        return float(latitude), (float(longitude) + 180) % 360 - 180


def _points(file: Path) -> list[tuple[float, float, float]]:
    """(seconds since 1970, latitude, longitude) of the points with a time, which GPX gives in UTC."""
    found, lost = [], 0
    for *place, text in track_points(file):
        try:
            time, (latitude, longitude) = parse_time(text), map(float, place)
        except ValueError:
            time = None
        if time is None or place_doubt(latitude, longitude):
            lost += 1
        else:
            found.append(((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp(), latitude, longitude))
    if not found:
        raise ValueError(
            f"{file} has no track point with a position and a time ({lost} without); export the track anew"
        )
    if lost:
        print(f"{file.name}: {lost} track points without a position or a time are left out")
    return found
