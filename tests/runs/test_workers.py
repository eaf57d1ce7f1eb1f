"""Processes that make runs stay for the next sweep, and no longer than they are of use."""

import os
import time

import psutil
import pytest

from vg_core.runs import workers as module
from vg_core.runs.workers import workers

pytestmark = pytest.mark.usefixtures("copied_workers")


def pids(count: int) -> set[int]:
    """Of the processes that a sweep of so many runs would use."""
    with workers("local", count) as client:
        return set(client.run(os.getpid).values())


def are_gone(processes: set[int]) -> bool:
    deadline = time.monotonic() + 60
    while any(map(psutil.pid_exists, processes)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(psutil.pid_exists, processes))


def test_they_stay_for_sweeps_that_need_no_more_of_them():
    first = pids(2)
    assert len(first) == 2 and pids(1) == pids(2) == first


def test_more_of_them_or_another_environment_need_new_ones(monkeypatch):
    first = pids(1)
    more = pids(2)
    assert len(more) == 2 and are_gone(first)
    monkeypatch.setenv("VG_CACHE", "elsewhere")
    assert pids(2).isdisjoint(more) and are_gone(more)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_ends_them_and_what_they_do(error):
    first = pids(1)
    with pytest.raises(error), workers("local", 1) as client:
        client.submit(time.sleep, 600)
        raise error
    assert are_gone(first) and pids(1).isdisjoint(first)


def test_they_leave_when_nothing_is_asked_of_them_for_long(monkeypatch):
    monkeypatch.setattr(module, "IDLE", 1)
    first = pids(1)
    assert are_gone(first) and pids(1).isdisjoint(first)
