"""Test strategies: which views of a query a network sees, and how several views of one become one ranking.

The six of DVGL (Berton et al., CVPR 2022) and each query at its own size; all join with several scales and with
mirroring. Views are cut and resized in one step. The database is always resized to one size.
"""

from dataclasses import replace

import numpy as np

from vg_core.config import ANY_HEADING
from vg_core.retrieval.descriptors import Box, Size, Strategy, View, mean_direction, scaled, whole
from vg_core.retrieval.exact_search import Ranking
from vg_core.retrieval.ranking import search
from vg_core.system.errors import ByName

SMALLEST_SIDE = 32  # pixels; below it VGG-16 has no location left
RESTYLED = "fda"  # how queries are read then, or panoramas of ANY_HEADING, who tests says (`augmentation.restyle`)
SCALES = (1.0, 2**-0.5, 2**0.5)  # Radenovic et al., TPAMI 2018


# --- (photograph's size, configured size) -> views ------------------------------------------------------------------
def single_query(photo: Size, size: Size) -> list[View]:
    """The whole photograph in its own proportions, its shorter side as long as that of ``size``."""
    return whole(photo, scaled(photo, min(size) / min(photo)))


def own_size(photo: Size, size: Size) -> list[View]:
    """The whole photograph as it is; enlarged, if need be, to a shorter side of ``SMALLEST_SIDE`` pixels."""
    return whole(photo, scaled(photo, max(1.0, SMALLEST_SIDE / min(photo))))


def central_crop(photo: Size, size: Size) -> list[View]:
    """The largest central part that has the proportions of ``size``, at that size."""
    scale = max(size[0] / photo[0], size[1] / photo[1])
    part = min(size[0] / scale, photo[0]), min(size[1] / scale, photo[1])  # rounding must not pass the border
    return [(_rectangle(photo, part), size)]


def five_crops(photo: Size, size: Size) -> list[View]:
    """Four corners and the centre, squares as large as the photograph allows, at the shorter side of ``size``.

    Such squares fill the shorter side: two pairs of corners are the same, and all five are in a square photograph.
    """
    places = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5)]  # share of the free room: down, across
    side, seen = (min(photo), min(photo)), (min(size), min(size))
    return [(_rectangle(photo, side, *place), seen) for place in places]


def _rectangle(photo: Size, part: tuple[float, float], down: float = 0.5, across: float = 0.5) -> Box:
    top, left = down * (photo[0] - part[0]), across * (photo[1] - part[1])
    return left, top, left + part[1], top + part[0]


# --- one ranking from views: (queries (Q, V, D), database (N, D), k) -> ranking, K = min(k, N) ----------------------
def average(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """Ranking by the mean descriptor of each query's views."""
    return search(mean_direction(queries, axis=1), database, k)  # of (Q, D)


def nearest(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """Ranking by the distance from each database image to the closest of the query's views."""
    distances, indices = _search_views(queries, database, k)  # (Q, V, K) each
    return _closest(distances, distances, indices, k)


def majority(queries: np.ndarray, database: np.ndarray, k: int, weight: float = 0.01, levels=(1, 5, 10)) -> Ranking:
    """Ranking by the least squared distance to a view, less the votes of the views; as DVGL by default.

    For each n of ``levels``, an image among the first n of c > 1 views gains ``weight`` x c / n in those views.
    The distances that come back are those to the winning view, so they need not grow along a row.
    """
    distances, indices = _search_views(queries, database, max(k, *levels))  # the votes do not depend on k
    votes = np.zeros_like(distances)  # (Q, V, K)
    rows = len(database) * np.arange(len(queries))[:, None, None]  # (Q, 1, 1)
    for n in levels:
        first = rows + indices[:, :, :n]  # one number for each pair of query and image
        _, which, counts = np.unique(first, return_inverse=True, return_counts=True)
        views = counts[which.reshape(first.shape)]  # (Q, V, n): how many views agree
        votes[:, :, :n] += np.where(views > 1, weight * views / n, 0.0)
    return _closest(distances**2 - votes, distances, indices, k)


def _search_views(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """(distances, indices), (Q, V, K) each: who is among the first k by its best view is so within that view."""
    distances, indices = search(queries.reshape(-1, queries.shape[-1]), database, k)  # (Q · V, K)
    shape = (*queries.shape[:2], -1)
    return distances.reshape(shape), indices.reshape(shape)


def _closest(scores: np.ndarray, distances: np.ndarray, indices: np.ndarray, k: int) -> Ranking:
    """The k images of lowest score, each once, from (Q, V, K) of all three; k at most the images of one view."""
    k = min(k, indices.shape[2])
    scores, distances, indices = (table.reshape(len(table), -1) for table in (scores, distances, indices))
    order = np.argsort(scores, axis=1, kind="stable")  # (Q, V · K)
    distances, indices = (np.take_along_axis(table, order, axis=1) for table in (distances, indices))
    by_image = np.argsort(indices, axis=1, kind="stable")  # (Q, V · K)
    images = np.take_along_axis(indices, by_image, axis=1)  # (Q, V · K), repeats side by side
    again = np.zeros(images.shape, dtype=bool)  # (Q, V · K): a better view had the image
    np.put_along_axis(again, by_image[:, 1:], images[:, 1:] == images[:, :-1], axis=1)
    first = np.argsort(again, axis=1, kind="stable")[:, :k]  # (Q, k)
    return np.take_along_axis(distances, first, axis=1), np.take_along_axis(indices, first, axis=1)


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
MULTI_SCALE = {"scales": SCALES, "concatenate": False}
JOINED_SCALES = {"scales": SCALES, "concatenate": True}
ADDITIONS: dict[str, dict] = ByName(
    "addition to a test strategy",
    {"multi_scale": MULTI_SCALE, "multi_scale_concatenated": JOINED_SCALES, "flip": {"flip": True}}
    | {RESTYLED: {}, ANY_HEADING: {}},
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
