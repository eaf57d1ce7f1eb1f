"""The polar transform: the published coordinates, north in the middle, and the stretch of the published files."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from vg_core.cross_view.polar import polar, polar_coordinates

GOLDEN = {  # side, row and column of the polar image: row and column of the aerial image
    (750, 0, 0): (746.651786, 375),
    (750, 0, 154): (375, 3.348214),
    (750, 0, 308): (3.348214, 375),
    (750, 0, 462): (375, 746.651786),
    (750, 56, 77): (505.214976, 244.785024),
    (750, 111, 0): (375, 375),
    (750, 111, 500): (375, 375),
    (1200, 0, 0): (1194.642857, 600),
    (1200, 56, 77): (808.343962, 391.656038),
}


@pytest.mark.parametrize(("place", "expected"), GOLDEN.items())
def test_coordinates_are_the_published_ones(place, expected):
    side, row, column = place
    assert polar_coordinates(side)[row, column].tolist() == pytest.approx(expected, abs=1e-6)


def test_a_quarter_of_the_columns_later_everything_is_turned_by_90_degrees():
    row, column = (polar_coordinates(750) - 375).roll(-154, dims=1).unbind(2)
    before_row, before_column = (polar_coordinates(750) - 375).unbind(2)
    assert torch.allclose(row, before_column, atol=1e-10)
    assert torch.allclose(column, -before_row, atol=1e-10)


def smooth(side: int, turned: int = 0) -> torch.Tensor:
    """uint8 (1, 3, S, S): a pattern that is turned clockwise about S / 2 by so many quarters."""
    rows, columns = (np.mgrid[:side, :side] - side / 2) / side
    for _ in range(turned):
        rows, columns = -columns, rows
    waves = [100 + 60 * np.sin(7 * rows + k) + 60 * np.cos(5 * columns * (k + 1)) for k in range(3)]
    return torch.tensor(np.stack(waves)[None]).clamp(0, 255).to(torch.uint8)


def test_turning_the_aerial_image_shifts_its_polar_image():
    still, turned = (polar(smooth(200, quarters), (28, 152)).int() for quarters in (0, 1))
    assert (turned - still.roll(38, dims=3)).abs().max() <= 2  # clockwise, so to the right


def test_a_picture_that_looks_the_same_from_all_sides_has_constant_rows():
    rows, columns = np.mgrid[:301, :301] - 150.5
    disc = np.cos(np.hypot(rows, columns) / 20) * 100 + 120
    image = torch.tensor(disc).to(torch.uint8).expand(1, 3, -1, -1)
    found = polar(image, (40, 220)).int()
    assert (found - found[..., :1]).abs().max() <= 2 and found[0, 0, :, 0].unique().numel() > 10


def test_north_is_the_middle_and_east_is_to_its_right():
    image = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    image[:, 0, :20, 28:36] = 255  # red in the north
    image[:, 1, 28:36, 44:] = 255  # green in the east
    found = polar(image, (16, 80))[0]
    assert found[0, 0].argmax() in range(38, 43) and found[1, 0].argmax() in range(58, 63)
    assert not found[:2, -1].any()  # the lowest row is the middle of the aerial image


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_batch_is_what_scipy_makes_of_each_image(layout):
    images = torch.randint(0, 256, (3, 3, 90, 90), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    where = polar_coordinates(90, (12, 66)).permute(2, 0, 1).numpy()
    expected = [[map_coordinates(one.astype(float), where, order=1) for one in image] for image in images.numpy()]
    found = polar(images.contiguous(memory_format=layout), (12, 66)).numpy()
    assert np.abs(found - np.array(expected)).max() <= 0.501  # rounded


def test_stretch_takes_the_three_channels_together():
    image = torch.zeros(2, 3, 40, 40, dtype=torch.uint8)
    image[:, 0], image[:, 1], image[:, 2] = 100, 50, 151
    image[1, 1] = 100  # the second image is stretched by its own values
    found = polar(image, (8, 44), stretch=True)
    assert [found[0, c].unique().tolist() for c in range(3)] == [[126], [0], [255]]
    assert found[1, 0].unique().tolist() == [0] and found[1, 2].unique().tolist() == [255]
    flat = torch.full((1, 3, 40, 40), 70, dtype=torch.uint8)
    assert not polar(flat, (8, 44), stretch=True).any()
    assert (polar(flat, (8, 44)) == 70).all() and (polar(flat) == 70).all()  # at the border of a small image, too


def test_an_aerial_image_that_is_not_square_is_a_sentence():
    with pytest.raises(ValueError, match="40x30 pixels is not square; cut it"):
        polar(torch.zeros(1, 3, 40, 30, dtype=torch.uint8))


def test_other_sizes_keep_the_directions():
    found = polar_coordinates(160, (32, 176))
    assert found.shape == (32, 176, 2)
    row, column = (found[0] - 80).unbind(1)
    angles = torch.atan2(column, -row)  # clockwise from north
    expected = 2 * math.pi * torch.arange(176, dtype=torch.float64) / 176 - math.pi
    assert torch.allclose((angles - expected).cos(), torch.ones(176, dtype=torch.float64))
