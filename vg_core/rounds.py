"""One mining round: which images must be described, and the tuples that come of their descriptors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, from_numpy

from vg_core import processes
from vg_core.config import Config
from vg_core.mining import draw_pool, excluded, hardness, mine, nearest_positives, random_negatives


@dataclass(frozen=True)
class Round:
    """What one round starts from. Images are numbered database first (N of them), queries behind."""

    config: Config
    database: int  # N
    chosen: np.ndarray  # (Q,) the queries of this round
    hard: list[np.ndarray]  # database images of each chosen query within the training threshold
    soft: list[np.ndarray]  # and within the validation threshold: never negatives
    kept: np.ndarray  # (Q, count) negatives of each query's last visit, -1 where there is none


def mine_round(
    task: Round, describe: Callable[[np.ndarray], Tensor], rng: np.random.Generator
) -> tuple[Tensor, Tensor, dict]:
    """(positives (Q,), negatives (Q, count)) as database indices, and how hard they are.

    ``describe`` gives descriptors for image numbers: of the whole database for "full" mining, of the shared pool and
    the positives for "partial", of positives and drawn negatives for "random". Source: spec of the brief's skeleton;
    Berton et al., CVPR 2022, section 3.3.
    """
    config, random = task.config, task.config.task.mining == "random"
    if random:
        pool, dropped = random_negatives(task.soft, task.database, config.task.negs_num_per_query, rng), 0
    else:
        pool = draw_pool(config.task.mining, len(task.chosen), task.database, config.task.neg_samples_num, rng)
        dropped = excluded(task.soft, pool, task.kept)
    old = task.kept[task.kept >= 0] if not random else task.kept[:0].ravel()
    needed = np.unique(np.concatenate([pool.ravel(), *task.hard, old]))
    if config.task.mining == "full":
        needed = np.arange(task.database)
    found = describe(np.concatenate([needed, task.database + task.chosen]))
    database, queries = found[: len(needed)], found[len(needed) :]
    # from here on images are numbered by their place in ``needed``
    hard, soft, pool = _places(needed, task.hard), _places(needed, task.soft), np.searchsorted(needed, pool)
    if random:
        positives, negatives = nearest_positives(queries, database, hard), from_numpy(pool)
    else:
        kept = np.where(task.kept >= 0, np.searchsorted(needed, task.kept), -1)
        own = processes.share(len(queries))
        pool = pool[own] if pool.ndim == 2 else pool  # "full" mining has one pool a query
        of = queries[own], database, hard[own], soft[own], pool, config.task.negs_num_per_query, kept[own]
        positives, negatives = (processes.together(part, len(queries)) for part in mine(*of))
    facts = hardness(queries, database, positives, negatives, config.task.margin)
    numbers = from_numpy(needed)
    return numbers[positives], numbers[negatives], facts | {"excluded": dropped}


def _places(needed: np.ndarray, lists: list[np.ndarray]) -> list[np.ndarray]:
    """Each list's entries that occur in the sorted ``needed``, as their places there."""
    flat = np.concatenate([needed[:0], *lists], dtype=np.int64, casting="unsafe")
    places = np.searchsorted(needed, flat).clip(max=len(needed) - 1)
    there = needed[places] == flat
    ends = np.append(0, there.cumsum())[np.cumsum([len(one) for one in lists])]
    return np.split(places[there], ends[:-1])
