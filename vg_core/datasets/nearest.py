"""Which images of a database lie within a radius of each query."""

from collections.abc import Sequence
from itertools import chain

import numpy as np
from scipy.spatial import cKDTree

SPOTS_AT_A_TIME = 1024  # whose neighbours are listed together: what the cache of a core holds
ROUNDING_METRES = 1e-6  # names carry centimetres; binary fractions must not push 25.00 m over the line


def neighbours(database: np.ndarray, queries: np.ndarray, radius_m: float) -> list[np.ndarray]:
    """For each row of ``queries`` (Q, 2) the sorted rows of ``database`` (N, 2) within ``radius_m``, inclusive.

    Views that share a position are searched once: panoramas give dozens of images the same coordinates.
    """
    numbers = _as_numbers(database)  # (N,)
    images = np.argsort(numbers, kind="stable")  # (N,) grouped by place
    places, first = np.unique(numbers[images], return_index=True)  # (P,) and the first image of each in that order
    first = np.append(first, len(images))
    spots, spot_of = np.unique(_as_numbers(queries), return_inverse=True)  # (S,) (Q,)
    tree = cKDTree(_as_points(places), leafsize=64, balanced_tree=False, compact_nodes=False)  # built in half the time
    near = tree.query_ball_point(_as_points(spots), radius_m + ROUNDING_METRES)  # S lists of places
    blocks = (near[start : start + SPOTS_AT_A_TIME] for start in range(0, len(near), SPOTS_AT_A_TIME))
    found = [part for block in blocks for part in _images_at(block, images, first)]
    return [found[spot] for spot in spot_of]


def _images_at(places: Sequence[list[int]], images: np.ndarray, first: np.ndarray) -> list[np.ndarray]:
    """For each list of places the sorted images there; those of place p are images[first[p] : first[p + 1]]."""
    flat = np.fromiter(chain.from_iterable(places), dtype=np.int64)  # (F,)
    sizes = first[flat + 1] - first[flat]  # (F,)
    ends = np.append(0, sizes.cumsum())  # (F + 1,)
    found = images[np.arange(ends[-1]) + np.repeat(first[flat] - ends[:-1], sizes)]
    parts = np.split(found, ends[np.cumsum([len(one) for one in places[:-1]], dtype=int)])
    for part in parts:
        part.sort()
    return parts


def _as_numbers(positions: np.ndarray) -> np.ndarray:
    """(N,) complex numbers of positions (N, 2): they sort and compare ten times faster than rows do."""
    return np.ascontiguousarray(positions, dtype=float).view(complex)[:, 0]


def _as_points(numbers: np.ndarray) -> np.ndarray:
    return numbers.view(float).reshape(-1, 2)
