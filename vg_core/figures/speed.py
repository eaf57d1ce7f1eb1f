"""A picture of how much faster the stages are than the field's reference code, and of the bars set for them."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from vg_core.figures.canvas import COLUMN, ink, legend_below, logarithmic, need, plot, remark

KINDS = {  # of a bar: columns of its value, its ends, the bar, and what is said behind the row's name
    "time": ("ratio", "ratio_low", "ratio_high", "bar", ""),
    "floor": ("floor_ratio", "floor_ratio", "floor_ratio", "floor_bar", ", over its floor"),
    "memory": ("memory_ratio", "memory_ratio", "memory_ratio", "memory_bar", ", memory"),
}
NEEDED = ("row", "quick", *dict.fromkeys(column for *columns, _ in KINDS.values() for column in columns))
VERDICTS = {"met": ("green", "o"), "missed": ("vermillion", "X"), "not judged": ("grey", "D")}  # colour, shape


@plot
def speed_ratios(results: pd.DataFrame) -> Figure:
    """Ours over the reference, one line per bar of ``goals``: a point with its range (logarithmic), the bar as a tick.

    Left of its tick a bar is met, which colour and shape say, too.
    """
    table = goals(results)
    figure, axes = plt.subplots(figsize=(COLUMN, 0.75 + 0.15 * max(2, len(table))))
    lines = pd.Series(range(len(table)), table.index)
    for verdict, rows in table.groupby("verdict", sort=False):
        colour, shape = VERDICTS[verdict]
        axes.hlines(lines[rows.index], rows.low, rows.high, color=ink(colour), linewidth=1.2)
        axes.plot(rows.ratio, lines[rows.index], shape, color=ink(colour), markersize=3.5, label=verdict)
    axes.plot(table.bar, lines, "|", color="black", markersize=8, label="bar", gid="bar")
    axes.axvline(1, color=ink("grey"), linewidth=0.6, linestyle="--", gid="reference")
    logarithmic(axes, "x")
    axes.set_yticks(lines, table.name)
    axes.set(ylim=(len(table) - 0.4, -0.6), xlabel="ours / reference")
    axes.grid(visible=False, axis="y")
    remark(axes, "point: median · line: range · left is better")
    legend_below(figure, axes)
    return figure


def goals(results: pd.DataFrame) -> pd.DataFrame:
    """One row per bar of a benchmark's results: row, kind, name, ratio with its range (low, high), bar, verdict.

    Kinds are time over the reference's, time over the least that the work could take (floor), and peak memory over the
    reference's; only the first has a range. Rows measured quickly, at tiny shapes, are "not judged". ``results`` has at
    least the columns ``NEEDED``.
    """
    need(results, *NEEDED)
    parts = []
    for kind, (value, low, high, bar, behind) in KINDS.items():
        rows = results.dropna(subset=[value, bar])
        facts = {"ratio": rows[value], "low": rows[low], "high": rows[high], "bar": rows[bar]}
        facts |= {"verdict": _verdicts(rows, value, bar)}
        names = {"row": rows.row, "kind": kind, "name": rows.row.str.replace("_", " ") + behind}
        parts.append(pd.DataFrame(names | facts))
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def _verdicts(rows: pd.DataFrame, value: str, bar: str) -> pd.Series:
    met = (rows[value] <= rows[bar]).map({True: "met", False: "missed"})
    return met.mask(rows.quick.astype(bool), "not judged")
