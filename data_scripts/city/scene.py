"""A district made ready for the camera: heights, textures, shadow and lamp-light tables."""

from functools import cache, cached_property

import numpy as np

from . import facades
from .atlas import Atlas
from .ground import HALF, paint_ground
from .layout import CELL, District
from .styles import make_style

LAMP_REACH = 18.0  # metres
FAR_WALL = 70.0  # metres; walls of farther boxes are painted at a quarter of the resolution


class Scene:
    """Tables of a district.

    Wall 4 * box + face has two surfaces in the atlas: its own number from near, ``walls_count`` more from afar;
    nine kinds of crossing follow from ``grounds`` on.
    """

    def __init__(self, district: District, wall_resolution: float, ground_resolution: float):
        self.district = district
        boxes = district.boxes
        self.styles = [make_style(int(seed)) for seed in boxes.style]
        self.heights = np.float32(
            [facades.box_height(kind, style) for kind, style in zip(boxes.kind, self.styles, strict=True)]
        )
        self.walls_count = 4 * len(boxes.rect)
        self.grounds = 2 * self.walls_count
        resolution = np.repeat([wall_resolution, wall_resolution / 4, ground_resolution], [*2 * [self.walls_count], 9])
        self.atlas = Atlas(self._paint, resolution, int(200_000 * wall_resolution**2 + 170_000 * ground_resolution**2))
        self._walls()
        self._streets()
        self.shadows = cache(self._shadows)

    def _paint(self, surface: int) -> np.ndarray:
        if surface >= self.grounds:
            kinds = divmod(surface - self.grounds, 3)
            return paint_ground((*self.district.key, 1, *kinds), *kinds, self.atlas.resolution[surface])
        wall = surface % self.walls_count
        box, face = divmod(wall, 4)
        boxes = self.district.boxes
        x0, y0, x1, y1 = boxes.rect[box]
        width = y1 - y0 if face < 2 else x1 - x0
        front = bool(boxes.fronts[box, face])
        key = (*self.district.key, 2, wall)
        return facades.paint_box(boxes.kind[box], self.styles[box], key, width, front, self.atlas.resolution[surface])

    def _walls(self) -> None:
        """Planes of the walls: (4 B + 1,) tables, the last entry an unreachable wall.

        A wall lies at ``plane`` on its normal's axis; texture metres are ``sign`` * (other coordinate - ``start``),
        so that letters read from left to right outside.
        """
        x0, y0, x1, y1 = self.district.boxes.rect.T.astype(np.float32)
        ones = np.ones_like(x0)
        columns = {
            "plane": (x0, x1, y0, y1),
            "start": (y1, y0, x0, x1),
            "sign": (-ones, ones, ones, -ones),
            "axis": (0 * ones, 0 * ones, ones, ones),
        }
        self.walls = {name: np.append(np.stack(c, 1).ravel(), np.float32(0)) for name, c in columns.items()}
        self.walls["axis"] = self.walls["axis"].astype(bool)

    def _streets(self) -> None:
        """Distance to the nearest street's centre, and its kind, every CELL metres along x and along y."""
        x0, y0, x1, y1 = self.district.bounds
        self.corner = np.float32([x0, y0])
        self.cells = np.ceil((np.array([x1, y1]) - self.corner) / CELL).astype(int)
        self.nearest = []
        for axis, count in enumerate(self.cells):
            streets = [s for s in self.district.streets if s.axis != axis]
            place = self.corner[axis] + (np.arange(count) + 0.5) * CELL
            k = np.abs(place[:, None] - [s.centre for s in streets]).argmin(1)
            centre = np.float32([s.centre for s in streets])[k]
            self.nearest.append((centre, np.int32([s.kind for s in streets])[k]))

    def surfaces(self, x: float, y: float) -> np.ndarray:
        """(walls,) surface of each wall in the atlas for an eye at x, y."""
        x0, y0, x1, y1 = self.district.boxes.rect.T
        far = np.hypot((x0 + x1) / 2 - x, (y0 + y1) / 2 - y) > FAR_WALL
        return np.arange(self.walls_count) + self.walls_count * np.repeat(far, 4)

    def ground(self, x: np.ndarray, y: np.ndarray, footprint: np.ndarray) -> np.ndarray:
        """Packed texels of the ground at local positions, ``footprint`` metres a pixel."""
        (x_centre, x_kind), (y_centre, y_kind) = self.nearest
        i, j = self.cell(x, 0), self.cell(y, 1)
        place = x - x_centre.take(i) + HALF, y - y_centre.take(j) + HALF
        surface = self.grounds + 3 * x_kind.take(i) + y_kind.take(j)
        return self.atlas.read(surface, *place, footprint, np.ones_like(footprint))

    def cell(self, coordinate: np.ndarray, axis: int) -> np.ndarray:
        """Index of the table cell of a local coordinate, clipped to the district."""
        index = ((coordinate - self.corner[axis]) * np.float32(1 / CELL)).astype(np.int32)
        return np.clip(index, 0, np.int32(self.cells[axis] - 1))

    def interpolate(self, table: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Values of a flat table of the cells at local positions, linear between the centres of cells."""
        place = []
        for coordinate, axis in ((x, 0), (y, 1)):
            at = (coordinate - self.corner[axis]) * np.float32(1 / CELL) - np.float32(0.5)
            at = np.clip(at, 0, np.float32(self.cells[axis] - 1.01))
            low = at.astype(np.int32)
            place.append((low, at - low))
        (j, right), (i, up) = place
        wide = np.int32(self.cells[0])
        cell = i * wide + j
        below, above = table.take(cell), table.take(cell + wide)
        below += right * (table.take(cell + 1) - below)
        above += right * (table.take(cell + wide + 1) - above)
        return below + up * (above - below)

    @cached_property
    def raster(self) -> np.ndarray:
        """(rows along y, columns along x) float32 metres: what stands on each cell.

        Crowns of trees let light through.
        """
        heights = np.zeros(self.cells[::-1], np.float32)
        rng = np.random.default_rng((*self.district.key, 3))
        for (x0, y0, x1, y1), height in zip(self.district.boxes.rect, self.heights, strict=True):
            rows, columns = self._span(y0, y1, 1), self._span(x0, x1, 0)
            heights[rows, columns] = np.maximum(heights[rows, columns], height - 1.0)
        for x, y, height in self.district.trees:
            part = heights[self._span(y - 2, y + 2, 1), self._span(x - 2, x + 2, 0)]
            part[...] = np.maximum(part, height * (rng.random(part.shape) < 0.5))
        return heights

    def _span(self, low, high, axis) -> slice:
        ends = (np.array([low, high]) - self.corner[axis]) / CELL
        return slice(*np.clip(np.round(ends), 0, self.cells[axis]).astype(int))

    def _shadows(self, sun: tuple[float, float, float]) -> np.ndarray:
        """Height in metres up to which each cell lies in shadow; negative where the ground is lit."""
        across = float(np.hypot(sun[0], sun[1]))
        top = np.full_like(self.raster, -2.0)
        for step in np.arange(1, min(self.raster.max() * across / sun[2], 160) / CELL):
            i, j = round(step * sun[1] / across), round(step * sun[0] / across)
            target, source = _overlap(top.shape, i, j)
            drop = np.float32(step * CELL * sun[2] / across)
            np.maximum(top[target], self.raster[source] - drop, out=top[target])
        return top.ravel()

    @cached_property
    def lamplight(self) -> np.ndarray:
        """(cells,) light of the street lamps at the ground, 1 below a lamp."""
        light = np.zeros(self.cells[::-1], np.float32)
        for x, y in self.district.lamps:
            rows, columns = self._span(y - LAMP_REACH, y + LAMP_REACH, 1), self._span(x - LAMP_REACH, x + LAMP_REACH, 0)
            along = self.corner[1] + (np.arange(rows.start, rows.stop) + 0.5) * CELL - y
            across = self.corner[0] + (np.arange(columns.start, columns.stop) + 0.5) * CELL - x
            square = (across[None] ** 2 + along[:, None] ** 2) / 25
            light[rows, columns] += np.maximum(0, 1 / (1 + square) ** 1.5 - 0.02)
        return light.ravel()


def _overlap(shape, i: int, j: int):
    """Slices so that target[...] sees source[...] shifted by i rows and j columns; empty beyond the table."""
    target, source = [], []
    for n, k in zip(shape, (i, j), strict=True):
        target.append(slice(max(0, -k), max(0, n - max(0, k))))
        source.append(slice(max(0, k), max(0, n - max(0, -k))))
    return tuple(target), tuple(source)
