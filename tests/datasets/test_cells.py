"""Classes of places: the cells of the map."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vg_core.datasets.cells import CELL, geo_classes


def test_classes_are_the_occupied_cells_from_west_to_east():
    easting = [100.0, 124.99, 125.0, 100.0, 1000.0, 99.99]
    northing = [50.0, 74.99, 50.0, 75.0, 50.0, 50.0]
    assert geo_classes(easting, northing).tolist() == [1, 1, 3, 2, 4, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_photographs_of_one_class_share_a_cell(seed):
    positions = np.random.default_rng(seed).uniform(580_000, 580_200, (40, 2))
    labels = geo_classes(*positions.T)
    assert set(labels) == set(range(labels.max() + 1))
    cells = np.floor(positions / CELL)
    np.testing.assert_array_equal((cells[:, None] == cells).all(axis=-1), labels[:, None] == labels)
