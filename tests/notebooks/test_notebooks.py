"""Every notebook keeps the rules, and no rule is one that everything keeps."""

import nbformat
import pytest
from nbformat import v4

from tests.notebooks import rules
from vg_core.system import paths

NAMES = sorted(file.stem for file in paths.NOTEBOOKS.glob("[0-9]*.ipynb"))


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_keeps_the_rules(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert rules.complaints(name, notebook) == []
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.parametrize("name", ["33_short_descriptors", "34_what_networks_see"])
def test_chapters_that_read_the_runs_of_30_train_as_it_does(name):
    """Else they would train networks of their own."""
    given = [{}, {}]
    for values, notebook in zip(given, (read("30_sare"), read(name)), strict=True):
        exec(next(cell.source for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])), values)
    theirs, its = given
    assert all(its[parameter] == theirs[parameter] for parameter in ("budget", "rates", "options"))


def test_no_cell_is_repeated_between_notebooks():
    assert rules.repeated({name: read(name) for name in NAMES}) == []


def test_every_rule_finds_something_in_a_notebook_that_breaks_them_all():
    cells = ["%matplotlib inline", "from sklearn.svm import SVC\ndef f(x):\n    return x", *["x = 1"] * 13]
    cells += [
        "\n".join(["y = 2"] * 16),
        f"page.close({{}}, {', '.join(f'n{i}=1' for i in range(7))})",
        "vg.judge_predictions(y)",
    ]
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("It finds 71.2 %."), *map(v4.new_code_cell, cells)])
    notebook.cells[2].outputs = [v4.new_output("stream", text="71.2")]
    assert [rule.__name__ for rule in rules.RULES if not rule("Optimizer-2", notebook)] == []
    (found,) = rules.repeated({"20_a": notebook, "21_b": notebook})  # single statements may look alike
    assert "21_b, code cell 16, repeats a cell of 20_a" in found
