"""The plan of a city's photographs: who stands where, looks whither, and when."""

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache

import numpy as np
import utm

from vg_core.datasets.labels import Label, format_name

from .camera import Camera, Overhead, Panorama
from .conditions import BY_DAY, DATABASE, DRIVES, FLIGHT, NIGHT, SESSIONS, Conditions
from .layout import CORRIDOR, District
from .plan import DENSE_VIEWS, VIEWS, Plan
from .stations import Station, district_of

ZONE = (32, "T")


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

    kind: str  # folder of its split: "database", "queries", "night", "aerial", "ground", or "" for the split's own
    label: Label
    pose: Pose
    camera: Camera | Panorama | Overhead
    conditions: Conditions
    key: tuple[int, ...]
    place_key: tuple[int, ...]

    @property
    def name(self) -> str:
        return format_name(self.label)


@cache
def shots_of(plan: Plan, split: str) -> tuple[Shot, ...]:
    """Every photograph of a split, in the order of the streets: database, then queries."""
    dense = {"train": _survey_shots, "unlabelled": _unlabelled_shots}.get(split, _dense_shots)
    make = {"toycity": _city_shots, "toycity_drive": _drive_shots, "toycity_pairs": _pair_shots}
    return tuple(make.get(plan.city, dense)(plan, split))


def _city_shots(plan: Plan, split: str):
    yield from _database_shots(plan, split)
    district, stations = district_of(plan, split)
    queries = plan.counts(split)["queries"]
    rng = np.random.default_rng((*district.key, 11))
    for k, pano in enumerate(np.sort(rng.integers(len(stations), size=queries))):
        place = _beside(district, stations[pano], rng)
        if split == "test" and k == queries - 1:  # the one query without a positive
            place = _lonely(district, stations)
        heading = stations[pano].heading + 360 / VIEWS * rng.integers(VIEWS) + rng.normal(0, 9)
        pose = Pose(*place, rng.normal(1.65, 0.06), heading, rng.normal(7, 1.5), rng.uniform(68, 80))
        yield _shot(plan, district, "queries", (k, k), pose, _session(rng, SESSIONS), "view00")


def _database_shots(plan: Plan, split: str):
    """Panoramas cut into views, on one summer day."""
    district, stations = district_of(plan, split)
    for k in range(plan.counts(split)["database"]):
        pano, view = divmod(k, VIEWS)
        station = stations[pano]
        turn = np.random.default_rng((*district.key, 10, pano)).normal(0, 2) + view * 360 / VIEWS
        place = station.street, station.along, station.lateral
        pose = Pose(*place, z=2.4, heading=station.heading + turn, pitch=7.0, fov=75.0)
        yield _shot(plan, district, "database", (k, pano), pose, DATABASE, f"view{view:02d}")


def _survey_shots(plan: Plan, split: str):
    """Photographs to learn from: every position looks into all directions, in a session of its own, all by day."""
    district, stations = district_of(plan, split)
    rng = np.random.default_rng((*district.key, 16))
    for k in range(plan.counts(split)[""]):
        pano, view = divmod(k, DENSE_VIEWS)
        if view == 0:
            station, session = stations[pano], _session(rng, BY_DAY)
            limit = CORRIDOR[district.streets[station.street].kind] - 1.2
            lateral = float(np.clip(station.lateral + rng.uniform(-2, 2), -limit, limit))
            place = station.street, station.along + rng.uniform(-1, 1), lateral
        heading = 360 / DENSE_VIEWS * (view + rng.random()) - district.rotation  # two in each 30 degrees from north
        pose = Pose(*place, z=2.4, heading=heading, pitch=7.0, fov=rng.uniform(70, 80))
        yield _shot(plan, district, "", (k, pano), pose, session, f"view{view:02d}")


def _dense_shots(plan: Plan, split: str):
    """A database, queries of any heading by day and, in another folder, the same again by night."""
    yield from _database_shots(plan, split)
    district, stations = district_of(plan, split)
    folders = plan.counts(split)
    rng = np.random.default_rng((*district.key, 17))
    panos = np.sort(rng.integers(len(stations), size=folders["queries"]))
    views = [(rng.normal(1.65, 0.06), rng.uniform(0, 360), rng.normal(7, 1.5), rng.uniform(70, 80)) for _ in panos]
    poses = [Pose(*_beside(district, stations[n], rng), *view) for n, view in zip(panos, views, strict=True)]
    sessions = [_session(rng, BY_DAY) for _ in panos]
    for kind in list(folders)[1:]:
        for k, pose in enumerate(poses):
            yield _shot(plan, district, kind, (k, k), pose, NIGHT if kind == "night" else sessions[k], "view00")


def _unlabelled_shots(plan: Plan, split: str):
    """Photographs by night of streets that no other split has, of any heading as queries are."""
    district, stations = district_of(plan, split)
    rng = np.random.default_rng((*district.key, 18))
    for k, n in enumerate(np.sort(rng.integers(len(stations), size=plan.counts(split)[""]))):
        view = rng.normal(1.65, 0.06), rng.uniform(0, 360), rng.normal(7, 1.5), rng.uniform(70, 80)
        yield _shot(plan, district, "", (k, k), Pose(*_beside(district, stations[n], rng), *view), NIGHT, "view00")


def _session(rng, sessions: tuple[tuple[float, Conditions], ...]) -> Conditions:
    """One of the sessions, by their shares."""
    shares = np.array([share for share, _ in sessions])
    return sessions[rng.choice(len(sessions), p=shares / shares.sum())][1]


def _drive_shots(plan: Plan, split: str):
    district, stations = district_of(plan, split)
    for (kind, number), conditions in zip(plan.counts(split).items(), DRIVES, strict=True):
        rng = np.random.default_rng((*district.key, 12, kind == "queries"))
        for k, n in enumerate(np.linspace(0, len(stations) - 1, number).astype(int)):
            station = stations[n]
            place = station.street, station.along + rng.uniform(-3, 3), station.lateral + rng.normal(0, 0.5)
            pose = Pose(*place, z=1.35, heading=station.heading + rng.normal(0, 3), pitch=rng.normal(2, 0.7), fov=62.0)
            yield _shot(plan, district, kind, (k, k), pose, conditions, "front")


def _pair_shots(plan: Plan, split: str):
    """Of each position a panorama and a tile of the ground around it, from another day; they have the same name."""
    district, stations = district_of(plan, split)
    rng, size, s = np.random.default_rng((*district.key, 19)), plan.size, plan.size.supersample
    for k, station in enumerate(stations):
        place = station.street, station.along, station.lateral
        pose = Pose(*place, z=2.4, heading=-district.rotation, pitch=0.0, fov=360.0)
        ground = _shot(plan, district, "ground", (k, k), pose, _session(rng, BY_DAY), "pair")
        x, y = ground.camera.x, ground.camera.y
        # the polar transform's column width / 2, not its left edge, looks north: half a pixel more
        around = Panorama(x, y, pose.z, pose.heading, size.height * s, size.width * s, (size.width + 1) / 2 * s)
        down = Overhead(x, y, size.metres, size.tile * s, district.rotation)
        keys = {"key": (*district.key, 20, k), "place_key": (*district.key, 21, k)}
        yield replace(ground, camera=around)
        yield replace(ground, kind="aerial", camera=down, conditions=FLIGHT, **keys)


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
    query = kind in ("queries", "night")
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
