"""Geometric matches: found where two photographs show one wall, where they lie, and not for walls that look alike."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.facades import facade, view
from vg_core.retrieval.geometry import features, geometric_matches


@pytest.fixture
def wall(tmp_path):
    """Two photographs of one wall."""
    return view(facade(1), tmp_path / "a.jpg"), view(facade(1), tmp_path / "b.jpg", shift=30, noise=1)


def matches(one, other, **options):
    return geometric_matches(features(one, **options), features(other))


def test_matches_lie_where_the_same_point_of_the_wall_is(wall):
    found = matches(*wall)
    assert len(found) > 40
    there = found[:, :2] * (300, 220) + 20  # (M, 2) pixels of the wall
    np.testing.assert_allclose(found[:, 2:], (there - (50, 35)) / (285, 205), atol=0.02)


def test_the_same_photographs_give_the_same_matches(wall):
    assert np.array_equal(matches(*wall), matches(*wall))


def test_another_wall_hardly_matches(wall, tmp_path):
    assert len(matches(wall[0], view(facade(2), tmp_path / "c.jpg"))) < 8


def test_a_mirror_image_is_the_mirrored_photograph_and_matches_no_more(wall, tmp_path):
    turned = tmp_path / "turned.png"
    ImageOps.mirror(Image.open(wall[0])).save(turned)
    np.testing.assert_array_equal(features(wall[0], mirrored=True).points, features(turned).points)
    assert len(matches(wall[0], wall[1], mirrored=True)) < 8


@pytest.mark.parametrize("shade", [0, 128])
def test_a_photograph_without_points_matches_nothing(wall, tmp_path, shade):
    blank = tmp_path / "blank.png"
    Image.new("L", (64, 48), shade).save(blank)
    assert matches(blank, wall[0]).shape == matches(wall[0], blank).shape == matches(blank, blank).shape == (0, 4)
