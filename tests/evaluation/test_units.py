"""Blocks of queries that count as one: they grow with what streets share, and stay within a plane."""

import numpy as np
import pandas as pd
import pytest

from vg_core.evaluation.ranks import cells, positions
from vg_core.evaluation.units import TRUSTED, effective_number, independent

STREET = pd.DataFrame({"easting": np.arange(400) * 25.0, "northing": 0.0})


@pytest.fixture
def street():
    """Names of 400 places, one query in each, 25 m apart along a street."""
    return np.array(cells(positions(STREET)))


def stretches(length: int) -> np.ndarray:
    """Hits (400, 1) that are the same in stretches of so many places."""
    return (np.random.default_rng(0).random(400 // length).repeat(length) < 0.5).astype(float)[:, None]


@pytest.mark.parametrize(("length", "metres"), [(1, 25), (2, 50), (4, 100), (8, 200)])
def test_blocks_grow_to_what_succeeds_together(street, length, metres):
    codes, unit = independent(stretches(length), street)
    assert unit == f"blocks of {metres} m" and effective_number(codes) == 400 / length
    assert (np.diff(codes.reshape(-1, length), axis=1) == 0).all()


def test_the_order_of_queries_does_not_matter(street):
    hits, order = stretches(4), np.random.default_rng(1).permutation(400)
    codes, unit = independent(hits[order], street[order])
    assert unit == independent(hits, street)[1] and (codes == independent(hits, street)[0][order]).all()


def test_blocks_stay_within_their_plane():
    """Two UTM zones whose coordinates are the same: nothing says that their places are near each other."""
    zones = pd.concat([STREET.assign(plane=plane) for plane in (0, 1)])
    both, hits = cells(positions(zones)), np.tile(stretches(4), (2, 1))
    codes, unit = independent(hits, both)
    assert unit == "blocks of 100 m" and not set(codes[:400]) & set(codes[400:])
    apart, _ = independent(np.concatenate([stretches(4), 1 - stretches(4)]), both)
    assert effective_number(apart) == 200


def test_a_street_of_two_halves_is_too_few_blocks(street):
    codes, _ = independent(np.arange(400)[:, None] < 200, street)
    assert effective_number(codes) < TRUSTED
    codes, unit = independent(np.ones((400, 1)), street)
    assert effective_number(codes) == 400 and unit == "blocks of 25 m"


@pytest.mark.parametrize(
    ("places", "unit", "units"),
    [
        (["oxford_1", "oxford_2", "oxford_1"], "places", 1.8),
        (["q1", "q2", "q3"], "queries", 3),
        ([1, 1, 1], "places", 1),
    ],
)
def test_places_that_are_no_cells_stay_as_they_are(places, unit, units):
    codes, named = independent(np.array([[1.0], [0.0], [1.0]]), places)
    assert named == unit and effective_number(codes) == pytest.approx(units)
