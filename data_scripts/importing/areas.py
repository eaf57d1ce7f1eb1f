"""Cuts an area into train, val and test, and each into database and queries; all in one zone of UTM."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import utm

from vg_core.datasets.labels import EASTING
from vg_core.datasets.splits import SPLITS

from .photographs import Photo

SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}  # of the photographs
SHIFT = 0.1  # of the photographs: so far a border may move to where fewer are lost
ANGLES = np.deg2rad(np.arange(0, 180, 10))  # directions that are tried
BORDERS = 200  # that are tried in each
REACH = 4.0  # degrees from the middle of a zone, one more than its own, within which neighbours' photographs are kept
PLACE = 10.0  # metres: photographs in a square of this side show one place


def to_one_zone(photos: Sequence[Photo]) -> int:
    """The number of the UTM zone that most lie in; in it they get their metres. Those too far away from it, or on the
    other half of the globe, are dropped.
    """
    zones = [(utm.latlon_to_zone_number(p.latitude, p.longitude), p.latitude >= 0) for p in photos]
    main, _ = Counter(zones).most_common(1)[0]
    middle = utm.zone_number_to_central_longitude(main[0])
    for photo, zone in zip(photos, zones, strict=True):
        near = abs((photo.longitude - middle + 180) % 360 - 180) <= REACH and zone[1] == main[1]
        if near or zone == main:
            metres = utm.from_latlon(photo.latitude, photo.longitude, main[0], force_northern=main[1])[:2]
            photo.easting, photo.northing = (round(float(m), 2) for m in metres)
        if not (near or zone == main) or not EASTING[0] <= photo.easting <= EASTING[1]:
            there, most = (f"{number}, {'north' if north else 'south'}" for number, north in (zone, main))
            photo.dropped = f"other UTM zone: {there}, while most lie in {most}; import it under a --name of its own"
    return main[0]


def cut(metres: np.ndarray, guard: float, seed: int) -> np.ndarray:
    """For each position (N, 2) one of SPLITS, or "" in the guard distance (metres): any two of different splits are at
    least so far apart.

    The area becomes three strips. Their direction, of 18, and their borders are those that lose fewest photographs and
    keep best to SHARES; the seed says in which order they lie.
    """
    order = np.random.default_rng(seed).permutation(SPLITS)
    shares = np.cumsum([SHARES[split] for split in order])[:2]
    best, cost = np.full(len(metres), "", order.dtype), np.inf
    for angle in ANGLES:
        along = metres @ (np.cos(angle), np.sin(angle))  # (N,) metres
        (low, low_cost), (high, high_cost) = (_border(np.sort(along), share, guard) for share in shares)
        if low_cost + high_cost < cost and low + guard <= high:
            cost = low_cost + high_cost
            lost = (np.abs(along - low) < guard / 2) | (np.abs(along - high) < guard / 2)
            best = np.where(lost, "", order[(along >= low).astype(int) + (along >= high)])
    return best


def _border(along: np.ndarray, share: float, guard: float) -> tuple[float, float]:
    """Where to cut sorted positions (N,), and what it costs: the share that is lost, and a little for a wrong share."""
    borders = np.linspace(*np.quantile(along, [share - SHIFT, share + SHIFT]), BORDERS)
    first, last = (np.searchsorted(along, borders + side * guard / 2) for side in (-1, 1))
    costs = (last - first + SHIFT * np.abs((first + last) / 2 - share * len(along))) / len(along)
    return float(borders[costs.argmin()]), float(costs.min())


def divide(photos: Sequence[Photo], seed: int) -> str:
    """Make the photographs of a split database or queries; in words how. Those with a role of their own keep it.

    The first days are database, the last queries. Where most are of one day, or of none, photographs of one place are
    dealt out at random.
    """
    todo = [photo for photo in photos if not photo.role]
    days = [photo.time.date() for photo in todo if photo.time]
    if not todo:
        return "database and queries as the table says"
    if 2 * len(days) < len(todo) or len(set(days)) == 1:
        rng = np.random.default_rng(seed)
        places = [(photo.easting // PLACE, photo.northing // PLACE) for photo in todo]
        for turn, chosen in enumerate(np.lexsort([rng.random(len(todo)), *np.transpose(places)])):
            todo[chosen].role = "queries" if turn % 2 else "database"
        return "one day: photographs of each place dealt out to database and queries, which is easier than other days"
    starts = sorted(set(days))[1:]
    first = min(starts, key=lambda day: abs(2 * sum(one < day for one in days) - len(days)))
    for photo in todo:
        if photo.time is None:
            photo.dropped = "no time: days tell database and queries apart"
        else:
            photo.role = "database" if photo.time.date() < first else "queries"
    return f"queries from {first}, before it database"
