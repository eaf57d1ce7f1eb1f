"""Notebook 00 runs from its first cell to its last on a set whose names hold metres and nothing else."""

import json

import nbformat
import pandas as pd

import vg_core as vg
from vg_core.datasets.splits import SPLITS
from vg_core.system import paths

SLUG = "00_dataset"
SHOWN = {"map", "density", "nearest", "per_place", "headings", "times", "photos"}


def test_every_page_of_the_chapter_is_made_without_zones(tmp_path, write_photo):
    """One image in each folder, no heading, and a time that is none."""
    unknown = {"zone_number": None, "zone_letter": "", "timestamp": "yesterday", "note": "{% $^{ <b>"}
    folder = tmp_path / "{{my}} $photos^{ <b>"
    for split in SPLITS:
        for role, east in (("database", 400_000), ("queries", 400_004)):
            write_photo(folder / split / role, east, 5_000_000, **unknown)
    names = {}
    for cell in nbformat.read(paths.NOTEBOOKS / f"{SLUG}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
        if "parameters" in cell.metadata.get("tags", []):
            names["options"] = {"dataset": str(folder)}
    made = paths.assets_folder("smoke") / SLUG
    splits = pd.read_csv(made / "splits.csv").set_index("split")
    assert (splits[["nearest_m", "views_per_position"]] == [4, 1]).all(axis=None)
    assert list(json.loads((made / "origin.json").read_text())["datasets"]) == [folder.name]
    assert {file.stem for file in made.iterdir()} >= SHOWN
    assert "a grid of metres" in vg.folium_map(names["tables"])._repr_html_()
