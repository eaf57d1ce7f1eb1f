"""How much effort an index needs: measured against exact search on a sample of the queries, never assumed.

``faiss.ParameterSpace`` does not serve here. It counts a twin of the nearest image as a miss, keeps no found images,
never probes all cells, and re-ranks at most 64 candidates for one wanted image, with which ivf_pq_refined finds the
nearest of 95 % of the queries instead of 99 % (10,000 synthetic images).
"""

import time
from dataclasses import dataclass

import numpy as np

from vg_core.retrieval.engines.index import ENGINES, Index
from vg_core.retrieval.exact_search import Database, exact

TARGET = 0.99  # share of queries whose nearest image is found
SAMPLE = 500  # queries compared with exact search
ROUNDS = 3  # timings of which the shortest counts: what else runs on the machine only adds
SAME = 1e-6  # squared distances nearer to each other than the rounding of float32


@dataclass(frozen=True)
class Sample:
    """Queries whose nearest database descriptors are known."""

    queries: np.ndarray  # (S, D)
    distances: np.ndarray  # (S,) squared, from the query to its nearest descriptor
    database: Database

    @classmethod
    def of(cls, queries: np.ndarray, database: Database, seed: int = 0) -> "Sample":
        """At most SAMPLE of the queries, drawn with a seed and searched exactly."""
        rows = np.random.default_rng(seed).permutation(len(queries))[:SAMPLE]
        chosen = np.ascontiguousarray(queries[np.sort(rows)], dtype=np.float32)  # (S, D)
        _, nearest = exact(chosen, database, 1)
        return cls(chosen, _squared(chosen, database, nearest[:, 0]), database)

    def agreement(self, found: np.ndarray) -> float:
        """Share of queries for which the image ``found`` (S,), -1 for none, is as near as the nearest; ties count."""
        reached = np.full(len(found), np.inf)
        known = found >= 0
        reached[known] = _squared(self.queries[known], self.database, found[known])
        return float((reached <= self.distances + SAME).mean())


@dataclass(frozen=True)
class Trial:
    """What an index finds with one effort."""

    effort: int
    agreement: float  # share of queries whose nearest image is found
    ms: float  # milliseconds per query, all queries in one batch
    found: np.ndarray  # (S,) the image found first for each query, -1 for none


def tune(index: Index, sample: Sample, target: float = TARGET) -> tuple[list[Trial], Trial]:
    """(trials, chosen one): the effort grows until the index agrees with exact search on the sample.

    Chosen is the first trial that reaches the target, else the best, of equals the one of least effort; the index keeps
    that effort. Prints a sentence when the target is out of reach.
    """
    trials = []
    for effort in index.efforts():
        index.effort = effort
        trials.append(_try(index, sample))
        if trials[-1].agreement >= target:
            break
    chosen = best(trials)
    index.effort = chosen.effort
    if chosen.agreement < target:
        knob = ENGINES[index.engine].knob
        at = f" at {knob} {chosen.effort}" if knob else ""
        found = f"the nearest image of {100 * chosen.agreement:.1f} % of {len(sample.queries)} queries{at}"
        print(f"{index.engine} cannot reach {100 * target:g} %: it finds {found}; use exact where that is too few")
    return trials, chosen


def best(trials: list[Trial]) -> Trial:
    """The trial that finds most; of equals the first, which has the least effort."""
    return max(trials, key=lambda trial: trial.agreement)


def _try(index: Index, sample: Sample) -> Trial:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        found = index.search(sample.queries, 1)[1][:, 0]
        seconds.append(time.perf_counter() - started)
    return Trial(index.effort, sample.agreement(found), 1000 * min(seconds) / len(found), found)


def _squared(queries: np.ndarray, database: Database, indices: np.ndarray) -> np.ndarray:
    """(S,) squared distances of each query to one database descriptor, by differences: exact where they are small."""
    return np.square(queries - np.asarray(database[indices], dtype=np.float32)).sum(axis=1, dtype=np.float64)
