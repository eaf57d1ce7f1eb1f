"""The toy in the plane: a figure where nobody looks, a slider that moves a negative where somebody does."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vg_core.figures import explorer
from vg_core.figures.forces import force_field, move_forces
from vg_core.runs import examples


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.fixture
def live(monkeypatch):
    """(play button, slider, picture) of the widget."""
    monkeypatch.setattr(explorer, "in_notebook", lambda: True)
    controls, picture = examples.force_explorer().children
    return *controls.children, picture


def test_headless_it_is_one_figure_of_all_losses():
    figure = examples.force_explorer()
    assert isinstance(figure, Figure)
    assert [axes.get_title() for axes in figure.axes] == list(examples.SHOWN)


def test_the_slider_and_the_button_move_the_negative(live):
    play, slider, picture = live
    assert slider.value == "0.80" and play.value == examples.START
    first = picture.value
    play.value = 3
    assert slider.value == "0.20" and picture.value != first
    slider.index = examples.START
    assert play.value == examples.START and picture.value == first
    assert (play.min, play.max) == (0, len(slider.options) - 1)


def test_a_frame_is_the_figure_at_that_distance_and_draws_only_what_moved(live, monkeypatch):
    figure = force_field(examples.toy_forces(examples.DISTANCES[examples.START]))
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    expected = []
    for step in (30, 3):
        move_forces(figure, examples.toy_forces(examples.DISTANCES[step]))
        figure.savefig(file := io.BytesIO(), format="png")
        expected.append(pixels(file.getvalue()))
    monkeypatch.setattr(Figure, "draw", None)  # all of it takes too long
    for step, whole in zip((30, 3), expected, strict=True):
        live[1].index = step
        np.testing.assert_array_equal(pixels(live[2].value), whole)


def test_nothing_is_cut_off(live):
    shown = pixels(live[2].value)
    assert all(edge.min() == 255 for edge in (shown[0], shown[-1], shown[:, 0], shown[:, -1]))


def test_the_moving_negative_is_as_far_as_the_slider_says():
    for distance in examples.DISTANCES:
        negative = examples.toy_forces(distance).iloc[2]
        assert (negative.role, np.hypot(negative.x, negative.y)) == ("negative", pytest.approx(distance))
