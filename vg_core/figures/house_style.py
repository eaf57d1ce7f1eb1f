"""What all figures share: the house style (``house.mplstyle``), widths, colours with a meaning, legends."""

from collections.abc import Callable, Iterator
from functools import wraps
from inspect import signature
from textwrap import wrap

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from vg_core.evaluation.units import worth
from vg_core.system.text import count, each_text, printable

COLUMN, FULL = 3.15, 6.5  # inches: two figures in a line of the report, or one; it shrinks what is wider, letters too
COLOURS = ("blue", "orange", "green", "vermillion", "purple", "sky", "grey")  # in the order of the house style
LETTER = 0.058  # inches, the width of a letter of 7 points
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
GROUPS = {"train": "blue", "val": "orange", "test": "green", "database": "sky", "queries": "vermillion"}
with style.context("vg_core.figures.house"):
    INKS = [to_hex(colour) for colour in plt.rcParams["axes.prop_cycle"].by_key()["color"]]


def plot(*columns: str) -> Callable:
    """Decorator of a function that draws tables: it runs in the house style, and names of strangers are made legible.

    ``columns`` are those that its first table needs, its second and so on; a ValueError names the missing ones. The
    figure has a legend below of what its first axes name, unless they have one; it is closed (a notebook shows it once,
    as the value of the cell), and says where it has no data.
    """

    def decorated(draw: Callable[..., Figure]) -> Callable[..., Figure]:
        @wraps(draw)
        def styled(*args, **kwargs) -> Figure:
            with style.context("vg_core.figures.house", after_reset=True):
                given = signature(draw).bind(*args, **kwargs).arguments
                tables = {n: each_text(value, legible) for n, value in given.items() if isinstance(value, pd.DataFrame)}
                for table, needed in zip(tables.values(), columns, strict=False):
                    need(table, *needed.split())
                figure = draw(**given | tables)
                plt.close(figure)
                _complete(figure, nothing=bool(tables) and all(table.empty for table in tables.values()))
            return figure

        return styled

    return decorated


def _complete(figure: Figure, nothing: bool) -> None:
    """Add the legend, say where there is no data, and fix what would change in the style at saving."""
    if figure.axes and not figure.axes[0].get_legend():
        _legend_below(figure, *figure.axes[0].get_legend_handles_labels())
    said = {"s": "no data", "color": ink("grey"), "ha": "center", "va": "center"}
    for axes in figure.axes:
        axes.tick_params(labelsize=plt.rcParams["xtick.labelsize"])  # or the style at saving counts them
        if nothing or not (axes.has_data() or axes.texts):
            axes.text(0.5, 0.5, **said, transform=axes.transAxes)
    if not figure.axes:
        figure.text(0.5, 0.5, **said)
    figure.draw_without_rendering()  # ticks are made here, not later in another style


def _legend_below(figure: Figure, handles: list, names: list[str]) -> None:
    """A legend in as many columns as its names allow; the figure grows by its height."""
    if names:
        width, height = figure.get_size_inches()
        room = int(width / (LETTER * max(map(len, names)) + 0.45))  # inches per name, per handle
        columns = max(1, min(len(names), room))
        figure.set_size_inches(width, height + 0.155 * -(-len(names) // columns))
        figure.legend(handles, names, loc="outside lower center", ncols=columns)


def ink(colour: str | int) -> str:
    """'#rrggbb' of a house colour, by name or number."""
    return INKS[COLOURS.index(colour) if isinstance(colour, str) else colour % len(INKS)]


def legible(text) -> str:
    """A name as figures can write it. matplotlib would leave out of a legend what begins with "_"."""
    name = printable(text)
    return f"\u200b{name}" if name.startswith("_") else name  # behind a space without width


class PlainNumbers(LogFormatter):
    """Numbers along a logarithmic axis, as 0.1 or 2×10⁻⁵; matplotlib's own are formulas, which no figure has."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        if not super().__call__(x, pos):  # not every tick has one
            return ""
        factor, power = f"{x:.3e}".split("e")
        long = f"{float(factor):g}×".removeprefix("1×") + "10" + str(int(power)).translate(RAISED)
        return f"{x:g}" if 1e-3 <= x < 1e4 else long


def logarithmic(axes: Axes, side: str) -> None:
    axes.set(**{f"{side}scale": "log"})
    getattr(axes, f"{side}axis").set(major_formatter=PlainNumbers(), minor_formatter=PlainNumbers())


def need(table: pd.DataFrame, *columns: str) -> None:
    """Raises a ValueError that names the missing columns."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; it has: {', '.join(map(str, table.columns))}")


def variants(table: pd.DataFrame, by: str = "variant") -> Iterator[tuple[int, str, pd.DataFrame]]:
    """(number, name, rows) of each variant in order of appearance; a table without names is one variant."""
    table = table if by in table else table.assign(**{by: ""})
    for number, (name, rows) in enumerate(table.groupby(by, sort=False)):
        yield number, str(name), rows


def look(number: int) -> dict[str, str]:
    """Colour and dash of a variant's line: 28 different ones. Where lines coincide, the first shows between dashes."""
    return {"color": ink(number), "linestyle": ("-", "--", ":", "-.")[number % 4]}


def marker(number: int) -> str:
    """Shape of a variant's points; variants of one colour have different shapes."""
    return "osD^vPX"[(number + number // 7) % 7]


def percent(value: float, digits: int = 0) -> str:
    """'37' of 37.4 (%), but '99.8' of 99.8: it says 100 only of all, and 0 only of none."""
    text = f"{value:.{digits}f}"
    return percent(value, digits + 1) if 0 < value < 100 and float(text) in (0, 100) else text


def protocol(axes: Axes, recalls: pd.DataFrame, interval: str) -> None:
    """A line above the axes: how many queries, seeds and independent units stand behind them, and if these are few."""
    parts = []
    for column, noun in (("queries", "query"), ("seeds", "seed")):
        known = sorted({int(value) for value in recalls.get(column, ())})
        if known:
            parts.append(f"{known[0]:,}–" * (len(known) > 1) + count(known[-1], noun))
    if "units" in recalls and len(recalls):
        parts.append(worth(recalls))
    remark(axes, " · ".join([*parts, interval]))


def remark(axes: Axes, text: str) -> None:
    """Small grey lines above the axes, for what a reader must know to read them; they are broken between " · "."""
    joined = text.replace(" ", "\u00a0").replace("\u00a0·\u00a0", " · ")
    axes.figure.draw_without_rendering()  # lines end where the axes do, which must have their place
    room = axes.get_window_extent().x1 / axes.figure.dpi  # inches
    lines = wrap(joined, int(room / LETTER))
    text = "\n".join(line.replace("\u00a0", " ").removesuffix(" ·").removeprefix("· ") for line in lines)
    axes.set_title(text, fontsize=7, color=ink("grey"), loc="right", pad=3)
