"""Notebooks made for a test."""

import nbformat
from nbformat import v4

PARAMETERS = 'profile = "smoke"  # or "full"\nseeds = [0, 1]\nrate = 0.1\nepochs = 4\noptions = {}\nname = "x"'


def write(folder, stem: str, *cells: str, parameters: str = PARAMETERS):
    parts = [
        v4.new_markdown_cell(f"# {stem[:2]} · A question?"),
        v4.new_code_cell(parameters),
        *map(v4.new_code_cell, cells),
    ]
    parts[1].metadata["tags"] = ["parameters"]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(v4.new_notebook(cells=parts, metadata={"kernelspec": kernel}), folder / f"{stem}.ipynb")
