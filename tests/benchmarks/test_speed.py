"""The benchmarks: every row's two sides agree, measurements take turns, and what disagrees is never timed."""

import os
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import device, measure, run
from benchmarks.device import Work, floor_of, operations
from benchmarks.measure import Case, Disagreement, check, difference, interleave, passed, peak_bytes, shares
from benchmarks.rows import ROWS
from benchmarks.rows.retrieval import _common
from tests.benchmarks.hungry import HUNGRY, MIB, REUSING
from tests.children import FORKS
from vg_core.retrieval import feature_cache
from vg_core.system.paths import cache_root

CPU = torch.device("cpu")
COLUMNS = {
    *("row", "stage", "reference", "shape", "ratio", "ratio_low", "ratio_high", "bar", "floor_ratio", "floor_bar"),
    *("memory_ratio", "memory_bar", "reference_seconds", "ours_seconds", "difference", "tolerance", "repeats", "quick"),
    *("machine", "threads", "torch", "passed"),
}


def disagreeing(_device):
    return Case(lambda: [1.0, 2.0], lambda: [1.0, 2.5])


def impossible(_device, **_shape):
    raise OSError("there is no compiler")


def stopping(_device, **_shape):
    raise KeyboardInterrupt


SMALL = replace(HUNGRY, quick={"reference": 2, "ours": 1})
IMPOSSIBLE = replace(SMALL, name="impossible", prepare=impossible)
WRONG = replace(HUNGRY, name="wrong", prepare=disagreeing, full={}, tolerance=0.1)


@pytest.fixture(autouse=True)
def copied(monkeypatch):
    """Processes that measure memory are copies of one that has imported what they need."""
    monkeypatch.setattr(measure, "get_context", lambda _method: FORKS)


# --- agreement -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ROWS)
def test_reference_and_ours_agree(name, monkeypatch):
    compiled, row = [], ROWS[name]
    monkeypatch.setattr(feature_cache, "_compiled", lambda work: compiled.append(work) or work)  # tested where it lies
    assert check(row, row.prepare(CPU, **row.quick), CPU) <= row.tolerance
    assert bool(compiled) == (name == "extraction_compiled")


def test_what_disagrees_is_neither_timed_nor_written(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(measure, "interleave", lambda *_: pytest.fail("timed"))
    with pytest.raises(Disagreement, match=r"wrong: reference and ours differ by 0\.25, .* 0\.1 is the tolerance"):
        measure.measure(WRONG, 1, False, CPU)
    found, faults = run.run([WRONG], 1, True, CPU, tmp_path / "results.csv")
    assert (
        found.empty
        and not list(tmp_path.glob("*.csv"))
        and "wrong" in faults[0]
        and "results differ" in capsys.readouterr().out
    )


def test_a_row_that_cannot_be_run_is_a_sentence_and_the_next_is_measured(tmp_path, capsys):
    found, faults = run.run([IMPOSSIBLE, SMALL], 1, True, CPU, tmp_path / "results.csv")
    assert list(found.row) == list(pd.read_csv(tmp_path / "results.csv").row) == [SMALL.name]
    assert faults == ["impossible: there is no compiler"] and "impossible … not measured" in capsys.readouterr().out


def test_the_readme_quotes_a_line_as_soon_as_it_is_measured(monkeypatch, tmp_path):
    """A stop in the second row leaves file and README alike."""
    monkeypatch.setattr(run, "FOLDER", tmp_path)
    monkeypatch.setattr(run, "README", tmp_path / "README.md")
    run.README.write_text("".join(run.MARKS))
    stopped = replace(SMALL, name="stopped", prepare=stopping)
    with pytest.raises(KeyboardInterrupt):
        run.run([SMALL, stopped], 1, True, CPU, tmp_path / "results_cpu.csv")
    assert run.markdown(pd.read_csv(tmp_path / "results_cpu.csv")) in run.README.read_text()


def test_each_row_is_measured_in_a_process_of_its_own():
    first, second = measure.alone(os.getpid), measure.alone(os.getpid)
    assert len({first, second, os.getpid()}) == 3


def test_difference_is_relative_and_the_worst_of_all_arrays():
    assert (
        difference({"a": [1.0, -4.0], "b": torch.tensor([2.0])}, {"b": torch.tensor([2.0]), "a": [1.0, -3.0]}) == 0.25
    )
    assert difference((np.zeros(3), 1), (np.zeros(3), 1)) == 0
    assert difference(np.ones(3), np.ones(4)) == np.inf
    assert not difference(torch.ones(2), torch.tensor([1.0, np.nan])) <= 1e9


def test_a_search_in_part_of_a_database_is_compared_where_both_found_the_same():
    everywhere = np.array([[0.1, 0.2, 0.3], [0.1, 0.5, 0.6]]), np.array([[5, 0, 2], [1, 4, 2]])
    in_three = np.array([[0.2, 0.3, 0.9], [0.1, 0.6, 0.7]]), np.array([[0, 2, 1], [1, 2, 0]])
    expected, found = _common(in_three, everywhere, 3)
    assert expected[0].tolist() == found[0].tolist() == [[0.2, 0.3, 0.0], [0.1, 0.6, 0.0]]
    in_three[0][1, 1] = 0.4
    assert difference(*(side[0] for side in _common(in_three, everywhere, 3))) > 0.1


# --- measuring -----------------------------------------------------------------------------------------------------
def test_calls_take_turns(monkeypatch):
    monkeypatch.setattr(measure, "SHORTEST", 0.0)  # one call a measurement
    order = []
    found = interleave({name: lambda name=name: order.append(name) for name in "abc"}, 4, CPU)
    assert "".join(order) == "abc" * 5  # the first to warm
    assert list(found) == ["a", "b", "c"] and len(found) == 4 and (found > 0).all(axis=None)


def test_a_part_of_the_work_counts_as_all_of_it(monkeypatch):
    monkeypatch.setattr(measure, "interleave", lambda *_: pd.DataFrame({"reference": [1.0, 2.0, 1.0], "ours": 1.0}))
    case = Case(lambda: 0, lambda: 0, part=0.1)
    found = measure.measure(replace(HUNGRY, prepare=lambda _: case, full={}), 3, False, CPU)
    assert (found["ratio_low"], found["ratio"], found["ratio_high"]) == pytest.approx((0.05, 0.1, 0.1))
    assert found["passed"] is True


def test_every_bar_counts():
    line = {"ratio": 0.5, "bar": 0.6, "floor_ratio": None, "floor_bar": None, "memory_ratio": 0.2, "memory_bar": 0.1}
    assert not passed(line)
    assert passed(line | {"memory_bar": 0.2})
    assert not passed(line | {"memory_bar": 0.2, "ratio": 0.7})
    assert passed(line | {"memory_ratio": None})  # could not be measured


@pytest.mark.skipif(not measure.can_measure_memory(CPU), reason="the peak of a process is read from Linux")
@pytest.mark.parametrize("row", [HUNGRY, REUSING], ids=lambda row: row.name)
def test_peak_memory_is_that_of_the_call(row):
    """Also where as much was freed before, which the C library would hand out again as if nothing were taken."""
    assert peak_bytes(row, "reference", False, CPU) == pytest.approx(96 * MIB, abs=8 * MIB)


def test_a_ratio_that_is_not_nothing_does_not_read_as_nothing():
    values, bars = pd.Series([0.00196, 0.00499, 0.005, 1.2345, None]), pd.Series([0.06, None, 0.06, 2.5, None])
    assert run._ratios(values, bars) == ["0.002 (0.06)", "0.005", "0.01 (0.06)", "1.23 (2.5)", ""]


def test_shares_of_the_measured_rates(monkeypatch):
    monkeypatch.setattr(measure, "matrix_rate", lambda _: 1e6)
    monkeypatch.setattr(measure, "bandwidth", lambda _: 1e3)
    a, b = torch.rand(10, 20), torch.rand(20, 50)
    found = shares(Case(lambda: None, lambda: a @ b, nbytes=500), 0.1, CPU)
    assert found == pytest.approx({"matrix_share": 2 * 10 * 20 * 50 / 0.1 / 1e6, "bandwidth_share": 5.0})
    assert shares(Case(lambda: None, lambda: a + 1), 0.1, CPU) == {"matrix_share": None, "bandwidth_share": None}


@pytest.fixture
def small(monkeypatch):
    """Rates measured in milliseconds; what was measured before is forgotten, and what is measured here."""
    monkeypatch.setitem(device.MATRIX, "cpu", 64)
    monkeypatch.setattr(device, "CHANNELS", 4)
    monkeypatch.setattr(device, "SIDE", 8)
    monkeypatch.setattr(device, "COPIED", MIB)
    device.fastest.cache_clear(), device.bandwidth.cache_clear()
    yield
    device.fastest.cache_clear(), device.bandwidth.cache_clear()


@pytest.mark.parametrize("make", [device.product, device.convolution])
def test_rows_of_work_have_the_operations_that_they_say(small, make):
    work = make(CPU)
    assert operations(lambda: work.run(3)) == 3 * work.operations
    assert operations(lambda: work.run(work.rows)) == work.rows * work.operations


def test_a_floor_has_as_many_operations_as_the_call(monkeypatch):
    rows = []
    monkeypatch.setattr(device, "fastest", lambda _: (1.0, Work(rows.append, 8, 128)))
    a, b = torch.rand(20, 30), torch.rand(30, 10)
    assert operations(lambda: a @ b) == 12_000
    floor_of(lambda: a @ b, CPU)()
    assert rows == [8] * 11 + [5] and 12_000 - 128 < 128 * sum(rows) <= 12_000


def test_a_product_writes_no_fresh_memory(small):
    work = device.product(CPU)
    assert work.run(2).data_ptr() == work.run(3).data_ptr()


def test_the_rate_of_a_device_is_that_of_the_faster_work(small, monkeypatch):
    slow, fast = (Work(lambda _: None, rows, 128) for rows in (4, 8))
    monkeypatch.setattr(device, "_best", lambda *_: 0.5)
    for product, convolution in ((slow, fast), (fast, slow)):
        device.fastest.cache_clear()
        monkeypatch.setattr(device, "product", lambda _, work=product: work)
        monkeypatch.setattr(device, "convolution", lambda _, work=convolution: work)
        assert device.fastest(CPU) == (2 * 8 * 128, fast) and device.matrix_rate(CPU) == 2 * 8 * 128


def test_rates_of_a_device_are_measured(small):
    assert min(device.matrix_rate(CPU), device.bandwidth(CPU)) > 1e6


# --- the command ---------------------------------------------------------------------------------------------------
def test_quick_run_writes_a_table_that_grows(capsys):
    file = cache_root() / "benchmarks" / "quick_cpu.csv"
    assert run.main(["gem", "recall_from_ranks", "--quick", "--repeats", "2"]) == 0
    first = pd.read_csv(file)
    assert list(first.row) == [name for name in ROWS if name in ("gem", "recall_from_ranks")]
    assert set(first) == COLUMNS and first.quick.all() and first.passed.isna().all()
    assert (first.ratio_low <= first.ratio).all() and (first.ratio <= first.ratio_high).all()
    assert re.search(r"gem .*0\.45", capsys.readouterr().out)
    assert run.main(["loss_ind", "gem", "--quick", "--repeats", "1"]) == 0
    grown = pd.read_csv(file).set_index("row")
    assert dict(grown.repeats) == {"loss_ind": 1, "gem": 1, "recall_from_ranks": 2}
    assert not list(cache_root().glob("photographs*"))


def test_the_readme_quotes_what_was_measured(tmp_path):
    found, said = pd.read_csv(run.FOLDER / "results_cpu.csv"), run.README.read_text()
    assert run.MARKS[0] + run.markdown(found) + run.MARKS[1] in said, "make bench-publish writes it"
    copy = tmp_path / "README.md"
    copy.write_text(said)
    run.quote(copy, found.assign(ratio=9.0))
    assert copy.read_text().count("| 9.000 (") == len(found) and len(copy.read_text()) < len(said) + 100
    copy.write_text("no marks")
    with pytest.raises(ValueError, match="lost the marks"):
        run.quote(copy, found)


def test_faults_of_the_command_are_sentences(monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r"no row is called 'speed'; choose one of: .*netvlad"):
        run.main(["speed"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="there is none; leave it out to measure the CPU"):
        run.main(["--gpu"])
    monkeypatch.setitem(ROWS, "wrong", WRONG)
    assert run.main(["wrong", "--quick"]) == 1
    assert "FAILED wrong: " in capsys.readouterr().err


def test_full_and_quick_shapes_name_the_same_sizes_and_no_result_of_one_is_kept_as_the_other():
    assert [name for name, row in ROWS.items() if row.full.keys() != row.quick.keys()] == []
    assert run.results_file(CPU, quick=True) != run.results_file(CPU)


def test_only_who_publishes_changes_the_repository(monkeypatch, tmp_path, capsys):
    for name, place in {"FOLDER": tmp_path / "benchmarks", "README": tmp_path / "benchmarks" / "README.md"}.items():
        monkeypatch.setattr(run, name, place)
    run.FOLDER.mkdir()
    run.README.write_text("".join(run.MARKS))
    monkeypatch.setattr(run, "alone", lambda work, *rest: work(*rest))  # a process takes seconds to start
    monkeypatch.setitem(ROWS, "small", replace(SMALL, name="small", full=SMALL.quick))
    assert run.main(["small", "--repeats", "1"]) == 0
    assert run.README.read_text() == "".join(run.MARKS) and [*run.FOLDER.iterdir()] == [run.README]
    assert list(pd.read_csv(cache_root() / "benchmarks" / "results_cpu.csv").row) == ["small"]
    assert run.main(["small", "--repeats", "1", "--publish"]) == 0
    assert "| memory |" in run.README.read_text() and (run.FOLDER / "results_cpu.csv").exists()
    with pytest.raises(SystemExit):
        run.main(["small", "--quick", "--publish"])
    assert "not allowed with argument --quick" in capsys.readouterr().err
