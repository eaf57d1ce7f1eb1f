"""Classes of photographs: cells of the map, directions of view, and the groups in which classes lie apart."""

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vg_core.datasets.cells import CELL, classes_and_groups, geo_classes


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


# --- classes and groups of CosPlace -------------------------------------------------------------------------------
def photographs(seed, count=300, metres=120):
    """Random ones: easting and northing below and above 0, headings at every border, some unknown."""
    rng = np.random.default_rng(seed)
    headings = np.append(np.arange(0, 361, 15), np.nan)
    heading = np.where(rng.random(count) < 0.5, rng.choice(headings, count), rng.uniform(0, 360, count))
    return *rng.uniform(-metres / 2, metres / 2, (2, count)).round(1), heading


def one_by_one(photographs, M, alpha, N, L, min_images, order):
    """(class of each photograph, (corner, group) of each class) by dictionaries, a photograph at a time."""
    members = {}
    for number, (east, north, heading) in enumerate(zip(*photographs, strict=True)):
        if alpha == 360:
            heading = 0.0
        if not np.isnan(heading):
            corner = (east // M * M, north // M * M, heading % 360 // alpha * alpha)
            members.setdefault(corner, []).append(number)
    members = {corner: numbers for corner, numbers in members.items() if len(numbers) >= min_images}
    groups = {
        (e, n, h): (int(e % (M * N) // M), int(n % (M * N) // M), int(h % (alpha * L) // alpha)) for e, n, h in members
    }
    met = list(dict.fromkeys(groups[corner] for corner in sorted(members, key=lambda one: members[one][0])))
    place = {group: met.index(group) if order == "legacy" else group for group in met}
    classes = sorted(members, key=lambda corner: (place[groups[corner]], corner))
    of_images = [-1] * len(photographs[0])
    for label, corner in enumerate(classes):
        for number in members[corner]:
            of_images[number] = label
    return of_images, [(corner, groups[corner]) for corner in classes]


SETTINGS = [(30, 2), (30, 1), (30, 3), (45, 4), (90, 2), (120, 3), (180, 2), (360, 1), (360, 2)]  # alpha, L


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([5.0, 10.0, 12.5]),
    st.sampled_from(SETTINGS),
    st.integers(1, 5),
    st.integers(1, 4),
    st.sampled_from(["sorted", "legacy"]),
)
def test_they_are_those_found_one_by_one(seed, M, directions, N, min_images, order):
    given, options = photographs(seed), (M, directions[0], N, directions[1], min_images, order)
    found, (of_images, classes) = classes_and_groups(*given, *options), one_by_one(given, *options)
    assert found.of_images.tolist() == of_images
    assert [(tuple(c), tuple(g)) for c, g in zip(found.corners, found.groups, strict=True)] == classes


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([5.0, 10.0, 25.0]), st.sampled_from(SETTINGS), st.integers(1, 6))
def test_two_classes_of_a_group_lie_apart(seed, M, directions, N):
    """In each coordinate they are the same, or at least so far apart: corners, hence what lies between borders too."""
    (alpha, L), given = directions, photographs(seed)
    _, corners, groups = classes_and_groups(*given, M, alpha, N, L, 1)
    assert len(np.unique(groups, axis=0)) <= N * N * L
    for group in np.unique(groups, axis=0):
        own = corners[(groups == group).all(axis=1)]
        for one, other in combinations(own[:40], 2):
            metres, turn = abs(one - other)[:2], abs(one - other)[2]
            assert all(gap == 0 or gap - M >= M * (N - 1) for gap in metres)
            assert turn == 0 or min(turn, 360 - turn) - alpha >= alpha * (L - 1)
            assert (one != other).any()


def test_the_published_example_and_north():
    place = np.array([545_981.19]), np.array([4_184_971.70])
    found = classes_and_groups(*(np.repeat(axis, 3) for axis in place), np.array([174.0, 0, 360]), 10.0, 30, 5, 2, 1)
    assert found.of_images.tolist() == [1, 0, 0]
    assert found.corners.tolist() == [[545_980, 4_184_970, 0], [545_980, 4_184_970, 150]]
    assert found.groups.tolist() == [[3, 2, 0], [3, 2, 1]]


def test_without_headings_there_are_cells_alone():
    unknown = np.full(4, np.nan)
    easting, northing = np.array([1.0, 2, 11, 12]), np.zeros(4)
    assert classes_and_groups(easting, northing, unknown, 10.0, 30, 2, 2, 1).of_images.tolist() == [-1] * 4
    found = classes_and_groups(easting, northing, unknown, 10.0, 360, 2, 2, 2)
    assert found.of_images.tolist() == [0, 0, 1, 1] and found.groups.tolist() == [[0, 0, 0], [1, 0, 0]]
    assert all(len(part) == 0 for part in classes_and_groups(*[np.array([])] * 3, 10.0, 30, 5, 2, 1))


def test_smaller_classes_are_left_out_before_groups_are_met():
    easting, northing, heading = np.array([15.0, 5, 5, 15, 15, 25]), np.zeros(6), np.zeros(6)
    options = (10.0, 30, 2, 1)
    few = classes_and_groups(easting, northing, heading, *options, 2)
    assert few.of_images.tolist() == [1, 0, 0, 1, 1, -1]
    first_met = classes_and_groups(easting, northing, heading, *options, 2, "legacy")
    assert first_met.of_images.tolist() == [0, 1, 1, 0, 0, -1] and first_met.groups[:, 0].tolist() == [1, 0]
    only = classes_and_groups(easting, northing, heading, *options, 3, "legacy")
    assert only.of_images.tolist() == [0, -1, -1, 0, 0, -1]
