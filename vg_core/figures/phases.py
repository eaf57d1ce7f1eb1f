"""A picture of where the time of a training goes."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from vg_core.figures.canvas import COLUMN, ink, legend_below, need, plot, remark, variants

PHASES = {  # columns of a history and of validations without "seconds_", in the order of an epoch: name, colour
    "decode": ("done once", "vermillion"),
    "waiting": ("waiting for images", "grey"),
    "extraction": ("describing", "sky"),
    "mining": ("mining", "orange"),
    "forward": ("forward", "green"),
    "backward": ("backward", "blue"),
    "search": ("search in validation", "purple"),
    "validation": ("rest of validation", "purple"),
}
OF_VALIDATION = ("search", "validation")
PALE = 0.5  # opacity of a part that has the colour of the whole
WRITTEN = 7.0  # %; a narrower part has no room for its share


@plot
def phase_bars(history: pd.DataFrame, validation: pd.DataFrame | None = None) -> Figure:
    """Share of an epoch's time (%) that each phase takes, one bar per variant; seconds per epoch stand behind the bar.

    Columns: epoch, seconds and seconds_<phase> of each round; epoch, seconds and seconds_search of each validation,
    where it shall be counted; and variant and seed where there are several. What no phase covers is left white.
    """
    need(history, "epoch", "seconds", *(f"seconds_{phase}" for phase in PHASES if phase not in OF_VALIDATION))
    if validation is not None:
        need(validation, "epoch", "seconds", "seconds_search")
    table = seconds_per_epoch(history, validation)
    figure, axes = plt.subplots(figsize=(COLUMN, 0.55 + 0.26 * max(1, len(table))))
    total = table.pop("total")
    shares = (100 * table[[phase for phase in PHASES if phase in table]]).div(total, axis=0)  # (variants, phases)
    fills = [to_rgba(ink(PHASES[phase][1]), PALE if phase == "search" else 1.0) for phase in shares]
    if len(shares):
        shares.plot.barh(stacked=True, width=0.7, color=fills, ax=axes, legend=False)
    for (phase, share), bars in zip(shares.items(), axes.containers, strict=False):
        name, colour = PHASES[phase]
        bars.set_label(name)
        texts = [f"{value:.0f}" if value >= WRITTEN else "" for value in share]
        dark = "black" if colour in ("sky", "orange", "purple") else "white"
        axes.bar_label(bars, texts, label_type="center", fontsize=6.5, color=dark)
    for place, seconds in enumerate(total):
        axes.annotate(f"{seconds:.3g} s", (100, place), (3, 0), textcoords="offset points", va="center", fontsize=6.5)
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set(xlim=(0, 100), xlabel="share of an epoch (%)", ylabel="")
    remark(axes, "behind the bars: seconds per epoch")
    legend_below(figure, axes)
    return figure


def seconds_per_epoch(history: pd.DataFrame, validation: pd.DataFrame | None = None) -> pd.DataFrame:
    """Mean seconds of each phase in one epoch, one row per variant; ``total`` holds what no phase covers, too.

    What is done once comes before a round, and its seconds are not among the round's. Validations, from which their
    search is taken apart, count from epoch 1 on: that of the untrained network belongs to no epoch.
    """
    phases = [phase for phase in PHASES if f"seconds_{phase}" in history]
    rows = {}
    for _, name, rounds in variants(history):
        epochs = len(rounds.assign(seed=rounds.get("seed", 0)).groupby(["seed", "epoch"]))
        sums = rounds[["seconds", *(f"seconds_{phase}" for phase in phases)]].sum() / epochs
        rows[name] = dict(zip(["total", *phases], sums, strict=True))
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["total", *phases])
    table["total"] += table.get("decode", 0.0)
    if validation is None:
        return table
    columns = ["seconds_search", "seconds"]
    after = {name: part.loc[part.epoch > 0, columns].mean() for _, name, part in variants(validation)}
    search, seconds = (pd.Series({n: a[c] for n, a in after.items()}).reindex(table.index).fillna(0.0) for c in columns)
    return table.assign(search=search, validation=seconds - search, total=table.total + seconds)
