"""How far a recall can be trusted: intervals and paired tests over ranks tables, with places as the independent unit.

Queries of one place succeed or fail together, so places are resampled, never single queries. Runs differ by their seed
too: recall tables show that spread beside the interval, paired gains include it.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import special

from vg_core.evaluation.intervals import LEVEL, by_place, gain_samples, recall_interval
from vg_core.evaluation.ranks import AT

SeedNoise = tuple[float, int]  # variance and its degrees of freedom


def recall_table(ranks: pd.DataFrame, at: Sequence[int] = AT, threshold: float | None = None) -> pd.DataFrame:
    """Recall@N of each variant with its interval: variant, n, recall, low, high (%), seed_std, seeds, queries, places.

    ``recall`` is the mean over queries and seeds. ``low`` and ``high`` bound it with 95 % confidence over other queries
    of other places, for these very weights (see `recall_interval`). ``seed_std`` is the standard deviation over seeds
    in points, NaN with a single one. With ``threshold`` (metres) a hit is ``within_N <= threshold``, otherwise ``rank
    <= N``. There are no rows for an N that is not below the number of ``database`` images, all of which would be
    retrieved; ValueError where none is left.
    """
    rows = []
    for variant in ranks["variant"].unique():
        most = _database(ranks[ranks["variant"] == variant])
        told = [n for n in at if n < most] or [min(at)]
        hits, index, _ = _hits(ranks, variant, told, threshold)  # (Q, n, seeds)
        sums, sizes = by_place(hits.mean(axis=2), index)  # (places, n), (places,)
        low, high = 100.0 * recall_interval(sums, sizes)  # (n,) each
        recalls = 100.0 * hits.mean(axis=0)  # (n, seeds)
        spread = recalls.std(axis=1, ddof=1) if recalls.shape[1] > 1 else np.full(len(recalls), np.nan)
        columns = {"n": told, "recall": recalls.mean(axis=1), "low": low, "high": high, "seed_std": spread}
        counts = {"seeds": hits.shape[2], "queries": len(hits), "places": len(sizes)}
        rows.append(pd.DataFrame({"variant": variant, **columns, **counts}))
    return pd.concat(rows, ignore_index=True)


def paired_gain(
    ranks: pd.DataFrame, a: str, b: str, n: int = 1, threshold: float | None = None, noise: SeedNoise | None = None
) -> dict:
    """Points of recall@n that variant ``a`` gains over ``b``: gain, low, high (95 %), p, queries, places, seeds.

    Paired by query and averaged over seeds. Two sources of variance are added, each with its own Student's t (Cochran
    and Cox, Experimental Designs, 1957): places, by leaving out one at a time (with two discordant queries more, one
    each way: Bonett and Price, J. Educ. Behav. Statistics 2012), and seeds, by the spread of the gain over them (paired
    where both variants have the same ones; none with a single seed), or ``noise`` where more variants than these two
    tell it (see `seed_noise`). Interval and two-sided p come from a bootstrap over places scaled to that error. What
    queries and seeds share is counted in both, so with few seeds the interval errs on the wide side (compare
    Bouthillier et al., 2021).
    Raises ValueError when the variants differ in queries or threshold.
    """
    hits_a, index, seeds_a = _hits(ranks, a, [n], threshold)  # (Q, 1, seeds)
    hits_b, other, seeds_b = _hits(ranks, b, [n], threshold)
    if not index.equals(other):
        raise ValueError(f"'{a}' and '{b}' were tested on different queries: a paired gain needs the same ones")
    thresholds = ranks.loc[ranks["variant"].isin([a, b]), "threshold"].unique()
    if threshold is None and len(thresholds) > 1:
        metres = " and ".join(f"{t:g} m" for t in thresholds)
        raise ValueError(f"'{a}' and '{b}' count hits within {metres}: give one threshold for both")
    recalls_a, recalls_b = hits_a.mean(axis=(0, 1)), hits_b.mean(axis=(0, 1))  # (seeds,)
    per_seed = [recalls_a - recalls_b] if seeds_a.equals(seeds_b) else [recalls_a, recalls_b]
    own_noise = [(seeds.var(ddof=1) / len(seeds), len(seeds) - 1) for seeds in per_seed if len(seeds) > 1]
    sums, sizes = by_place(hits_a.mean(axis=2) - hits_b.mean(axis=2), index)  # (places, 1), (places,)
    gain, samples = gain_samples(sums, sizes, [noise] if noise else own_noise)  # scalar, (draws,)
    low, high = np.quantile(samples, [LEVEL / 2, 1 - LEVEL / 2]).clip(-1, 1).tolist()
    tail = 1 + int(min((samples <= 0).sum(), (samples >= 0).sum()))
    counts = {"queries": len(index), "places": len(sizes), "seeds": min(len(seeds_a), len(seeds_b))}
    p = min(1.0, 2 * tail / (len(samples) + 1))
    return {"gain": 100 * gain, "low": 100 * low, "high": 100 * high, "p": p, **counts}


def compare_all(ranks: pd.DataFrame, baseline: str, n: int = 1, threshold: float | None = None) -> pd.DataFrame:
    """Every variant against the baseline: variant, what `paired_gain` says, p_holm, p_mcnemar, and the verdict.

    The verdict is "better" or "worse" than the baseline where p, after Holm's correction for comparing many, is below
    5 %, else "undecided". Intervals are not corrected: each one holds by itself. With two variants or more that have
    the baseline's seeds, what seeds add is estimated from all of them together (see `seed_noise`). ``p_mcnemar`` is
    McNemar's test on the first seed that both have, NaN if there is none: what one run alone would claim.
    """
    others = [variant for variant in ranks["variant"].unique() if variant != baseline]
    if not others:
        raise ValueError(f"there is no variant to compare with the baseline '{baseline}'")
    hits = {variant: _hits(ranks, variant, [n], threshold) for variant in [baseline, *others]}  # (Q, 1, seeds)
    whole = [v for v in others if hits[v][2].equals(hits[baseline][2])]
    noise = seed_noise(np.stack([hits[v][0].mean(axis=(0, 1)) for v in [baseline, *whole]]))  # from (variants, seeds)
    rows = []
    for variant in others:
        gain = paired_gain(ranks, variant, baseline, n, threshold, noise if variant in whole else None)
        pair = hits[variant], hits[baseline]
        shared = [seed for seed in pair[0][2] if seed in pair[1][2]]
        one = [found[:, 0, seeds.get_loc(shared[0])] > 0 for found, _, seeds in pair] if shared else []  # (Q,) each
        rows.append({"variant": variant, **gain, "p_mcnemar": mcnemar(*one) if one else np.nan})
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    decided = np.where(table["gain"] > 0, "better", "worse")
    table["verdict"] = np.where(table["p_holm"] < LEVEL, decided, "undecided")
    return table


def seed_noise(recalls: np.ndarray) -> SeedNoise | None:
    """Variance that seeds add to the difference of two variants' means, from recalls (variants, seeds).

    The variance comes with its degrees of freedom, (V - 1)(S - 1): the residual of a two-way layout, in which a seed
    may be a lucky one for all variants alike (Fisher, The Design of Experiments, 1935). It takes the noise as equally
    large in all variants. For two variants it is the spread of their paired differences. None with a single seed.
    """
    variants, seeds = recalls.shape
    freedom = (variants - 1) * (seeds - 1)
    if not freedom:
        return None
    means = recalls.mean(axis=1, keepdims=True) + recalls.mean(axis=0, keepdims=True) - recalls.mean()
    return 2 * float(np.square(recalls - means).sum()) / freedom / seeds, freedom


def verdict(gain: Mapping, expected: str, tolerance: float = 1.0) -> str:
    """ "confirmed", "refuted" or "undecided": does the interval low…high (points) bear out what was expected?

    Expected is "better", "worse", "no worse", "no better" or "same"; the last three allow ``tolerance`` points.
    Confirmed: the whole interval agrees. Refuted: no part of it does.
    """
    regions = {"better": (0.0, np.inf), "worse": (-np.inf, 0.0), "no worse": (-tolerance, np.inf)}
    regions |= {"no better": (-np.inf, tolerance), "same": (-tolerance, tolerance)}
    if expected not in regions:
        raise ValueError(f"expected '{expected}' is unknown; choose one of: {', '.join(regions)}")
    bottom, top = regions[expected]
    if bottom < gain["low"] and gain["high"] < top:
        return "confirmed"
    return "refuted" if gain["high"] <= bottom or gain["low"] >= top else "undecided"


def judge_predictions(gains: pd.DataFrame, expected: Mapping[str, str], tolerance: float = 1.0) -> pd.DataFrame:
    """One row per prediction: variant, expected (see `verdict`), gain, low, high, queries, seeds, verdict.

    ``gains`` has a row for each variant with a result, as `compare_all` makes them; a variant without one, since all
    its runs failed, has the verdict "no result".
    """
    found = gains.set_index("variant")[["gain", "low", "high", "queries", "seeds"]].reindex(list(expected))
    verdicts = [
        verdict(row, wanted, tolerance) if row.notna().all() else "no result"
        for wanted, (_, row) in zip(expected.values(), found.iterrows(), strict=True)
    ]
    found.insert(0, "expected", list(expected.values()))
    return found.assign(verdict=verdicts).reset_index()


def mcnemar(hits_a: np.ndarray, hits_b: np.ndarray) -> float:
    """Two-sided p of McNemar's exact test that two models hit the same queries equally often; bool (Q,) each.

    It takes queries as independent: within a place they are not, so it claims more than `paired_gain` does.
    """
    only_a, only_b = int((hits_a & ~hits_b).sum()), int((hits_b & ~hits_a).sum())
    return min(1.0, 2.0 * float(special.bdtr(min(only_a, only_b), only_a + only_b, 0.5)))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """p values adjusted for testing all of them at once, in the given order (Holm, Scand. J. Statistics 1979)."""
    p = np.asarray(p_values, dtype=float)  # (tests,)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p values must lie in 0…1, got {p[~((p >= 0) & (p <= 1))][0]:g}")
    order = np.argsort(p, kind="stable")  # (tests,)
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1.0)
    return adjusted


def _hits(ranks: pd.DataFrame, variant: str, at: Sequence[int], threshold: float | None) -> tuple:
    """Hits (Q, n, seeds) as 0 and 1, the sorted (query, copy, place) index of their rows, and the seeds."""
    part = ranks[ranks["variant"] == variant]
    if part.empty:
        known = ", ".join(map(str, ranks["variant"].unique()))
        raise KeyError(f"no variant '{variant}' in these ranks; there are: {known}")
    if max(at) >= _database(part):
        raise ValueError(f"recall@{max(at)} of '{variant}' says nothing: its database has {_database(part):g} images")
    missing = {f"within_{n}" for n in at} - set(ranks) if threshold is not None else ()
    if missing:
        raise KeyError(f"ranks have no column {', '.join(sorted(missing))}: recall in metres is known for N in {AT}")
    found = {n: part["rank"].between(1, n) if threshold is None else part[f"within_{n}"] <= threshold for n in at}
    seeds = part["seed"].fillna(-1)  # a run without a seed is a run
    copies = part.groupby([seeds, "query"]).cumcount()  # a base name may occur in two folders
    table = pd.DataFrame({**found, "query": part["query"], "copy": copies, "place": part["place"], "seed": seeds})
    table = table.pivot_table(list(at), index=["query", "copy", "place"], columns="seed", aggfunc="max")
    if table.isna().any(axis=None):
        raise ValueError(f"the seeds of variant '{variant}' were tested on different queries: run them on the same set")
    return table.to_numpy(float).reshape(len(table), len(at), -1), table.index, table.columns.unique("seed")


def _database(ranks: pd.DataFrame) -> float:
    """Number of database images, infinite where the ranks do not tell."""
    return float(ranks["database"].fillna(np.inf).min()) if "database" in ranks else np.inf
