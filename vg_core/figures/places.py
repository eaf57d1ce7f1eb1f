"""Pictures of a dataset: distances, density, headings, times, from tables of images (columns of PlaceSet). A column
``split`` (train, val, test) or ``role`` (database, queries) tells sets to compare apart: one colour each.
"""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vg_core.evaluation.ranks import CELL_METRES
from vg_core.figures.house_style import COLUMN, FULL, GROUPS, count, ink, look, percent, plot, remark, variants

FARTHEST_M = 50  # metres; everything beyond shares the last bar
SECTORS = 24  # of 15 degrees


@plot("nearest_m")
def distance_to_positive(places: pd.DataFrame) -> Figure:
    """Share of queries (%) by distance to their nearest database image (column nearest_m, metres), in bars of 1 m.

    10 m (positives in training) and 25 m (a right retrieval) are marked; farther than 50 m is one bar.
    """
    figure, axes = plt.subplots()
    for name, style, rows in _groups(places):
        label = f"{name}: {percent(100 * (rows.nearest_m <= 25).mean())} % within 25 m".removeprefix(": ")
        _histogram(axes, np.fmin(rows.nearest_m, FARTHEST_M + 0.5), np.arange(FARTHEST_M + 2), style, label)
    for metres, meaning in ((10, "10 m: positives of training"), (25, "25 m: right at the test")):
        dash = {"color": "black", "linewidth": 0.8, "linestyle": (0, (metres / 5, 2))}
        axes.axvline(metres, **dash, label=meaning, gid="threshold")
    axes.set_xticks([0, 10, 25, 40, FARTHEST_M + 0.5], ["0", "10", "25", "40", f">{FARTHEST_M}"])
    axes.set(xlabel="distance to the nearest database image (m)", ylabel="queries (%)")
    return figure


@plot("easting northing")
def images_per_place(table: pd.DataFrame) -> Figure:
    """Number of places by how many images each holds; a place is a square of 25 m with any image in it."""
    figure, axes = plt.subplots()
    cells = table.assign(easting=table.easting // CELL_METRES, northing=table.northing // CELL_METRES)
    places = {name: (style, rows.groupby(["easting", "northing"]).size()) for name, style, rows in _groups(cells)}
    most = max((images.max() for _, images in places.values()), default=1)
    width = max(1, round(most / 40))
    edges = 0.5 + width * np.arange(-(-most // width) + 1)
    for name, (style, images) in places.items():
        label = f"{name}: {len(images):,} places, median {images.median():.0f} images".removeprefix(": ")
        _histogram(axes, images, edges, style, label, stat="count")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set(xlabel=f"images in a place of {CELL_METRES:g} × {CELL_METRES:g} m", ylabel="places")
    return figure


@plot("heading")
def headings(table: pd.DataFrame) -> Figure:
    """Rose of viewing directions: share of images (%) in sectors of 15°, north on top, clockwise."""
    figure, axes = plt.subplots(figsize=(2.6, 2.6), subplot_kw={"projection": "polar"})
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    edges = np.linspace(0, 2 * np.pi, SECTORS + 1)
    images, _ = np.histogram(np.deg2rad(table.heading.dropna() % 360), edges)
    around = images + np.roll(images, 1) + np.roll(images, -1)  # numbers go where there is most room
    for name, style, rows in _groups(table):
        directions = np.deg2rad(rows.heading.dropna() % 360)
        _histogram(axes, directions, edges, style, name)
    axes.set_xticks(np.deg2rad(np.arange(0, 360, 45)), ["N", "NE", "E", "SE", "S", "SW", "W", "NW"])
    axes.tick_params(axis="x", pad=-2)
    axes.tick_params(axis="y", labelcolor=ink("grey"))
    axes.yaxis.set(major_formatter="{x:g} %", major_locator=MaxNLocator(3, prune="lower"))
    axes.set(rlabel_position=np.rad2deg(edges[around.argmin()]) + 180 / SECTORS, xlabel="", ylabel="")
    if unknown := table.heading.isna().sum():
        remark(axes, f"{count(unknown, 'image')} of {len(table):,} without heading")
    return figure


@plot("timestamp")
def times(table: pd.DataFrame) -> Figure:
    """Share of images (%) by day, month or year (whatever suits the span) and, where known, by hour of the day.

    Timestamps: yyyymm, YYYYMMDD or YYYYMMDD_hhmmss; anything else is counted under "unknown".
    """
    dated = table.assign(date=_dates(table.timestamp))
    clocked = dated[dated.timestamp.astype(str).str.contains("_") & dated.date.notna()]
    panels, width = (2, FULL) if len(clocked) else (1, COLUMN)
    figure, axes = plt.subplots(1, panels, figsize=(width, 1.9), squeeze=False)
    _date_bars(axes[0, 0], dated)
    for name, style, rows in _groups(clocked):
        _histogram(axes[0, 1], rows.date.dt.hour, np.arange(25), style, name)
        axes[0, 1].set(xticks=range(0, 25, 6), xlabel="hour of the day")
    plt.setp(axes, ylabel="images (%)")
    return figure


def _dates(timestamps: pd.Series) -> pd.Series:
    """Moment of each timestamp, NaT if it is in no known format; a month is its first day."""
    text = timestamps.fillna("").astype(str)
    dates = pd.Series(pd.NaT, index=text.index, dtype="datetime64[s]")
    for pattern, form in ((r"\d{6}", "%Y%m"), (r"\d{8}", "%Y%m%d"), (r"\d{8}_\d{6}", "%Y%m%d_%H%M%S")):
        rows = text.str.fullmatch(pattern)
        dates[rows] = pd.to_datetime(text[rows], format=form, errors="coerce")
    return dates


def _date_bars(axes: Axes, dated: pd.DataFrame) -> None:
    """Bars by day (a span up to 45 days), month (up to 3 years) or year; the unknown ones stand apart."""
    known = dated.date.dropna()
    days = (known.max() - known.min()).days if len(known) else 0
    by_month = dated.timestamp.astype(str).str.len().eq(6).any() or days > 45
    unit, form = ("Y", "%Y") if days > 3 * 365 else ("M", "%b\n%Y") if by_month else ("D", "%d %b\n%Y")
    periods = pd.period_range(known.min(), known.max(), freq=unit) if len(known) else pd.PeriodIndex([], freq=unit)
    missing = len(known) < len(dated)
    slots = np.append(np.arange(len(periods)), [1.15 * len(periods) + 0.2] if missing else [])
    sets = list(_groups(dated))
    width = 0.8 / max(len(sets), 1)
    for number, (name, style, rows) in enumerate(sets):
        colour = style["color"]
        counts = rows.date.dt.to_period(unit).value_counts().reindex(periods, fill_value=0).to_list()
        heights = 100.0 * np.array([*counts, rows.date.isna().sum()][: len(slots)]) / len(rows)
        bars = axes.bar(slots + (number - (len(sets) - 1) / 2) * width, heights, width, color=colour, label=name)
        if missing:
            bars[-1].set(facecolor="white", edgecolor=colour, hatch="////")
    step = max(1, -(-len(periods) // 5))  # at most five dates are written
    names = [*periods[::step].strftime(form), *["unknown"] * missing]
    axes.set_xticks([*slots[: len(periods) : step], *slots[len(periods) :]], names)
    axes.grid(False, axis="x")


def _groups(table: pd.DataFrame) -> Iterator[tuple[str, dict, pd.DataFrame]]:
    """(name, colour and dash, rows) of each split, else of each role, else of the whole table under the name ''."""
    for number, name, rows in variants(table, "split" if "split" in table else "role"):
        yield name, look(number) | {"color": ink(GROUPS.get(name, number))}, rows


def _histogram(axes: Axes, values: pd.Series, edges: np.ndarray, style: dict, label: str, stat="percent") -> None:
    """Bars that can lie over those of another set: pale, with an outline of their own dash."""
    import seaborn as sns  # takes half a second

    sns.histplot(values, bins=edges, stat=stat, ax=axes, element="step", alpha=0.18, label=label, **style)
