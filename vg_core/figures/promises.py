"""Do intervals keep their promise? Pictures of the table of ``benchmarks/coverage.py``."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from vg_core.evaluation.units import TRUSTED
from vg_core.figures.house_style import ink, logarithmic, look, marker, plot, remark, variants


@plot("kind independent metres covered")
def recalls_covered(simulated: pd.DataFrame) -> Figure:
    """Share of intervals (%) that hold the true recall against the number of independent places (logarithmic).

    A point for each simulated city, by the metres over which success is correlated along its streets; the band is
    93 to 97 %. Left of the dotted line fewer places are independent than an interval can be trusted from.
    """
    figure, axes = plt.subplots()
    axes.axhspan(93, 97, color=ink("grey"), alpha=0.2, linewidth=0)
    for number, metres, rows in variants(simulated[simulated.kind == "recall"], "metres"):
        shape = {"color": ink(number), "marker": marker(number), "markerfacecolor": "none", "markersize": 3.5}
        axes.plot(rows.independent, 100 * rows.covered, linestyle="", **shape, label=f"{float(metres):g} m")
    axes.axvline(TRUSTED, color=ink("grey"), linestyle=":", linewidth=0.8, gid="trusted")
    logarithmic(axes, "x")
    axes.set(xlabel="independent places", ylabel="intervals that hold the truth (%)")
    remark(axes, f"{simulated.replicates.max()} cities a point · m: correlation along streets")
    return figure


@plot("kind seeds variants run false_claims")
def false_claims(simulated: pd.DataFrame) -> Figure:
    """Share of comparisons of equals (%) that find a difference, against seeds; means over cities.

    A line for each number of variants whose runs tell what runs add, and each standard deviation (points) of what a run
    does to all of its queries; the band is 3 to 7 %.
    """
    figure, axes = plt.subplots()
    axes.axhspan(3, 7, color=ink("grey"), alpha=0.2, linewidth=0)
    gains = simulated[simulated.kind == "gain"]
    for number, ((count, run), rows) in enumerate(gains.groupby(["variants", "run"])):
        means = 100 * rows.groupby("seeds").false_claims.mean()
        name = f"{count:g} variants, {run:g} points"
        axes.plot(means.index, means, marker=marker(number), markersize=3.5, **look(number), label=name)
    axes.set(xlabel="seeds", ylabel="false claims (%)", ylim=(0, None), xticks=sorted(gains.seeds.unique()))
    remark(axes, "of equal variants · points: what a run does to all queries")
    return figure
