"""Pictures of time: where that of a training goes, how much faster the stages are than the field's reference code, and
search in large databases.
"""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from vg_core.figures.house_style import COLUMN, ink, logarithmic, marker, need, percent, plot, remark, variants

TRAINING = {  # columns of a history without "seconds_", in the order of an epoch: name, colour
    "decode": ("done once", "vermillion"),
    "waiting": ("waiting for images", "grey"),
    "extraction": ("describing", "sky"),
    "mining": ("mining", "orange"),
    "forward": ("forward", "green"),
    "backward": ("backward", "blue"),
}
PHASES = TRAINING | {"search": ("search in validation", "purple"), "validation": ("rest of validation", "purple")}
PALE = 0.5  # opacity of a part that has the colour of the whole
WRITTEN = 7.0  # %; a narrower part has no room for its share
KINDS = {  # of a goal: columns of the value, its ends, the goal ("bar"), and what is said behind the row's name
    "time": ("ratio", "ratio_low", "ratio_high", "bar", ""),
    "floor": ("floor_ratio", "floor_ratio", "floor_ratio", "floor_bar", ", over its floor"),
    "memory": ("memory_ratio", "memory_ratio", "memory_ratio", "memory_bar", ", memory"),
}
NEEDED = ("row", "quick", *dict.fromkeys(column for *columns, _ in KINDS.values() for column in columns))
VERDICTS = {"met": ("green", "o"), "missed": ("vermillion", "X"), "not judged": ("grey", "D")}  # colour, shape


@plot(" ".join(["epoch seconds", *(f"seconds_{phase}" for phase in TRAINING)]), "epoch seconds seconds_search")
def phase_bars(history: pd.DataFrame, validation: pd.DataFrame | None = None) -> Figure:
    """Share of an epoch's time (%) that each phase takes, one bar per variant; seconds per epoch stand behind the bar.

    Columns: epoch, seconds and seconds_<phase> of each round; epoch, seconds and seconds_search of each validation,
    where it shall be counted; and variant and seed where there are several. What no phase covers is left white.
    """
    table = seconds_per_epoch(history, validation)
    figure, axes = plt.subplots(figsize=(COLUMN, 0.55 + 0.26 * max(1, len(table))))
    total = table.pop("total")
    shares = (100 * table).div(total, axis=0)  # (variants, phases)
    fills = [to_rgba(ink(PHASES[phase][1]), PALE if phase == "search" else 1.0) for phase in shares]
    if len(shares):
        shares.plot.barh(stacked=True, width=0.7, color=fills, ax=axes, legend=False)
    for (phase, share), bars in zip(shares.items(), axes.containers, strict=False):
        name, colour = PHASES[phase]
        bars.set_label(name)
        texts = [percent(value) if value >= WRITTEN else "" for value in share]
        dark = "black" if colour in ("sky", "orange", "purple") else "white"
        axes.bar_label(bars, texts, label_type="center", fontsize=7, color=dark)
    for place, seconds in enumerate(total):
        axes.annotate(f"{seconds:.3g} s", (100, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, 100), xlabel="share of an epoch (%)", ylabel="")
    remark(axes, "behind the bars: seconds per epoch")
    return figure


def seconds_per_epoch(history: pd.DataFrame, validation: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean seconds of each phase in one epoch, one row per variant; ``total`` holds what no phase covers, too.

    What is done once comes before a round, and its seconds are not among the round's. Validations, from which their
    search is taken apart, count from epoch 1 on: that of the untrained network belongs to no epoch.
    """
    columns = {"seconds": "total"} | {f"seconds_{phase}": phase for phase in TRAINING}
    rows = {}
    for _, name, rounds in variants(history):
        epochs = len(rounds.assign(seed=rounds.get("seed", 0)).groupby(["seed", "epoch"]))
        rows[name] = rounds[[*columns]].sum() / epochs
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[*columns]).rename(columns=columns)
    table["total"] += table.decode
    if validation is None:
        return table
    after = {n: part.loc[part.epoch > 0, ["seconds_search", "seconds"]].mean() for _, n, part in variants(validation)}
    search, seconds = pd.DataFrame(after, ["seconds_search", "seconds"], table.index).fillna(0.0).to_numpy(float)
    return table.assign(search=search, validation=seconds - search, total=table.total + seconds)


@plot()
def speed_ratios(results: pd.DataFrame) -> Figure:
    """Ours over the reference, one line per row of ``goals``: a point with its range (logarithmic), the goal as a tick.

    Left of its tick a goal is met, which colour and shape say, too.
    """
    table = goals(results)
    figure, axes = plt.subplots(figsize=(COLUMN, 0.75 + 0.15 * max(2, len(table))))
    for verdict, rows in table.groupby("verdict", sort=False):
        colour, shape = VERDICTS[verdict]
        axes.hlines(rows.index, rows.low, rows.high, color=ink(colour), linewidth=1.2)
        axes.plot(rows.ratio, rows.index, shape, color=ink(colour), markersize=3.5, label=verdict)
    axes.plot(table.bar, table.index, "|", color="black", markersize=8, label="bar", gid="bar")
    axes.axvline(1, color=ink("grey"), linewidth=0.6, linestyle="--", gid="reference")
    logarithmic(axes, "x")
    axes.set_yticks(table.index, table.name)
    axes.set(ylim=(len(table) - 0.4, -0.6), xlabel="ours / reference")
    axes.grid(visible=False, axis="y")
    remark(axes, "point: median · line: range · left is better")
    return figure


def goals(results: pd.DataFrame) -> pd.DataFrame:
    """One row per goal of a benchmark's results: row, kind, name, ratio with its range (low, high), bar, verdict.

    Kinds are time over the reference's, time over the least that the work could take (floor), and peak memory over the
    reference's; only the first has a range. Rows measured quickly, at tiny shapes, are "not judged". ``results`` has at
    least the columns ``NEEDED``.
    """
    need(results, *NEEDED)
    parts = []
    for kind, (value, low, high, bar, behind) in KINDS.items():
        rows = results.dropna(subset=[value, bar])
        verdicts = (rows[value] <= rows[bar]).map({True: "met", False: "missed"})
        verdicts = verdicts.mask(rows.quick.astype(bool), "not judged")
        names = {"row": rows.row, "kind": kind, "name": rows.row.str.replace("_", " ") + behind}
        facts = {"ratio": rows[value], "low": rows[low], "high": rows[high], "bar": rows[bar], "verdict": verdicts}
        parts.append(pd.DataFrame(names | facts))
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


@plot("engine images effort agreement ms chosen")
def recall_against_time(trials: pd.DataFrame) -> Figure:
    """Agreement with exact search (%) against milliseconds per query, a line per engine; up and left is better.

    Columns: engine, images (the largest is drawn), effort, agreement, ms, chosen. Large points are the chosen efforts.
    """
    figure, axes = plt.subplots()
    largest = trials[trials.images == trials.images.max()]
    for number, engine, rows in variants(largest, "engine"):
        rows = rows.sort_values("effort")
        chosen = rows[rows.chosen]
        look = {"color": ink(number), "marker": marker(number)}
        axes.plot(rows.ms, rows.agreement, markerfacecolor="white", markersize=2.5, linewidth=0.9, **look)
        axes.plot(chosen.ms, chosen.agreement, linestyle="", markersize=5, label=engine, **look)
    logarithmic(axes, "x")
    axes.set(xlabel="milliseconds per query", ylabel="nearest image found (%)")
    remark(axes, " · ".join([f"{count:,} images" for count in largest.images.unique()] + ["large: chosen"]))
    return figure


@plot("engine images ms chosen", "engine images ms_law ms_trend")
def time_against_images(trials: pd.DataFrame, extrapolated: pd.DataFrame) -> Figure:
    """Milliseconds per query against the number of images, both logarithmic, one colour per engine: measured (points),
    and beyond by law (dashes) and by the trend of what was measured (dots).

    Columns of ``trials``: engine, images, ms, chosen; of ``extrapolated``: engine, images, ms_law, ms_trend.
    """
    figure, axes = plt.subplots()
    for number, engine, rows in variants(trials[trials.chosen], "engine"):
        rows, colour = rows.sort_values("images"), ink(number)
        axes.plot(rows.images, rows.ms, marker=marker(number), color=colour, label=engine)
        last = rows.iloc[-1:]
        beyond = extrapolated[extrapolated.engine == engine].sort_values("images")
        for column, dash in (("ms_law", "--"), ("ms_trend", ":")):
            ahead = [*last.ms, *beyond[column]]
            axes.plot([*last.images, *beyond.images], ahead, dash, color=colour, linewidth=0.8, gid=column)
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    axes.set(xlabel="images in the database", ylabel="milliseconds per query")
    remark(axes, "points: measured · dashes: by law · dots: by trend")
    return figure
