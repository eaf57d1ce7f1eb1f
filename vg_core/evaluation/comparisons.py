"""How far a recall can be trusted: intervals and paired tests over ranks tables, with independent blocks as the unit.

Queries of one street succeed or fail together, so what counts is the number of blocks (see `units.independent`), never
of queries. Runs differ by their seed too: recall tables show that spread beside the interval, paired gains include it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from vg_core.evaluation.designs import independent_gains, leeway, run_variance
from vg_core.evaluation.intervals import LEVEL, Error, mean_variance, recall_interval
from vg_core.evaluation.ranks import AT
from vg_core.evaluation.units import effective_number, independent

ROUNDING = 1e-20  # of a variance; one hit of a million queries in a hundred runs makes more


class Hits(NamedTuple):
    """What a variant found: 0 and 1, (Q, n, S); the (query, copy, place) of each row, sorted; the seeds."""

    found: np.ndarray
    index: pd.MultiIndex
    seeds: pd.Index

    @property
    def places(self) -> pd.Index:
        return self.index.get_level_values("place")

    def moves(self) -> bool:
        """Does another seed change anything? An untrained network has none; of a single run it is not known."""
        return len(self.seeds) < 2 or bool(np.ptp(self.found, axis=2).any())


def recall_table(
    ranks: pd.DataFrame, at: Sequence[int] = AT, threshold: float | Sequence[float] | None = None
) -> pd.DataFrame:
    """Recall@N of each variant with its interval: variant, n, recall, low, high (%), seed_std, seeds, queries, places,
    unit, units.

    ``recall`` is the mean over queries and seeds. ``low`` and ``high`` bound it with 95 % confidence over other queries
    in other streets, for these very weights (see `recall_interval`), from ``units`` independent ones, less if they
    differ in size, which ``unit`` names: below ten no interval can be trusted. ``seed_std`` is the standard deviation
    over seeds in points, NaN with a single one. With ``threshold`` (metres) a hit is ``within_N <= threshold``,
    otherwise ``rank <= N``; of several thresholds each has its rows, with a column. There are no rows for an N that is
    not below the number of ``database`` images, all of which would be retrieved; ValueError where none is left.
    """
    metres = [threshold] if threshold is None or np.isscalar(threshold) else list(threshold)
    tested, told = {}, {}
    for variant in ranks["variant"].unique():
        most = _database(ranks[ranks["variant"] == variant])
        told[variant] = [(n, t) for t in metres for n in [n for n in at if n < most] or [min(at)]]
        tested[variant] = _hits(ranks, variant, told[variant])
    rows = []
    for variant, hits in tested.items():
        same = [other.found.mean(axis=2) for other in tested.values() if other.index.equals(hits.index)]
        codes, unit = independent(np.concatenate(same, axis=1), hits.places)
        low, high = 100.0 * recall_interval(hits.found.mean(axis=2), codes)  # (n,) each
        recalls = 100.0 * hits.found.mean(axis=0)  # (n, S)
        spread = recalls.std(axis=1, ddof=1) if recalls.shape[1] > 1 else np.full(len(recalls), np.nan)
        columns = {"n": [n for n, _ in told[variant]], "recall": recalls.mean(axis=1), "low": low, "high": high}
        counts = {"seeds": len(hits.seeds), "queries": len(hits.found), "places": hits.places.nunique()}
        counts |= {"unit": unit, "units": effective_number(codes)}
        rows.append(pd.DataFrame({"variant": variant, **columns, "seed_std": spread, **counts}))
        if metres[1:]:
            rows[-1]["threshold"] = [t for _, t in told[variant]]
    return pd.concat(rows, ignore_index=True)


def paired_gain(ranks: pd.DataFrame, a: str, b: str, n: int = 1, threshold: float | None = None) -> dict:
    """Points of recall@n that variant ``a`` gains over ``b``: gain, low, high (95 %), p, decidable, queries, places,
    seeds, unit, units.

    Paired by query and averaged over seeds. Its error has two parts (see `Error`): from blocks of queries, which holds
    the luck of runs on single queries too; and what a run does to all of its queries alike, estimated from all
    variants in the ranks (see `run_variance`). With one seed each the second is not known: the gain is that of these
    two networks, and says nothing of the next training. ``decidable`` is the smallest true gain that such a comparison
    finds with 80 % power.
    Raises ValueError when the variants differ in queries or threshold.
    """
    thresholds = ranks.loc[ranks["variant"].isin([a, b]), "threshold"].unique()
    if threshold is None and len(thresholds) > 1:
        metres = " and ".join(f"{t:g} m" for t in thresholds)
        raise ValueError(f"'{a}' and '{b}' count hits within {metres}: give one threshold for both")
    return gain_of_hits(_all_hits(ranks, [a, b, *ranks["variant"].unique()], n, threshold), a, b)


def gain_of_hits(tested: Mapping[str, Hits], a: str, b: str) -> dict:
    """`paired_gain` of two variants, from the hits of all that may tell what runs add."""
    ours, theirs = tested[a], tested[b]
    if not ours.index.equals(theirs.index):
        raise ValueError(f"'{a}' and '{b}' were tested on different queries: a paired gain needs the same ones")
    same = {variant: hits for variant, hits in tested.items() if hits.index.equals(theirs.index)}
    means = {variant: hits.found.mean(axis=2) for variant, hits in same.items()}  # (Q, 1) each
    differences = np.concatenate([mean - means[b] for variant, mean in means.items() if variant != b], axis=1)
    codes, unit = independent(differences, ours.places)
    queries, units, gains = len(codes), effective_number(codes), means[a] - means[b]
    variance = mean_variance(gains, codes).item() if codes.any() else 0.0
    if variance < ROUNDING:  # all units, or even all queries, agree: as if two did not, one each way
        agreeing = units if gains.any() else independent_gains(queries, units)
        variance = 2 / agreeing**2  # Bonett and Price, J. Educ. Behav. Statistics 2012
    error = Error(((variance, max(units - 1, 1)), *_of_runs(ours, theirs, list(same.values()), codes)))
    gain, half = float(gains.mean()), error.half()
    low, high = np.clip([gain - half, gain + half], -1, 1).tolist()
    counts = {"queries": queries, "places": ours.places.nunique(), "seeds": min(len(ours.seeds), len(theirs.seeds))}
    points = {"gain": 100 * gain, "low": 100 * low, "high": 100 * high}
    return points | {"p": error.p(gain), "decidable": 100 * error.decidable(), **counts, "unit": unit, "units": units}


def compare_all(
    ranks: pd.DataFrame, baseline: str, n: int = 1, threshold: float | None = None, margin: float | None = None
) -> pd.DataFrame:
    """Every variant against the baseline: variant, what `paired_gain` says, p_holm, p_mcnemar, and the verdict.

    The verdict is "better" or "worse" than the baseline where p, after Holm's correction for comparing many, is below
    5 %; else "no difference of more than ``margin``" (points, stated beforehand) where the interval lies within it;
    else "undecided". Intervals are not corrected: each one holds by itself. ``p_mcnemar`` is McNemar's test on the
    first seed that both have, NaN if there is none: what one run alone would claim.
    """
    others = [variant for variant in ranks["variant"].unique() if variant != baseline]
    if not others:
        raise ValueError(f"there is no variant to compare with the baseline '{baseline}'")
    tested = _all_hits(ranks, [baseline, *others], n, threshold)
    rows = []
    for variant in others:
        pair = tested[variant], tested[baseline]
        shared = pair[0].seeds.intersection(pair[1].seeds)
        one = [hits.found[:, 0, hits.seeds.get_loc(shared[0])] > 0 for hits in pair] if len(shared) else []  # (Q,) each
        claimed = mcnemar(*one) if one else np.nan
        rows.append({"variant": variant, **gain_of_hits(tested, variant, baseline), "p_mcnemar": claimed})
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p"])
    table["verdict"] = [
        ("better" if row.gain > 0 else "worse") if row.p_holm < LEVEL else _none_beyond(row._asdict(), margin)
        for row in table.itertuples()
    ]
    return table


def verdict(gain: Mapping, expected: str, tolerance: float = 1.0) -> str:
    """ "confirmed", "refuted", "no difference of more than 1" or "undecided": does the interval low…high (points) bear
    out what was expected?

    Expected is "better", "worse", "no worse", "no better" or "same"; the last three allow ``tolerance`` points.
    Confirmed: the whole interval agrees. Refuted: no part of it does. No difference: the whole interval lies within
    the tolerance, which neither confirms nor refutes a "better" or "worse" by less.
    """
    regions = {"better": (0.0, np.inf), "worse": (-np.inf, 0.0), "no worse": (-tolerance, np.inf)}
    regions |= {"no better": (-np.inf, tolerance), "same": (-tolerance, tolerance)}
    if expected not in regions:
        raise ValueError(f"expected '{expected}' is unknown; choose one of: {', '.join(regions)}")
    bottom, top = regions[expected]
    if bottom < gain["low"] and gain["high"] < top:
        return "confirmed"
    return "refuted" if gain["high"] <= bottom or gain["low"] >= top else _none_beyond(gain, tolerance)


def judge_predictions(gains: pd.DataFrame, expected: Mapping[str, str], tolerance: float = 1.0) -> pd.DataFrame:
    """One row per prediction: variant, expected (see `verdict`), gain, low, high, decidable, queries, seeds, verdict.

    ``gains`` has a row for each variant with a result, as `compare_all` makes them; a variant without one, since all
    its runs failed, has the verdict "no result".
    """
    columns = ["gain", "low", "high", "decidable", "queries", "seeds"]
    found = gains.set_index("variant")[columns].reindex(list(expected))
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


def _none_beyond(gain: Mapping, margin: float | None) -> str:
    within = margin is not None and -margin < gain["low"] and gain["high"] < margin
    return f"no difference of more than {margin:g}" if within else "undecided"


def _of_runs(ours: Hits, theirs: Hits, pool: list[Hits], codes: np.ndarray) -> list[tuple[float, float]]:
    """The `Error` term of what runs do to all their queries alike; none where no variant has two seeds that differ."""
    pool = [hits for hits in pool if len(hits.seeds) > 1 and hits.moves()]
    share = sum(leeway(hits.found.mean()) ** 2 / len(hits.seeds) for hits in (ours, theirs) if hits.moves())
    if not pool or not share or np.array_equal(ours.found, theirs.found):  # found alike: the same trainings
        return []
    alike = [hits for hits in pool if hits.seeds.equals(ours.seeds)]
    paired = ours.seeds.equals(theirs.seeds) and ours.moves() and theirs.moves() and len(alike) > 1
    found = [hits.found[:, 0] for hits in (alike if paired else pool)]  # (Q, S) each
    variance, freedom = run_variance(found, [leeway(one.mean()) for one in found], codes, paired)
    return [(share * variance, freedom)]


def _all_hits(ranks: pd.DataFrame, variants: Iterable[str], n: int, threshold: float | None) -> dict[str, Hits]:
    return {variant: _hits(ranks, variant, [(n, threshold)]) for variant in dict.fromkeys(variants)}


def _hits(ranks: pd.DataFrame, variant: str, asked: Sequence[tuple[int, float | None]]) -> Hits:
    """What a variant found at each N and, where given, within so many metres."""
    part = ranks[ranks["variant"] == variant]
    if part.empty:
        known = ", ".join(map(str, ranks["variant"].unique()))
        raise KeyError(f"no variant '{variant}' in these ranks; there are: {known}")
    most = max(n for n, _ in asked)
    if most >= _database(part):
        raise ValueError(f"recall@{most} of '{variant}' says nothing: its database has {_database(part):g} images")
    missing = {f"within_{n}" for n, metres in asked if metres is not None} - set(ranks)
    if missing:
        raise KeyError(f"ranks have no column {', '.join(sorted(missing))}: recall in metres is known for N in {AT}")
    found = [part["rank"].between(1, n) if t is None else part[f"within_{n}"] <= t for n, t in asked]
    seeds = part["seed"].fillna(-1)  # a run without a seed is a run
    copies = part.groupby([seeds, "query"]).cumcount()  # a base name may occur in two folders
    keys = {"query": part["query"], "copy": copies, "place": part["place"], "seed": seeds}
    table = pd.DataFrame(dict(enumerate(found)) | keys)
    table = table.pivot_table(list(range(len(asked))), index=["query", "copy", "place"], columns="seed", aggfunc="max")
    if table.isna().any(axis=None):
        raise ValueError(f"the seeds of variant '{variant}' were tested on different queries: run them on the same set")
    return Hits(table.to_numpy(float).reshape(len(table), len(asked), -1), table.index, table.columns.unique("seed"))


def _database(ranks: pd.DataFrame) -> float:
    """Number of database images, infinite where the ranks do not tell."""
    return float(ranks["database"].fillna(np.inf).min()) if "database" in ranks else np.inf
