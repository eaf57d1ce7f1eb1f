"""t-SNE keeps neighbours and repeats itself; photographs on a map never hide each other."""

import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib import style
from matplotlib.colors import to_hex

from vg_core.figures.embedding import GAP, SIDE, embed, thumbnail_map
from vg_core.figures.house_style import FULL, ink

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def groups():
    """(30, 16) unit vectors around three directions."""
    table = np.repeat(np.eye(3, 16), 10, axis=0) + 0.1 * np.random.default_rng(0).normal(size=(30, 16))
    return (table / np.linalg.norm(table, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        size = (48, 32) if number % 3 else (32, 48)  # every third stands upright
        plt.imsave(folder / f"{number}.png", RNG.random((*size[::-1], 3)))
    return [folder / f"{number}.png" for number in range(12)]


# --- t-SNE ---------------------------------------------------------------------------------------------------------


def test_neighbours_stay_neighbours(groups):
    positions = embed(groups)
    assert positions.shape == (30, 2) and positions.dtype == np.float32
    distances = np.linalg.norm(positions[:, None] - positions, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (distances.argmin(axis=1) // 10 == np.arange(30) // 10).all()


def test_one_seed_one_result_whatever_the_length_of_descriptors(groups):
    first = embed(groups, seed=3)
    np.testing.assert_array_equal(embed(groups, seed=3), first)
    np.testing.assert_array_equal(embed(groups * np.float32(2) ** np.arange(30)[:, None] / 2**15, seed=3), first)


def test_the_first_axis_is_the_widest(groups):
    covariance = np.cov(embed(groups).T)
    assert covariance[0, 0] > covariance[1, 1] and abs(covariance[0, 1]) < 1e-3 * covariance[1, 1]


@pytest.mark.parametrize("count", [4, 5, 7])
def test_few_descriptors_are_enough(count):
    positions = embed(RNG.normal(size=(count, 8)))
    assert np.isfinite(positions).all() and len(np.unique(positions, axis=0)) == count


@pytest.mark.parametrize(
    ("descriptors", "message"),
    [
        (np.eye(3), r"shape \(3, 3\) cannot be laid out: t-SNE takes \(N, D\), N at least 4"),
        (np.ones(9), r"shape \(9,\)"),
        (np.full((5, 3), np.nan), "not finite; the model has diverged"),
        (np.ones((5, 3)), "all 5 descriptors are alike: the model has collapsed"),
        (1 + 1e-8 * RNG.normal(size=(5, 3)), "alike"),
        (np.zeros((5, 3)), "alike"),
    ],
)
def test_descriptors_that_cannot_be_laid_out_are_refused(descriptors, message):
    with pytest.raises(ValueError, match=message):
        embed(descriptors)


# --- map -----------------------------------------------------------------------------------------------------------


def boxes(figure):
    """(left, right, bottom, top) of the photographs shown, in inches."""
    return np.array([image.get_extent() for image in figure.axes[0].get_images()]).reshape(-1, 4)


def dots(figure):
    return sum(len(line.get_xdata()) for line in figure.axes[0].lines)


positions_of_twelve = arrays(np.float64, (12, 2), elements=st.floats(-3, 3, width=16))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(positions_of_twelve)
def test_no_photograph_hides_another_and_none_is_lost(photos, positions):
    figure = thumbnail_map(photos, positions)
    shown = boxes(figure)
    assert len(shown) >= 1 and len(shown) + dots(figure) == 12
    for i, (left, right, bottom, top) in enumerate(shown):
        assert max(right - left, top - bottom) == pytest.approx(SIDE)
        for other in shown[:i]:
            apart = max(left - other[1], other[0] - right, bottom - other[3], other[2] - top)
            assert apart > GAP - 1e-6
    height = figure.axes[0].get_ylim()[1]
    assert shown[:, [0, 2]].min() > -1e-6 and shown[:, 1].max() < FULL + 1e-6 and shown[:, 3].max() < height + 1e-6
    assert figure.axes[0].get_title(loc="right").startswith(f"{len(shown)} of 12 photographs")


def test_photographs_stand_at_their_positions(photos):
    positions = np.array([[0.0, 0], [4, 0], [0, 3], [4, 3], [2, 1.5]])
    figure = thumbnail_map(photos[:5], positions)
    centres = np.column_stack([boxes(figure)[:, :2].mean(axis=1), boxes(figure)[:, 2:].mean(axis=1)])
    scale = (FULL - SIDE) / 4
    np.testing.assert_allclose(centres, SIDE / 2 + scale * positions, atol=1e-6)  # one scale for both axes
    assert dots(figure) == 0 and not figure.axes[0].texts


def test_earlier_photographs_go_first_and_broken_ones_take_no_room(photos, tmp_path):
    figure = thumbnail_map(
        [tmp_path / "missing.jpg", photos[1], photos[2], photos[4]], [[0, 0], [0, 0], [0, 0], [9, 9]]
    )
    first, second = figure.axes[0].get_images()
    np.testing.assert_array_equal(first.get_array(), (plt.imread(photos[1]) * 255).round().astype(np.uint8)[..., :3])
    np.testing.assert_array_equal(second.get_array(), (plt.imread(photos[4]) * 255).round().astype(np.uint8)[..., :3])
    assert dots(figure) == 2


def test_frames_and_dots_of_a_label_share_its_colour(photos):
    figure = thumbnail_map(photos[:4], [[0, 0], [9, 9], [0, 0], [9, 9]], ["day", "night", "day", "day"])
    with style.context("vg_core.figures.house"):
        blue, orange = ink(0), ink(1)
    assert [to_hex(frame.get_edgecolor()) for frame in figure.axes[0].patches] == [blue, orange]
    assert {line.get_label(): (line.get_color(), len(line.get_xdata())) for line in figure.axes[0].lines} == {
        "day": (blue, 2),
        "night": (orange, 0),
    }
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["day", "night"]


@pytest.mark.parametrize(
    ("positions", "labels", "message"),
    [
        (np.zeros((3, 2)), None, "4 photographs, 3 positions, 4 labels: give one of each"),
        (np.zeros((4, 2)), ["a"], "4 photographs, 4 positions, 1 labels"),
        (np.full((4, 2), np.nan), None, "some positions are not finite"),
    ],
)
def test_lists_that_do_not_fit_are_refused(photos, positions, labels, message):
    with pytest.raises(ValueError, match=message):
        thumbnail_map(photos[:4], positions, labels)


def test_more_labels_than_colours_are_refused(photos):
    with pytest.raises(ValueError, match="8 labels, of which colours tell 7 apart"):
        thumbnail_map(photos[:8], RNG.random((8, 2)), range(8))


def test_nothing_to_show_is_said():
    assert thumbnail_map([], np.empty((0, 2))).texts[0].get_text() == "no data"


def test_labels_are_shown_as_they_are(photos):
    labels = ["a$b^{$c", "_hidden", "caf\udce9", "$\\frac{1}$"]
    figure = thumbnail_map(photos[:4], np.eye(4, 2), labels)
    shown = [text.get_text().removeprefix("\u200b") for text in figure.legends[0].get_texts()]
    assert shown == [*labels[:2], "caf\ufffd", labels[3]]
    figure.savefig(io.BytesIO(), format="svg")  # outside the style
