"""Bars of a benchmark: each is a line of its own, met or missed by its own ratio, and drawn where the table says."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.plot_tables import results
from vg_core import figures as plots
from vg_core.figures.speed import VERDICTS, goals


def points(figure) -> dict[str, np.ndarray]:
    return {line.get_label(): line.get_xydata() for line in figure.axes[0].lines if line.get_gid() != "reference"}


def test_every_bar_is_a_goal_of_its_own():
    table = goals(results())
    assert table.name.tolist() == ["netvlad", "netvlad, over its floor", "netvlad, memory", "full mining", "gem"]
    assert table.kind.tolist() == ["time", "floor", "memory", "time", "time"]
    assert table.verdict.tolist() == ["met", "met", "missed", "missed", "not judged"]
    np.testing.assert_array_equal(table[["ratio", "low", "high"]].iloc[:3], [[0.05, 0.04, 0.07], [2] * 3, [0.08] * 3])


def test_goals_survive_being_written_and_read(tmp_path):
    results().to_csv(tmp_path / "results_cpu.csv", index=False)
    pd.testing.assert_frame_equal(goals(pd.read_csv(tmp_path / "results_cpu.csv")), goals(results()))


@given(st.floats(1e-4, 1e3), st.floats(1e-4, 1e3))
def test_a_bar_is_met_at_it_and_below(ratio, bar):
    line = results().iloc[1:2].assign(ratio=ratio, bar=bar)
    assert goals(line).verdict.tolist() == ["met" if ratio <= bar else "missed"]


def test_points_and_bars_stand_where_the_table_says():
    figure = plots.speed_ratios(results())
    axes, drawn = figure.axes[0], points(figure)
    assert axes.get_xscale() == "log" and drawn.keys() == {"met", "missed", "not judged", "bar"}
    np.testing.assert_allclose(drawn["met"], [[0.05, 0], [2, 1]])
    np.testing.assert_allclose(drawn["missed"], [[0.08, 2], [0.5, 3]])
    np.testing.assert_allclose(drawn["bar"], [[0.06, 0], [2.5, 1], [0.06, 2], [0.04, 3], [0.45, 4]])
    ranges = np.concatenate([part.get_segments() for part in axes.collections])
    assert [0.04, 0.07] in ranges[:, :, 0].tolist()
    assert [text.get_text() for text in axes.get_yticklabels()] == goals(results()).name.tolist()
    assert axes.yaxis_inverted()


def test_verdicts_differ_by_shape_and_colour():
    lines = [line for line in plots.speed_ratios(results()).axes[0].lines if line.get_label() in VERDICTS]
    assert len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == len(VERDICTS)


def test_results_that_are_not_there_are_drawn_as_such():
    assert "no data" in [text.get_text() for text in plots.speed_ratios(results().head(0)).axes[0].texts]


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="the table has no column memory_bar"):
        goals(results().drop(columns="memory_bar"))
