"""How much effort an index needs: measured against exact search on a sample of the queries, never assumed."""

import time
import warnings
from dataclasses import dataclass, field

import numpy as np

from vg_core.engines.exact import Database, checked, exact
from vg_core.engines.index import ENGINES, Index

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
        chosen = np.ascontiguousarray(queries[np.sort(rows)], dtype=np.float32)
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
    """What one effort gives."""

    effort: int
    agreement: float  # share of queries for which the nearest image is found
    ms: float  # a query, in a batch
    found: np.ndarray  # (S,) the image found first for each query, -1 for none


@dataclass(frozen=True)
class Tuning:
    """Trials of an index, least effort first, up to the one that reaches the target if any does."""

    engine: str
    target: float
    queries: int
    trials: list[Trial] = field(default_factory=list)

    @property
    def chosen(self) -> Trial:
        """The first trial that reaches the target, else the best, of equals the one of least effort."""
        reaching = (trial for trial in self.trials if trial.agreement >= self.target)
        return next(reaching, max(self.trials, key=lambda trial: (trial.agreement, -trial.effort)))

    @property
    def reached(self) -> bool:
        return self.chosen.agreement >= self.target

    def __str__(self) -> str:
        knob = ENGINES[self.engine].knob
        at = f" at {knob} {self.chosen.effort}" if knob else ""
        found = f"the nearest image of {100 * self.chosen.agreement:.1f} % of {self.queries} queries{at}"
        if self.reached:
            return f"{self.engine} finds {found}"
        return f"{self.engine} cannot reach {100 * self.target:g} %: it finds {found}; use exact where that is too few"


def tune(index: Index, sample: Sample, target: float = TARGET) -> Tuning:
    """Grow the effort of an index until it agrees with exact search on the sample; the index keeps the chosen effort.

    An engine that cannot reach the target keeps its best effort; the result says so as text.
    """
    tuning = Tuning(index.engine, target, len(sample.queries))
    for effort in index.efforts():
        index.effort = effort
        seconds, found = min((_timed(index, sample.queries) for _ in range(ROUNDS)), key=lambda timed: timed[0])
        tuning.trials.append(Trial(effort, sample.agreement(found), 1000 * seconds / len(found), found))
        if tuning.reached:
            break
    index.effort = tuning.chosen.effort
    return tuning


def approximate(queries: np.ndarray, database: Database, k: int, engine: str) -> tuple[np.ndarray, np.ndarray]:
    """(distances, indices), both (Q, min(k, N)), from an index that is built, tuned to TARGET and thrown away.

    Queries for which the engine finds fewer than K images are searched exactly. Warns when TARGET is out of reach.
    """
    queries, database = checked(queries, database)
    index = Index.build(engine, database)
    tuning = tune(index, Sample.of(queries, database))
    if not tuning.reached:
        warnings.warn(str(tuning), stacklevel=3)
    distances, indices = index.search(queries, k)
    short = (indices < 0).any(axis=1)
    if short.any():
        distances[short], indices[short] = exact(queries[short], database, k)
    return distances, indices


def _timed(index: Index, queries: np.ndarray) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    _, indices = index.search(queries, 1)
    return time.perf_counter() - started, indices[:, 0]


def _squared(queries: np.ndarray, database: Database, indices: np.ndarray) -> np.ndarray:
    """(S,) squared distances of each query to one database descriptor, by differences: exact where they are small."""
    return np.square(queries - np.asarray(database[indices], dtype=np.float32)).sum(axis=1, dtype=np.float64)
