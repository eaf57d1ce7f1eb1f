"""Classes of photographs by where they were taken: cells of the map, and directions of view in them."""

from typing import Literal, NamedTuple

import numpy as np

CELL = 25.0  # metres along a side (SARE appendix B, after Vo et al.)
Order = Literal["sorted", "legacy"]


class Classes(NamedTuple):
    """Which class each photograph belongs to, where classes lie, and which groups they make.

    Classes are numbered group by group, those of a group from west to east, south to north, and clockwise.
    """

    of_images: np.ndarray  # int64 (N,), -1 is no class
    corners: np.ndarray  # (C, 3): least easting and northing (metres), least heading (degrees)
    groups: np.ndarray  # int64 (C, 3): place of its group along easting, northing and heading

    @property
    def starts(self) -> np.ndarray:
        """The first class of each group, int64 (G,)."""
        changes = (self.groups[1:] != self.groups[:-1]).any(axis=1)  # (C - 1,)
        return np.append(0, 1 + np.flatnonzero(changes))[: len(self.groups)]

    @property
    def sizes(self) -> np.ndarray:
        """How many classes each group has, int64 (G,)."""
        return np.diff(self.starts, append=len(self.groups))


def geo_classes(easting: np.ndarray, northing: np.ndarray) -> np.ndarray:
    """Class of each photograph, int64 (N,): the square cell that it lies in, counted among those that hold one.

    Cells have corners at whole multiples of ``CELL``; a photograph on a border belongs to the cell east or north of it.
    Classes are numbered from west to east, within a column from south to north.
    """
    return classes_and_groups(easting, northing, easting, CELL, 360, 1, 1, 1).of_images


def classes_and_groups(
    easting: np.ndarray,
    northing: np.ndarray,
    heading: np.ndarray,
    M: float,
    alpha: int,
    N: int,
    L: int,
    min_images: int,
    order: Order = "sorted",
) -> Classes:
    """Classes of photographs (N,), and their groups (CosPlace, Berton et al., CVPR 2022, section 3.2).

    A class are at least ``min_images`` photographs in a square cell of ``M`` metres whose headings lie in the same
    ``alpha`` degrees; 360° is 0°. A heading that is NaN is unknown and makes no class, unless alpha is 360: then cells
    alone are classes. A group is every ``N``-th cell along both axes with every ``L``-th direction: two of its classes
    are in the same column, or at least M (N - 1) metres apart along easting, and so on; alpha x L must divide 360 for
    it. Groups come in the order of their places, or ("legacy", as CosPlace's code has it) in that of their classes'
    first photographs.
    """
    known, places = _places(easting, northing, heading, M, alpha)  # (K,), (3, K)
    low = places.min(axis=1, keepdims=True, initial=0)  # (3, 1)
    shape = (places - low).max(axis=1, initial=0) + 1  # (3,)
    keys = np.ravel_multi_index(places - low, shape)  # (K,), in the order of classes
    keys, own, counts = np.unique(keys, return_inverse=True, return_counts=True)  # (U,), (K,), (U,)
    kept = np.flatnonzero(counts >= min_images)  # (C,)
    places = np.stack(np.unravel_index(keys[kept], shape)) + low  # (3, C)
    groups = places % [[N], [N], [L]]  # (3, C)
    numbers = np.ravel_multi_index(groups, (N, N, L))  # (C,)
    if order == "legacy":
        numbers = _first_of(numbers, own, kept)
    ranks = np.lexsort((keys[kept], numbers))  # (C,)
    class_of = np.full(len(keys), -1)
    class_of[kept[ranks]] = np.arange(len(kept))
    of_images = np.full(len(easting), -1)
    of_images[known] = class_of[own]
    return Classes(of_images, places.T[ranks] * [M, M, alpha], groups.T[ranks])


def _places(easting: np.ndarray, northing: np.ndarray, heading: np.ndarray, M: float, alpha: int):
    """(K,) the photographs that may have a class, and (3, K) the cell and the direction of each, as whole numbers."""
    everything, directions = np.arange(len(easting)), 360 // alpha
    known = everything if directions == 1 else np.flatnonzero(~np.isnan(heading))  # (K,)
    cells = [np.floor(np.asarray(axis)[known] / M) for axis in (easting, northing)]  # (K,) each
    turned = np.floor(heading[known] / alpha) % directions if directions > 1 else np.zeros(len(known))  # (K,)
    return known, np.stack([*cells, turned]).astype(np.int64)


def _first_of(groups: np.ndarray, own: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """For each class (C,) that was kept, of some group, the first photograph of that group; ``own`` are their classes,
    with those that were not kept.
    """
    first = np.empty(own.max(initial=-1) + 1, dtype=np.int64)
    first[own[::-1]] = np.arange(len(own))[::-1]  # the last value for an index is the one that stays
    _, group = np.unique(groups, return_inverse=True)
    least = np.full(len(groups), len(own))
    np.minimum.at(least, group, first[kept])
    return least[group]
