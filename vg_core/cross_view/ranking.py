"""Ranks of the right images of the other side among all of them, in the table that all comparisons read."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vg_core.evaluation.ranks import AT, Within

BLOCK_BYTES = 256 * 2**20  # products of a block of queries with the whole database
ROWS = 1024  # of the database, made float64 at a time
TIED = 1e-9  # products closer than this are the same: in float64 those of equal descriptors differ by less
POSITION = ["easting", "northing"]
Descriptors = np.ndarray | Tensor


def pair_ranks(
    descriptors: tuple[Descriptors, Descriptors],
    queries: pd.DataFrame,
    database: pd.DataFrame,
    positives: Sequence[np.ndarray] | None = None,
    metres: float = 0.0,
    strict: bool = False,
) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """(ranks, indices, distances): one row per query as from ``Within.ranks``, but the rank is known however large it
    is; the 20 nearest images (Q, K) and their distances.

    ``descriptors``, (Q, D) and (N, D), are of unit length; ``queries`` and ``database`` are the tables of the two
    sides, whichever way one searches. Right is the twin, the image of the same row, or else the ``positives``, row
    numbers of the database (CVACT's test: those within 5 ``metres``, which the table tells). Wrong images that are as
    near as the right one come before it, so a network that tells nothing apart finds nothing; ``strict`` puts them
    behind it, as the published tests do, which give such a network a recall of 100 %. Where positions are not known
    (NaN), each query is a place of its own, and nothing is said in metres.
    """
    if positives is None:
        if len(queries) != len(database):
            raise ValueError(f"{len(queries)} queries and {len(database)} database images are no pairs: give positives")
        positives = np.arange(len(queries))[:, None]
    ranks, indices, distances = ranked(*descriptors, positives, strict)
    known = all(np.isfinite(table[POSITION].to_numpy(float)).all() for table in (queries, database))
    if not known:
        queries, database = (table.assign(easting=0.0, northing=0.0) for table in (queries, database))
    table = Within(metres).ranks(queries, database, indices, positives).assign(rank=ranks)
    if not known:
        table = table.assign(place=table["query"])
        table[[*POSITION, "metres", *(f"within_{n}" for n in AT)]] = np.nan
    return table, indices, distances


@torch.inference_mode()
def ranked(
    queries: Descriptors, database: Descriptors, positives: Sequence[np.ndarray], strict: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(Q,) rank of the first of the ``positives`` of each query, 0 where it has none; the (Q, 20) nearest images and
    their distances.

    In float64, on the descriptors' device, a block of queries at a time. ValueError for descriptors that do not go
    together or are not finite.
    """
    queries, database = torch.as_tensor(queries), torch.as_tensor(database)
    _check(queries, database, positives)
    counts = torch.tensor([len(one) for one in positives], device=queries.device)  # (Q,)
    ids = torch.as_tensor(np.concatenate([*positives, []]).astype(np.int64), device=queries.device)  # (M,)
    step, favour = max(1, BLOCK_BYTES // (8 * len(database))), TIED if strict else -TIED
    found = []
    parts = (one.split(step) for one in (queries, counts))
    for some, many in zip(*parts, strict=True):  # (B, D), (B,)
        right, ids = ids.split([int(many.sum()), len(ids) - int(many.sum())])
        rows = torch.arange(len(some), device=some.device).repeat_interleave(many)  # (R,)
        products = _products(some.double(), database)  # (B, N)
        products[rows, right] += favour
        best = products.new_full((len(some),), torch.inf).scatter_reduce(
            0, rows, products[rows, right], "amax", include_self=False
        )  # (B,)
        ranks = (products > best[:, None]).sum(1) + 1  # (B,)
        nearest, indices = products.topk(min(max(AT), len(database)))  # (B, K) each
        found.append((ranks.where(many > 0, 0), indices, (2 - 2 * nearest).clamp_min(0).sqrt()))
    return tuple(torch.cat(some).cpu().numpy() for some in zip(*found, strict=True))


def one_percent(database: int, plus_one: bool = False) -> int:
    """K of "top-1 %" among so many images: a hundredth of them rounded down (SAFA), at least 1, or that ``plus_one``
    (OriCNN).
    """
    return database // 100 + 1 if plus_one else max(1, database // 100)


def one_percent_facts(ranks: pd.DataFrame) -> dict[str, list]:
    """Both K of "top-1 %" in a table of ranks, SAFA's and OriCNN's, and the recall at each in percent."""
    ks = [one_percent(int(ranks["database"].iloc[0]), plus_one) for plus_one in (False, True)]
    recalls = [round(100 * float(ranks["rank"].between(1, k).mean()), 2) for k in ks]
    return {"k_of_top_1_percent": ks, "top_1_percent": recalls}


def _products(queries: Tensor, database: Tensor) -> Tensor:
    """(B, N) float64 products; of the database only some rows at a time are float64."""
    products = queries.new_empty(len(queries), len(database))
    for columns, rows in zip(products.split(ROWS, dim=1), database.split(ROWS), strict=True):
        torch.mm(queries, rows.double().T, out=columns)
    return products


def _check(queries: Tensor, database: Tensor, positives: Sequence[np.ndarray]) -> None:
    shapes = tuple(queries.shape), tuple(database.shape)
    if not queries.ndim == database.ndim == 2 or shapes[0][1] != shapes[1][1] or not len(queries) or not len(database):
        raise ValueError(f"descriptors of shapes {shapes[0]} and {shapes[1]}: expected (Q, D) and (N, D)")
    if len(positives) != len(queries):
        raise ValueError(f"{len(positives)} lists of right images do not go with {len(queries)} queries")
    for name, one in (("queries", queries), ("database", database)):
        if not torch.linalg.vector_norm(one.float(), dim=1).isfinite().all():
            raise ValueError(f"{name}: some descriptors are not finite; the model has diverged")
