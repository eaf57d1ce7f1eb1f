"""What a kernel is given is checked, and what goes wrong in it is a line: in a real kernel."""

from dataclasses import dataclass, field

import pytest
from jupyter_client.manager import start_new_kernel

from tests.notebooks.written import write
from vg_core.system.notebooks import STOPPED, defaults, fitting, is_sentence

CODE = ("import vg_core as vg", "page = vg.Page('10_tiny', profile)", "page.close({})")
PARAMETERS = """profile = "smoke"
seeds = [0, 1]
rate = 0.1
options = {}
budget = {"smoke": {"epochs_num": 2}}
augmentations = '''hue
rotation'''  # a text of two lines
cluster = "auto"
"""


# --- parameters -----------------------------------------------------------------------------------------------------
def test_a_default_may_take_several_lines(tmp_path):
    write(tmp_path, "10_tiny", parameters=PARAMETERS)
    found = defaults(tmp_path / "10_tiny.ipynb")
    assert found["augmentations"] == "hue\nrotation" and found["budget"] == {"smoke": {"epochs_num": 2}}


@pytest.mark.parametrize("line", ["seeds = list(range(3))", "a = b = 1", "import os"])
def test_a_default_that_is_computed_is_a_sentence(tmp_path, line):
    write(tmp_path, "10_tiny", parameters=line)
    with pytest.raises(ValueError, match=r"10_tiny: '.*' in its cell of parameters must give a name a plain value"):
        defaults(tmp_path / "10_tiny.ipynb")


@pytest.mark.parametrize(
    ("value", "default", "fits"),
    [
        ("[3]", [0], [3]),
        ("{'lr': 0.1, 'compile': True}", {}, {"lr": 0.1, "compile": True}),
        ('{"lr": 0.1, "compile": true}', {}, {"lr": 0.1, "compile": True}),
        (1, 0.5, 1.0),
        ("1", 0.5, 1.0),
        (range(2), [0], [0, 1]),
        ((4,), [0], [4]),
        ("123", "x", "123"),
        ("any", None, "any"),
    ],
)
def test_a_value_becomes_one_of_its_defaults_type(value, default, fits):
    found = fitting(value, default, "here")
    assert found == fits and type(found) is type(fits)


@pytest.mark.parametrize(
    ("value", "default", "sentence"),
    [
        (0, [0, 1], r"here: 0 is not of type list, as its default \[0, 1\] is; did you mean \[0\]\?$"),
        ("lr=1", {}, "here: 'lr=1' is not of type dict, as its default {} is$"),
        (True, 3, "here: True is not of type int, as its default 3 is$"),
        (3, "x", "here: 3 is not of type str, as its default 'x' is$"),
    ],
)
def test_a_value_of_another_type_is_a_sentence(value, default, sentence):
    with pytest.raises(ValueError, match=sentence):
        fitting(value, default, "here")


# --- a kernel -------------------------------------------------------------------------------------------------------
@dataclass
class Shown:
    """What a cell has shown."""

    error: dict = field(default_factory=dict)  # content of its output of kind "error"
    text: str = ""


@dataclass
class Kernel:
    manager: object
    client: object

    def __call__(self, code: str, interrupted_at: str = "") -> Shown:
        """Execute a cell, which is interrupted when it has written a certain text."""
        found = Shown()

        def hook(message):
            if message["msg_type"] == "error":
                found.error = message["content"]
            elif message["msg_type"] == "stream":
                found.text += message["content"]["text"]
                if interrupted_at and interrupted_at in message["content"]["text"]:
                    self.manager.interrupt_kernel()

        self.client.execute_interactive(code, output_hook=hook, timeout=120)
        return found


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    """A kernel that has executed the parameters of a notebook, 10_tiny, and opened its page."""
    folder = tmp_path_factory.mktemp("notebooks")
    write(folder, "10_tiny", *CODE, parameters=PARAMETERS)
    cell = Kernel(*start_new_kernel(cwd=str(folder)))
    try:
        cell(f"from pathlib import Path; import os; os.environ['VG_CACHE'] = {str(folder / 'cache')!r}")
        cell(f"from vg_core.system import paths; paths.NOTEBOOKS = Path({str(folder)!r})")
        cell(PARAMETERS)
        for code in CODE[:2]:
            assert not cell(code).error
        yield cell
    finally:
        cell.client.stop_channels()
        cell.manager.shutdown_kernel(now=True)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("seeds = 0", "10_tiny, seeds: 0 is not of type list, as its default [0, 1] is; did you mean [0]?"),
        ("cluster = 'heer'", "cluster='heer' is none of auto, here, local, nor the address of a Dask scheduler"),
        ("options = {'epochs': 3}", "there is no option 'epochs'; did you mean epochs_num?"),
        ("options = '{\"epochs\": 3}'", "there is no option 'epochs'; did you mean epochs_num?"),
        ("profile = 'ful'", "profile 'ful' is unknown; choose one of: smoke, full"),
    ],
)
def test_a_wrong_parameter_is_one_line_before_anything_runs(kernel, given, sentence):
    error = kernel("\n".join([PARAMETERS, given, CODE[1]])).error
    (line,) = error["traceback"]
    assert line.startswith(sentence) and error["evalue"].startswith(sentence)
    assert error["ename"] == "ValueError" and is_sentence(error["traceback"])


def test_texts_of_papermill_become_what_they_say(kernel):
    given = """options = '{"lr": 0.01}'; seeds = '[4]'; rate = 1"""
    assert not kernel("\n".join([PARAMETERS, given, CODE[1]])).error
    assert kernel("print(options, seeds, rate)").text == "{'lr': 0.01} [4] 1.0\n"


def test_the_whole_traceback_is_shown_when_it_is_asked_for(kernel):
    assert is_sentence(kernel("vg.Config.of('smoke', lrr=1)").error["traceback"])
    shown = "\n".join(kernel("%tb").error["traceback"])
    assert "Traceback" in shown and "vg_core/config/" in shown and "did you mean lr?" in shown


@pytest.mark.parametrize("code", ["int('x')", "{}['x']", "import pandas as pd; pd.Series([1])['x']", "1 / 0"])
def test_an_error_of_the_cells_own_code_keeps_its_traceback(kernel, code):
    error = kernel(code).error
    assert "Traceback" in "".join(error["traceback"]) and not is_sentence(error["traceback"])


def test_the_stop_button_is_a_sentence(kernel):
    slow = "import time\nclass Slow(dict):\n def items(self):\n  print('at work', flush=True)\n  time.sleep(100)"
    error = kernel(f"{slow}\nfrom vg_core.report import rounded\nrounded(Slow(), 'x')", interrupted_at="at work").error
    assert error["ename"] == "KeyboardInterrupt" and error["evalue"] == STOPPED and is_sentence(error["traceback"])


def test_a_notebook_is_edited_when_a_cell_of_it_was_not_executed_as_it_stands(kernel):
    ask = "from vg_core.system.notebooks import is_edited; print(is_edited('10_tiny'))"
    kernel(PARAMETERS + "seeds = [7]  # parameters may be changed\n" + CODE[1])
    assert kernel(ask).text == "True\n"
    kernel("page.close({})  # edited")
    assert kernel(ask).text == "True\n"
    kernel(CODE[2])
    assert kernel(ask).text == "False\n"
