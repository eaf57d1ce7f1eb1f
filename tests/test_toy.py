"""The toy in the plane: a figure where nobody looks, a slider that moves a negative where somebody does."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vg_core import toy


@pytest.fixture
def live(monkeypatch):
    """(play button, slider, picture) of the widget."""
    monkeypatch.setattr(toy, "in_notebook", lambda: True)
    controls, picture = toy.force_explorer().children
    return *controls.children, picture


def test_headless_it_is_one_figure_of_all_losses():
    figure = toy.force_explorer()
    assert isinstance(figure, Figure)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == list(toy.SHOWN)


def test_the_slider_and_the_button_move_the_negative(live):
    play, slider, picture = live
    assert slider.value == "0.80" and play.value == toy.START
    first = picture.value
    play.value = 3
    assert slider.value == "0.20" and picture.value != first
    slider.index = toy.START
    assert play.value == toy.START and picture.value == first
    assert (play.min, play.max) == (0, len(slider.options) - 1)


def test_nothing_is_cut_off(live):
    pixels = np.asarray(Image.open(io.BytesIO(live[2].value)).convert("L"))
    assert all(edge.min() == 255 for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))


def test_the_moving_negative_is_as_far_as_the_slider_says():
    for step, distance in enumerate(toy.DISTANCES):
        negative = toy._forces(step).iloc[2]
        assert (negative.role, np.hypot(negative.x, negative.y)) == ("negative", pytest.approx(distance))
