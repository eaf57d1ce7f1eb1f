"""Pictures of time: where that of a training goes, bars of a benchmark, search in large databases."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plot_tables import extrapolated, results, spent, trials
from vg_core import figures
from vg_core.figures.speed import PHASES, TRAINING, VERDICTS, goals, seconds_per_epoch
from vg_core.system import clock


# --- phases of a training ------------------------------------------------------------------------------------------
def validation() -> pd.DataFrame:
    rows = [("mined", 0, 99.0, 9.0), ("mined", 1, 4.0, 1.0), ("mined", 2, 6.0, 2.0), ("classes", 1, 10.0, 0.0)]
    return pd.DataFrame(rows, columns=["variant", "epoch", "seconds", "seconds_search"])


def test_every_phase_of_the_clock_is_drawn():
    assert tuple(TRAINING) == clock.PHASES


def test_seconds_are_those_of_one_epoch():
    table = seconds_per_epoch(spent(), validation())
    assert table.index.tolist() == ["mined", "classes"]
    assert table.loc["mined"].to_dict() == {
        **{"decode": 1.0, "waiting": 2.0, "extraction": 4.0, "mining": 1.0, "forward": 4.0, "backward": 8.0},
        **{"search": 1.5, "validation": 3.5, "total": 26.0},
    }
    assert table.total["classes"] == 50.0
    assert "validation" not in seconds_per_epoch(spent())


def test_bars_are_shares_laid_end_to_end():
    axes = figures.phase_bars(spent()).axes[0]
    first = [bar for bar in axes.patches if bar.get_y() < 0.3]
    assert [bar.get_width() for bar in first] == pytest.approx([share / 0.21 for share in (1, 2, 4, 1, 4, 8)])
    assert [bar.get_x() for bar in first] == pytest.approx([start / 0.21 for start in (0, 1, 3, 7, 8, 12)])
    written = [text.get_text() for text in axes.texts]
    assert "38" in written and "5" not in written and {"21 s", "40 s"} <= set(written)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["mined", "classes"]


def test_validation_has_its_part_when_given():
    names = [text.get_text() for text in figures.phase_bars(spent(), validation()).legends[0].get_texts()]
    assert names == [name for name, _ in PHASES.values()]


def test_a_history_without_rounds_says_so():
    assert "no data" in [text.get_text() for text in figures.phase_bars(spent().head(0)).axes[0].texts]


def test_a_missing_phase_is_named():
    with pytest.raises(ValueError, match="no column seconds_forward"):
        figures.phase_bars(spent().drop(columns="seconds_forward"))


# --- bars of a benchmark -------------------------------------------------------------------------------------------
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


@settings(deadline=None)
@given(st.floats(1e-4, 1e3), st.floats(1e-4, 1e3))
def test_a_bar_is_met_at_it_and_below(ratio, bar):
    line = results().iloc[1:2].assign(ratio=ratio, bar=bar)
    assert goals(line).verdict.tolist() == ["met" if ratio <= bar else "missed"]


def test_points_and_bars_stand_where_the_table_says():
    figure = figures.speed_ratios(results())
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
    lines = [line for line in figures.speed_ratios(results()).axes[0].lines if line.get_label() in VERDICTS]
    assert len({line.get_marker() for line in lines}) == len({line.get_color() for line in lines}) == len(VERDICTS)


def test_results_that_are_not_there_are_drawn_as_such():
    assert "no data" in [text.get_text() for text in figures.speed_ratios(results().head(0)).axes[0].texts]


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="the table has no column memory_bar"):
        goals(results().drop(columns="memory_bar"))


# --- search in large databases -------------------------------------------------------------------------------------
def drawn(figure, gid=None) -> list[np.ndarray]:
    return [line.get_xydata() for line in figure.axes[0].lines if line.get_gid() == gid]


def test_a_line_an_engine_at_the_largest_size():
    figure = figures.recall_against_time(trials().sample(frac=1, random_state=0))
    exact, chosen, *_ = (line for line in figure.axes[0].lines if np.isclose(line.get_xdata().max(), 1.6))
    np.testing.assert_allclose(exact.get_xydata(), [[0.8, 88], [1.6, 96]])
    np.testing.assert_allclose(chosen.get_xydata(), [[1.6, 96]])
    assert chosen.get_label() == "exact" and len(figure.axes[0].lines) == 4
    assert figure.axes[0].get_title(loc="right") == "100,000 images · large: chosen"


def test_extrapolations_start_where_measurements_end():
    figure = figures.time_against_images(trials(), extrapolated())
    for line in drawn(figure):
        assert line[:, 0].tolist() == [10_000, 100_000]
    hnsw = drawn(figure)[1]
    for gid, end in (("ms_law", 1.6), ("ms_trend", 800)):
        exact, graph = drawn(figure, gid)
        assert exact[:, 0].tolist() == [100_000, 10**9] and graph[:, 0].tolist() == [100_000, 10**6, 10**9]
        assert graph[0].tolist() == hnsw[-1].tolist() and graph[-1, 1] == end
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"


def test_a_table_without_extrapolation_is_drawn_and_one_without_times_refused():
    assert len(drawn(figures.time_against_images(trials(), extrapolated()[:0]))) == 2
    with pytest.raises(ValueError, match="the table has no column ms"):
        figures.recall_against_time(trials().drop(columns="ms"))
