"""Notebooks side by side: which wait for which, whose line is whose, and how long the rest takes."""

import json
import sys
import threading
import time

import pytest

from tests.notebooks.written import write
from vg_core.system import paths

sys.path.insert(0, str(paths.REPORTS))
import execution


@pytest.fixture
def clock(monkeypatch):
    """The time that everything sees, to be turned by hand."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def doing(names: list[str], notebooks, alone=()) -> execution.Execution:
    for name in names:
        write(notebooks, name)
        file = notebooks / f"{name}.ipynb"
        content = json.loads(file.read_text())
        content["metadata"]["vg_core"] = {"alone": name in alone}
        file.write_text(json.dumps(content))
    return execution.Execution({notebooks / f"{n}.ipynb": {} for n in names}, paths.executed_folder("smoke"), False)


def test_notebooks_share_the_time_but_one_that_is_alone_waits_for_those_before_it(notebooks, monkeypatch):
    work, spans = doing(["20_a", "21_b", "90_alone", "91_after"], notebooks, alone=["90_alone"]), {}
    both = threading.Barrier(2)

    def execute(self, notebook, _parameters):
        began = time.monotonic()
        if notebook.stem in ("20_a", "21_b"):
            both.wait(60)  # they end at one moment
        spans[notebook.stem] = began, time.monotonic()
        return notebook.stem != "21_b"

    monkeypatch.setattr(execution.Execution, "execute", execute)
    assert work.run(side_by_side=2) == ["21_b"]
    first, second, alone, after = (spans[name] for name in ("20_a", "21_b", "90_alone", "91_after"))
    assert alone[0] >= max(first[1], second[1]) and after[0] >= alone[1]
    assert execution.seconds_in(work.folder / execution.MINUTES).keys() == spans.keys()


def test_an_error_of_the_runner_itself_is_not_lost(notebooks, monkeypatch):
    def execute(*_):
        raise OSError("no space")

    monkeypatch.setattr(execution.Execution, "execute", execute)
    with pytest.raises(OSError, match="no space"):
        doing(["20_a"], notebooks).run(side_by_side=2)


def test_the_time_left_counts_what_was_measured_and_how_much_slower_it_is_here(notebooks, clock, monkeypatch):
    monkeypatch.setattr(execution, "seconds_in", lambda _: {"20_a": 10.0, "21_b": 40.0, "22_c": 30.0})
    work = doing(["20_a", "21_b", "22_c"], notebooks)
    clock[0], work.running["20_a"] = 1.0, 0.0
    assert work.left() == ", about 79 s left", "9 + 40 + 30 s at the pace of this machine, as fast as the other"
    del work.running["20_a"]
    clock[0], work.ended["20_a"] = 20.0, True
    assert work.left() == ", about 2 min left", "twice as slow: 70 s are 140"
    work.ended |= {"21_b": True}
    work.unchanged.add("21_b")
    assert work.left() == ", about 60 s left", "what is unchanged took nothing"
    work.running["22_c"], clock[0] = 20.0, 120.0
    assert work.left() == ", about 22 s left", "slower than it was measured: never nothing"
    del work.running["22_c"]
    work.ended["22_c"] = True
    assert work.left() == ""


def test_lines_of_notebooks_side_by_side_stay_whole(capsys):
    told = execution.Told()
    one, other = (execution.Stream(told, name, sys.stdout) for name in ("20_a", "21_b"))
    one.write("half of ")
    other.write("another\n")
    one.write("a line\nand more")
    assert capsys.readouterr().out == "  21 | another\n  20 | half of a line\n"
    assert isinstance(told.last, float)


@pytest.mark.parametrize("content", ["", "[]", '{"20_a": "x"}', None])
def test_damaged_minutes_are_none(tmp_path, content):
    file = tmp_path / "minutes.json"
    if content is not None:
        file.write_text(content)
    assert execution.seconds_in(file) == {}
    execution.keep_seconds(file, "20_a", 1.23)
    assert json.loads(file.read_text()) == {"20_a": 1.2}


def test_silence_is_broken(notebooks, monkeypatch, capsys):
    monkeypatch.setattr(execution, "QUIET", 0.5)
    monkeypatch.setattr(execution.Execution, "execute", lambda *_: time.sleep(2.5) or True)
    doing(["20_a"], notebooks).run(side_by_side=1)
    assert "at work: 20_a for " in capsys.readouterr().out
