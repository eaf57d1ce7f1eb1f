"""Cars and people of one moment: parked for a whole session, or passing while one position is photographed."""

from dataclasses import dataclass
from functools import cache

import numpy as np

from .cars import PAINTS, SHAPES
from .layout import CORRIDOR, ROAD, District, Street
from .shots import Shot
from .sprites import PEOPLE


@dataclass(frozen=True)
class Traffic:
    """Cars (n, 9): x, y, axis, direction, shape, red, green, blue, lights on; people (n, 3): x, y, variant."""

    cars: np.ndarray
    people: np.ndarray


def make_traffic(district: District, shot: Shot) -> Traffic:
    """What a shot may see; all views of one position see the same."""
    rng = np.random.default_rng(shot.place_key)
    way, here, night = district.streets[shot.pose.street], shot.pose.along, shot.conditions.night
    moving = _moving(way, here, rng)
    number = rng.poisson(1.5 if night else 5)
    edge = (ROAD[way.kind] + CORRIDOR[way.kind]) / 2
    lateral = rng.choice((-1, 1), number) * (edge + rng.uniform(-0.9, 0.9, number))
    people = way.points(here + rng.normal(0, 22, number), lateral)
    people = np.column_stack([people, rng.integers(PEOPLE, size=number)])
    parked = _parked(district, shot.conditions.when.toordinal())
    return Traffic(np.concatenate([parked, _dress(moving, rng, float(night))]), people)


def _moving(way: Street, here: float, rng) -> np.ndarray:
    """(n, 4) x, y, axis, direction of cars in the lanes; traffic keeps right."""
    number = rng.poisson(1.2 * (1 + way.kind))
    along = here + rng.uniform(9, 70, number) * rng.choice((-1, 1), number)
    right = rng.choice((-1.0, 1.0), number)
    lane = way.points(along, right * (ROAD[way.kind] * 0.3))
    direction = right if way.axis == 1 else -right
    rows = np.column_stack([lane, np.full(number, way.axis), direction])
    return rows[(along > way.low) & (along < way.high)]


@cache
def _parked(district: District, day: int) -> np.ndarray:
    rng = np.random.default_rng((*district.key, 15, day))
    return _dress(district.bays[rng.random(len(district.bays)) < 0.6], rng, 0.0)


def _dress(places: np.ndarray, rng, lights: float) -> np.ndarray:
    """(n, 9) cars: a shape and a paint for each place."""
    number = len(places)
    shape = rng.choice(len(SHAPES), number, p=[0.34, 0.32, 0.22, 0.12])
    paint = np.array(PAINTS)[rng.integers(len(PAINTS), size=number)] * rng.uniform(0.8, 1.15, (number, 1))
    return np.column_stack([places, shape, paint, np.full(number, lights)])
