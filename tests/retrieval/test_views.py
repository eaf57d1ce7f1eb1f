"""Which part of a photograph the network sees, and at which size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vg_core.retrieval.descriptors import whole
from vg_core.retrieval.strategies import central_crop, five_crops, own_size, single_query

SIDES = st.tuples(st.integers(32, 3000), st.integers(32, 3000))
SIZE = (480, 640)


@pytest.mark.parametrize(
    ("views", "photo", "size"),
    [
        (whole, (1000, 500), SIZE),
        (single_query, (1000, 500), (960, 480)),
        (single_query, (600, 800), SIZE),
        (single_query, (240, 500), (480, 1000)),
        (own_size, (1000, 500), (1000, 500)),
        (own_size, (16, 40), (32, 80)),  # a network needs 32 pixels
    ],
)
def test_whole_photographs_differ_in_size_only(views, photo, size):
    assert views(photo, SIZE) == [((0, 0, photo[1], photo[0]), size)]


@pytest.mark.parametrize(
    ("photo", "box"),
    [
        ((600, 800), (0, 0, 800, 600)),  # the same proportions: everything
        ((1000, 800), (0, 200, 800, 800)),  # too tall: a band across the middle
        ((480, 1000), (180, 0, 820, 480)),  # too wide
        ((120, 200), (20, 0, 180, 120)),  # smaller than the configured size: enlarged
    ],
)
def test_central_crop_is_the_largest_of_its_proportions(photo, box):
    (view,) = central_crop(photo, SIZE)
    assert view[0] == pytest.approx(box) and view[1] == SIZE


@given(SIDES, SIDES)
def test_every_view_lies_in_the_photograph(photo, size):
    for views in (whole, single_query, own_size, central_crop, five_crops):
        for (left, top, right, bottom), seen in views(photo, size):
            assert 0 <= left < right <= photo[1]
            assert 0 <= top < bottom <= photo[0]
            assert min(seen) >= 32


@given(SIDES)
def test_crops_keep_the_proportions(photo):
    for views in (central_crop, five_crops):
        for (left, top, right, bottom), (height, width) in views(photo, SIZE):
            assert (right - left) / (bottom - top) == pytest.approx(width / height)


@pytest.mark.parametrize(
    ("photo", "boxes"),
    [
        ((6, 10), [(0, 0, 6, 6), (4, 0, 10, 6), (0, 0, 6, 6), (4, 0, 10, 6), (2, 0, 8, 6)]),
        ((10, 6), [(0, 0, 6, 6), (0, 0, 6, 6), (0, 4, 6, 10), (0, 4, 6, 10), (0, 2, 6, 8)]),
        ((6, 6), [(0, 0, 6, 6)] * 5),
    ],
)
def test_five_crops_are_the_corners_and_the_centre(photo, boxes):
    views = five_crops(photo, SIZE)
    assert views == [(box, (480, 480)) for box in boxes]
