"""Cells of the map: the classes that places make when each square of it is one (SARE appendix B, after Vo et al.)."""

import numpy as np

CELL = 25.0  # metres along a side


def geo_classes(easting: np.ndarray, northing: np.ndarray) -> np.ndarray:
    """Class of each photograph, int64 (N,): the square cell that it lies in, counted among those that hold one.

    Cells have corners at whole multiples of ``CELL``; a photograph on a border belongs to the cell east or north of it.
    Classes are numbered from west to east, within a column from south to north.
    """
    cells = np.floor(np.stack([easting, northing], axis=1) / CELL).astype(np.int64)  # (N, 2)
    return np.unique(cells, axis=0, return_inverse=True)[1]
