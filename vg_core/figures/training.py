"""Pictures of a training: loss and validation, hardness of the mined tuples, range of learning rates."""

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vg_core.figures.house_style import COLUMN, FULL, ink, logarithmic, look, plot, variants

THICK, THIN = 1.6, 0.7  # points; two quantities of one run share its colour


@plot("epoch round loss", "epoch recall_1 recall_5")
def training_curves(history: pd.DataFrame, validation: pd.DataFrame) -> Figure:
    """Loss of each mining round above validation recall (%) of each epoch, over the same epochs.

    Columns: epoch, round, loss, and rounds (of an epoch) while the first one is under way; epoch, recall_1, recall_5;
    and variant or seed where there are several. A colour is a variant (a seed, if there is one variant only).
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(COLUMN, 3.2), sharex=True)
    for entry, style, rows in _runs(history):
        above.plot(_epochs_done(rows), rows.loss, **style, label=entry)
    for _, style, rows in _runs(validation):
        below.plot(rows.epoch, rows.recall_5, **style, linewidth=THICK)
        below.plot(rows.epoch, rows.recall_1, **style, linewidth=THIN)
        if rows.recall_5.notna().any():
            best = rows.loc[rows.recall_5.idxmax()]
            below.plot(best.epoch, best.recall_5, "*", color=style["color"], markersize=6, gid="best")
    above.set_ylabel("loss")
    below.set(xlabel="epoch", ylabel="validation recall (%)")
    below.xaxis.get_major_locator().set_params(integer=True)
    _explain(above, {"linewidth": THICK}, "recall@5")
    _explain(above, {"linewidth": THIN}, "recall@1")
    _explain(above, {"linestyle": "", "marker": "*", "markersize": 6}, "best recall@5")
    return figure


@plot("epoch learned described minutes recall_1")
def effort_curves(effort: pd.DataFrame) -> Figure:
    """Validation recall (%) after each epoch over the images that passed through the network and over the minutes.

    Columns of ``effort``: epoch, learned, described, minutes, recall_1, and variant and seed where there are several,
    of which means are shown.
    """
    figure, panels = plt.subplots(1, 2, figsize=(FULL, 1.9), sharey=True)
    effort = effort.assign(images=(effort.learned + effort.described) / 1000)
    for number, name, rows in variants(effort):
        means = rows.groupby("epoch")[["images", "minutes", "recall_1"]].mean()
        for axes, cost in zip(panels, ("images", "minutes"), strict=True):
            axes.plot(means[cost], means.recall_1, label=name, **look(number), marker=".")
    panels[0].set(xlabel="thousand images learned from or described", ylabel="validation recall@1 (%)")
    panels[1].set(xlabel="minutes of mining and training")
    return figure


@plot("epoch round active positive_distance negative_distance excluded")
def mining_hardness(history: pd.DataFrame) -> Figure:
    """Over the mining rounds: triplets that still have a loss (%), distances of the mined images, what was left out.

    Columns: epoch, round, active (0…1), positive_distance, negative_distance, excluded (database images within 25 m
    that were no candidates), and variant or seed where there are several.
    """
    figure, (active, distance, excluded) = plt.subplots(1, 3, figsize=(FULL, 1.9), sharex=True)
    for entry, style, rows in _runs(history):
        x = _epochs_done(rows)
        active.plot(x, 100.0 * rows.active, **style, label=entry)
        distance.plot(x, rows.negative_distance, **style, linewidth=THICK)
        distance.plot(x, rows.positive_distance, **style, linewidth=THIN)
        excluded.plot(x, rows.excluded, **style)
    labels = ("active triplets (%)", "descriptor distance", "excluded candidates")
    for axes, label in zip(figure.axes, labels, strict=True):
        axes.set(xlabel="epoch", ylabel=label, ylim=(0, 1.08 * axes.get_ylim()[1]))
    _explain(active, {"linewidth": THICK}, "distance of negatives")
    _explain(active, {"linewidth": THIN}, "of positives")
    return figure


@plot("epoch round domain_accuracy source_error target_error")
def domain_scores(history: pd.DataFrame) -> Figure:
    """Over the rounds of domain adaptation: images whose domain is told right (%), beside the errors with which
    auto-encoders rebuild targets (thick) and sources (thin); each is NaN in trainings that have the other.

    Columns: epoch, round, domain_accuracy, source_error, target_error, and variant or seed where there are several.
    """
    figure, (accuracy, error) = plt.subplots(1, 2, figsize=(FULL, 1.9), sharex=True)
    for entry, style, rows in _runs(history):
        x = _epochs_done(rows)
        accuracy.plot(x, rows.domain_accuracy, **style, label=entry)
        error.plot(x, rows.target_error, **style, linewidth=THICK)
        error.plot(x, rows.source_error, **style, linewidth=THIN)
    accuracy.set(xlabel="epoch", ylabel="domain told right (%)", ylim=(0, 105))
    error.set(xlabel="epoch", ylabel="squared error")
    _explain(accuracy, {"linewidth": THICK}, "error of targets")
    _explain(accuracy, {"linewidth": THIN}, "of sources")
    return figure


@plot("lr loss")
def range_test(curve: pd.DataFrame) -> Figure:
    """Loss against a learning rate that grows step by step (logarithmic); a cross on top is where a run diverged.

    Columns: lr, loss (NaN or infinite once diverged), and variant where there are several optimisers.
    Source: Smith, "Cyclical Learning Rates for Training Neural Networks", WACV 2017, section 3.3.
    """
    figure, axes = plt.subplots()
    finite = curve[np.isfinite(curve.loss)]
    if len(finite):
        logarithmic(axes, "x")
        early = finite.lr <= finite.lr.quantile(0.25)  # one batch alone may be an easy one
        lowest, start = finite.loss.min(), finite.loss[early].max()
        axes.set_ylim(top=start + 0.5 * max(start - lowest, abs(start)))  # an explosion must not flatten the valley
    for number, name, rows in variants(curve):
        rows = rows.sort_values("lr")
        axes.plot(rows.lr, rows.loss, label=name, **look(number))
        lost = rows.lr[~np.isfinite(rows.loss)].head(1)
        at_the_top = {"transform": axes.get_xaxis_transform(), "clip_on": False, "in_layout": False, "gid": "diverged"}
        axes.plot(lost, np.ones(len(lost)), "X", color=ink(number), **at_the_top)
    if len(finite) < len(curve):
        _explain(axes, {"linestyle": "", "marker": "X"}, "diverged")
    axes.set(xlabel="learning rate", ylabel="loss")
    return figure


def _runs(table: pd.DataFrame) -> Iterator[tuple[str, dict[str, str], pd.DataFrame]]:
    """(legend entry, look, rows) of each run; seeds of one variant look alike and have one entry. One row is a dot.

    A table of one variant distinguishes its seeds instead.
    """
    table = table.assign(variant=table.get("variant", ""), seed=table.get("seed", 0))
    one = table.variant.nunique() == 1 < table.seed.nunique()
    entries = "seed " + table.seed.astype(str) if one else table.variant.astype(str)
    for number, (entry, rows) in enumerate(table.groupby(entries, sort=False)):
        for place, (_, run) in enumerate(rows.groupby("seed", sort=False)):
            yield "_" if place else entry, look(number) | {"marker": "." * (len(run) == 1)}, run


def _epochs_done(rows: pd.DataFrame) -> pd.Series:
    """Where in the training a round lies: 0 at the start, 1 when the first epoch is over."""
    return rows.epoch - 1 + rows["round"] / rows.get("rounds", rows["round"].max())


def _explain(axes: Axes, look: dict, meaning: str) -> None:
    """Say in the legend what a kind of line or point means, whatever its colour."""
    axes.plot([], [], color=ink("grey"), **look, label=meaning, gid="meaning")
