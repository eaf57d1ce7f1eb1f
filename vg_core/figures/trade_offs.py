"""Pictures of trade-offs: a number on a grid of two options, and recall against its cost."""

import re
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from vg_core.figures.house_style import COLUMN, FULL, LETTER, ink, logarithmic, marker, need, percent, plot, variants

# where a point's name may stand: offset in points, and which side of the text touches it; the first that fits
PLACES = [(5, 0, "left", "center"), (-5, 0, "right", "center"), (0, 5, "center", "bottom"), (0, -5, "center", "top"),
          (4, 5, "left", "bottom"), (-4, 5, "right", "bottom"), (4, -5, "left", "top"), (-4, -5, "right", "top"),
          (0, 14, "center", "bottom"), (0, -14, "center", "top")]  # fmt: skip


@plot()
def metric_grid(table: pd.DataFrame, x: str, y: str, value: str) -> Figure:
    """``value`` written in a grid of ``x`` by ``y``, the higher the darker; numbers are sorted, texts keep their order.

    A row whose value is NaN or infinite has diverged: its cell is hatched and says so. A cell without a row is empty.
    Raises ValueError when two rows claim one cell.
    """
    need(table, x, y, value)
    if table.duplicated([x, y]).any():
        raise ValueError(f"several rows share one {x} and {y}: average them first, or choose other options")
    columns, lines = _options(table[x]), _options(table[y])
    grid = table.pivot_table(value, y, x, sort=False, dropna=False)
    grid = grid.reindex(index=lines, columns=columns)  # (lines, columns)
    width = COLUMN if len(columns) <= 4 else FULL  # "diverged" fits into a cell
    figure, axes = plt.subplots(figsize=(width, 0.7 + 0.32 * max(len(lines), 1)))
    written = {"ha": "center", "va": "center", "fontsize": 7}
    pale = LinearSegmentedColormap.from_list("pale", ["#f0f5f8", ink("sky")])  # black is legible on all of it
    axes.pcolormesh(np.ma.masked_invalid(grid.to_numpy(float)), cmap=pale, edgecolors="white", linewidth=0.6)
    for row in table.to_dict("records"):
        i, j = columns.index(row[x]), lines.index(row[y])
        if np.isfinite(row[value]):
            axes.text(i + 0.5, j + 0.5, percent(row[value], 1), **written)
            continue
        axes.add_patch(Rectangle((i, j), 1, 1, facecolor="white", edgecolor=ink("grey"), hatch="////"))
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        axes.text(i + 0.5, j + 0.5, "diverged", bbox=behind, **written)
    axes.set(xlim=(0, max(len(columns), 1)), ylim=(max(len(lines), 1), 0), xlabel=_words(x), ylabel=_words(y))
    for set_ticks, options in ((axes.set_xticks, columns), (axes.set_yticks, lines)):
        names = [f"{option:g}" if isinstance(option, float) else str(option) for option in options]
        room = (width - 0.9) / len(columns) if options is columns else width  # inches
        set_ticks(np.arange(len(options)) + 0.5, [fill(name, int(room / LETTER)) for name in names])
    axes.set_title(_words(value), pad=3)
    axes.grid(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@plot("variant recall")
def cost_scatter(table: pd.DataFrame, cost: str = "bytes_per_image") -> Figure:
    """Recall (%) against a cost, each variant a labelled point with its 95 % interval; up and to the left is better.

    Columns: variant, recall, the cost (bytes, ms, …: its unit is its name), and low and high if known.
    """
    need(table, cost)
    figure, axes = plt.subplots()
    table = table.assign(low=table.get("low", table.recall), high=table.get("high", table.recall))
    for number, _, rows in variants(table):
        axes.plot(rows[cost], rows.recall, marker(number), color=ink(number), markersize=4.5)
        axes.vlines(rows[cost], rows.low, rows.high, color=ink(number), linewidth=1.0)
    if len(table) and table[cost].min() > 0 and table[cost].max() > 20 * table[cost].min():
        logarithmic(axes, "x")
    axes.set(xlabel=_words(cost), ylabel="recall@1 (%)")
    axes.margins(0.12)
    figure.draw_without_rendering()  # names are placed in pixels: the axes must have theirs
    _name_points(axes, table, cost)
    return figure


def _options(values: pd.Series) -> list:
    found = list(values.unique())
    return sorted(found) if pd.api.types.is_numeric_dtype(values) else found


def _words(column: str) -> str:
    """'recall_5' as 'recall@5 (%)', 'bytes_per_image' as 'bytes per image'."""
    return re.sub(r"recall_(\d+)", r"recall@\1 (%)", column).replace("_", " ")


def _name_points(axes: Axes, table: pd.DataFrame, cost: str) -> None:
    """Write each name beside its point, at the first place clear of other points, earlier names and the edge."""
    reach = 3 * axes.figure.dpi / 72  # pixels from a point's centre to its rim
    ends = [axes.transData.transform(table[[cost, end]].to_numpy(float)) for end in ("low", "high")]  # (points, 2)
    taken = [Bbox([bottom - reach, top + reach]) for bottom, top in zip(*ends, strict=True)]
    for name, x, y in zip(table.variant, table[cost], table.recall, strict=True):
        tries = []
        for dx, dy, ha, va in PLACES:
            text = axes.annotate(name, (x, y), (dx, dy), textcoords="offset points", ha=ha, va=va, fontsize=7)
            box = text.get_window_extent()
            outside = not all(axes.bbox.contains(*corner) for corner in box.corners())
            tries.append((sum(box.overlaps(other) for other in taken) + 9 * outside, text, box))
            text.remove()
        _, text, box = min(tries, key=lambda entry: entry[0])
        axes.add_artist(text)
        text.set_in_layout(False)
        taken.append(box)
