"""Seconds by phase: a phase inside another counts for itself alone, and nothing is lost when one of them fails."""

import pytest
import torch

from vg_core.system import clock
from vg_core.system.clock import PHASES, Clock, Timed


@pytest.fixture
def ticking(monkeypatch):
    """A clock whose time passes only in ``spend``; returns (clock, spend)."""
    now = [0.0]

    def spend(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(clock.time, "monotonic", lambda: now[0])
    return Clock(torch.device("cpu")), spend


def spent(timer: Clock) -> dict[str, float]:
    return {phase: seconds for phase, seconds in timer.seconds.items() if seconds}


def test_inner_phases_count_for_themselves_alone(ticking):
    timer, spend = ticking
    spend(100)
    with timer.phase("mining"):
        spend(1)
        with timer.phase("extraction"):
            spend(2)
            with timer.phase("waiting"):
                spend(4)
            spend(8)
        spend(16)
    spend(100)
    assert spent(timer) == {"waiting": 4, "extraction": 10, "mining": 17}


def test_what_is_taken_begins_anew(ticking):
    timer, spend = ticking
    with timer.phase("forward"):
        spend(1)
    assert timer.take() == dict.fromkeys((f"seconds_{phase}" for phase in PHASES), 0.0) | {"seconds_forward": 1}
    assert timer.seconds == dict.fromkeys(PHASES, 0.0)


def test_a_phase_that_fails_is_over(ticking):
    timer, spend = ticking
    with pytest.raises(KeyboardInterrupt), timer.phase("mining"), timer.phase("extraction"):
        spend(3)
        raise KeyboardInterrupt
    spend(5)
    with timer.phase("backward"):
        spend(7)
    assert spent(timer) == {"extraction": 3, "backward": 7}


def test_waiting_for_batches_is_not_their_use(ticking):
    timer, spend = ticking

    class Slow:
        def batches(self, indices):
            for wanted in indices:
                spend(10)
                yield torch.tensor(wanted)

    images, seen = Timed(Slow(), timer), []
    with timer.phase("forward"):
        for batch in images.batches([[0, 1], [4]]):
            spend(1)
            seen.append(batch.tolist())
    assert seen == [[0, 1], [4]]
    assert (timer.seconds["waiting"], timer.seconds["forward"]) == (20, 2)
