"""The headless runner: strict parameters, executed copies, failures told at the end, Ctrl-C leaves nothing behind."""

import os
import signal
import subprocess
import sys
import time

import nbformat
import psutil
import pytest

from tests.city.test_toy_city import are_gone
from tests.notebooks.written import write
from vg_core.system import paths

sys.path.insert(0, str(paths.REPORTS))
import run_notebooks as runner


@pytest.fixture
def never(monkeypatch):
    """No notebook may start."""
    monkeypatch.setattr(runner, "execute", lambda *_: pytest.fail("a notebook was run"))


def test_parameters_arrive_and_the_source_stays(notebooks, monkeypatch, capsys):
    before = (notebooks / "00_look.ipynb").read_bytes()
    monkeypatch.chdir(notebooks.parent)
    given = ["-p", "seeds", "[3]", "-p", "rate", "1", "-p", "options", '{"dataset": "./notebooks", "deep": true}']
    assert runner.main(["00", "--profile", "full", *given]) == 0
    printed = capsys.readouterr().out
    assert f"got full [3] 1.0 {{'dataset': '{notebooks}', 'deep': True}}" in printed and f"in {notebooks}" in printed
    assert [f.name for f in paths.executed_folder("full").glob("*.ipynb")] == ["00_look.ipynb"]
    assert (notebooks / "00_look.ipynb").read_bytes() == before


def test_a_failure_is_told_with_its_cell_and_stops_no_other(notebooks, capsys):
    write(notebooks, "20_more", "print('ran all the same')")
    paths.executed_folder("smoke").mkdir(parents=True)
    kept = paths.executed_folder("smoke") / "10_fail.ipynb"
    kept.write_text("an earlier copy")
    assert runner.main(["10", "20"]) == 1
    printed = capsys.readouterr()
    assert "ran all the same" in printed.out and "20 | ran all the same" in printed.out
    assert "20_more took" in printed.out and "10_fail failed after" in printed.out and "about" in printed.out
    assert "10_fail failed in cell [3]" in printed.err and "ZeroDivisionError: division by zero" in printed.err
    assert "    number = 1 / 0" in printed.err and "1 of 2 notebooks failed: 10_fail" in printed.err
    assert kept.read_text() == "an earlier copy"
    copies = sorted(f.name for f in kept.parent.glob("*.ipynb"))
    assert copies == ["10_fail.failed.ipynb", "10_fail.ipynb", "20_more.ipynb"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["33"], "there is no notebook '33'; known: 00_look, 10_fail"),
        (["-p", "seedz", "3"], "00_look has no parameter seedz; it has: profile, seeds, rate, epochs, options, name"),
        (["-p", "seeds", "3"], "00_look, seeds: '3' is not of type list, as its default [0, 1] is"),
        (["-p", "epochs", "2.5"], "00_look, epochs: '2.5' is not of type int"),
        (["-p", "epochs", "true"], "00_look, epochs: 'true' is not of type int"),
        (["-p", "rate", "fast"], "00_look, rate: 'fast' is not of type float"),
        (["-p", "options", "dataset=x"], "00_look, options: 'dataset=x' is not of type dict"),
        (["-p", "epochs", "1", "-p", "epochs", "2"], "epochs is given twice"),
        (["-p", "profile", "full"], "profile is given twice; use --profile alone"),
    ],
)
def test_a_wrong_argument_is_a_sentence_before_anything_runs(notebooks, never, capsys, arguments, sentence):
    assert runner.main(arguments) == 2
    assert sentence in capsys.readouterr().err


def test_a_parameter_must_be_known_to_every_chosen_notebook(notebooks, never, capsys):
    write(notebooks, "20_bare", parameters='profile = "smoke"')
    assert runner.main(["00", "20", "-p", "epochs", "1"]) == 2
    assert "20_bare has no parameter epochs; it has: profile" in capsys.readouterr().err


def test_a_text_parameter_is_taken_as_it_stands(notebooks):
    assert runner.typed(notebooks / "00_look.ipynb", {"name": "123"}) == {"name": "123"}


def test_an_error_of_ours_is_told_in_a_sentence(notebooks, capsys):
    write(notebooks, "20_wrong", "import vg_core as vg; vg.Page('20_wrong', profile)", "vg.Config.of(profile, lrr=1)")
    assert runner.main(["20"]) == 1
    error = capsys.readouterr().err
    assert "20_wrong failed in cell [4] of its executed copy: there is no option 'lrr'; did you mean lr?\n" in error
    assert "vg.Config.of" not in error


def test_edited_notebooks_are_named_before_they_run(notebooks, monkeypatch, capsys):
    monkeypatch.setattr(runner.version, "edited", lambda folder: {folder / "00_look.ipynb", folder / "10_fail.ipynb"})
    monkeypatch.setattr(runner, "execute", lambda *_: print("they run") or [])
    assert runner.main(["00"]) == 0
    assert capsys.readouterr().out == "00_look.ipynb is edited: its edits are used\nthey run\n"


# --- what is unchanged ----------------------------------------------------------------------------------------------
COUNT = "import pathlib; file = pathlib.Path('count'); file.write_text(file.read_text() + 'x')"


@pytest.fixture
def executed(notebooks, tmp_path, monkeypatch):
    """``changed()`` after a first execution: was the notebook executed again?"""
    for name in ("ROOT", "REPORTS"):
        monkeypatch.setattr(paths, name, tmp_path / name)
        (tmp_path / name / "vg_core").mkdir(parents=True)
    (tmp_path / "ROOT" / "vg_core" / "code.py").write_text("one = 1")
    (paths.data_root() / "city").mkdir(parents=True, exist_ok=True)
    (paths.data_root() / "city" / "photo.jpg").write_text("a photograph")
    write(notebooks, "00_look", COUNT)
    (notebooks / "count").write_text("")
    assert runner.main(["00"]) == 0

    def again(*arguments):
        before = (notebooks / "count").read_text()
        assert runner.main(["00", *arguments]) == 0
        return (notebooks / "count").read_text() != before

    return again


def test_circles_of_links_among_the_photographs_end(executed):
    (paths.data_root() / "city" / "up").symlink_to(paths.data_root())
    (paths.data_root() / "city" / "self.jpg").symlink_to("self.jpg")
    assert executed() in (True, False) and not executed()


def test_what_is_unchanged_is_not_executed_again(executed, capsys):
    assert not executed() and "unchanged since it was executed" in capsys.readouterr().out
    assert executed("--again") and not executed()
    assert executed("-p", "rate", "0.2") and not executed("-p", "rate", "0.2")


def _put(*parts):
    def put():
        file = paths.assets_folder("smoke").joinpath(*parts)
        file.parent.mkdir(parents=True)
        file.write_text("{}")

    return put


def test_a_change_executes_it_again(executed):
    copy = paths.executed_folder("smoke") / "00_look.ipynb"
    changes = {
        "code": lambda: (paths.ROOT / "vg_core" / "code.py").write_text("one = 2"),
        "photograph": lambda: (paths.data_root() / "city" / "photo.jpg").write_text("another photograph"),
        "new photograph": lambda: (paths.data_root() / "city" / "more.jpg").touch(),
        "table": lambda: (paths.REPORTS / "published.csv").write_text("a,b"),
        "no copy": copy.unlink,
        "broken copy": lambda: copy.write_text("{}"),
        "style": lambda: (paths.ROOT / "vg_core" / "house.mplstyle").write_text("font.size: 8"),
        "export": _put("00_look", "numbers.json"),
    }
    for what, change in changes.items():
        assert not executed(), f"before: {what}"
        change()
        assert executed(), what


def test_an_earlier_result_that_changed_executes_later_notebooks(executed, notebooks):
    (notebooks / "00_look.ipynb").unlink()
    write(notebooks, "50_look", COUNT, "# page.exported('predictions')")
    assert runner.main(["50"]) == 0
    (notebooks / "count").write_text("xx")
    exports = {("60_later", "numbers.json"): 2, ("40_earlier", "numbers.json"): 3, ("30_table", "predictions.csv"): 4}
    for parts, executions in exports.items():
        _put(*parts)()
        assert runner.main(["50"]) == 0 and len((notebooks / "count").read_text()) == executions


@pytest.mark.parametrize(
    "cell",
    [
        "import sys; print('gem, seed 0, failed: ValueError: no', file=sys.stderr)",
        "import pathlib; file = pathlib.Path('../ROOT/vg_core/code.py'); file.write_text(file.read_text() + '#')",
    ],
    ids=["a failed run", "code changed meanwhile"],
)
def test_what_may_come_out_otherwise_is_executed_again(executed, notebooks, cell):
    write(notebooks, "00_look", "import pathlib; pathlib.Path('more').open('a').write('x')", cell)
    for executions in (1, 2):
        assert runner.main(["00"]) == 0 and len((notebooks / "more").read_text()) == executions


def test_a_link_to_nothing_harms_nobody(executed):
    (paths.data_root() / "city" / "lost.jpg").symlink_to("nowhere")
    assert not executed()


def test_the_list_names_titles_and_parameters(notebooks, never, capsys):
    assert runner.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "00_look  00 · A question?" and "    -p seeds [0, 1]" in lines


# --- Ctrl-C ---------------------------------------------------------------------------------------------------------
def started(notebooks, stem: str, path: str = "") -> subprocess.Popen:
    code = (
        "import sys; from pathlib import Path; from vg_core import paths; paths.NOTEBOOKS = Path(sys.argv[1]);"
        f"sys.path.insert(0, {str(paths.REPORTS)!r}); import run_notebooks; sys.exit(run_notebooks.main(sys.argv[2:]))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    command, environment = [sys.executable, "-c", code, str(notebooks), stem], os.environ | {"PYTHONPATH": path}
    return subprocess.Popen(command, env=environment, **pipes)


def stopped(process: subprocess.Popen, times: int = 3) -> str:
    """What it says when Ctrl-C is pressed so often in a row."""
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.05)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and "Traceback" not in said
    assert said.endswith("\nstopped; what is trained is kept, the same command goes on from there\n")
    return said


def test_an_interrupt_ends_the_kernel_and_what_it_started_and_leaves_no_copy(notebooks):
    child = "import os, subprocess, time; one = subprocess.Popen(['sleep', '60'])"
    write(notebooks, "30_long", child, "print('pids', os.getpid(), one.pid, flush=True); time.sleep(60)")
    process = started(notebooks, "30")
    pids = next(line.split()[3:] for line in process.stdout if "| pids" in line)
    stopped(process)
    assert list(paths.executed_folder("smoke").iterdir()) == []
    assert are_gone([psutil.Process(int(pid)) for pid in pids if psutil.pid_exists(int(pid))])


def test_an_interrupt_while_the_kernel_starts_ends_it(notebooks, tmp_path):
    write(notebooks, "30_long")
    program = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    (notebooks / "ipykernel_launcher.py").write_text(program)  # beside the notebook: it is what starts
    process = started(notebooks, "30")
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().endswith("\n"):
        assert process.poll() is None
        time.sleep(0.05)
    kernel = psutil.Process(int((tmp_path / "pid").read_text()))
    stopped(process)
    assert are_gone([kernel]) and list(paths.executed_folder("smoke").iterdir()) == []


def test_an_interrupt_while_libraries_are_imported_is_a_sentence(notebooks, tmp_path):
    (tmp_path / "papermill.py").write_text("import time; print('imported', flush=True); time.sleep(60)")
    process = started(notebooks, "00", str(tmp_path))
    assert "imported\n" in iter(process.stdout.readline, "")
    assert stopped(process).startswith("\nstopped")


def test_a_copy_that_a_killed_runner_left_is_removed(notebooks):
    folder = paths.executed_folder("smoke")
    folder.mkdir(parents=True)
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from vg_core.system.files import unfinished; unfinished({str(folder / '00_look.ipynb')!r}).touch()",
        ]
    )
    assert process.wait() == 0 and len(list(folder.iterdir())) == 1
    assert runner.main(["00"]) == 0
    assert [file.name for file in folder.glob(".*")] == [] and (folder / "00_look.ipynb").exists()


def test_a_notebook_that_no_other_runs_beside_has_all_cores(notebooks, capsys):
    cores = "import os; print('cores:', os.environ.get('VG_CORES', 'all'))"
    write(notebooks, "50_one", cores)
    write(notebooks, "90_last", cores)
    file = notebooks / "90_last.ipynb"
    content = nbformat.read(file, as_version=4)
    content.metadata["vg_core"] = {"alone": True}
    nbformat.write(content, file)
    assert runner.main(["50", "90"]) == 0
    assert capsys.readouterr().out.count("cores: all") == 2
