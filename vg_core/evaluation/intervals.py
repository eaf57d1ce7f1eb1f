"""Intervals of a share of hits, and of a gain, by resampling places: queries of one place succeed or fail together."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special

DRAWS = 2000  # bootstrap samples
LEVEL = 0.05  # 95 % intervals
ROUNDING = 1e-12  # shares closer than this are the same
Z = special.ndtri(1 - LEVEL / 2)
BLOCK_ENTRIES = 2**21  # places x draws held at a time: 16 MiB for each temporary


def by_place(values: np.ndarray, index: pd.MultiIndex) -> tuple[np.ndarray, np.ndarray]:
    """Sums (places, n) of values (Q, n), and the number of queries (places,), by the index level "place"."""
    codes, places = pd.factorize(index.get_level_values("place"))
    sums = [np.bincount(codes, column, len(places)) for column in values.T]
    return np.stack(sums, axis=1), np.bincount(codes).astype(float)


def recall_interval(sums: np.ndarray, sizes: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(2, n) ends of the 95 % intervals of sums.sum(0) / sizes.sum(), from hits (places, n) and queries (places,).

    Studentised bootstrap over places on the arcsine scale, with the leave-one-place-out standard error: percentile
    intervals cover too little with a few dozen places (DiCiccio and Efron, Statistical Science 1996, section 4; Cameron
    and Miller, Journal of Human Resources 2015). It is never wider than Wilson's interval for as many queries as there
    are places, which holds however strongly queries of a place agree; that one also stands in where every query is a
    hit (or a miss) and the bootstrap sees no spread.
    """
    share, error = (row[0] for row in _ratios(np.ones((1, len(sizes))), sums, sizes))  # (n,) each
    drawn, errors = _resampled(sums, sizes, draws, seed)  # (draws, n) each
    angle = np.arcsin(np.sqrt(share))  # (n,)
    with np.errstate(divide="ignore", invalid="ignore"):
        pivots = (np.arcsin(np.sqrt(drawn)) - angle) / (_arcsine_slope(drawn) * errors)
        # a sample without spread says nothing about its own error: as far out as can be, on its side
        pivots = np.where(np.isfinite(pivots), pivots, np.sign(drawn - share) * 1e9)
        lower, upper = np.quantile(pivots, [1 - LEVEL / 2, LEVEL / 2], axis=0)  # (n,) each
        angles = angle - np.stack([lower, upper]) * _arcsine_slope(share) * error  # (2, n)
    widest = _wilson(share, *_effective(sizes))
    ends = (np.sin(angles.clip(0, np.pi / 2)) ** 2).clip(*widest)
    return np.where(np.ptp(drawn, axis=0) < ROUNDING, widest, ends)


def gain_samples(
    sums: np.ndarray, sizes: np.ndarray, seed_terms: Sequence[tuple[float, int]], draws: int = DRAWS, seed: int = 0
) -> tuple[float, np.ndarray]:
    """Mean gain, and (draws,) samples spread as its error: the bootstrap's shape, the width of places and seeds.

    From the sums of paired gains of each place (places, 1), its queries (places,), and (variance, degrees of freedom)
    of what the seeds add to the error of the mean.
    """
    gain, error = (float(row.item()) for row in _ratios(np.ones((1, len(sizes))), sums, sizes))
    deviations = _resampled(sums, sizes, draws, seed)[0][:, 0] - gain  # (draws,)
    effective, quantile = _effective(sizes)
    if np.ptp(deviations) > ROUNDING:
        deviations /= deviations.std()
    else:  # all places agree: bounded by the share of places that may differ unseen (Wilson's bound at zero)
        deviations = special.ndtri((np.arange(draws) + 0.5) / draws)
        error = (1 + abs(gain)) * quantile / (effective + quantile**2)
    terms = [(error**2 + 2 / sizes.sum() ** 2, max(effective - 1, 1)), *seed_terms]
    return gain, gain + deviations * _half_width(terms) / Z


def mean_interval(
    sums: np.ndarray, sizes: np.ndarray, seed_terms: Sequence[tuple[float, int]]
) -> tuple[float, float, float]:
    """(mean, low, high) with 95 % of values that may be any numbers, not hits: sums of each place (places, 1), its
    queries (places,), and what the seeds add, as in `gain_samples`.
    """
    mean, error = (float(row.item()) for row in _ratios(np.ones((1, len(sizes))), sums, sizes))
    half = _half_width([(error**2, max(_effective(sizes)[0] - 1, 1)), *seed_terms])
    return mean, mean - half, mean + half


def _half_width(terms: Sequence[tuple[float, float]]) -> float:
    """Of the 95 % interval of a mean whose error has several (variance, degrees of freedom), each with a Student's t of
    its own (Cochran and Cox, Experimental Designs, 1957).
    """
    variance = sum(v for v, _ in terms)
    quantiles = sum(v * special.stdtrit(f, 1 - LEVEL / 2) for v, f in terms)
    return float(quantiles / np.sqrt(variance)) if variance else 0.0


def _ratios(weights: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and leave-one-place-out standard errors, (draws, n), of places taken ``weights`` (draws, places) times."""
    totals = weights @ sizes  # (draws,)
    means = weights @ sums / totals[:, None]  # (draws, n)
    left = (totals[:, None] - sizes) ** 2  # 0 where one place is all there is
    influence = np.divide(weights, left, out=np.zeros_like(weights), where=left > 0)  # (draws, places)
    crossed = 2 * means * (influence @ (sizes[:, None] * sums))  # (draws, n)
    squares = means**2 * (influence @ sizes**2)[:, None] - crossed + influence @ sums**2
    return means, np.sqrt(squares.clip(min=0) * (len(sizes) - 1) / len(sizes))


def _resampled(sums: np.ndarray, sizes: np.ndarray, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`_ratios` of ``draws`` samples of as many places, with replacement."""
    rng, places = np.random.default_rng(seed), len(sizes)
    parts, block = [], max(1, BLOCK_ENTRIES // places)
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        chosen = rng.integers(places, size=(rows, places)) + places * np.arange(rows)[:, None]  # (rows, places)
        weights = np.bincount(chosen.ravel(), minlength=rows * places).reshape(rows, places).astype(float)
        parts.append(_ratios(weights, sums, sizes))
    return tuple(map(np.concatenate, zip(*parts, strict=True)))  # (draws, n) each


def _effective(sizes: np.ndarray) -> tuple[float, float]:
    """Number of places, less if sizes differ (Kish), and the 97.5 % quantile of Student's t for it."""
    places = sizes.sum() ** 2 / (sizes @ sizes)
    return places, special.stdtrit(max(places - 1, 1), 1 - LEVEL / 2)


def _arcsine_slope(share: np.ndarray) -> np.ndarray:
    """Derivative of arcsin(sqrt(share)); infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return 0.5 / np.sqrt(share * (1 - share))


def _wilson(share: np.ndarray, count: float, quantile: float) -> np.ndarray:
    """(2, n) ends of Wilson's interval (JASA 1927) of shares among ``count`` independent trials."""
    weight = quantile**2 / count
    half = np.sqrt(weight * share * (1 - share) + weight**2 / 4)
    return np.stack([share + weight / 2 - half, share + weight / 2 + half]) / (1 + weight)  # (2, n)
