"""Maps for paper: UTM metres, north up, no tiles, nothing from the network."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, Wedge
from matplotlib.ticker import FuncFormatter, MaxNLocator
from matplotlib.transforms import ScaledTranslation
from scipy.spatial import cKDTree

from vg_core.datasets.nearest import ROUNDING_METRES
from vg_core.datasets.zones import is_made_up
from vg_core.evaluation.ranks import CELL_METRES
from vg_core.figures.house_style import COLUMN, FULL, GROUPS, INKS, ink, plot
from vg_core.system.text import printable

LEGEND = 0.45  # inches, its height
VECTOR_SHAPES = 5000  # dots or cells drawn one by one; more become pixels, or the file grows by megabytes


@plot()
def static_map(splits: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], radius_m: float = 25.0) -> Figure:
    """A map for each split, name -> (database, queries): a colour for each, queries without positives crossed.

    Tables need the columns easting and northing (metres, one UTM zone per split). A query has no positives when no
    database image of its split lies within ``radius_m`` metres. Photographs that share a position are one dot.
    """
    dots = {name: [_metres(table) for table in tables] for name, tables in splits.items()}
    unit = "units" if any(is_made_up(table) for pair in splits.values() for table in pair) else "m"
    figure, panels = _panels([np.concatenate(pair) for pair in dots.values()], list(dots), LEGEND, unit)
    pixels = sum(len(points) for pair in dots.values() for points in pair) > VECTOR_SHAPES
    for axes, (database, queries) in zip(panels, dots.values(), strict=True):
        metres, _ = cKDTree(database).query(queries)  # infinite without a database
        alone = queries[metres > radius_m + ROUNDING_METRES]
        for points, label, look in (
            (database, f"{len(database):,} database", {"s": 18, "color": ink(GROUPS["database"]), "lw": 0}),
            (queries, f"{len(queries):,} queries", {"s": 2, "color": ink(GROUPS["queries"]), "lw": 0}),
            (alone, f"{len(alone):,} without positives", {"s": 12, "color": "black", "lw": 0.7, "marker": "x"}),
        ):
            axes.scatter(*np.unique(points, axis=0).T, label=label, rasterized=pixels, **look)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.2, scatterpoints=3)
    return figure


@plot()
def density_map(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """A map for each table: images in each square of 25 m, on one scale; empty squares are white.

    Tables need the columns easting and northing (metres).
    """
    cells = {name: np.floor(_metres(table) / CELL_METRES) for name, table in tables.items()}  # (N, 2), counted from 0 m
    unit = "units" if any(map(is_made_up, tables.values())) else "m"
    clouds = [np.concatenate([at, at + 1]) * CELL_METRES for at in cells.values()]
    figure, panels = _panels(clouds, list(tables), unit=unit)
    scale = LogNorm(0.7, 2)  # a cell of one image differs from the white of none
    for axes, at in zip(panels, cells.values(), strict=True):
        edges = [np.arange(side.min(), side.max() + 2) * CELL_METRES for side in at.T]  # eastwards, northwards
        look = {"norm": scale, "cmap": "YlGnBu", "cmin": 1, "rasterized": edges[0].size * edges[1].size > VECTOR_SHAPES}
        counted, *_, mesh = axes.hist2d(*(at.T + 0.5) * CELL_METRES, edges, **look)
        scale.vmax = max(scale.vmax, np.nanmax(counted))
    bar = figure.colorbar(mesh, ax=panels, shrink=0.7, aspect=20, pad=0.02)
    bar.set_label(f"images in {CELL_METRES:g} × {CELL_METRES:g} {unit}")
    bar.set_ticks([tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= scale.vmax])
    bar.ax.yaxis.set_major_formatter("{x:g}")
    bar.ax.minorticks_off()
    return figure


@plot("easting northing heading group")
def class_map(photographs: pd.DataFrame, side: float, angle: float, across: int = 8) -> Figure:
    """Two maps of classes (CosPlace, figure 2): cells of the first group among all, and a part ``across`` cells wide in
    which each class is a wedge that opens to where its photographs look, coloured by its group.

    One row per photograph in a class: easting, northing (metres), heading (degrees clockwise from north), group (a
    number). Cells are ``side`` metres wide, directions of view ``angle`` degrees.
    """
    corners = {axis: photographs[axis] // side * side for axis in ("easting", "northing")}
    turned = photographs.heading % 360 // angle * angle
    classes = pd.DataFrame(corners | {"heading": turned, "group": photographs.group}).drop_duplicates()
    corners, first = _metres(classes), classes.group.min()
    counts = np.unique(corners // (across * side), axis=0, return_counts=True)
    fullest = counts[0][counts[1].argmax()] * across * side
    near = classes[((corners >= fullest) & (corners < fullest + across * side)).all(axis=1)]
    clouds = [np.concatenate([corners, corners + side]), np.stack([fullest, fullest + across * side])]
    figure, (whole, part) = _panels(clouds, [f"cells of group {first}", "classes"], LEGEND)
    for rows, colour, label in (
        (classes, "#d8d8d8", f"all {len(classes):,} classes"),
        (classes[classes.group == first], ink(0), f"{(classes.group == first).sum():,} of group {first}"),
    ):
        squares = [Rectangle(corner, side, side) for corner in np.unique(_metres(rows), axis=0)]
        whole.add_collection(PatchCollection(squares, facecolor=colour, linewidth=0))
        whole.scatter([], [], marker="s", color=colour, label=label)
    for group, rows in near.groupby("group"):
        starts = 90 - rows.heading - angle  # counterclockwise from east
        centres = _metres(rows) + side / 2
        wedges = [Wedge(c, 0.47 * side, s, s + angle) for c, s in zip(centres, starts, strict=True)]
        look = {"facecolor": (*INKS, "black")[group % 8], "edgecolor": "white", "linewidth": 0.3}
        part.add_collection(PatchCollection(wedges, **look))
        part.scatter([], [], marker="s", color=look["facecolor"], label=f"group {group}")
    for axes, columns in ((whole, 1), (part, 4)):
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), borderaxespad=4.2, ncols=columns)
    return figure


def round_length(most: float) -> float:
    """The longest of 1, 2 and 5 × 10^k metres up to ``most``."""
    power = 10.0 ** np.floor(np.log10(most))
    return max(step * power for step in (1, 2, 5) if step * power <= most)


def _metres(table: pd.DataFrame) -> np.ndarray:
    """Positions (N, 2): easting, northing."""
    return table[["easting", "northing"]].to_numpy(float)


def _panels(
    clouds: Sequence[np.ndarray], names: Sequence[str], below: float = 0.0, unit: str = "m"
) -> tuple[Figure, list[Axes]]:
    """Axes around each cloud of points (N, 2), up to three in a line, with ``below`` inches to spare under each line.

    One map that is not very wide takes one column of the paper, all others both.
    """
    if not clouds or not all(map(len, clouds)):
        raise ValueError("there is no position to draw: a map needs at least one photograph for each of its names")
    boxes = [_box(points) for points in clouds]
    shape = max((high - low)[1] / (high - low)[0] for low, high in boxes)  # of the highest panel
    columns = min(len(clouds), 3)
    width = COLUMN if columns == 1 and shape > 0.55 else FULL
    lines = -(-len(clouds) // columns)
    height = lines * (float(np.clip((width / columns - 0.6) * shape, 0.9, 5.5)) + 0.7 + below)
    figure, grid = plt.subplots(lines, columns, figsize=(width, height), squeeze=False)
    for axes in grid.flat[len(clouds) :]:
        axes.remove()
    for axes, name, box in zip(figure.axes, names, boxes, strict=True):
        _furnish(axes, name, *box, unit)
    return figure, figure.axes


def _box(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """South-west and north-east corner (2,) around the points, with a margin; a street has some land on either side."""
    low, high = points.min(axis=0), points.max(axis=0)
    reach = max(*(high - low), 50.0)
    half = np.maximum(high - low, reach / 5) / 2 + 0.04 * reach
    return (low + high) / 2 - half, (low + high) / 2 + half


def _furnish(axes: Axes, name: str, low: np.ndarray, high: np.ndarray, unit: str) -> None:
    """Equal aspect, metres counted from a round origin, name, north arrow and scale bar."""
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", anchor="N")
    for axis, label, start in ((axes.xaxis, "easting", low[0]), (axes.yaxis, "northing", low[1])):
        origin = max(0.0, 1000 * np.floor(start / 1000))
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda value, _, origin=origin: f"{value - origin:,.0f}"))
        axis.set_label_text(f"{label} − {origin:,.0f} ({unit})", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.set_title(f"{printable(name)}   N ↑", loc="right", pad=3)
    _scale_bar(axes, (high - low)[0], unit)


def _scale_bar(axes: Axes, across: float, unit: str) -> None:
    """A bar of 1, 2 or 5 × 10^k metres above the left end of the map, at most a quarter of its width."""
    length = round_length(across / 4)
    ends = [axes.get_xlim()[0], axes.get_xlim()[0] + length]
    above = axes.get_xaxis_transform() + ScaledTranslation(0, 5 / 72, axes.figure.dpi_scale_trans)  # 5 points
    axes.plot(ends, [1, 1], color="black", lw=2, solid_capstyle="butt", transform=above, clip_on=False, gid="scale")
    axes.text(ends[1], 1, f" {length:g} {unit}", transform=above, va="center", fontsize=7)
