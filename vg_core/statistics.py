"""How far a recall can be trusted: intervals and paired tests over ranks tables, with places as the independent unit.

Queries of one place succeed or fail together, so places are resampled, never single queries. Runs differ by their seed
too: recall tables show that spread beside the interval, paired gains include it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

AT = (1, 5, 10, 20)
DRAWS = 2000  # bootstrap samples
LEVEL = 0.05  # 95 % intervals, and the level of the verdicts
ROUNDING = 1e-12  # shares closer than this are the same
Z = stats.norm.ppf(1 - LEVEL / 2)
BLOCK_ENTRIES = 2**21  # places x draws held at a time: 16 MiB for each temporary


def recall_table(
    ranks: pd.DataFrame, at: Sequence[int] = AT, threshold: float | None = None, draws: int = DRAWS, seed: int = 0
) -> pd.DataFrame:
    """One row for each variant and N: variant, n, recall, low, high (%), seed_std (points), seeds, queries, places.

    ``recall`` is the mean over queries and seeds. ``low`` and ``high`` bound it with 95 % confidence over other queries
    of other places, for these very weights: a bootstrap over places of hits averaged over seeds (see
    `recall_interval`). ``seed_std`` is the standard deviation of the recall over seeds, NaN with a single one. With
    ``threshold`` (metres) a hit is ``within_N <= threshold``, otherwise ``rank <= N``.
    """
    rows = []
    for variant in ranks["variant"].unique():
        hits, index, _ = _hits(ranks, variant, at, threshold)  # (Q, n, seeds)
        sums, sizes = _by_place(hits.mean(axis=2), index)
        low, high = 100.0 * recall_interval(sums, sizes, draws, seed)
        recalls = 100.0 * hits.mean(axis=0)  # (n, seeds)
        spread = recalls.std(axis=1, ddof=1) if recalls.shape[1] > 1 else np.full(len(recalls), np.nan)
        columns = {"n": at, "recall": recalls.mean(axis=1), "low": low, "high": high, "seed_std": spread}
        counts = {"seeds": hits.shape[2], "queries": len(hits), "places": len(sizes)}
        rows.append(pd.DataFrame({"variant": variant, **columns, **counts}))
    return pd.concat(rows, ignore_index=True)


def recall_interval(sums: np.ndarray, sizes: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """(2, n) ends of the 95 % intervals of sums.sum(0) / sizes.sum(), from hits (places, n) and queries (places,).

    Studentised bootstrap over places on the arcsine scale, with the leave-one-place-out standard error: percentile
    intervals cover too little with a few dozen places (DiCiccio and Efron, Statistical Science 1996, section 4; Cameron
    and Miller, Journal of Human Resources 2015). It is never wider than Wilson's interval for as many queries as there
    are places, which holds however strongly queries of a place agree; that one also stands in where every query is a
    hit (or a miss) and the bootstrap sees no spread.
    """
    share, error = (row[0] for row in _ratios(np.ones((1, len(sizes))), sums, sizes))
    drawn, errors = _resampled(sums, sizes, draws, seed)
    angle = np.arcsin(np.sqrt(share))
    with np.errstate(divide="ignore", invalid="ignore"):
        pivots = (np.arcsin(np.sqrt(drawn)) - angle) / (_arcsine_slope(drawn) * errors)
        # a sample without spread says nothing about its own error: as far out as can be, on its side
        pivots = np.where(np.isfinite(pivots), pivots, np.sign(drawn - share) * 1e9)
        lower, upper = np.quantile(pivots, [1 - LEVEL / 2, LEVEL / 2], axis=0)
        angles = angle - np.stack([lower, upper]) * _arcsine_slope(share) * error
    widest = _wilson(share, *_effective(sizes))
    ends = (np.sin(angles.clip(0, np.pi / 2)) ** 2).clip(*widest)
    return np.where(np.ptp(drawn, axis=0) < ROUNDING, widest, ends)


def paired_gain(
    ranks: pd.DataFrame, a: str, b: str, n: int = 1, threshold: float | None = None, draws: int = DRAWS, seed: int = 0
) -> dict:
    """Points of recall@n that variant ``a`` gains over ``b``: gain, low, high (95 %), p, queries, places, seeds.

    Paired by query and averaged over seeds. Two sources of variance are added: places, by leaving out one at a time
    (with two discordant queries more, one each way: Bonett and Price, J. Educ. Behav. Statistics 2012), and seeds, by
    the spread of the gain over seeds (paired where both variants have the same ones), each with its own Student's t
    (Cochran and Cox, Experimental Designs, 1957). Interval and two-sided p come from a bootstrap over places scaled to
    that error. What queries and seeds share is counted in both, so with few seeds the interval errs on the wide side
    (compare Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks, 2021). With a single seed only
    places count, which ``seeds`` tells. Raises ValueError when the variants differ in queries or threshold.
    """
    hits_a, index, seeds_a = _hits(ranks, a, [n], threshold)
    hits_b, other, seeds_b = _hits(ranks, b, [n], threshold)
    if not index.equals(other):
        raise ValueError(f"'{a}' and '{b}' were tested on different queries: a paired gain needs the same ones")
    thresholds = ranks.loc[ranks["variant"].isin([a, b]), "threshold"].unique()
    if threshold is None and len(thresholds) > 1:
        metres = " and ".join(f"{t:g} m" for t in thresholds)
        raise ValueError(f"'{a}' and '{b}' count hits within {metres}: give one threshold for both")
    recalls_a, recalls_b = hits_a.mean(axis=(0, 1)), hits_b.mean(axis=(0, 1))  # (seeds,)
    per_seed = [recalls_a - recalls_b] if seeds_a.equals(seeds_b) else [recalls_a, recalls_b]
    sums, sizes = _by_place(hits_a.mean(axis=2) - hits_b.mean(axis=2), index)
    gain, samples = _gain_samples(sums, sizes, per_seed, draws, seed)
    low, high = np.quantile(samples, [LEVEL / 2, 1 - LEVEL / 2]).clip(-1, 1).tolist()
    tail = 1 + int(min((samples <= 0).sum(), (samples >= 0).sum()))
    counts = {"queries": len(index), "places": len(sizes), "seeds": min(len(seeds_a), len(seeds_b))}
    return {"gain": 100 * gain, "low": 100 * low, "high": 100 * high, "p": min(1.0, 2 * tail / (draws + 1)), **counts}


def compare_all(ranks: pd.DataFrame, baseline: str, n: int = 1, threshold: float | None = None) -> pd.DataFrame:
    """One row for each variant but the baseline: variant, what `paired_gain` says, p_holm, and the verdict.

    The verdict is "better" or "worse" than the baseline where p, after Holm's correction for comparing many, is below
    5 %, else "undecided". Intervals are not corrected: each one holds by itself.
    """
    others = [variant for variant in ranks["variant"].unique() if variant != baseline]
    if not others:
        raise ValueError(f"there is no variant to compare with the baseline '{baseline}'")
    table = pd.DataFrame([{"variant": v, **paired_gain(ranks, v, baseline, n, threshold)} for v in others])
    table["p_holm"] = holm(table["p"])
    decided = np.where(table["gain"] > 0, "better", "worse")
    table["verdict"] = np.where(table["p_holm"] < LEVEL, decided, "undecided")
    return table


def verdict(gain: Mapping, expected: str, tolerance: float = 1.0) -> str:
    """ "confirmed", "refuted" or "undecided": does the interval low…high (points) bear out what was expected?

    Expected is "better", "worse", "no worse", "no better" or "same"; the last three allow ``tolerance`` points.
    Confirmed: the whole interval agrees. Refuted: no part of it does.
    """
    regions = {
        "better": (0.0, np.inf),
        "worse": (-np.inf, 0.0),
        "no worse": (-tolerance, np.inf),
        "no better": (-np.inf, tolerance),
        "same": (-tolerance, tolerance),
    }
    if expected not in regions:
        raise ValueError(f"expected '{expected}' is unknown; choose one of: {', '.join(regions)}")
    bottom, top = regions[expected]
    if bottom < gain["low"] and gain["high"] < top:
        return "confirmed"
    return "refuted" if gain["high"] <= bottom or gain["low"] >= top else "undecided"


def mcnemar(hits_a: np.ndarray, hits_b: np.ndarray) -> float:
    """Two-sided p of McNemar's exact test that two models hit the same queries equally often; bool (Q,) each.

    It takes queries as independent: within a place they are not, so it claims more than `paired_gain` does.
    """
    hits_a, hits_b = np.asarray(hits_a, dtype=bool), np.asarray(hits_b, dtype=bool)
    if hits_a.shape != hits_b.shape or hits_a.ndim != 1:
        raise ValueError(f"McNemar's test pairs queries: got hits of shapes {hits_a.shape} and {hits_b.shape}")
    only_a, only_b = int((hits_a & ~hits_b).sum()), int((hits_b & ~hits_a).sum())
    return min(1.0, 2.0 * float(stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p values adjusted for testing all of them at once, in the given order (Holm, Scand. J. Statistics 1979)."""
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p values must lie in 0…1, got {p[~((p >= 0) & (p <= 1))][0]:g}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return adjusted


def divisible(percentages, queries, decimals: int = 1) -> np.ndarray:
    """bool: can each percentage, rounded to ``decimals``, be a count of hits among that many queries?"""
    percentages = np.asarray(percentages, dtype=float)
    nearest = 100.0 * np.rint(percentages * queries / 100.0) / queries
    return np.abs(nearest - percentages) <= 0.5 * 10.0**-decimals + 1e-9


def _hits(ranks: pd.DataFrame, variant: str, at: Sequence[int], threshold: float | None) -> tuple:
    """Hits (Q, n, seeds) as 0 and 1, the sorted (query, copy, place) index of their rows, and the seeds."""
    part = ranks[ranks["variant"] == variant]
    if part.empty:
        known = ", ".join(map(str, ranks["variant"].unique()))
        raise KeyError(f"no variant '{variant}' in these ranks; there are: {known}")
    missing = {f"within_{n}" for n in at} - set(ranks) if threshold is not None else ()
    if missing:
        raise KeyError(f"ranks have no column {', '.join(sorted(missing))}: recall within metres is kept for N in {AT}")
    found = {n: part["rank"].between(1, n) if threshold is None else part[f"within_{n}"] <= threshold for n in at}
    seeds = part["seed"].fillna(-1)  # a run without a seed is a run
    copies = part.groupby([seeds, "query"]).cumcount()  # a base name may occur in two folders
    table = pd.DataFrame({**found, "query": part["query"], "copy": copies, "place": part["place"], "seed": seeds})
    table = table.pivot_table(list(at), index=["query", "copy", "place"], columns="seed", aggfunc="max")
    if table.isna().any(axis=None):
        raise ValueError(f"the seeds of variant '{variant}' were tested on different queries: run them on the same set")
    return table.to_numpy(float).reshape(len(table), len(at), -1), table.index, table.columns.unique("seed")


def _by_place(values: np.ndarray, index: pd.MultiIndex) -> tuple[np.ndarray, np.ndarray]:
    """Sums (places, n) of values (Q, n) and the number of queries (places,)."""
    codes, places = pd.factorize(index.get_level_values("place"))
    sums = [np.bincount(codes, column, len(places)) for column in values.T]
    return np.stack(sums, axis=1), np.bincount(codes).astype(float)


def _ratios(weights: np.ndarray, sums: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and leave-one-place-out standard errors, (draws, n), of places taken ``weights`` (draws, places) times."""
    totals = weights @ sizes  # (draws,)
    means = weights @ sums / totals[:, None]
    left = (totals[:, None] - sizes) ** 2  # 0 where one place is all there is
    influence = np.divide(weights, left, out=np.zeros_like(weights), where=left > 0)
    crossed = 2 * means * (influence @ (sizes[:, None] * sums))
    squares = means**2 * (influence @ sizes**2)[:, None] - crossed + influence @ sums**2
    return means, np.sqrt(squares.clip(min=0) * (len(sizes) - 1) / len(sizes))


def _resampled(sums: np.ndarray, sizes: np.ndarray, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`_ratios` of ``draws`` samples of as many places, with replacement."""
    rng, places = np.random.default_rng(seed), len(sizes)
    parts, block = [], max(1, BLOCK_ENTRIES // places)
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        chosen = rng.integers(places, size=(rows, places)) + places * np.arange(rows)[:, None]
        weights = np.bincount(chosen.ravel(), minlength=rows * places).reshape(rows, places).astype(float)
        parts.append(_ratios(weights, sums, sizes))
    return np.concatenate([means for means, _ in parts]), np.concatenate([errors for _, errors in parts])


def _gain_samples(
    sums: np.ndarray, sizes: np.ndarray, per_seed: Sequence[np.ndarray], draws: int, seed: int
) -> tuple[float, np.ndarray]:
    """Mean gain, and (draws,) samples spread as its error: the bootstrap's shape, the width of places and seeds."""
    gain, error = (float(row.item()) for row in _ratios(np.ones((1, len(sizes))), sums, sizes))
    deviations = _resampled(sums, sizes, draws, seed)[0][:, 0] - gain
    effective, quantile = _effective(sizes)
    if np.ptp(deviations) > ROUNDING:
        deviations /= deviations.std()
    else:  # all places agree: bounded by the share of places that may differ unseen (Wilson's bound at zero)
        deviations = stats.norm.ppf((np.arange(draws) + 0.5) / draws)
        error = (1 + abs(gain)) * quantile / (effective + quantile**2)
    terms = [(error**2 + 2 / sizes.sum() ** 2, max(effective - 1, 1))]
    terms += [(seeds.var(ddof=1) / len(seeds), len(seeds) - 1) for seeds in per_seed if len(seeds) > 1]
    variance = sum(v for v, _ in terms)
    quantile = sum(v * stats.t.ppf(1 - LEVEL / 2, f) for v, f in terms) / variance
    return gain, gain + deviations * np.sqrt(variance) * quantile / Z


def _effective(sizes: np.ndarray) -> tuple[float, float]:
    """Number of places, less if sizes differ (Kish), and the 97.5 % quantile of Student's t for it."""
    places = sizes.sum() ** 2 / (sizes @ sizes)
    return places, stats.t.ppf(1 - LEVEL / 2, max(places - 1, 1))


def _arcsine_slope(share: np.ndarray) -> np.ndarray:
    """Derivative of arcsin(sqrt(share)); infinite at 0 and 1."""
    with np.errstate(divide="ignore"):
        return 0.5 / np.sqrt(share * (1 - share))


def _wilson(share: np.ndarray, count: float, quantile: float) -> np.ndarray:
    """(2, n) ends of Wilson's interval (JASA 1927) of shares among ``count`` independent trials."""
    weight = quantile**2 / count
    half = np.sqrt(weight * share * (1 - share) + weight**2 / 4)
    return np.stack([share + weight / 2 - half, share + weight / 2 + half]) / (1 + weight)
