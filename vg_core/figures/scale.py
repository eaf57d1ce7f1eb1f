"""Pictures of search in large databases: recall against time, and time against the number of images."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from vg_core.figures.canvas import ink, legend_below, logarithmic, marker, need, plot, remark, variants


@plot
def recall_against_time(trials: pd.DataFrame) -> Figure:
    """Agreement with exact search (%) against milliseconds per query, a line per engine; up and left is better.

    Columns: engine, images (the largest is drawn), effort, agreement, ms, chosen. Large points are the chosen efforts.
    """
    need(trials, "engine", "images", "effort", "agreement", "ms", "chosen")
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
    legend_below(figure, axes)
    return figure


@plot
def time_against_images(trials: pd.DataFrame, extrapolated: pd.DataFrame) -> Figure:
    """Milliseconds per query against the number of images, both logarithmic, one colour per engine: measured (points),
    and beyond by law (dashes) and by the trend of what was measured (dots).

    Columns of ``trials``: engine, images, ms, chosen; of ``extrapolated``: engine, images, ms_law, ms_trend.
    """
    need(trials, "engine", "images", "ms", "chosen")
    need(extrapolated, "engine", "images", "ms_law", "ms_trend")
    figure, axes = plt.subplots()
    for number, engine, rows in variants(trials[trials.chosen], "engine"):
        rows, colour = rows.sort_values("images"), ink(number)
        axes.plot(rows.images, rows.ms, marker=marker(number), color=colour, label=engine)
        last = rows.iloc[-1:][["images", "ms"]]
        beyond = extrapolated[extrapolated.engine == engine].sort_values("images")
        for column, dash in (("ms_law", "--"), ("ms_trend", ":")):
            ahead = pd.concat([last.ms, beyond[column]])
            axes.plot([*last.images, *beyond.images], ahead, dash, color=colour, linewidth=0.8, gid=column)
    logarithmic(axes, "x")
    logarithmic(axes, "y")
    axes.set(xlabel="images in the database", ylabel="milliseconds per query")
    remark(axes, "points: measured · dashes: by law · dots: by trend")
    legend_below(figure, axes)
    return figure
