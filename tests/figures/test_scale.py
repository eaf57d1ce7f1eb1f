"""Plots of large databases draw what was measured at the chosen efforts, and mark what was not measured."""

import numpy as np
import pytest

from tests.plot_tables import extrapolated, trials
from vg_core import figures as plots


def drawn(figure, gid=None) -> list[np.ndarray]:
    return [line.get_xydata() for line in figure.axes[0].lines if line.get_gid() == gid]


def test_a_line_an_engine_at_the_largest_size():
    figure = plots.recall_against_time(trials().sample(frac=1, random_state=0))
    exact, chosen, *_ = (line for line in figure.axes[0].lines if np.isclose(line.get_xdata().max(), 1.6))
    np.testing.assert_allclose(exact.get_xydata(), [[0.8, 88], [1.6, 96]])
    np.testing.assert_allclose(chosen.get_xydata(), [[1.6, 96]])
    assert chosen.get_label() == "exact" and len(figure.axes[0].lines) == 4
    assert figure.axes[0].get_title(loc="right") == "100,000 images · large: chosen"


def test_extrapolations_start_where_measurements_end():
    figure = plots.time_against_images(trials(), extrapolated())
    for line in drawn(figure):
        assert line[:, 0].tolist() == [10_000, 100_000]
    hnsw = drawn(figure)[1]
    for gid, end in (("ms_law", 1.6), ("ms_trend", 800)):
        exact, graph = drawn(figure, gid)
        assert exact[:, 0].tolist() == [100_000, 10**9] and graph[:, 0].tolist() == [100_000, 10**6, 10**9]
        assert graph[0].tolist() == hnsw[-1].tolist() and graph[-1, 1] == end
    assert figure.axes[0].get_xscale() == figure.axes[0].get_yscale() == "log"


def test_a_table_without_extrapolation_is_drawn_and_one_without_times_refused():
    assert len(drawn(plots.time_against_images(trials(), extrapolated()[:0]))) == 2
    with pytest.raises(ValueError, match="the table has no column ms"):
        plots.recall_against_time(trials().drop(columns="ms"))
