"""Scores of queries against database images: matrix products in blocks, and the rounding error they may hold.

A score is ||n||^2 - 2 q.n: the squared distance less ||q||^2, which is the same for all images of a query.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

BLOCK_BYTES = 256 * 2**20  # scores of a block of queries; also database rows converted to float32 at a time
CHUNK_BYTES = 4 * 2**20  # descriptors gathered at a time: what the cache of a core holds
RUN = 16  # mean length of runs of consecutive rows from which on one product per run beats copying the rows
GROUP = 16  # queries whose pairs come from one product: to multiply all their images costs less than to gather them


def table_scores(queries: Tensor, table: Tensor, ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Scores (B, N) with all rows of the table, or with those in ``ids`` (N,), and the largest squared norm."""
    count, done = len(table) if ids is None else len(ids), 0
    scores, squares = queries.new_empty(len(queries), count), queries.new_zeros(count + 1)  # (B, N), (N + 1,)
    for rows in _parts(table, ids, table.shape[1] * queries.element_size()):
        part = slice(done, done := done + len(rows))
        rows = rows.to(queries.dtype)  # (part, D)
        squares[part] = torch.linalg.vector_norm(rows, dim=1).square()
        torch.addmm(squares[part], queries, rows.T, alpha=-2, out=scores[:, part])  # (B, part)
    return scores, squares.max()


def pair_scores(queries: Tensor, database: Tensor, rows: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Scores (M,) of pairs queries[rows], database[ids], rows ascending, and the largest squared norm of these images.

    Queries of one place, which share their images, go into one product, and what they share is read once.
    """
    scores, largest = queries.new_empty(len(rows)), queries.new_zeros(())  # (M,), ()
    device, count = queries.device, len(queries)
    first = torch.full((count,), len(database), device=device).scatter_reduce(0, rows, ids, "amin")  # (B,)
    order = first.argsort(stable=True)  # (B,) neighbours behind each other
    places = torch.empty_like(order).scatter_(0, order, torch.arange(count, device=device))[rows]  # (M,)
    groups = places.div(GROUP, rounding_mode="floor")  # (M,)
    sizes = torch.bincount(groups, minlength=-(-count // GROUP)).tolist()
    for number, pairs in enumerate(groups.argsort(stable=True).split(sizes)):
        if len(pairs):
            start = GROUP * number
            wanted, columns = ids[pairs].unique(return_inverse=True)  # (W,), (pairs,)
            product, norm = table_scores(queries[order[start : start + GROUP]], database, wanted)  # (G, W)
            scores[pairs] = product[places[pairs] - start, columns]
            largest = torch.maximum(largest, norm)
    return scores, largest


def pair_distances(queries: Tensor, database: Tensor, rows: Tensor, ids: Tensor, dtype: torch.dtype) -> Tensor:
    """Euclidean distances (M,) of the pairs queries[rows], database[ids], computed in ``dtype``, a chunk at a time."""
    distances = torch.empty(len(rows), dtype=dtype, device=queries.device)  # (M,)
    step = max(1, CHUNK_BYTES // (queries.shape[1] * dtype.itemsize))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        difference = database.index_select(0, ids[part]).to(dtype)  # (part, D)
        difference -= queries.index_select(0, rows[part])
        distances[part] = torch.linalg.vector_norm(difference, dim=1)
    return distances


def _parts(table: Tensor, ids: Tensor | None, row_bytes: int) -> Iterator[Tensor]:
    """The rows, (any, D) at a time: views of the table where they follow each other in it, as those of one panorama do,
    copies where mostly they do not.
    """
    block, chunk = (max(1, size // row_bytes) for size in (BLOCK_BYTES, CHUNK_BYTES))
    if ids is None:
        yield from table.split(block)
        return
    cuts = (1 + (ids.diff() != 1).nonzero()[:, 0]).tolist()
    if RUN * (1 + len(cuts)) > len(ids):
        yield from (table.index_select(0, some) for some in ids.split(chunk))
        return
    for first, end in zip(ids[[0, *cuts]].tolist(), ids[[cut - 1 for cut in cuts] + [-1]].tolist(), strict=True):
        yield from table[first : end + 1].split(block)


def magnitude(queries: Tensor, largest: Tensor) -> Tensor:
    """(B,) size of what rounds in a score; ValueError when the ``largest`` squared norm of an image is not finite."""
    if not torch.isfinite(largest):
        raise ValueError("some database descriptors are not finite: has the training diverged?")
    return 2 * (largest + torch.linalg.vector_norm(queries, dim=1).square())


def slack(queries: Tensor, score: Tensor, magnitudes: Tensor) -> Tensor:
    """How near scores are whose order rounding may decide: sqrt(D) roundoffs of each (Higham and Mary, SISC 2019)."""
    unit = torch.finfo(queries.dtype).eps * max(64, queries.shape[1]) ** 0.5
    return unit * (magnitudes + score.abs())


@contextmanager
def true_float32(device: torch.device) -> Iterator[None]:
    """Matrix products in true float32 whatever the training has set: TF32 and bfloat16 lose the order of neighbours."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
