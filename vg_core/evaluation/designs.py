"""What a comparison can decide: what runs add to its error, and the smallest gain that is likely to be found."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

from vg_core.evaluation.intervals import Error
from vg_core.evaluation.ranks import cells, positions
from vg_core.evaluation.units import TRUSTED, effective_number, unit_sums
from vg_core.system.text import count

# Medians over the pairs of variants in the smoke profile's chapters, which is all that is known beforehand.
DISCORDANT = 0.2  # share of the queries that only one run of two variants finds
LASTING = 0.2  # share of that which other seeds do not change
AGREEMENT = 0.05  # correlation of gains within a place
RUN = 0.01  # standard deviation of what a run does to all of its queries alike, near a recall of one half

# Where more variants than this share their seeds, what a seed does to all of them is taken out: of two, that would cost
# half of the degrees of freedom, and more power than it gives; left in, it makes intervals wider.
TWO_WAY = 2.5
ENOUGH = 6  # degrees of freedom of runs, below which more runs help most


def run_variance(
    hits: Sequence[np.ndarray], scales: Sequence[float], codes: np.ndarray, paired: bool
) -> tuple[float, float]:
    """Variance of what a run does to all of its queries alike, for a ``scale`` of 1, and its degrees of freedom.

    From the hits (Q, S) of each variant and the queries' units: products of deviations from the mean over seeds in two
    different units. What befalls single queries or streets leaves them zero on average, and the error of a mean over
    queries holds it already. A variant's standard deviation is taken as proportional to its scale (see `leeway`).
    ``paired`` runs have the same seeds: of three variants and more, what a seed does to all of them is taken out (a
    two-way layout: Fisher, The Design of Experiments, 1935).
    """
    moved = [found - found.mean(axis=1, keepdims=True) for found in hits]  # (Q, S) each
    weights = np.square(scales)  # (V,) of the variances
    free = np.array([found.shape[1] - 1 for found in hits])  # (V,)
    known, freedom = free @ weights, (free @ weights) ** 2 / (free @ weights**2)
    variants = weights.sum() ** 2 / (weights @ weights)  # less if their scales differ
    if paired and variants > TWO_WAY:
        common = sum(scale * one for scale, one in zip(scales, moved, strict=True)) / weights.sum()
        moved = [one - scale * common for scale, one in zip(scales, moved, strict=True)]
        known, freedom = known * (1 - 1 / variants), freedom * (1 - 1 / variants)
    sums = np.concatenate([unit_sums(one, codes) for one in moved], axis=1)  # (units, runs)
    products = np.square(sums.sum(axis=0)).sum() - np.square(sums).sum()
    pairs = len(codes) ** 2 - np.square(np.bincount(codes)).sum()  # of queries in two different units
    return max(float(products), 0.0) / max(pairs, 1) / known, freedom


def leeway(recall: float) -> float:
    """How far a recall in 0…1 moves when all queries become a little easier: 1 at one half, 0 at both ends (probit)."""
    return float(np.exp(-(special.ndtri(recall) ** 2) / 2))


def smallest_decidable(
    places: float, queries: int, seeds: int, variants: int = 2, discordant: float = DISCORDANT
) -> float:
    """The true gain in points that two of the variants must have to be told apart (p < 5 %) with 80 % power.

    Before an experiment: with so many independent places of equal size, and what the constants above say of pairs of
    variants. Of a single seed it says what tells two networks apart, not what tells two ways to train.
    """
    of_queries = discordant * (LASTING + (1 - LASTING) / seeds) / independent_gains(queries, places)
    runs = [(2 * RUN**2 / seeds, _freedom(variants, seeds))] if seeds > 1 else []
    return 100 * Error(((of_queries, max(places - 1, 1)), *runs)).decidable()


def independent_gains(queries: int, units: float) -> float:
    """How many queries whose gains are independent tell as much as so many in so many units of equal size."""
    return queries / (1 + (queries / units - 1) * AGREEMENT)


def _freedom(variants: int, seeds: int) -> int:
    """Degrees of freedom of `run_variance`, for as many seeds of each variant."""
    return (variants - (variants > TWO_WAY)) * (seeds - 1)


def prospects(queries: pd.DataFrame, seeds: Sequence[int], variants: int) -> str:
    """A sentence for above an experiment: the smallest gain that these queries, seeds and variants are to decide."""
    here = positions(queries)  # (Q, 2)
    codes = pd.factorize(np.array(cells(here)))[0] if np.isfinite(here).all() else np.arange(len(here))
    places, runs = effective_number(codes), len(seeds)
    points, freedom = smallest_decidable(places, len(here), runs, variants), _freedom(variants, runs)
    said = (
        f"{count(len(here), 'query')} at {places:.0f} places of equal weight, {count(runs, 'seed')} and "
        f"{count(variants, 'variant')}: to be told apart with 80 % power, two variants must differ by about "
        f"{points:.1f} points of recall@1; what differs by less is likely to stay undecided."
    )
    if places < TRUSTED:
        said += f" From fewer than {TRUSTED} places no interval can be trusted."
    if runs == 1:
        said += " With one seed this is about two networks, and says nothing of the next training."
    elif freedom < ENOUGH:
        said += f" These runs tell what a training adds with {freedom} degrees of freedom: more runs would decide more."
    return said
