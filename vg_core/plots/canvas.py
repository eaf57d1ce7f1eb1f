"""What all plots share: widths, colours with a meaning, legends, and the house style (``vg_core/house.mplstyle``)."""

from collections.abc import Callable, Iterator
from functools import wraps

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

COLUMN, FULL = 3.4, 7.0  # inches: one column, and both columns, of a two-column paper
COLOURS = ("blue", "orange", "green", "vermillion", "purple", "sky", "grey")  # in the order of the house style
GROUPS = {"train": "blue", "val": "orange", "test": "green", "database": "sky", "queries": "vermillion"}


def plot(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """``draw`` in the house style. Its figure is complete, closed (a notebook shows it once, as the value of the
    cell), and says so where it has nothing to show."""

    @wraps(draw)
    def styled(*args, **kwargs) -> Figure:
        with style.context("vg_core.house", after_reset=True):
            figure = draw(*args, **kwargs)
            plt.close(figure)
            tables = [value for value in (*args, *kwargs.values()) if isinstance(value, pd.DataFrame)]
            for axes in figure.axes:
                axes.tick_params(labelsize=plt.rcParams["xtick.labelsize"])  # or the style at saving counts them
                if not axes.has_data() or all(table.empty for table in tables):
                    at = {"transform": axes.transAxes, "ha": "center", "va": "center"}
                    axes.text(0.5, 0.5, "no data", color=ink("grey"), **at)
            figure.draw_without_rendering()  # ticks are made here, not later in another style
        return figure

    return styled


def ink(colour: str | int) -> str:
    """'#rrggbb' of a house colour, by name or number; matplotlib's own "C0" would change its meaning after drawing."""
    number = COLOURS.index(colour) if isinstance(colour, str) else colour % len(COLOURS)
    return to_hex(f"C{number}")


def need(table: pd.DataFrame, *columns: str) -> None:
    """Nothing, or a ValueError that names the columns a plot misses."""
    missing = [column for column in columns if column not in table]
    if missing:
        raise ValueError(f"the table has no column {', '.join(missing)}; it has: {', '.join(map(str, table.columns))}")


def variants(table: pd.DataFrame) -> Iterator[tuple[int, str, pd.DataFrame]]:
    """(number, name, rows) of each variant in order of appearance; a table without names is one variant."""
    if "variant" not in table:
        table = table.assign(variant="")
    for number, (name, rows) in enumerate(table.groupby("variant", sort=False)):
        yield number, str(name), rows


def groups(table: pd.DataFrame) -> Iterator[tuple[str, str, pd.DataFrame]]:
    """(name, colour, rows) of each split, else of each role, else of the whole table under the name ''."""
    by = next((column for column in ("split", "role") if column in table), None)
    if by is None:
        yield "", ink("blue"), table
        return
    for number, (name, rows) in enumerate(table.groupby(by, sort=False)):
        yield str(name), ink(GROUPS.get(name, number)), rows


def look(number: int) -> dict[str, str]:
    """Colour and dash of a variant's line: 21 different ones."""
    return {"color": ink(number), "linestyle": ("-", "--", ":")[number // 7 % 3]}


def marker(number: int) -> str:
    """Shape of a variant's points; variants of one colour have different shapes."""
    return "osD^vPX"[(number + number // 7) % 7]


def legend_below(figure: Figure, axes: Axes) -> None:
    """A legend under the axes, in as many columns as its names allow; the figure grows by its height."""
    handles, names = axes.get_legend_handles_labels()
    if not names:
        return
    width, height = figure.get_size_inches()
    columns = max(1, min(len(names), int(width / (0.058 * max(map(len, names)) + 0.45))))  # inches a letter, a handle
    figure.set_size_inches(width, height + 0.155 * -(-len(names) // columns))
    figure.legend(handles, names, loc="outside lower center", ncols=columns)


def count(number: int, noun: str) -> str:
    """'1 seed', '6,816 queries'."""
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number:,} {noun if number == 1 else plural}"


def protocol(axes: Axes, recalls: pd.DataFrame, interval: str) -> None:
    """Write above the axes how many queries and seeds stand behind them."""
    parts = []
    for column, noun in (("queries", "query"), ("seeds", "seed")):
        known = sorted({int(value) for value in recalls[column]}) if column in recalls else []
        if len(known) == 1:
            parts.append(count(known[0], noun))
        elif known:
            parts.append(f"{known[0]:,}–{count(known[-1], noun)}")
    remark(axes, " · ".join([*parts, interval]))


def remark(axes: Axes, text: str) -> None:
    """A small grey line above the axes, for what a reader must know to read them."""
    axes.set_title(text, fontsize=6.5, color=ink("grey"), loc="right", pad=3)
