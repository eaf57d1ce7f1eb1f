"""Where everything stands in one district: streets, building lots, trees, lamps and parking bays.

Local coordinates: x, y in metres, y along the district's own north; headings clockwise from it. Streets run along the
axes; ``District.to_utm`` turns the whole grid by ``rotation`` degrees and moves it to its place in the UTM zone.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

WEST, EAST, SOUTH, NORTH = range(4)  # faces of a box, by the side they look to
BUILDING, WALL, HEDGE = range(3)  # what a box is
LOT_DEPTH = 13.0  # metres
CELL = 0.5  # metres; grid of the height, lamp and street tables
ROAD = (3.0, 4.4, 6.6)  # half width of the carriageway of a lane, a street and an avenue, metres
CORRIDOR = (5.6, 7.6, 10.6)  # half width between the building lines, metres


@dataclass(frozen=True)
class Street:
    """A straight street; ``axis`` 0 runs along x at y = centre, 1 along y at x = centre."""

    axis: int
    kind: int  # 0 lane, 1 street, 2 avenue
    centre: float
    low: float
    high: float

    def points(self, along: np.ndarray, lateral) -> np.ndarray:
        """(n, 2) positions at ``along`` metres of the street, ``lateral`` metres to the side."""
        across = np.full(len(along), self.centre) + lateral
        return np.stack([along, across] if self.axis == 0 else [across, along], 1)

    def point(self, along: float, lateral: float) -> tuple[float, float]:
        """x, y of one position."""
        across = self.centre + lateral
        return (along, across) if self.axis == 0 else (across, along)


@dataclass(frozen=True, eq=False)
class Boxes:
    """Building lots and low walls as axis-aligned boxes on the ground; all arrays (B,)."""

    rect: np.ndarray  # (B, 4) x0, y0, x1, y1 in metres
    kind: np.ndarray  # BUILDING, WALL or HEDGE
    style: np.ndarray  # seed of the style; lots that share it look like siblings
    fronts: np.ndarray  # (B, 4) bool, faces that look to a street


@dataclass(frozen=True, eq=False)
class District:
    """One district; ``key`` seeds everything in it."""

    key: tuple[int, ...]
    origin: tuple[float, float]  # UTM of the local (0, 0)
    rotation: float  # degrees clockwise
    streets: tuple[Street, ...]
    boxes: Boxes
    trees: np.ndarray  # (n, 3) x, y, height
    lamps: np.ndarray  # (n, 2)
    bays: np.ndarray  # (n, 4) parking bays: x, y, axis, direction

    @cached_property
    def bounds(self) -> tuple[float, float, float, float]:
        """x0, y0, x1, y1 of all boxes, with a margin of two metres."""
        rect = self.boxes.rect
        return (*(rect[:, :2].min(0) - 2), *(rect[:, 2:].max(0) + 2))

    def to_utm(self, x: float, y: float) -> tuple[float, float]:
        """(easting, northing) of a local position."""
        c, s = math.cos(math.radians(self.rotation)), math.sin(math.radians(self.rotation))
        return self.origin[0] + c * x + s * y, self.origin[1] - s * x + c * y


def make_district(key: tuple[int, ...], columns: int, rows: int, origin, rotation: float) -> District:
    """District with ``columns`` streets along y and ``rows`` along x, closed by a ring of buildings."""
    rng = np.random.default_rng(key)
    xs, ys = _centres(rng, columns), _centres(rng, rows)
    x_kind, y_kind = _kinds(rng, columns), _kinds(rng, rows)
    streets = [Street(1, k, c, ys[0], ys[-1]) for c, k in zip(xs, x_kind, strict=True)]
    streets += [Street(0, k, c, xs[0], xs[-1]) for c, k in zip(ys, y_kind, strict=True)]
    lots = _Lots(rng)
    x_lines = [(c - CORRIDOR[k], c + CORRIDOR[k]) for c, k in zip(xs, x_kind, strict=True)]
    y_lines = [(c - CORRIDOR[k], c + CORRIDOR[k]) for c, k in zip(ys, y_kind, strict=True)]
    parks = []
    for i in range(columns - 1):
        for j in range(rows - 1):
            block = (x_lines[i][1], y_lines[j][1], x_lines[i + 1][0], y_lines[j + 1][0])
            if rng.random() < 0.08:
                parks.append(_park(rng, lots, block))
            else:
                lots.block(*block)
    lots.ring(x_lines[0][0], y_lines[0][0], x_lines[-1][1], y_lines[-1][1])
    crossings = [[s for s in streets if s.axis != axis] for axis in (0, 1)]
    trees = [_street_trees(rng, s, crossings[s.axis]) for s in streets] + parks
    lamps = [_lamps(s, crossings[s.axis]) for s in streets]
    bays = [_bays(rng, s, crossings[s.axis]) for s in streets]
    return District(
        key, origin, rotation, tuple(streets), lots.boxes(), *(np.concatenate(a) for a in (trees, lamps, bays))
    )


def _centres(rng, count: int) -> list[float]:
    return [0.0, *np.cumsum(rng.integers(60, 82, count - 1)).astype(float)]


def _kinds(rng, count: int) -> list[int]:
    return rng.choice(3, count, p=[0.3, 0.45, 0.25]).tolist()


class _Lots:
    """Collects boxes while blocks are cut into lots."""

    def __init__(self, rng):
        self.rng = rng
        self.siblings = rng.integers(0, 2**31, 7)  # styles that developers built more than once
        self.style = self.siblings[0]
        self.rows: list[tuple] = []

    def add(self, rect, kind: int, *faces: int) -> None:
        chance = self.rng.random()
        if chance > 0.55:  # else one more house of the terrace
            self.style = self.rng.choice(self.siblings) if chance > 0.9 else self.rng.integers(0, 2**31)
        self.rows.append((rect, kind, self.style, [face in faces for face in range(4)]))

    def boxes(self) -> Boxes:
        rect, kind, style, fronts = zip(*self.rows, strict=True)
        return Boxes(np.array(rect), np.array(kind), np.array(style), np.array(fronts))

    def cut(self, low: float, high: float) -> list[tuple[float, float]]:
        """Neighbouring intervals of 8 to 18 metres that fill [low, high]."""
        shares = self.rng.uniform(0.7, 1.35, max(1, round((high - low) / 12.5)))
        edges = low + (high - low) * np.concatenate([[0], np.cumsum(shares) / shares.sum()])
        return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))

    def row(self, low, high, line, face, ends=(), gaps=0.07) -> None:
        """Lots side by side along ``line``, looking to ``face``; the corner lots also look to the two ``ends``.

        A share of ``gaps`` is not built on, but has a wall or a hedge along the street.
        """
        inward = 1 if face in (WEST, SOUTH) else -1
        cuts = self.cut(low, high)
        for k, (a, b) in enumerate(cuts):
            sides = [end for end, last in zip(ends, (0, len(cuts) - 1), strict=False) if k == last]
            corner = bool(sides)
            gap = not corner and self.rng.random() < gaps
            setback = 0.0 if corner else self.rng.choice([0, 0, 0, 0.4, 0.9, 1.8])
            near = line + inward * setback
            far = near + inward * (0.5 if gap else LOT_DEPTH - setback)
            near, far = min(near, far), max(near, far)
            rect = (near, a, far, b) if face in (WEST, EAST) else (a, near, b, far)
            self.add(rect, (WALL if self.rng.random() < 0.6 else HEDGE) if gap else BUILDING, face, *sides)

    def block(self, x0, y0, x1, y1) -> None:
        self.row(x0, x1, y0, SOUTH, (WEST, EAST))
        self.row(x0, x1, y1, NORTH, (WEST, EAST))
        self.row(y0 + LOT_DEPTH, y1 - LOT_DEPTH, x0, WEST)
        self.row(y0 + LOT_DEPTH, y1 - LOT_DEPTH, x1, EAST)

    def ring(self, x0, y0, x1, y1) -> None:
        """Buildings around the district, so that every street ends at a façade."""
        self.row(x0 - LOT_DEPTH, x1 + LOT_DEPTH, y0, NORTH, gaps=0)
        self.row(x0 - LOT_DEPTH, x1 + LOT_DEPTH, y1, SOUTH, gaps=0)
        self.row(y0, y1, x0, EAST, gaps=0)
        self.row(y0, y1, x1, WEST, gaps=0)


def _park(rng, lots: _Lots, block) -> np.ndarray:
    """Hedge around the block, (n, 3) trees inside."""
    x0, y0, x1, y1 = block
    for rect, face in (
        ((x0, y0, x1, y0 + 0.5), SOUTH),
        ((x0, y1 - 0.5, x1, y1), NORTH),
        ((x0, y0, x0 + 0.5, y1), WEST),
        ((x1 - 0.5, y0, x1, y1), EAST),
    ):
        lots.add(rect, HEDGE, face)
    count = int((x1 - x0) * (y1 - y0) / 55)
    place = rng.uniform([x0 + 3, y0 + 3], [x1 - 3, y1 - 3], (count, 2))
    return np.column_stack([place, rng.uniform(6, 11, count)])


def _free(street: Street, along: np.ndarray, crossings, margin: float) -> np.ndarray:
    """True where ``along`` keeps ``margin`` metres from every crossing street's building line."""
    clear = [abs(along - c.centre) > CORRIDOR[c.kind] + margin for c in crossings]
    return np.logical_and.reduce(clear) & (along > street.low) & (along < street.high)


def _street_trees(rng, street: Street, crossings) -> np.ndarray:
    rows = [np.zeros((0, 3))]
    for side in (-1, 1):
        if street.kind == 0 or rng.random() < 0.5:
            continue
        along = np.arange(street.low, street.high, rng.uniform(9, 14)) + rng.uniform(0, 5)
        along = along[_free(street, along, crossings, -1.0) & (rng.random(len(along)) < 0.85)]
        place = street.points(along, side * (ROAD[street.kind] + 0.8))
        rows.append(np.column_stack([place, rng.uniform(5.0, 8.5, len(along))]))
    return np.concatenate(rows)


def _lamps(street: Street, crossings) -> np.ndarray:
    along = np.arange(street.low + 6, street.high, 22.0)
    along = along[_free(street, along, crossings, -2.0)]
    side = np.where(np.arange(len(along)) % 2, 1.0, -1.0)
    return street.points(along, side * (ROAD[street.kind] + 0.45))


def _bays(rng, street: Street, crossings) -> np.ndarray:
    rows = [np.zeros((0, 4))]
    for side in (-1, 1):
        if rng.random() < (0.6 if street.kind == 0 else 0.2):
            continue
        along = np.arange(street.low + 3, street.high, 5.9)
        along = along[_free(street, along, crossings, 3.5)]
        place = street.points(along, side * (ROAD[street.kind] - 1.0))
        ones = np.ones(len(along))
        direction = side if street.axis == 1 else -side  # traffic keeps right
        rows.append(np.column_stack([place, ones * street.axis, ones * direction]))
    return np.concatenate(rows)
