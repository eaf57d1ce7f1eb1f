"""Where a city's districts lie, and the positions along their streets from which the database is photographed."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import count

import numpy as np

from .layout import ROAD, District, make_district
from .plan import DENSE_VIEWS, SPLITS, VIEWS, Plan

ORIGIN = (450_000.0, 4_800_000.0)  # UTM 32T, open sea: nobody takes the city for a real one
RANKS = {"toycity": 0, "toycity_drive": 3, "toycity_dense": 4, "toycity_pairs": 8}  # of each city's first district
CORNERS = (  # of districts, east and north
    *((0, 0), (1, 0.3), (0.4, 1.1), (1.6, 1.3)),
    *((2.6, 0.2), (3.8, 0.6), (2.9, 1.4), (4.2, 1.8)),
    *((0.2, 2.6), (1.5, 3.0), (2.7, 2.7)),
)
# metres between positions along a street
SPACING = {"toycity": 12.0, "toycity_drive": 6.0, "toycity_dense": 12.0, "toycity_pairs": 12.0}
APART = 9.0  # at least, of pairs, whose tiles would show the same
DENSE_SPACING = 2.5  # of the positions to learn from: four in a cell of 10 metres


@dataclass(frozen=True)
class Station:
    """A position of the database, in the right-hand lane of a street; heading of its traffic in local degrees."""

    street: int
    along: float
    lateral: float
    heading: float


@cache
def district_of(plan: Plan, split: str) -> tuple[District, tuple[Station, ...]]:
    """The district of a split and its database positions; the smallest street grid that is long enough."""
    photographs, *_ = plan.counts(split).values()
    dense = plan.city == "toycity_dense" and split == "train"
    pairs = plan.city == "toycity_pairs"
    views = 1 if pairs or plan.city == "toycity_drive" else DENSE_VIEWS if dense else VIEWS
    spacing = DENSE_SPACING if dense else SPACING[plan.city]
    wanted = math.ceil(photographs / views)
    spare = wanted // 4 if pairs else 0  # for those that lie too near to another
    rank = RANKS[plan.city] + SPLITS[plan.city].index(split)
    key = (plan.seed, rank)
    rng = np.random.default_rng((*key, 0))
    rotation = float(rng.uniform(-40, 40))
    length = (wanted + spare) * spacing + 130
    side = max(2, int(math.sqrt(length / 160)))
    for extra in count():
        columns, rows = side + (extra + 1) // 2, side + extra // 2
        district = make_district((*key, columns, rows), columns, rows, _origin(rank, max(columns, rows)), rotation)
        if sum(s.high - s.low - 12 for s in district.streets) >= length:
            break
    stations = tuple(_stations(district, rng, wanted + spare, spacing))
    return district, _apart(district, stations)[:wanted] if pairs else stations


def _origin(rank: int, streets: int) -> tuple[float, float]:
    """UTM of a district's corner; districts lie hundreds of metres apart."""
    apart = 2.2 * 82 * (streets + 3) + 300
    east, north = CORNERS[rank]
    return ORIGIN[0] + east * apart, ORIGIN[1] + north * apart


def _stations(district: District, rng, wanted: int, spacing: float):
    for index, street in enumerate(district.streets):
        towards = (0.0 if street.axis == 1 else 90.0) + 180 * rng.integers(2)
        right = 1 if towards in (0.0, 270.0) else -1  # keep right: east of a northbound axis, north of a westbound one
        for along in np.arange(street.low + 6, street.high - 6, spacing):
            if not wanted:
                return
            wanted -= 1
            lateral = right * ROAD[street.kind] * 0.25 + rng.normal(0, 0.2)
            yield Station(index, along, lateral, towards)


def _apart(district: District, stations: tuple[Station, ...]) -> tuple[Station, ...]:
    """Those that lie APART from all before them; crossings have positions on both of their streets."""
    places = np.array([district.streets[s.street].point(s.along, s.lateral) for s in stations])
    kept = [0]
    for k, place in enumerate(places):
        if np.hypot(*(places[kept] - place).T).min() >= APART:
            kept.append(k)
    return tuple(stations[k] for k in kept)
