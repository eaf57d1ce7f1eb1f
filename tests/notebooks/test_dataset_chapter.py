"""Notebook 00 runs from its first cell to its last on a set whose names hold metres and nothing else."""

import json

import nbformat
import pandas as pd
from PIL import Image

import vg_core as vg
from vg_core.datasets.splits import SPLITS
from vg_core.system import paths

SLUG = "00_dataset"
SHOWN = {"map", "density", "nearest", "per_place", "headings", "times", "photos"}


def executed(**options) -> dict:
    """What the notebook's names stand for after its last cell."""
    names = {}
    for cell in nbformat.read(paths.NOTEBOOKS / f"{SLUG}.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
        if "parameters" in cell.metadata.get("tags", []):
            names["options"] = options
    return names


def test_every_page_of_the_chapter_is_made_without_zones(tmp_path, write_photo):
    """One image in each folder, no heading, and a time that is none."""
    unknown = {"zone_number": None, "zone_letter": "", "timestamp": "yesterday", "note": "{% $^{ <b>"}
    folder = tmp_path / "{{my}} $photos^{ <b>"
    for split in SPLITS:
        for role, east in (("database", 400_000), ("queries", 400_004)):
            write_photo(folder / split / role, east, 5_000_000, **unknown)
    names = executed(dataset=str(folder))
    made = paths.assets_folder("smoke") / SLUG
    splits = pd.read_csv(made / "splits.csv").set_index("split")
    assert (splits[["nearest_m", "views_per_position"]] == [4, 1]).all(axis=None)
    assert list(json.loads((made / "origin.json").read_text())["datasets"]) == [folder.name]
    assert {file.stem for file in made.iterdir()} >= SHOWN
    assert "a grid of metres" in vg.folium_map(names["tables"])._repr_html_()


def test_a_test_alone_with_other_queries_in_two_zones_is_shown_zone_by_zone(tmp_path, write_photo):
    """As SVOX and val of MSLS are; a map of both zones in one plane would be thousands of kilometres wide."""
    for role, off in (("database", 0), ("queries_night", 4)):
        write_photo(tmp_path / "set" / "test" / role, 347_003 + off, 6_172_895, zone_number=33, zone_letter="U")
        write_photo(tmp_path / "set" / "test" / role, 543_256 + off, 4_178_906, zone_number=10, zone_letter="S")
    names = executed(dataset=str(tmp_path / "set"), test_queries="queries_night")
    assert [*names["tables"]] == ["test, zone 33", "test, zone 10"]
    splits = pd.read_csv(paths.assets_folder("smoke") / SLUG / "splits.csv")
    assert splits[["split", "zones", "nearest_m", "queries_folder"]].to_numpy().tolist() == [
        ["test", 2, 4, "queries_night"]
    ]


def test_made_up_coordinates_lie_on_a_grid_of_units(tmp_path):
    for role in ("database", "queries"):
        for number in range(3):
            file = tmp_path / "set" / "test" / role / f"@0@{number}000@@@@@{number}@@@@@@@@.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6), (90 * number, 0, 0)).save(file)
    names = executed(dataset=str(tmp_path / "set"))
    page = vg.folium_map(names["tables"])._repr_html_()
    assert "a grid of units, a line every 500 units" in page and "degrees&quot;: false" in page
    svg = (paths.assets_folder("smoke") / SLUG / "map.svg").read_text()
    assert "(units)" in svg and "(m)" not in svg
