"""A figure is shown exactly once in a notebook: where it is the value of the cell, as it is when a page keeps it."""

import nbformat
import pytest
from nbclient import NotebookClient

CELLS = (
    "import pandas as pd\nimport vg_core as vg\npage = vg.Page('00_dataset')\n"
    "table = pd.DataFrame({'metres': [3.0, 40.0], 'easting': [5e5, 5e5 + 90], 'northing': [5e6, 5e6 + 90]})",
    "curve = vg.figures.error_cdf(table)",
    "vg.figures.error_cdf(table)\npage.figure('curve', curve)",
    "page.figure('map', vg.static_map({'test': (table, table)}))",
    "page.figure('grid', vg.photo_grid(['missing.jpg']))",
)


@pytest.fixture(scope="module")
def shown() -> list[list[str]]:
    """Kinds of the outputs of each cell, best first."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return [[next(iter(sorted(out.get("data", {"text": ""})))) for out in cell.outputs] for cell in notebook.cells]


def test_every_figure_is_shown_once(shown):
    assert shown == [[], [], ["image/png"], ["image/png"], ["image/png"]]
