"""Plots of a dataset: every image is counted once, in the right bar."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import style
from matplotlib.colors import to_hex

from tests.plot_tables import images
from vg_core import figures
from vg_core.figures.house_style import GROUPS, ink


def heights(axes, middles, number: int = 0) -> np.ndarray:
    """Of the bars of one set above these places: the upper ones of the edges around them."""
    outline = axes.collections[number].get_paths()[0].vertices
    steps = [(*sorted((start[0], end[0])), start[1]) for start, end in pairwise(outline)]
    return np.array([max((y for left, right, y in steps if left < x < right), default=0) for x in middles])


def legend(figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_queries_far_from_everything_share_the_last_bar():
    table = images()
    axes = figures.distance_to_positive(table).axes[0]
    bars = heights(axes, np.arange(51) + 0.5)
    assert bars.sum() == pytest.approx(100)
    assert bars[-1] == pytest.approx(100 * (table.nearest_m >= 50).mean())
    assert sorted(line.get_xdata()[0] for line in axes.lines) == [10, 25]


@pytest.mark.parametrize(("far", "said"), [(0, "100 %"), (1, "99.8 %"), (499, "0.2 %"), (500, "0 %")])
def test_all_queries_are_near_only_when_all_are(far, said):
    table = pd.DataFrame({"nearest_m": [80.0] * far + [3.0] * (500 - far)})
    assert legend(figures.distance_to_positive(table))[0] == f"{said} within 25 m"


def test_splits_have_their_own_colours():
    table = pd.concat([images(split="test"), images(split="train").head(30)])
    figure = figures.images_per_place(table)
    with style.context("vg_core.figures.house"):
        expected = [ink(GROUPS["test"]), ink(GROUPS["train"])]
    assert [to_hex(bars.get_edgecolor()[0]) for bars in figure.axes[0].collections] == expected


def test_sets_of_one_shape_are_all_seen():
    table = pd.concat([images(split=split) for split in ("train", "val", "test")])
    dashes = [bars.get_linestyle() for bars in figures.images_per_place(table).axes[0].collections]
    assert len(dashes) == 3 and dashes[0] != dashes[1] != dashes[2] != dashes[0]


def test_places_are_counted():
    table = pd.DataFrame({"easting": [0.0, 1, 2, 30, 31, 60], "northing": 0.0})
    figure = figures.images_per_place(table)
    assert heights(figure.axes[0], [0.6, 1.4, 2, 3, 3.4, 3.6]).tolist() == [1, 1, 1, 1, 1, 0]
    assert legend(figure) == ["3 places, median 2 images"]


def test_headings_wrap_around_north():
    figure = figures.headings(images())
    bars = heights(figure.axes[0], np.deg2rad(15 * np.arange(24) + 7.5))
    assert bars.sum() == pytest.approx(100) and set(np.flatnonzero(bars)) == {0, 23}
    assert figure.axes[0].get_title(loc="right") == "9 images of 90 without heading"


@pytest.mark.parametrize(
    ("stamps", "names"),
    [
        (["20240611_103000", "20240613"], ["11 Jun\n2024", "12 Jun\n2024", "13 Jun\n2024"]),
        (["201401", "201403", "2014-05"], ["Jan\n2014", "Feb\n2014", "Mar\n2014", "unknown"]),
        (["201001", "20131231"], ["2010", "2011", "2012", "2013"]),
        (["", "noon", "20241399"], ["unknown"]),
    ],
)
def test_times_choose_their_unit(stamps, names):
    axes = figures.times(pd.DataFrame({"timestamp": stamps})).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == names
    assert sum(bar.get_height() for bar in axes.patches) == pytest.approx(100)


def test_hours_are_shown_where_known():
    assert len(figures.times(images()).axes) == 2
    assert len(figures.times(images(timestamp="201407")).axes) == 1
