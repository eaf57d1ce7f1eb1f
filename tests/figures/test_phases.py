"""Bars of where the time goes: shares of an epoch, seconds beside them, and the phases that a training has."""

import pandas as pd
import pytest

from tests.plot_tables import spent
from vg_core import figures as plots
from vg_core.figures import phases
from vg_core.system.clock import PHASES


def validation() -> pd.DataFrame:
    rows = [("mined", 0, 99.0, 9.0), ("mined", 1, 4.0, 1.0), ("mined", 2, 6.0, 2.0), ("classes", 1, 10.0, 0.0)]
    return pd.DataFrame(rows, columns=["variant", "epoch", "seconds", "seconds_search"])


def test_every_phase_of_the_clock_is_drawn():
    assert set(phases.PHASES) == {*PHASES, *phases.OF_VALIDATION}


def test_seconds_are_those_of_one_epoch():
    table = phases.seconds_per_epoch(spent(), validation())
    assert table.index.tolist() == ["mined", "classes"]
    assert table.loc["mined"].to_dict() == {
        **{"decode": 1.0, "waiting": 2.0, "extraction": 4.0, "mining": 1.0, "forward": 4.0, "backward": 8.0},
        **{"search": 1.5, "validation": 3.5, "total": 26.0},
    }
    assert table.total["classes"] == 50.0
    assert "validation" not in phases.seconds_per_epoch(spent())


def test_bars_are_shares_laid_end_to_end():
    axes = plots.phase_bars(spent()).axes[0]
    first = [bar for bar in axes.patches if bar.get_y() < 0.3]
    assert [bar.get_width() for bar in first] == pytest.approx([share / 0.21 for share in (1, 2, 4, 1, 4, 8)])
    assert [bar.get_x() for bar in first] == pytest.approx([start / 0.21 for start in (0, 1, 3, 7, 8, 12)])
    written = [text.get_text() for text in axes.texts]
    assert "38" in written and "5" not in written and {"21 s", "40 s"} <= set(written)
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["mined", "classes"]


def test_validation_has_its_part_when_given():
    names = [text.get_text() for text in plots.phase_bars(spent(), validation()).legends[0].get_texts()]
    assert names == [name for name, _ in phases.PHASES.values()]


def test_a_history_without_rounds_says_so():
    assert "no data" in [text.get_text() for text in plots.phase_bars(spent().head(0)).axes[0].texts]


def test_a_missing_phase_is_named():
    with pytest.raises(ValueError, match="no column seconds_forward"):
        plots.phase_bars(spent().drop(columns="seconds_forward"))
