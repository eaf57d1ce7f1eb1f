"""The nearest positive and the nearest negatives of each query, exactly, in blocks on the descriptors' device.

Sizes: Q queries, B of them in a block, N database images, P in a pool, W columns of a block's score table, M pairs.
"""

import numpy as np
import torch
from torch import Tensor

from vg_core.mining import products
from vg_core.mining.pools import FEWER, Lists, pair_keys, require
from vg_core.mining.products import magnitude, pair_distances, pair_scores, slack, true_float32

BYTES_A_SCORE = 32  # all temporaries together, per query of a block and candidate
TIED = 4  # a score that ties takes that many times the memory while it is compared exactly
NO_POSITIVE = "leave the query out, or raise the distance threshold of positives"
NO_NEGATIVE = f"draw a larger pool, or {FEWER}"
Array = np.ndarray | Tensor
RowsIds = tuple[Tensor, Tensor]  # rows of a block of queries and database indices, pair by pair


@torch.no_grad()
def mine(
    query_descriptors: Array,
    database_descriptors: Array,
    hard_positives: Lists,
    soft_positives: Lists,
    pool: np.ndarray,
    count: int = 10,
    kept: np.ndarray | None = None,
) -> tuple[Tensor, Tensor]:
    """(positives (Q,), negatives (Q, count)), int64 database indices on the CPU; negatives are sorted nearest first.

    The positive is the nearest hard positive. Negatives are the ``count`` nearest images of the pool and of ``kept``
    (the query's previous negatives, (Q, any), -1 for none), soft positives left out. Descriptors, (Q, D) and (N, D),
    are tensors on one device or NumPy, of any float type. ``pool`` holds database indices: (P,) shared by all queries
    ("partial" mining: only the rows of pool, kept and hard positives are read), or (Q, P), one pool each ("full").

    The answer is that of Euclidean distances in float64, ties going to the smaller index: candidates whose float32
    scores are nearer to each other than the rounding error are compared again exactly. Memory: about BLOCK_BYTES, as
    much again for half precision, and a copy of the shared pool's descriptors.

    Raises TooFew, naming the first query without a hard positive or with fewer than ``count`` candidates, and
    ValueError for descriptors that are not finite. Source: Arandjelovic et al., NetVLAD, CVPR 2016, section 4.
    """
    queries, database = _descriptors(query_descriptors, database_descriptors)
    kept = np.empty((len(queries), 0), dtype=np.int64) if kept is None else np.asarray(kept)
    hard, soft, previous = (_Pairs(lists, queries, database) for lists in (hard_positives, soft_positives, kept))
    require(hard.counts, 1, "hard positives", NO_POSITIVE)
    candidates = _Candidates(len(queries), database, np.asarray(pool, dtype=np.int64), previous.ids, count)
    step = max(1, products.BLOCK_BYTES // (BYTES_A_SCORE * candidates.width))
    step = -(-len(queries) // -(-len(queries) // step))  # blocks of equal size
    blocks = [slice(start, start + step) for start in range(0, len(queries), step)]
    with true_float32(queries.device):
        results = [candidates.mine(queries[b], b, hard.of(b), soft.of(b), previous.of(b)) for b in blocks]
    positives, negatives, available = (torch.cat(parts).cpu() for parts in zip(*results, strict=True))
    whole = candidates.pool.shape[-1] >= len(database)
    require(available.numpy(), count, "candidate negatives", FEWER if whole else NO_NEGATIVE)
    return positives, negatives


@torch.no_grad()
def nearest_positives(query_descriptors: Array, database_descriptors: Array, hard_positives: Lists) -> Tensor:
    """(Q,) nearest hard positive of each query, as from `mine`; of the database only hard positives are read."""
    queries, database = _descriptors(query_descriptors, database_descriptors)
    hard = _Pairs(hard_positives, queries, database)
    require(hard.counts, 1, "hard positives", NO_POSITIVE)
    with true_float32(queries.device):
        scores, largest = pair_scores(queries, database, hard.rows, hard.ids)  # (M,), ()
        return _nearest_pairs(queries, database, (hard.rows, hard.ids), scores, magnitude(queries, largest)).cpu()


@torch.no_grad()
def hardness(
    query_descriptors: Array, database_descriptors: Array, positives: Array, negatives: Array, margin: float
) -> dict[str, float]:
    """How hard mined tuples are: means over unsquared distances d of their descriptors.

    active: share of triplets with margin + d(q, p) > d(q, n); positive_distance and negative_distance: means;
    hardest_margin: mean of d(q, p) - d(q, n1), n1 the first (nearest) negative.
    """
    queries, database = _descriptors(query_descriptors, database_descriptors)
    ids = torch.from_numpy(np.column_stack([positives, negatives])).to(queries.device)  # (Q, 1 + count)
    rows = torch.arange(len(queries), device=queries.device).repeat_interleave(ids.shape[1])  # (M,)
    distances = pair_distances(queries, database, rows, ids.flatten(), torch.float32).view(ids.shape)
    positive, negative = distances[:, :1], distances[:, 1:]  # (Q, 1), (Q, count)
    return {
        "active": float((margin + positive > negative).float().mean()),
        "positive_distance": float(positive.mean()),
        "negative_distance": float(negative.mean()),
        "hardest_margin": float((positive - negative)[:, 0].mean()),
    }


class _Pairs:
    """The M (query, database image) pairs of ragged lists, each once, sorted, on the descriptors' device."""

    def __init__(self, lists: Lists, queries: Tensor, database: Tensor):
        if len(lists) != len(queries):
            raise ValueError(f"{len(lists)} lists of database indices for {len(queries)} query descriptors")
        rows, ids = np.divmod(pair_keys(lists, len(database)), len(database))  # (M,) each
        self.counts = np.bincount(rows, minlength=len(lists))  # (Q,)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])  # (Q + 1,)
        self.rows, self.ids = (torch.from_numpy(part).to(queries.device) for part in (rows, ids))

    def of(self, block: slice) -> RowsIds:
        """(rows, database indices) of the pairs of a block of queries; rows count from its start."""
        part = slice(self.starts[block.start], self.starts[min(block.stop, len(self.counts))])
        return self.rows[part] - block.start, self.ids[part]


class _Candidates:
    """What negatives are chosen from: database images as columns of a score table, and a last column for all others."""

    def __init__(self, queries: int, database: Tensor, pool: np.ndarray, previous: Tensor, count: int):
        if pool.ndim not in (1, 2) or (pool.ndim == 2 and len(pool) != queries):
            raise ValueError(f"pool of shape {pool.shape} for {queries} queries: expected (P,) or (Q, P)")
        if pool.size and not 0 <= pool.min() <= pool.max() < len(database):
            raise ValueError(f"pool indices {pool.min()}…{pool.max()} do not fit a database of {len(database)} images")
        device, self.database, self.count, self.own = database.device, database, count, pool.ndim == 2
        self.pool = torch.from_numpy(pool if self.own else np.unique(pool)).to(device)  # (Q, P) or (P,)
        self.table = database if self.own else database[self.pool]  # rows of the matrix product; (N, D) or (P, D)
        ids = torch.arange(len(database), device=device) if self.own else torch.cat([self.pool, previous]).unique()
        self.width = max(len(ids), count) + 1
        self.column = torch.full((len(database),), self.width - 1, device=device)  # (N,)
        self.column[ids] = torch.arange(len(ids), device=device)
        self.ids = torch.nn.functional.pad(ids, (0, self.width - len(ids)), value=-1)  # (W,)

    def mine(self, queries: Tensor, block: slice, hard: RowsIds, soft: RowsIds, previous: RowsIds) -> list[Tensor]:
        """Positives (B,), negatives (B, count) and numbers of candidates (B,), counted up to ``count``, of a block."""
        product, largest = products.table_scores(queries, self.table)  # (B, N) or (B, P)
        scores = queries.new_full((len(queries), self.width), torch.inf)  # (B, W)
        if self.own:  # the product covers the whole database
            pool = self.pool[block]  # (B, P)
            scores.scatter_(1, pool, product.gather(1, pool))
            hard_scores, previous_scores = product[hard], product[previous]  # (M,) each
        else:
            scores[:, self.column[self.pool]] = product
            pairs = [pair_scores(queries, self.database, *some) for some in (hard, previous)]
            hard_scores, previous_scores = (found for found, _ in pairs)
            largest = torch.stack([largest, *(norm for _, norm in pairs)]).amax()
        scores[previous[0], self.column[previous[1]]] = previous_scores
        scores[soft[0], self.column[soft[1]]] = torch.inf
        magnitudes = magnitude(queries, largest)  # (B,)
        positives = _nearest_pairs(queries, self.database, hard, hard_scores, magnitudes)  # (B,)
        return [positives, *self._nearest_columns(queries, scores, magnitudes)]

    def _nearest_columns(self, queries: Tensor, scores: Tensor, magnitudes: Tensor) -> RowsIds:
        """(B, count) database images of the smallest scores (B, W), nearest first, and how many there were (B,)."""
        best, columns = scores.topk(self.count + 1, largest=False)  # (B, count + 1) each
        chosen, last = self.ids[columns[:, :-1]], best[:, -2]  # (B, count), (B,)
        apart = slack(queries, last, magnitudes)  # (B,)
        unsure = ((best.diff(dim=1) <= apart[:, None]).any(dim=1) & torch.isfinite(last)).nonzero()[:, 0]
        for some in unsure.split(max(1, len(queries) // TIED)):
            rows, columns = (scores[some] <= (last + apart)[some, None]).nonzero(as_tuple=True)  # (M,) each
            exact = pair_distances(queries, self.database, some[rows], self.ids[columns], torch.float64)
            chosen[some] = _first(rows, self.ids[columns], exact, self.count)
        return chosen, torch.isfinite(best[:, :-1]).sum(dim=1)


def _nearest_pairs(queries: Tensor, database: Tensor, pairs: RowsIds, scores: Tensor, magnitudes: Tensor) -> Tensor:
    """(B,) nearest database image among each query's pairs, of which ``scores`` (M,) are known."""
    rows, ids = pairs
    lowest = queries.new_full((len(queries),), torch.inf).scatter_reduce(0, rows, scores, "amin")  # (B,)
    near = scores <= (lowest + slack(queries, lowest, magnitudes))[rows]  # (M,)
    rows, ids = rows[near], ids[near]
    rivals = torch.bincount(rows)[rows] > 1  # (M,)
    exact = scores.new_zeros(len(rows), dtype=torch.float64)  # whoever has no rival is the nearest
    exact[rivals] = pair_distances(queries, database, rows[rivals], ids[rivals], torch.float64)
    return _first(rows, ids, exact, 1)[:, 0]


def _first(rows: Tensor, ids: Tensor, distances: Tensor, count: int) -> Tensor:
    """(B, count) ids of the smallest distances (M,) in each row; pairs come sorted by row, then id."""
    order = torch.argsort(distances, stable=True)  # (M,)
    order = order[torch.argsort(rows[order], stable=True)]
    counts = torch.bincount(rows)  # (B,)
    starts = counts.cumsum(0) - counts  # (B,)
    return ids[order][starts[:, None] + torch.arange(count, device=ids.device)]  # (B, count)


def _descriptors(queries: Array, database: Array) -> tuple[Tensor, Tensor]:
    """Both as tensors, queries in the float type that scores are computed in: float32, or the wider of the two."""
    queries, database = torch.as_tensor(queries), torch.as_tensor(database)
    shapes = tuple(queries.shape), tuple(database.shape)
    if not queries.ndim == database.ndim == 2 or not len(queries) or shapes[0][1] != shapes[1][1]:
        raise ValueError(f"descriptors of shapes {shapes[0]} and {shapes[1]}: expected (Q, D) and (N, D)")
    queries = queries.to(torch.promote_types(torch.promote_types(queries.dtype, database.dtype), torch.float32))
    bad = ~torch.isfinite(torch.linalg.vector_norm(queries, dim=1))  # (Q,)
    if bad.any():
        raise ValueError(f"the descriptor of query {int(bad.int().argmax())} is not finite: has the training diverged?")
    return queries, database
