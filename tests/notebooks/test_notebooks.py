"""Every notebook keeps the rules, and every rule finds the fault that it is there for."""

import nbformat
import pytest
from nbformat import v4

from tests import notebook_rules as rules
from vg_core.system import paths

NAMES = sorted(file.stem for file in paths.NOTEBOOKS.glob("*.ipynb"))
NAME = "20_optimizer"
OPENING = f"""# 20 · Optimizer: which one?

**Question.** Which optimizer finds more queries?
**Expectation.** Adam, at a threshold of 25 m.
**Cost.** 3 minutes on two cores.
**Command.** `python reports/run_notebooks.py {NAME}`
"""
CELLS = [
    'profile = "smoke"  # "full" needs the data and a GPU\nseeds = [0, 1, 2]',
    f'import pandas as pd\nimport vg_core as vg\npage = vg.Page("{NAME}", profile)',
    'base = vg.Config.of(profile)\nvariants = {"adam": base, "sgd": base.replace(optimizer="sgd")}',
    "sorted(variants, key=lambda variant: len(variant))",
    "page.close({}, seeds=len(seeds))",
]


MANY = ", ".join(f"n{number}=1" for number in range(7))


def read(name: str) -> nbformat.NotebookNode:
    return nbformat.read(paths.NOTEBOOKS / f"{name}.ipynb", as_version=4)


def sample(opening: str = OPENING, cells=CELLS, note: str = "What changes, what stays.") -> nbformat.NotebookNode:
    parts = [v4.new_markdown_cell(opening), v4.new_markdown_cell(note), *map(v4.new_code_cell, cells)]
    parts[2].metadata["tags"] = ["parameters"]
    return v4.new_notebook(cells=parts)


def with_cell(source: str) -> nbformat.NotebookNode:
    return sample(cells=[*CELLS[:3], source, *CELLS[3:]])


# --- the notebooks ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["00_dataset", "10_baseline"])
def test_the_first_notebooks_are_there(name):
    assert name in NAMES


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


# --- the rules: each planted fault is found, and only it ----------------------------------------------------------
def outputs_left():
    notebook = sample()
    notebook.cells[3].outputs = [v4.new_output("stream", text="71.2")]
    return notebook


def run_left():
    notebook = sample()
    notebook.cells[3].metadata["papermill"] = {"duration": 1.0}
    notebook.metadata["language_info"] = {"name": "python", "version": "3.11.7"}
    return notebook


def untagged():
    notebook = sample()
    notebook.cells[2].metadata["tags"] = []
    return notebook


def parameters(source: str):
    return sample(cells=[source, *CELLS[1:]])


FAULTS = {  # one for each rule and for each way that it can be broken unseen
    "outputs": (outputs_left(), "code cell 2 carries outputs"),
    "metadata": (run_left(), "metadata of a run are left (language_info, papermill)"),
    "untagged": (untagged(), "exactly the first code cell must carry the tag parameters, not none"),
    "derived parameter": (parameters('profile = "smoke"\ndim = 2 * 8'), "'dim = 2 * 8' is not the assignment"),
    "full by default": (parameters('profile = "full"'), 'profile must be "smoke"'),
    "def": (with_cell("def double(x):\n    return 2 * x"), "code cell 4 defines a function or class"),
    "named lambda": (with_cell("double = lambda x: 2 * x"), "code cell 4 defines a function or class"),
    "long cell": (with_cell("\n".join(f"x{i} = {i}" for i in range(40))), "code cell 4 has 40 lines, more than 15"),
    "many cells": (sample(cells=[*CELLS[:3], *["seeds"] * 12, *CELLS[3:]]), "17 code cells, more than 14"),
    "magic": (with_cell("%matplotlib inline"), "code cell 4 is not plain Python"),
    "percentage": (sample(note="It finds 71.2 % of them."), "cell 2 types a measured number: '2 %'"),
    "recall": (sample(note="recall@5 reaches 71 on this."), "types a measured number: 'recall@5 reaches 7'"),
    "gain": (sample(note="It gains +3.1 points."), "cell 2 types a measured number: '+3.1 points'"),
    "wrong number": (sample(opening=OPENING.replace("# 20", "# 21")), "must begin with '# 20 · …'"),
    "no expectation": (sample(opening=OPENING.replace("Expectation", "Hope")), "the first cell has no **expectation**"),
    "foreign": (with_cell("from scipy.stats import norm"), "code cell 4 imports scipy.stats"),
    "behind the face": (
        with_cell("from vg_core.runs.experiments import sweep"),
        "code cell 4 imports vg_core.runs.experiments",
    ),
    "many imports": (with_cell("import numpy\nimport pandas\nimport IPython"), "5 imports, more than 4"),
    "home path": (with_cell('folder = "/home/me/photos"'), "names a path of one machine: '/home/'"),
    "never closed": (sample(cells=CELLS[:-1]), "page.close must be called in the last code cell"),
    "closed early": (sample(cells=[*CELLS, "seeds"]), "page.close must be called in the last code cell"),
    "another's page": (sample(cells=[CELLS[0], CELLS[1].replace(NAME, "10_baseline"), *CELLS[2:]]), "no vg.Page"),
    "many numbers": (sample(cells=[*CELLS[:-1], f"page.close({{}}, {MANY})"]), "closes the page with 7 numbers"),
}


def test_a_good_notebook_has_no_complaints():
    assert rules.complaints(NAME, sample()) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(fault):
    notebook, sentence = FAULTS[fault]
    (found,) = rules.complaints(NAME, notebook)
    assert sentence in found


def test_a_bad_name_is_found():
    assert "the name 'Optimizer-2' is not NN_noun" in rules.complaints("Optimizer-2", sample())


def test_a_repeated_cell_is_found_but_not_a_repeated_call():
    work = "names = sorted(variants)\nprint(names)"
    twins = {"20_a": with_cell(work), "21_b": with_cell(f"# another comment\n{work}")}
    found = rules.repeated(twins)
    assert "21_b, code cell 4, repeats a cell of 20_a" in found
    alike = [CELLS[0], CELLS[1], "ranks = sweep(variants, seeds)"]
    assert rules.repeated({"20_a": sample(cells=alike), "21_b": sample(cells=alike)}) == []
