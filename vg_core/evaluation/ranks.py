"""Recall@N, mean average precision and metres, from ranked database images and what each query should find."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

CELL_METRES = 25.0  # side of the square cell that is one place; `units` joins those that are not independent
AT = (1, 5, 10, 20)
AXES = ["easting", "northing"]
APART, FARTHEST = 2e7, 1.5e7  # metres between planes of a set, and more than there are within one


@dataclass(frozen=True)
class Within:
    """The protocol of geo-localization: right is what was taken within so many metres of the query.

    Any other protocol has the same three methods, and a set answers it by ``positives(protocol)``.
    """

    metres: float = 25.0
    retrieved: int = max(AT)  # images per query
    search: Literal["joint", "own_zone"] = "joint"  # in what: a set's whole database, or that of the query's UTM zone

    def how_many(self, database: int) -> int:
        """Images to retrieve per query from a database of so many."""
        return min(self.retrieved, database)

    def parts(self, queries: pd.DataFrame, database: pd.DataFrame) -> list[tuple[np.ndarray, np.ndarray]]:
        """(queries, database images) that are searched together, as sorted numbers of rows.

        ValueError when queries are alone in their zone.
        """
        if self.search == "joint" or "plane" not in database:
            return [(np.arange(len(queries)), np.arange(len(database)))]
        planes = queries["plane"].unique()
        if len(alone := np.setdiff1d(planes, database["plane"])):
            count = queries["plane"].isin(alone).sum()
            raise ValueError(f"{count} queries lie in a UTM zone without database images: use test_search=joint")
        return [tuple(np.flatnonzero(table["plane"] == plane) for table in (queries, database)) for plane in planes]

    def ranks(
        self, queries: pd.DataFrame, database: pd.DataFrame, indices: np.ndarray, positives: Sequence[np.ndarray]
    ) -> pd.DataFrame:
        """One row per query: where it is, how many positives it has, at which rank the first one came, and metres.

        ``queries`` and ``database`` have columns path, easting, northing (metres) and heading, and plane where they
        lie in UTM zones apart, from one of which into another it is infinitely far;
        ``indices`` (Q, K) are the retrieved images, nearest first, of which 20 count. ``within_N`` is the distance in
        metres to the closest of the first N (of all K when the database is smaller), so recall@N at any threshold t is
        the mean of ``within_N <= t``; ``place`` is the 25 m cell of the query, ``database`` the number of its images.
        Raises ValueError when nothing can be ranked.
        """
        indices = np.asarray(indices)[:, : max(AT)]
        if not indices.size or (indices[:, 0] < 0).any():
            raise ValueError(f"nothing to rank: {len(queries)} queries, {len(database)} database images")
        metres = metres_to(queries, database, indices)  # (Q, K)
        closest = np.minimum.accumulate(metres, axis=1)  # (Q, K)
        table = {"query": _names(queries["path"])} | {axis: queries[axis].to_numpy(float) for axis in AXES}
        table |= {"heading": queries["heading"].to_numpy(float), "place": cells(positions(queries))}
        table |= {"positives": [len(found) for found in positives], "rank": first_hits(indices, positives)}
        table |= {"metres": metres[:, 0]} | {f"within_{n}": closest[:, min(n, closest.shape[1]) - 1] for n in AT}
        table |= {"top_1": _names(database["path"].iloc[indices[:, 0]])}
        return pd.DataFrame(table | {"threshold": float(self.metres), "database": len(database)})


def recall(indices: np.ndarray, positives: Sequence[np.ndarray], at: Sequence[int] = AT) -> dict[int, float]:
    """{N: % of the queries with a positive among their first N images}; queries without positives count as misses.

    ``indices`` (Q, K): database images, nearest first; -1 is no image, as Faiss fills up when the database has fewer
    than K. ``positives``: indices of the right images of each query. Raises ValueError when there are no queries or
    fewer than max(at) columns. Protocol: Arandjelovic et al., NetVLAD, CVPR 2016.
    """
    if not len(indices):
        raise ValueError("recall of no queries is undefined: the query set is empty")
    if max(at) > np.shape(indices)[1]:
        raise ValueError(
            f"recall@{max(at)} needs {max(at)} retrieved images for each query, there are {np.shape(indices)[1]}: "
            "retrieve more, or use a database of at least as many images"
        )
    first = first_hits(np.asarray(indices)[:, : max(at)], positives)  # (Q,)
    return {n: 100.0 * float(((first > 0) & (first <= n)).mean()) for n in at}


def first_hits(indices: np.ndarray, positives: Sequence[np.ndarray]) -> np.ndarray:
    """(Q,) 1-based rank of the first right image among the (Q, K) retrieved ones, 0 where there is none."""
    right = _members(indices, positives)  # (Q, K)
    return np.where(right.any(axis=1), right.argmax(axis=1) + 1, 0)


def average_precisions(
    indices: np.ndarray, positives: Sequence[np.ndarray], junk: Sequence[np.ndarray] | None = None
) -> np.ndarray:
    """(Q,) average precision in 0…1 of the (Q, K) retrieved images; its mean over queries is the mAP.

    ``junk`` images of a query count neither as right nor as wrong: they are taken out of its ranking first. Positives
    that are not retrieved count as never found, so K should be the whole database. Precision is averaged over both ends
    of every step of recall (trapezoids): Philbin et al., CVPR 2007.
    """
    counts = np.array([len(p) for p in positives])  # (Q,)
    if not counts.all():
        raise ValueError(f"query {counts.argmin()} has no positives, so no average precision: leave it out")
    hits = _members(indices, positives)  # (Q, K)
    counted = np.asarray(indices) >= 0  # (Q, K)
    if junk is not None:
        counted &= ~_members(indices, junk)
    hits &= counted
    queries, columns = np.nonzero(hits)  # (M,) each: the hits
    ranks = (counted.cumsum(axis=1) - 1)[queries, columns]  # from 0
    found = (hits.cumsum(axis=1) - 1)[queries, columns]  # positives of the query before this one
    before = np.divide(found, ranks, out=np.ones(len(ranks)), where=ranks > 0)  # precision above the step
    return np.bincount(queries, (before + (found + 1) / (ranks + 1)) / 2, len(hits)) / counts


def panorama_nms(indices: np.ndarray, panorama_ids: np.ndarray, k: int) -> np.ndarray:
    """(Q, k) retrieved images, only the first of each panorama; -1 where panoramas run out.

    ``panorama_ids`` (N,) names each database image's panorama. Retrieve 12 k images for Tokyo 24/7 (12 views each).
    """
    indices = np.asarray(indices)
    panoramas = np.unique(np.asarray(panorama_ids), return_inverse=True)[1][indices]  # (Q, K)
    panoramas[indices < 0] = -1
    order = np.argsort(panoramas, axis=1, kind="stable")  # (Q, K)
    grouped = np.take_along_axis(panoramas, order, axis=1)  # (Q, K)
    opens = np.ones_like(grouped, dtype=bool)  # the best ranked image of its panorama
    opens[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    first = np.zeros_like(opens)
    np.put_along_axis(first, order, opens & (grouped >= 0), axis=1)
    best = np.full((len(indices), k), -1)  # (Q, k)
    queries, columns = np.nonzero(first & (first.cumsum(axis=1) <= k))
    best[queries, (first.cumsum(axis=1) - 1)[queries, columns]] = indices[queries, columns]
    return best


def positions(table: pd.DataFrame) -> np.ndarray:
    """Positions (N, 2) in metres, for distances: those of UTM zones that lie apart, column plane, never come near."""
    found = table[AXES].to_numpy(float)
    return found + np.outer(table["plane"], (APART, 0)) if "plane" in table else found


def metres_to(queries: pd.DataFrame, database: pd.DataFrame, indices: np.ndarray) -> np.ndarray:
    """Metres (Q, K) from each query to retrieved images; infinite to those of a UTM zone apart, and to none (-1)."""
    metres = np.linalg.norm(positions(database)[indices] - positions(queries)[:, None], axis=2)
    # rounded, 25.00 m stay within 25 m, as for the positives
    return np.where((indices < 0) | (metres > FARTHEST), np.inf, metres.round(6))


def cells(positions: np.ndarray) -> list[str]:
    """Names of the 25 m cells that positions (Q, 2) in metres lie in, as `units` reads them."""
    return [f"e{east}_n{north}" for east, north in np.floor(positions / CELL_METRES).astype(int)]


def _names(paths: Sequence[str]) -> list[str]:
    """Base names; bytes that are no UTF-8 are written out, since tables do not hold them."""
    return [os.path.basename(path).encode(errors="backslashreplace").decode() for path in paths]


def _members(indices: np.ndarray, sets: Sequence[np.ndarray]) -> np.ndarray:
    """bool (Q, K): is each retrieved image in the set of its query? One binary search in all sets laid end to end."""
    indices = np.asarray(indices)
    if indices.ndim != 2 or len(indices) != len(sets):
        raise ValueError(f"indices of shape {indices.shape} do not go with {len(sets)} queries: expected (Q, K)")
    flat = np.concatenate([[-1], *sets], dtype=np.int64, casting="unsafe")  # never empty
    first_key = np.arange(len(sets)) * (int(max(flat.max(), indices.max(initial=0))) + 1)  # one set after the other
    flat[1:] += np.repeat(first_key, np.array([len(found) for found in sets], dtype=int))
    flat.sort()
    wanted = first_key[:, None] + indices  # (Q, K)
    return (flat[np.searchsorted(flat, wanted).clip(max=len(flat) - 1)] == wanted) & (indices >= 0)
