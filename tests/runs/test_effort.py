"""What trainings took by the end of each epoch, beside what they reached."""

import pandas as pd
import pytest

from tests.tiny import PLACES, TINY
from vg_core.figures import effort_curves
from vg_core.runs.effort import effort
from vg_core.runs.experiments import histories, sweep


@pytest.mark.usefixtures("street")
def test_effort_adds_up_what_rounds_took():
    """24 rows an epoch in 3 rounds; mining describes the 24 database images and the 8 queries of a round."""
    variants = {"full": TINY, "places": PLACES}
    sweep(variants, cluster="here")
    table, (history, validation) = effort(variants), histories(variants)
    assert table.groupby("variant").epoch.apply(list).to_dict() == {name: [0, 1, 2] for name in variants}
    full, places = (table[table.variant == name] for name in variants)
    assert full.learned.tolist() == [0, 120, 240] and places.learned.tolist() == [0, 96, 192]
    assert full.described.tolist() == [0, 96, 192] and places.described.tolist() == [0, 0, 0]
    for name, rows in (("full", full), ("places", places)):
        assert rows.minutes.iloc[-1] == pytest.approx(history[history.variant == name].seconds.sum() / 60)
    pd.testing.assert_series_equal(table.recall_5, validation.recall_5)
    figure = effort_curves(table)
    for axes, costs in zip(figure.axes, ([0, 0.216, 0.432], None), strict=True):
        (line, other) = axes.lines
        assert line.get_label() == "full" and other.get_label() == "places"
        assert costs is None or line.get_xdata() == pytest.approx(costs)
