"""What a comparison can decide: what runs add to its error, and the smallest gain that is likely to be found."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vg_core.evaluation.intervals import Error
from vg_core.evaluation.ranks import cells
from vg_core.evaluation.units import effective_number, unit_sums
from vg_core.system.text import count

# Medians over the pairs of variants in the smoke profile's chapters, which is all that is known beforehand.
DISCORDANT = 0.2  # share of the queries that only one run of two variants finds
LASTING = 0.2  # share of that which other seeds do not change
AGREEMENT = 0.05  # correlation of gains within a place
RUN = 0.01  # standard deviation of what a run does to all of its queries alike


def run_variance(hits: Sequence[np.ndarray], codes: np.ndarray, paired: bool) -> tuple[float, float]:
    """Variance of what a run does to all of its queries alike, in squares of shares, and its degrees of freedom.

    From the hits (Q, S) of each variant and the queries' units: products of deviations from the mean over seeds in two
    different units. What befalls single queries or streets leaves them zero on average, and the error of a mean over
    queries holds it already. ``paired`` runs have the same seeds, and what a seed does to all variants is taken out (a
    two-way layout: Fisher, The Design of Experiments, 1935). It is taken as equally large in all variants.
    """
    moved = [found - found.mean(axis=1, keepdims=True) for found in hits]  # (Q, S) each
    freedom = sum(found.shape[1] - 1 for found in moved)
    if paired:
        common = np.mean(moved, axis=0)
        moved, freedom = [found - common for found in moved], freedom - freedom // len(moved)
    sums = np.concatenate([unit_sums(found, codes) for found in moved], axis=1)  # (units, runs)
    products = np.square(sums.sum(axis=0)).sum() - np.square(sums).sum()
    return max(float(products), 0.0) / len(codes) ** 2 / freedom, freedom


def smallest_decidable(
    places: float, queries: int, seeds: int, variants: int = 2, discordant: float = DISCORDANT
) -> float:
    """The true gain in points that two of the variants must have to be told apart (p < 5 %) with 80 % power.

    Before an experiment: with so many independent places of equal size, and what the constants above say of pairs of
    variants. Of a single seed it says what tells two networks apart, not what tells two ways to train.
    """
    within = 1 + (queries / places - 1) * AGREEMENT  # how much more a place's queries vary together than each alone
    of_queries = discordant * (LASTING + (1 - LASTING) / seeds) * within / queries
    runs = [(2 * RUN**2 / seeds, (variants - 1) * (seeds - 1))] if seeds > 1 else []
    return 100 * Error(((of_queries, max(places - 1, 1)), *runs)).decidable()


def prospects(queries: pd.DataFrame, seeds: Sequence[int], variants: int) -> str:
    """A sentence for above an experiment: the smallest gain that these queries, seeds and variants are to decide."""
    here = queries[["easting", "northing"]].to_numpy(float)  # (Q, 2)
    codes = pd.factorize(np.array(cells(here)))[0] if np.isfinite(here).all() else np.arange(len(here))
    places, runs = effective_number(codes), len(seeds)
    points = smallest_decidable(places, len(here), runs, variants)
    of_one = " With one seed this is about two networks, and says nothing of the next training." * (runs == 1)
    return (
        f"{count(len(here), 'query')} at {places:.0f} places of equal weight, {count(runs, 'seed')} and "
        f"{count(variants, 'variant')}: to be told apart with 80 % power, two variants must differ by about "
        f"{points:.1f} points of recall@1; what differs by less is likely to stay undecided.{of_one}"
    )
