"""One mining round: which images must be described, and the tuples that come of their descriptors."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor, from_numpy

from vg_core.mining import draw_pool, excluded, hardness, mine, nearest_positives, random_negatives

Describe = Callable[[np.ndarray], Tensor]  # image numbers (M,) -> descriptors (M, D)


@dataclass(frozen=True)
class Round:
    """What one round starts from. Images are numbered database first (N of them), queries behind."""

    database: int  # N
    first_query: int  # its number among the images: N, or 0 where the database is the queries, too
    queries: np.ndarray  # (Q,) those of this round, numbered from 0
    hard: list[np.ndarray]  # per query, the database images that it may be pulled to
    soft: list[np.ndarray]  # per query, the database images that are never its negatives
    previous: np.ndarray  # (Q, count) negatives of each query's last visit, -1 where there is none


def mine_round(
    start: Round,
    mining: str,
    pool_size: int,
    margin: float,
    describe: Describe,
    rng: np.random.Generator,
    mine: Callable[..., tuple[Tensor, Tensor]] = mine,
) -> tuple[Tensor, Tensor, dict]:
    """(positives (Q,), negatives (Q, count)) as database indices, and facts: how hard they are, what it took.

    ``describe`` is asked for the whole database in "full" mining, for the shared pool and the positives in "partial",
    for positives and drawn negatives in "random". Source: Berton et al., CVPR 2022, section 3.3.
    """
    size, count, previous = start.database, start.previous.shape[1], start.previous
    if mining == "random":
        pool, dropped = random_negatives(start.soft, size, count, rng), 0  # (Q, count)
        needed = np.unique(np.concatenate([pool.ravel(), *start.hard]))
    else:
        pool = draw_pool(mining, len(start.queries), size, pool_size, rng)  # (Q, P) or (P,)
        dropped = excluded(start.soft, pool, previous, size)
        needed = np.unique(np.concatenate([pool.ravel(), *start.hard, previous[previous >= 0]]))
    if mining == "full":
        needed = np.arange(size)
    found = describe(np.concatenate([needed, start.first_query + start.queries]))  # (M + Q, D)
    database, queries = found[: len(needed)], found[len(needed) :]  # (M, D), (Q, D)
    place = np.full(size + 1, -1)  # of each image in ``needed``; the last is that of -1, no image
    place[needed] = np.arange(len(needed))
    hard, soft = ([place[images] for images in lists] for lists in (start.hard, start.soft))
    if mining == "random":
        positives, negatives = nearest_positives(queries, database, hard), from_numpy(place[pool])
    else:
        positives, negatives = mine(queries, database, hard, soft, place[pool], count, place[previous])
    facts = hardness(queries, database, positives, negatives, margin)
    numbers = from_numpy(needed)
    return numbers[positives], numbers[negatives], facts | {"excluded": dropped, "described": len(found)}
