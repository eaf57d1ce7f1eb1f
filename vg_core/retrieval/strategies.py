"""Test strategies: how queries of any size are shown to a network, and how several views of one become one ranking.

The six of DVGL (Berton et al., CVPR 2022) and each query at its own size; all join with several scales and with
mirroring. The database is always resized to one size, whatever the strategy of the queries. Views are cut from the
photograph and resized in one step, bilinear with anti-aliasing, as images are everywhere else.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from vg_core.retrieval.descriptors import Strategy, mean_direction, whole
from vg_core.retrieval.ranking import search
from vg_core.retrieval.views import central_crop, five_crops, own_size, single_query
from vg_core.system.registry import ByName

Ranking = tuple[np.ndarray, np.ndarray]  # distances (Q, K), database indices (Q, K)

SCALES = (1.0, 2**-0.5, 2**0.5)  # Radenovic et al., TPAMI 2018
MAJORITY_WEIGHT = 0.01  # DVGL's default
MAJORITY_LEVELS = (1, 5, 10)


# --- one ranking from views: (queries (Q, V, D), database (N, D), k) -> ranking, K = min(k, N) ----------------------
def average(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """Ranking by the mean descriptor of each query's views."""
    return search(mean_direction(queries, axis=1), database, k)


def nearest(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """Ranking by the distance from each database image to the closest of the query's views."""
    distances, indices = _search_views(queries, database, k)
    return _closest(distances, distances, indices, k)


def majority(
    queries: np.ndarray,
    database: np.ndarray,
    k: int,
    weight: float = MAJORITY_WEIGHT,
    levels: Sequence[int] = MAJORITY_LEVELS,
) -> Ranking:
    """Ranking by the least squared distance to a view, less the votes of the views.

    For each n of ``levels``, an image among the first n of c > 1 views gains ``weight`` x c / n in those views.
    The distances that come back are those to the winning view, so they need not grow along a row.
    """
    distances, indices = _search_views(queries, database, max(k, *levels))  # the votes do not depend on k
    votes = np.zeros_like(distances)
    rows = len(database) * np.arange(len(queries))[:, None, None]
    for n in levels:
        first = rows + indices[:, :, :n]  # one number for each pair of query and image
        _, which, counts = np.unique(first, return_inverse=True, return_counts=True)
        views = counts[which.reshape(first.shape)]
        votes[:, :, :n] += np.where(views > 1, weight * views / n, 0.0)
    return _closest(distances**2 - votes, distances, indices, k)


def _search_views(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """(Q, V, K) of both. An image among the first k by its best view is among the first k of that view."""
    distances, indices = search(queries.reshape(-1, queries.shape[-1]), database, k)
    shape = (*queries.shape[:2], -1)
    return distances.reshape(shape), indices.reshape(shape)


def _closest(scores: np.ndarray, distances: np.ndarray, indices: np.ndarray, k: int) -> Ranking:
    """The k images of lowest score, each once, from (Q, V, K) of all three; k at most the images of one view."""
    k = min(k, indices.shape[2])
    scores, distances, indices = (table.reshape(len(table), -1) for table in (scores, distances, indices))
    order = np.argsort(scores, axis=1, kind="stable")
    distances, indices = (np.take_along_axis(table, order, axis=1) for table in (distances, indices))
    by_image = np.argsort(indices, axis=1, kind="stable")
    images = np.take_along_axis(indices, by_image, axis=1)
    again = np.zeros(images.shape, dtype=bool)
    np.put_along_axis(again, by_image[:, 1:], images[:, 1:] == images[:, :-1], axis=1)
    kept = np.argsort(again, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, kept, axis=1), np.take_along_axis(indices, kept, axis=1)


# --- by name ---------------------------------------------------------------------------------------------------------
STRATEGIES: dict[str, Strategy] = ByName(
    "test strategy",
    {
        "hard_resize": Strategy(whole, average),
        "single_query": Strategy(single_query, average),
        "own_size": Strategy(own_size, average),
        "central_crop": Strategy(central_crop, average),
        "five_crops": Strategy(five_crops, average),
        "nearest_crop": Strategy(five_crops, nearest),
        "maj_voting": Strategy(five_crops, majority),
    },
)
ADDITIONS: dict[str, dict] = ByName(
    "addition to a test strategy",
    {
        "multi_scale": {"scales": SCALES, "concatenate": False},
        "multi_scale_concatenated": {"scales": SCALES, "concatenate": True},
        "flip": {"flip": True},
    },
)


def make_strategy(name: str) -> Strategy:
    """The strategy of that name, with any additions behind a "+" each: "nearest_crop+multi_scale+flip".

    KeyError, listing the known names, for an unknown one.
    """
    first, *additions = name.split("+")
    strategy = STRATEGIES[first]
    for addition in additions:
        strategy = replace(strategy, **ADDITIONS[addition])
    return strategy
