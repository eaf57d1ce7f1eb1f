"""Plots of forces: maps and curves are their tables, arrows are to scale, what is no grid is refused."""

import numpy as np
import pandas as pd
import pytest

from tests.plot_tables import NAMES, field, forces
from vg_core import figures
from vg_core.figures.forces import LEVELS, MARKERS, move_forces


def maps(figure) -> list:
    return [axes.get_images()[0] for axes in figure.axes if axes.get_images()]


def test_surfaces_are_the_table_pull_above_push():
    table = forces(variants=3)
    figure = figures.force_surfaces(
        table.sample(frac=1, random_state=0).sort_values("variant", key=lambda v: v.map(NAMES.index))
    )
    assert [axes.get_title() for axes in figure.axes[:3]] == NAMES[:3]
    for image, force in zip(maps(figure), ["pull"] * 3 + ["push"] * 3, strict=True):
        drawn = image.get_array()  # (a, b)
        np.testing.assert_array_equal(drawn.data, table[force].to_numpy()[:16].reshape(4, 4))
        assert image.origin == "lower" and image.get_extent() == [0.25, 2.25, 0.25, 2.25]


def test_lines_over_the_surfaces_are_the_closed_forms():
    table = forces(variants=1)
    figure = figures.force_surfaces(table.assign(pull_formula=table.a, push_formula=table.b))  # not autograd's a + b
    lines = [[c for c in axes.collections if c.get_gid() == "formula"] for axes in figure.axes[:2]]
    assert [len(found) for found in lines] == [1, 1]
    for (contours,), axis in zip(lines, (1, 0), strict=True):  # a is drawn upwards, b to the right
        drawn = dict(zip(contours.levels, contours.get_paths(), strict=True))
        assert set(drawn) == {level for level in LEVELS if 0.5 < level < 2}
        for level, path in drawn.items():
            np.testing.assert_allclose(path.vertices[:, axis], level)


def test_no_force_is_white_and_all_panels_share_a_scale():
    *pulls, push, other = maps(figures.force_surfaces(forces()))
    np.testing.assert_array_equal(np.ma.getmaskarray(push.get_array()), np.eye(4, dtype=bool))
    assert not any(np.ma.getmaskarray(pull.get_array()).any() for pull in pulls)
    assert {id(image.norm) for image in (*pulls, push, other)} == {id(push.norm)}
    assert tuple(push.norm.boundaries) == LEVELS


@pytest.mark.parametrize("fault", [lambda t: t[1:], lambda t: pd.concat([t, t[:1]])], ids=["missing", "twice"])
def test_what_is_no_grid_is_refused(fault):
    with pytest.raises(ValueError, match="the forces of untrained are no grid: give every a with every b once"):
        figures.force_surfaces(fault(forces(1)))


def test_curves_are_autograd_and_markers_the_closed_form():
    b = np.linspace(0, 2, 101)
    table = pd.DataFrame({"variant": "Gaussian", "a": 1.0, "b": b, "push": b**2, "push_formula": b**2 + 1})
    axes = figures.push_curves(table.sample(frac=1, random_state=0)).axes[0]
    curve, formula, meaning, far = axes.lines
    np.testing.assert_array_equal(curve.get_xydata(), table[["b", "push"]])
    assert len(formula.get_xdata()) == MARKERS and formula.get_linestyle() == "None"
    np.testing.assert_allclose(formula.get_ydata(), formula.get_xdata() ** 2 + 1)
    assert set(far.get_xdata()) == {1.0}
    look = meaning.get_linestyle(), meaning.get_marker(), meaning.get_color(), meaning.get_label()
    assert look == (curve.get_linestyle(), formula.get_marker(), curve.get_color(), "Gaussian")


def test_curves_at_several_distances_are_refused():
    with pytest.raises(ValueError, match="curves are drawn at one distance a, the table has 4: choose one"):
        figures.push_curves(forces())


def test_arrows_have_one_scale_in_all_panels():
    table = field(3)
    figure = figures.force_field(table)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["query", "positive", "negative"]
    assert len({(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes}) == 1
    for axes, (name, rows) in zip(figure.axes, table.groupby("variant", sort=False), strict=True):
        (arrows,) = axes.collections
        assert (arrows.scale, arrows.scale_units, arrows.angles) == (1, "xy", "xy")
        np.testing.assert_allclose(np.stack([arrows.U, arrows.V], axis=1), rows[["force_x", "force_y"]])
        np.testing.assert_allclose(arrows.get_offsets(), rows[["x", "y"]])
        assert (axes.get_title(), axes.texts[0].get_text()) == (name, f"loss {rows.loss.iloc[0]:.3f}")
        points = {line.get_label(): line.get_xydata().tolist() for line in axes.lines}
        assert points == {"query": [[0, 0]], "positive": [[1, 0]], "negative": [[0, 0.5], [-2, 0]]}


def test_every_point_is_in_sight_and_many_panels_take_two_lines():
    figure = figures.force_field(field(6))
    assert len(figure.axes) == 6 and figure.axes[0].get_xlim()[0] < -2
    assert {round(axes.get_position().y0, 3) for axes in figure.axes[:4]} == {
        round(figure.axes[0].get_position().y0, 3)
    }
    assert figure.axes[4].get_position().y0 < figure.axes[0].get_position().y0


def test_a_moved_field_is_the_field_of_the_other_table():
    other = field().assign(x=lambda t: t.x / 2, force_x=0.7, loss=9.0)
    figure = figures.force_field(field())
    move_forces(figure, other)
    for moved, drawn in zip(figure.axes, figures.force_field(other).axes, strict=True):
        assert moved.texts[0].get_text() == drawn.texts[0].get_text() == "loss 9.000"
        for a, b in zip(moved.lines, drawn.lines, strict=True):
            np.testing.assert_array_equal(a.get_xydata(), b.get_xydata())
        np.testing.assert_array_equal(moved.collections[0].U, drawn.collections[0].U)
        np.testing.assert_array_equal(moved.collections[0].get_offsets(), drawn.collections[0].get_offsets())


@pytest.mark.parametrize("draw", [figures.force_surfaces, figures.push_curves, figures.force_field])
def test_an_empty_table_says_so(draw):
    table = (field if draw is figures.force_field else forces)(1)[:0]
    assert "no data" in [text.get_text() for text in draw(table).axes[0].texts]
