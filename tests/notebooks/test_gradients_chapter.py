"""Notebook 32 from its cells to the PDF: what it exports is what its section asks for, and theory is no toy city."""

import json
import sys

import nbformat
import pandas as pd
import pytest

from tests.notebooks.test_build import first_page_has_the_box, reports  # noqa: F401
from tests.pdf import PPI, crowded
from tests.synthetic_assets import export_baseline
from vg_core.losses import LOSSES, gradients
from vg_core.losses.tuples import Loss
from vg_core.report import Page
from vg_core.system import paths

sys.path.insert(0, str(paths.REPORTS))
import build as paper

SLUG = "32_gradients"


def run_cells() -> tuple[dict, pd.DataFrame, pd.DataFrame]:
    """What the notebook exports: numbers, checks of formulas, golden values and peaks."""
    notebook = nbformat.read(paths.NOTEBOOKS / f"{SLUG}.ipynb", as_version=4)
    names = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
    made = paths.assets_folder("smoke") / SLUG
    checks, *golden = (pd.read_csv(made / f"{table}.csv") for table in ("checks", "values", "peaks"))
    return json.loads((made / "numbers.json").read_text()), checks, pd.concat(golden)


def refuted(table: pd.DataFrame) -> int:
    return (table.verdict == "refuted").sum()


def test_the_chapter_confirms_the_paper_and_is_in_the_pdf():
    numbers, checks, golden = run_cells()
    assert numbers["verdict"] == "confirmed" and max(checks.deviation.max(), numbers["grid"]) < 1e-13
    assert len(checks) == 27 and refuted(checks) == refuted(golden) == 0
    cited = checks.source[checks.source.str.startswith("eq. ")].str.removeprefix("eq. ").astype(int)
    assert sorted(cited) == list(range(9, 21))
    export_baseline()
    manifest = paper.find_results(paths.assets_folder("smoke"), "smoke")
    assert manifest["sections"] == ["10_baseline", SLUG]
    assert crowded(paper.compile_paper(manifest, "png", ppi=PPI)) == []


@pytest.mark.usefixtures("reports")
def test_theory_makes_no_city_a_toy():
    for profile, dataset in (("smoke", "toycity"), ("full", "pitts30k")):
        export_baseline(profile, datasets={dataset: "0123456789ab"})
        Page("35_theory", profile).close({})
        assert first_page_has_the_box(profile) == (profile == "smoke")


def test_what_differs_from_the_paper_is_refuted_all_the_way_to_the_numbers(monkeypatch):
    """Forces of one loss, and three joint losses whose gradients are the paper's all the same."""
    right = gradients.TABLE_1["sare_cauchy_ind"]
    monkeypatch.setitem(
        gradients.TABLE_1, "sare_cauchy_ind", lambda a, b: tuple(1.001 * force for force in right(a, b))
    )
    for kernel in ("gaussian", "cauchy", "exponential"):
        name = f"sare_{kernel}_joint"
        shifted = Loss(lambda tuples, normaliser, right=LOSSES[name]: right.whole(tuples, normaliser) + 1e-9)
        monkeypatch.setitem(LOSSES, name, shifted)
    numbers, checks, golden = run_cells()
    assert numbers["verdict"] == "refuted" and refuted(checks) == 3 + 3
    assert refuted(golden) == 0, "these are autograd's own"
