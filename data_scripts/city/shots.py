"""The plan of a city's photographs: who stands where, looks whither, and when."""

import math
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count

import numpy as np
import utm

from vg_core.datasets.labels import Label, format_name

from .camera import Camera
from .conditions import DATABASE, DRIVES, SESSIONS, Conditions
from .layout import CORRIDOR, ROAD, District, make_district

ORIGIN = (450_000.0, 4_800_000.0)  # UTM 32T, open sea: nobody takes the city for a real one
ZONE = (32, "T")
SPLITS = {"toycity": ("train", "val", "test"), "toycity_drive": ("test",)}
VIEWS = 6  # database photographs of one position, 60 degrees apart
SPACING = {"toycity": 12.0, "toycity_drive": 6.0}  # metres between database positions along a street


@dataclass(frozen=True)
class Size:
    """How many photographs of how many pixels; texture resolutions in texels a metre."""

    height: int
    width: int
    supersample: int
    wall_resolution: float
    ground_resolution: float
    database: int  # of train, and of test, of the toy city
    queries: int
    val_database: int
    val_queries: int
    drive_database: int
    drive_queries: int


SIZES = {
    "tiny": Size(48, 64, 2, 8, 4, 36, 12, 36, 12, 24, 12),
    "small": Size(120, 160, 2, 14, 7, 600, 500, 240, 100, 200, 100),
    "large": Size(480, 640, 1, 24, 12, 10_000, 7_000, 10_000, 7_000, 1_500, 1_500),
}


@dataclass(frozen=True)
class Plan:
    """Which city to draw; equal plans give equal bytes."""

    city: str
    size: Size
    seed: int

    def counts(self, split: str) -> tuple[int, int]:
        """(database, queries) of a split."""
        size = self.size
        if self.city != "toycity":
            return size.drive_database, size.drive_queries
        return (size.val_database, size.val_queries) if split == "val" else (size.database, size.queries)

    def total(self) -> int:
        """Photographs of all splits."""
        return sum(sum(self.counts(split)) for split in SPLITS[self.city])


@dataclass(frozen=True)
class Pose:
    """A camera on a street: metres along it, to its side and above it; heading in local degrees."""

    street: int
    along: float
    lateral: float
    z: float
    heading: float
    pitch: float
    fov: float


@dataclass(frozen=True)
class Shot:
    """One photograph to be taken; ``key`` seeds its chances, ``place_key`` those that views of one position share."""

    kind: str  # "database" or "queries"
    label: Label
    pose: Pose
    camera: Camera
    conditions: Conditions
    key: tuple[int, ...]
    place_key: tuple[int, ...]

    @property
    def name(self) -> str:
        return format_name(self.label)


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
    database, _ = plan.counts(split)
    wanted = math.ceil(database / VIEWS) if plan.city == "toycity" else database
    rank = SPLITS["toycity"].index(split) if plan.city == "toycity" else 3
    key = (plan.seed, rank)
    rng = np.random.default_rng((*key, 0))
    rotation = float(rng.uniform(-40, 40))
    length = wanted * SPACING[plan.city] + 130
    side = max(2, int(math.sqrt(length / 160)))
    for extra in count():
        columns, rows = side + (extra + 1) // 2, side + extra // 2
        district = make_district((*key, columns, rows), columns, rows, _origin(rank, max(columns, rows)), rotation)
        if sum(s.high - s.low - 12 for s in district.streets) >= length:
            break
    return district, tuple(_stations(district, rng, wanted, SPACING[plan.city]))


def _origin(rank: int, streets: int) -> tuple[float, float]:
    """UTM of a district's corner; districts lie hundreds of metres apart."""
    apart = 2.2 * 82 * (streets + 3) + 300
    east, north = [(0, 0), (1, 0.3), (0.4, 1.1), (1.6, 1.3)][rank]
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


@cache
def shots_of(plan: Plan, split: str) -> tuple[Shot, ...]:
    """Every photograph of a split, in the order of the streets: database, then queries."""
    make = _city_shots if plan.city == "toycity" else _drive_shots
    return tuple(make(plan, split))


def _city_shots(plan: Plan, split: str):
    district, stations = district_of(plan, split)
    database, queries = plan.counts(split)
    for k in range(database):
        pano, view = divmod(k, VIEWS)
        station = stations[pano]
        turn = np.random.default_rng((*district.key, 10, pano)).normal(0, 2) + view * 360 / VIEWS
        place = station.street, station.along, station.lateral
        pose = Pose(*place, z=2.4, heading=station.heading + turn, pitch=7.0, fov=75.0)
        yield _shot(plan, district, "database", (k, pano), pose, DATABASE, f"view{view:02d}")
    rng = np.random.default_rng((*district.key, 11))
    shares = np.array([share for share, _ in SESSIONS])
    for k, pano in enumerate(np.sort(rng.integers(len(stations), size=queries))):
        place = _beside(district, stations[pano], rng)
        if split == "test" and k == queries - 1:  # the one query without a positive
            place = _lonely(district, stations)
        heading = stations[pano].heading + 360 / VIEWS * rng.integers(VIEWS) + rng.normal(0, 9)
        pose = Pose(*place, rng.normal(1.65, 0.06), heading, rng.normal(7, 1.5), rng.uniform(68, 80))
        conditions = SESSIONS[rng.choice(len(SESSIONS), p=shares / shares.sum())][1]
        yield _shot(plan, district, "queries", (k, k), pose, conditions, "view00")


def _drive_shots(plan: Plan, split: str):
    district, stations = district_of(plan, split)
    for kind, number, conditions in zip(("database", "queries"), plan.counts(split), DRIVES, strict=True):
        rng = np.random.default_rng((*district.key, 12, kind == "queries"))
        for k, n in enumerate(np.linspace(0, len(stations) - 1, number).astype(int)):
            station = stations[n]
            place = station.street, station.along + rng.uniform(-3, 3), station.lateral + rng.normal(0, 0.5)
            pose = Pose(*place, z=1.35, heading=station.heading + rng.normal(0, 3), pitch=rng.normal(2, 0.7), fov=62.0)
            yield _shot(plan, district, kind, (k, k), pose, conditions, "front")


def _beside(district: District, station: Station, rng) -> tuple[int, float, float]:
    """Street, metres along and to the side of a query up to 6 m to the side of a database position."""
    street = district.streets[station.street]
    limit = CORRIDOR[street.kind] - 1.2
    lateral = np.clip(station.lateral + rng.triangular(-6, 0, 6), -limit, limit)
    return station.street, station.along + rng.uniform(-5, 5), float(lateral)


def _lonely(district: District, stations) -> tuple[int, float, float]:
    """Street, metres along and to the side of the spot that lies farthest from the database."""
    known = np.array([district.streets[s.street].point(s.along, s.lateral) for s in stations])
    places = [
        (index, along, 0.5)
        for index, street in enumerate(district.streets)
        for along in np.arange(street.low + 8, street.high - 8, 4.0)
    ]
    gaps = [np.hypot(*(known - district.streets[k].point(*at)).T).min() for k, *at in places]
    return places[int(np.argmax(gaps))]


def _shot(plan: Plan, district: District, kind: str, numbers, pose: Pose, conditions: Conditions, view: str) -> Shot:
    """``numbers``: of the photograph and of its position within the kind."""
    index, pano = numbers
    x, y = district.streets[pose.street].point(pose.along, pose.lateral)
    easting, northing = (round(metres, 2) for metres in district.to_utm(x, y))
    latitude, longitude = utm.to_latlon(easting, northing, *ZONE)
    query = kind == "queries"
    label = Label(
        easting,
        northing,
        *ZONE,
        round(float(latitude), 5),
        round(float(longitude), 5),
        pano_id=f"{'q' if query else ''}{pano:06d}",
        heading=round(pose.heading + district.rotation, 1) % 360,
        pitch=f"{pose.pitch:.1f}",
        timestamp=(conditions.when + timedelta(seconds=5 * pano)).strftime("%Y%m%d_%H%M%S"),
        note=f"{view}_{conditions.name}",
    )
    pixels = plan.size.height * plan.size.supersample, plan.size.width * plan.size.supersample
    camera = Camera(x, y, pose.z, pose.heading, pose.pitch, pose.fov, *pixels)
    keys = (*district.key, 13, int(query), index), (*district.key, 14, int(query), pano)
    return Shot(kind, label, pose, camera, conditions, *keys)
