"""Pictures of pairs are whole and in their order, panoramas above polar images, and weights over what they weigh."""

import numpy as np
import pytest

from vg_core.figures.pairs import aerial_gallery, pair_gallery, position_gallery


def picture(seed: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def shown(axes) -> np.ndarray:
    return np.asarray(axes.get_images()[0].get_array())


def test_a_pair_is_a_square_beside_two_strips_whose_columns_agree():
    rows = [{"aerial": picture(n, 40, 40), "ground": picture(n, 16, 88), "polar": picture(n, 8, 44)} for n in (1, 2)]
    figure = pair_gallery(rows)
    for row, (aerial, ground, polar) in zip(rows, zip(*[iter(figure.axes)] * 3, strict=True), strict=True):
        for axes, name in ((aerial, "aerial"), (ground, "ground"), (polar, "polar")):
            np.testing.assert_array_equal(shown(axes), row[name])
        boxes = ground.get_position(), polar.get_position()
        assert boxes[0].x0 == pytest.approx(boxes[1].x0) and boxes[0].x1 == pytest.approx(boxes[1].x1)
        assert boxes[0].y0 > boxes[1].y1 and aerial.get_position().x1 < boxes[0].x0
        assert [label.get_text() for label in polar.get_xticklabels()] == ["S", "W", "N", "E"]
        assert list(polar.get_xticks()) == [0, 11, 22, 33]  # of 44 columns, as the polar transform has them
    assert pair_gallery([]).texts  # says that there is no data


def test_what_was_found_is_marked_and_the_right_one_has_its_rank():
    found = [picture(n, 40, 40) for n in range(3)]
    row = {"query": picture(9, 16, 88), "rank": 17, "retrieved": found, "correct": [False, True, False]}
    query, *others = aerial_gallery([row]).axes
    np.testing.assert_array_equal(shown(query), row["query"])
    assert query.get_title() == "right image at rank 17"
    assert [axes.texts[0].get_text() for axes in others] == ["✗", "✓", "✗"]
    for axes, image in zip(others, found, strict=True):
        np.testing.assert_array_equal(shown(axes), image)


def test_each_map_lies_over_its_whole_picture():
    pictures = {"panorama": picture(1, 16, 88), "aerial image": picture(2, 40, 40)}
    maps = {name: np.random.default_rng(3).random((3, 4, 5)) for name in pictures}
    columns = np.array(position_gallery(pictures, maps).axes).reshape(3, 4).T  # two maps, and behind them one
    for column, name, part in zip(columns, [*pictures] * 2, [slice(2)] * 2 + [slice(2, 3)] * 2, strict=True):
        assert column[0].get_title() == name
        np.testing.assert_array_equal(shown(column[0]), pictures[name])
        for axes, weights in zip(column[1:], maps[name][part], strict=False):
            grey, heat = axes.get_images()
            assert np.ptp(grey.get_array(), axis=2).max() == 0
            np.testing.assert_array_equal(heat.get_array(), weights)
            assert heat.get_extent() == grey.get_extent() and axes.get_aspect() == "auto"
    assert not columns[2][2].get_images() and not columns[3][2].get_images()
