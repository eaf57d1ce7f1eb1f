"""The toy in the plane: a figure where nobody looks, a slider that moves a negative where somebody does."""

import io

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from vg_core.figures import explorer
from vg_core.runs import examples


@pytest.fixture
def live(monkeypatch):
    """(play button, slider, picture) of the widget."""
    monkeypatch.setattr(explorer, "in_notebook", lambda: True)
    controls, picture = examples.force_explorer().children
    return *controls.children, picture


def test_headless_it_is_one_figure_of_all_losses():
    figure = examples.force_explorer()
    assert isinstance(figure, Figure)
    assert [axes.get_title().split("\n")[0] for axes in figure.axes] == list(examples.SHOWN)


def test_the_slider_and_the_button_move_the_negative(live):
    play, slider, picture = live
    assert slider.value == "0.80" and play.value == examples.START
    first = picture.value
    play.value = 3
    assert slider.value == "0.20" and picture.value != first
    slider.index = examples.START
    assert play.value == examples.START and picture.value == first
    assert (play.min, play.max) == (0, len(slider.options) - 1)


def test_nothing_is_cut_off(live):
    pixels = np.asarray(Image.open(io.BytesIO(live[2].value)).convert("L"))
    assert all(edge.min() == 255 for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]))


def test_the_moving_negative_is_as_far_as_the_slider_says():
    for distance in examples.DISTANCES:
        negative = examples.toy_forces(distance).iloc[2]
        assert (negative.role, np.hypot(negative.x, negative.y)) == ("negative", pytest.approx(distance))
