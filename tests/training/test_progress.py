"""A training watched in a notebook: its curve shows every round and every validation as soon as they are finished."""

import pytest

from tests.plot_tables import history
from vg_core.training import progress


@pytest.fixture
def drawn(monkeypatch) -> list:
    """Figures in the order in which they are shown."""
    figures = []

    class Handle:
        update = figures.append

    monkeypatch.setattr("IPython.display.display", lambda figure, display_id: figures.append(figure) or Handle)
    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    return figures


def test_the_curve_is_never_behind(drawn):
    rounds, epochs = (table.drop(columns=["variant", "seed"]).to_dict("records") for table in history("GeM"))
    shown = progress.Progress("street", epochs=2, rounds=2)
    shown.epoch(epochs[:1])
    assert drawn == []  # nothing is trained yet
    steps = [(shown.round, 1, 1), (shown.round, 2, 1), (shown.epoch, 2, 2), (shown.round, 3, 2)]
    for tell, done, validated in [*steps, (shown.round, 4, 2), (shown.epoch, 4, 3)]:
        tell(*[rounds[:done]] * (tell == shown.round), epochs[:validated])
        above, below = drawn[-1].axes
        assert above.lines[0].get_xdata().tolist() == [0.5, 1.0, 1.5, 2.0][:done]
        assert below.lines[0].get_ydata().tolist() == [row["recall_5"] for row in epochs[:validated]]
    assert len(drawn) == 6
