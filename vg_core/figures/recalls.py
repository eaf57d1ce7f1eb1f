"""Pictures of recall: against N, between variants, as paired gains, against metres."""

from itertools import count
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vg_core.figures.house_style import COLUMN, ink, look, marker, need, percent, plot, protocol, variants

NAME = 24  # letters of a name beside its line
METRES_SHOWN = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 5000)  # ticks of a logarithmic axis


@plot("variant n recall low high")
def recall_curves(recalls: pd.DataFrame) -> Figure:
    """Recall@N (%) against N, one line per variant with its 95 % interval as a band; from a recall table."""
    figure, axes = _banded_lines(recalls, "n")
    axes.set(xticks=sorted(recalls.n.unique()), xlabel="N, images retrieved", ylabel="recall@N (%)")
    return figure


@plot("variant n recall low high")
def recall_bars(recalls: pd.DataFrame, n: int = 1) -> Figure:
    """Recall@n (%) of each variant, in the table's order: dot, 95 % interval (line), spread of seeds ± std (ticks)."""
    rows = recalls[recalls.n == n].reset_index(drop=True)
    figure, axes = _one_line_each(rows.variant)
    y = np.arange(len(rows))
    axes.hlines(y, rows.low, rows.high, color=ink("blue"), linewidth=1.2)
    axes.plot(rows.recall, y, "o", color=ink("blue"), markersize=4)
    if "seed_std" in rows:
        for side in (-1, 1):
            axes.plot(rows.recall + side * rows.seed_std, y, "|", color=ink("vermillion"), markersize=7)
    _write_at_right(axes, [percent(value, 1) for value in rows.recall])
    axes.set_xlabel(f"recall@{n} (%)")
    protocol(axes, rows, "line: 95 % interval" + (" · ticks: ± seed std" if "seed_std" in rows else ""))
    return figure


@plot()
def gain_forest(comparison: pd.DataFrame) -> Figure:
    """Paired gain of each variant over its baseline (points of recall) with its interval and Holm's p.

    Columns: variant, gain, low, high, and p_holm or, to be written in its place, verdict. Filled: the interval excludes
    zero (green gains, vermillion losses).
    """
    tested = "p_holm" in comparison
    need(comparison, "variant", "gain", "low", "high", "p_holm" if tested else "verdict")
    figure, axes = _one_line_each(comparison.variant)
    axes.axvline(0.0, color="black", linewidth=0.8, gid="zero")
    for y, row in enumerate(comparison.itertuples()):
        colour = ink("green" if row.low > 0 else "vermillion" if row.high < 0 else "grey")
        face = "white" if row.low <= 0 <= row.high else colour
        axes.hlines(y, row.low, row.high, color=colour, linewidth=1.2)
        axes.plot(row.gain, y, "o", color=colour, markerfacecolor=face, markersize=4.5)
    if tested:
        words = [f"p={p:.3f}" if p >= 0.001 else "p<0.001" for p in comparison.p_holm]
    else:
        words = comparison.verdict.str.replace("no difference of more than ", "within ±")
    _write_at_right(axes, [f"{gain:+.1f}  {word}" for gain, word in zip(comparison.gain, words, strict=True)])
    axes.set_xlabel("paired gain in recall (points)")
    protocol(axes, comparison, "line: 95 % interval" + " · p: Holm" * tested)
    return figure


@plot("variant threshold n recall low high")
def recall_against_metres(curves: pd.DataFrame, threshold_m: float = 25.0) -> Figure:
    """Recall@N (%) against the distance that counts as right (metres, logarithmic), one line per variant and N.

    Columns: variant, threshold (metres), n, recall, low, high. ``threshold_m`` is marked: the field's protocol.
    """
    several = len(curves.n.unique()) > 1
    named = curves.assign(variant=curves.variant + " @" + curves.n.astype(str)) if several else curves
    figure, axes = _banded_lines(named, "threshold")
    _metres_axis(axes, curves.threshold, threshold_m)
    number = "N" if several or curves.empty else curves.n.iloc[0]
    axes.set(xlabel="a retrieval is right within (m)", ylabel=f"recall@{number} (%)")
    return figure


@plot("variant dimension recall low high")
def recall_by_dimension(table: pd.DataFrame) -> Figure:
    """Recall@1 (%) against the number of values of a descriptor (logarithmic), one line per variant with its interval.

    Columns: variant, dimension, recall, low, high.
    """
    figure, axes = _banded_lines(table, "dimension")
    _log_ticks(axes, sorted(table.dimension.unique()), base=2)
    axes.set(xlabel="values of a descriptor", ylabel="recall@1 (%)")
    return figure


@plot("metres")
def error_cdf(ranks: pd.DataFrame) -> Figure:
    """Share of queries (%) whose first retrieved image was taken within so many metres; all seeds of a variant pooled.

    Columns: metres, and variant if there are several; the column threshold (metres), if any, is marked.
    """
    figure, axes = plt.subplots()
    for number, name, rows in variants(ranks):
        metres = np.sort(np.maximum(rows.metres.to_numpy(float), 1.0))  # one metre is the left edge
        share = 100.0 * np.arange(1, len(metres) + 1) / len(metres)
        axes.step(metres, share, where="post", label=name, **look(number))
    if len(ranks):
        _metres_axis(axes, ranks.metres.clip(lower=1.0), ranks.threshold.iloc[0] if "threshold" in ranks else None)
    axes.set(ylim=(0, 101), xlabel="distance of the first retrieved image (m)", ylabel="queries (%)")
    return figure


def _banded_lines(table: pd.DataFrame, x: str) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots()
    paleness = 0.6 / max(4, table.variant.nunique())  # many bands lie over each other
    for number, name, rows in variants(table.sort_values(x, kind="stable")):
        axes.plot(rows[x], rows.recall, label=name, marker=marker(number), markerfacecolor="none", **look(number))
        axes.fill_between(rows[x], rows.low, rows.high, color=ink(number), alpha=paleness, linewidth=0)
    protocol(axes, table, "band: 95 % interval")
    return figure, axes


def _one_line_each(names: pd.Series) -> tuple[Figure, Axes]:
    """Axes with one horizontal line per name, the first on top; a long name takes two lines of text."""
    names = [next(text for width in count(NAME) if (text := fill(name, width)).count("\n") < 2) for name in names]
    line = 0.25 if any("\n" in name for name in names) else 0.19  # inches
    figure, axes = plt.subplots(figsize=(COLUMN, 0.65 + line * max(len(names), 2)))
    axes.set_yticks(np.arange(len(names)), names)
    axes.set_ylim(max(len(names), 1) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _write_at_right(axes: Axes, labels: list[str]) -> None:
    at = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "va": "center"}
    for y, label in enumerate(labels):
        axes.annotate(label, (1, y), (4, 0), fontsize=7, **at)


def _metres_axis(axes: Axes, metres: pd.Series, threshold_m: float | None) -> None:
    """A logarithmic axis that reads 1, 2, 5, 10, 25 … and marks the threshold."""
    low, high = metres.min(), metres.max()  # NaN when there are none
    _log_ticks(axes, [tick for tick in METRES_SHOWN if low <= tick <= high])
    if threshold_m:
        look = {"color": ink("grey"), "linewidth": 0.8, "linestyle": (0, (3, 2)), "label": f"{threshold_m:g} m"}
        axes.axvline(threshold_m, **look, gid="threshold")


def _log_ticks(axes: Axes, ticks: list, base: int = 10) -> None:
    axes.set_xscale("log", base=base)
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
