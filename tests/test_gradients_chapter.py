"""Notebook 32 from its cells to the PDF: what it exports is what its section asks for, and theory is no toy city."""

import json
import sys

import nbformat
import pandas as pd
import pytest

from tests.synthetic_assets import export_baseline
from tests.test_build import first_page_has_the_box, reports  # noqa: F401
from vg_core import paths
from vg_core.losses import LOSSES, theory
from vg_core.report import export

sys.path.insert(0, str(paths.REPORTS))
import build as paper

SLUG = "32_gradients"


def run_cells() -> dict:
    """The numbers that the notebook exports."""
    notebook = nbformat.read(paths.NOTEBOOKS / f"{SLUG}.ipynb", as_version=4)
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
    return json.loads((paths.assets_folder("smoke") / SLUG / "numbers.json").read_text())


def test_the_chapter_confirms_the_paper_and_is_in_the_pdf():
    numbers = run_cells()
    assert numbers["verdict"] == "confirmed" and max(numbers["deviation"], numbers["grid"]) < 1e-13
    assert numbers["formulas_held"] == numbers["formulas"] == 27 and numbers["golden_held"] == numbers["golden"]
    checks = pd.read_csv(paths.assets_folder("smoke") / SLUG / "checks.csv")
    cited = checks.source[checks.source.str.startswith("eq. ")].str.removeprefix("eq. ").astype(int)
    assert sorted(cited) == list(range(9, 21))
    export_baseline()
    manifest = paper.find_results(paths.assets_folder("smoke"), "smoke") | {"roomy": True}
    assert manifest["sections"] == ["10_baseline", SLUG] and paper.crowded(manifest) == []


@pytest.mark.usefixtures("reports")
def test_theory_makes_no_city_a_toy():
    for profile, dataset in (("smoke", "toycity"), ("full", "pitts30k")):
        export_baseline(profile, datasets={dataset: "0123456789ab"})
        export("34_theory", datasets={}, profile=profile)
        assert first_page_has_the_box(profile) == (profile == "smoke")


def test_what_differs_from_the_paper_is_refuted_all_the_way_to_the_numbers(monkeypatch):
    right = theory.TABLE_1["sare_cauchy_ind"]
    monkeypatch.setitem(theory.TABLE_1, "sare_cauchy_ind", lambda a, b: tuple(1.001 * force for force in right(a, b)))
    numbers = run_cells()
    assert numbers["verdict"] == "refuted" and numbers["formulas_held"] == numbers["formulas"] - 3
    assert numbers["golden_held"] == numbers["golden"], "these are autograd's own"


@pytest.mark.parametrize("kernel", ["gaussian", "cauchy", "exponential"])
def test_a_joint_loss_that_is_not_the_papers_is_refuted(monkeypatch, kernel):
    """Its gradients are the paper's all the same."""
    right = LOSSES[f"sare_{kernel}_joint"]
    monkeypatch.setitem(LOSSES, f"sare_{kernel}_joint", lambda *batch, normaliser: right(*batch, normaliser) + 1e-9)
    numbers = run_cells()
    assert numbers["verdict"] == "refuted" and numbers["formulas_held"] == numbers["formulas"] - 1
