"""The PDF: same results, same bytes; what is missing stops it in a sentence; a toy city shows on page 1."""

import io
import json
import re
import shutil
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.own import vouch
from tests.pdf import PPI, crowded, text
from tests.synthetic_assets import baseline_numbers, export_baseline, export_dataset, gains_table, recall_table
from vg_core.config import PROFILES
from vg_core.system import paths

sys.path.insert(0, str(paths.REPORTS))
import build as paper

AMBER = (179, 89, 0)  # of the box that warns, and of "not comparable"


@pytest.fixture
def reports(tmp_path, monkeypatch):
    """A copy of the paper's sources, so that no test writes into the real folder."""
    folder = tmp_path / "reports"
    kept = shutil.ignore_patterns("assets", "runs", "*.pdf", "__pycache__")
    shutil.copytree(paths.REPORTS, folder, ignore=kept)
    monkeypatch.setattr(paths, "REPORTS", folder)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paper, "SOURCE", folder / "report.typ")
    return folder


@pytest.fixture(scope="session")
def shelf(tmp_path_factory):
    """Both exports, drawn once for all tests."""
    folder = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VG_CACHE", str(folder))
        export_dataset()
        export_baseline()
    return folder / "smoke" / "assets"


@pytest.fixture
def exported(reports, shelf):
    """Folder of the paper's sources, with results in place."""
    shutil.copytree(shelf, paths.assets_folder("smoke"))
    return reports


def relabel(profile: str, dataset: str) -> None:
    """Results of the smoke profile as if they were of another profile and dataset."""
    if profile != "smoke":
        shutil.copytree(paths.assets_folder("smoke"), paths.assets_folder(profile))
    for origin in paths.assets_folder(profile).glob("*/origin.json"):
        origin.write_text(origin.read_text().replace('"toycity"', f'"{dataset}"').replace('"smoke"', f'"{profile}"'))
        vouch(origin.parent)


def first_page_has_the_box(profile: str) -> bool:
    page = paper.compile_paper(paper.find_results(paths.assets_folder(profile), profile), "png", ppi=72)[0]
    pixels = np.asarray(Image.open(io.BytesIO(page)).convert("RGB")).astype(int)
    return bool((np.abs(pixels - AMBER).sum(axis=2) < 12).sum() > 30)


def pages() -> list[bytes]:
    return paper.compile_paper(paper.find_results(paths.assets_folder("smoke"), "smoke"), "png", ppi=PPI)


def test_a_draft_is_a_pdf_of_a_few_pages_with_nothing_in_its_margins(exported, capsys):
    assert paper.main(["--profile", "smoke"]) == 0
    assert (exported / "draft.pdf").read_bytes().startswith(b"%PDF")
    printed = capsys.readouterr()
    assert "wrote" in printed.out and not printed.err
    assert crowded(pages()) == []
    assert sorted(f.name for f in exported.glob(".*")) == []


def test_the_same_results_give_the_same_pdf(exported):
    once = paper.build("smoke").read_bytes()
    assert paper.build("smoke").read_bytes() == once


def test_toy_results_are_marked_whatever_the_profile(exported):
    assert first_page_has_the_box("smoke")
    relabel("full", "toycity")
    assert first_page_has_the_box("full")


def test_results_of_a_real_city_are_not_marked(exported):
    relabel("full", "pitts30k")
    assert not first_page_has_the_box("full")
    assert paper.build("full") == exported / "report.pdf"
    relabel("smoke", "my_photos")
    assert first_page_has_the_box("smoke"), "a rehearsal on real photographs is one all the same"


def test_a_test_with_made_up_coordinates_is_told_in_units(exported):
    folder = paths.assets_folder("smoke") / "00_dataset"
    splits = pd.read_csv(folder / "splits.csv")
    splits[splits.split == "test"].assign(unit="units").to_csv(folder / "splits.csv", index=False)
    vouch(folder)
    relabel("smoke", "amstertime")
    said = text(paper.build("smoke").read_bytes())
    assert "is a database image within 25 units of a query" in said and "Its coordinates are made up" in said
    assert "three splits" not in said and "(UTM, metres)" not in said


def test_the_paper_does_without_the_dataset_but_not_without_the_baselines(exported, capsys):
    shutil.rmtree(paths.assets_folder("smoke") / "00_dataset")
    assert paper.main([]) == 0
    shutil.rmtree(paths.assets_folder("smoke") / "10_baseline")
    assert paper.main([]) == 1
    assert "holds no results of 10_baseline; make them with: python reports/run_" in capsys.readouterr().err


def numbers_without(*path: str) -> dict:
    numbers = baseline_numbers()
    inner = numbers
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return numbers


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        (numbers_without("chance_r1"), "chance_r1"),
        (numbers_without("config", "margin"), "config.margin"),
        (baseline_numbers() | {"excluded": None}, "excluded"),
        (baseline_numbers() | {"config": 1.0}, "config."),
    ],
)
def test_a_missing_number_stops_the_build_in_a_sentence(exported, capsys, numbers, missing):
    (paths.assets_folder("smoke") / "10_baseline" / "numbers.json").write_text(json.dumps(numbers))
    vouch(paths.assets_folder("smoke") / "10_baseline")
    assert paper.main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"no report: 10_baseline exported no number {missing}")
    assert said.endswith("run it again with python reports/run_notebooks.py --profile smoke 10_baseline\n")
    assert not (exported / "draft.pdf").exists()


@pytest.mark.parametrize(
    ("name", "table", "missing"),
    [
        ("recall", recall_table().query("n != 5"), "recall@5 of GeM, untrained in table recall"),
        ("recall", recall_table().query("variant != 'GeM'"), "row with variant GeM, n 1 in table recall"),
        ("recall", recall_table().drop(columns="places"), "column places in table recall"),
        ("gains", gains_table().drop(columns="p_holm"), "column p_holm in table gains"),
        ("gains", gains_table()[:2], "row with variant NetVLAD over GeM in table gains"),
        ("gains", pd.concat([gains_table()] * 2), "row with variant GeM, trained in table gains"),
        ("gains", gains_table()[:0], "column variant in table gains"),
    ],
)
def test_an_incomplete_table_stops_the_build_in_a_sentence(exported, capsys, name, table, missing):
    table.to_csv(paths.assets_folder("smoke") / "10_baseline" / f"{name}.csv", index=False)
    vouch(paths.assets_folder("smoke") / "10_baseline")
    assert paper.main([]) == 1
    assert f"10_baseline exported no {missing}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "missing"),
    [("gallery.jpg", "figure gallery"), ("gains.csv", "table gains"), ("numbers.json", "numbers")],
)
def test_a_file_that_was_never_exported_stops_the_build_in_a_sentence(exported, capsys, file, missing):
    (paths.assets_folder("smoke") / "10_baseline" / file).unlink()
    vouch(paths.assets_folder("smoke") / "10_baseline")
    assert paper.main([]) == 1
    assert f"10_baseline exported no {missing}: run it again" in capsys.readouterr().err


@pytest.mark.parametrize(
    "file", ["gallery.jpg", "curves.svg", "gains.csv", "numbers.json", "origin.json", "SHA256SUMS"]
)
@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "one bit"])
def test_a_damaged_file_stops_the_build_in_a_sentence(exported, capsys, file, damage):
    path = paths.assets_folder("smoke") / "10_baseline" / file
    data = path.read_bytes()
    path.write_bytes({"cut": data[:-20], "one bit": bytes([data[0] ^ 1]) + data[1:]}.get(damage, b""))
    if damage == "gone":
        path.unlink()
    assert paper.main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"no report: {path.parent}") and said.count("\n") == 1
    assert said.endswith("run 10_baseline again: python reports/run_notebooks.py --profile smoke 10_baseline\n")


def test_a_figure_that_was_never_exported_stops_the_build(exported, capsys):
    origin = paths.assets_folder("smoke") / "10_baseline" / "origin.json"
    origin.write_text(json.dumps(json.loads(origin.read_text()) | {"figures": {}}))
    vouch(origin.parent)
    assert paper.main([]) == 1
    assert "10_baseline exported no figure " in capsys.readouterr().err


def test_a_dataset_chapter_about_other_photographs_is_refused(exported, capsys):
    origin = paths.assets_folder("smoke") / "10_baseline" / "origin.json"
    origin.write_text(origin.read_text().replace("toycity", "my_photos"))
    vouch(origin.parent)
    assert paper.main([]) == 1
    assert "00_dataset describes toycity, but 10_baseline was run on my_photos" in capsys.readouterr().err


def test_a_chapter_without_a_section_is_announced(exported, capsys):
    shutil.copytree(paths.assets_folder("smoke") / "10_baseline", paths.assets_folder("smoke") / "99_other")
    assert paper.main([]) == 0
    assert "99_other has results but no reports/sections/99_other.typ" in capsys.readouterr().out


def test_a_fault_of_the_template_shows_its_line(exported, capsys):
    with (exported / "sections" / "conclusion.typ").open("a") as file:
        file.write("#nonsense")
    assert paper.main([]) == 1
    assert "the template does not compile" in (said := capsys.readouterr().err) and "conclusion.typ" in said


@pytest.mark.parametrize(
    ("fields", "printed"),
    [
        ('author = "Ada Lovelace"\ncourse = "Machines"\ndate = 1843-09-01', "Ada Lovelace Machines 1843-09-01 "),
        ('author = "Ada Lovelace"\ncourse = ""', "Ada Lovelace "),
        ("", ""),
    ],
)
def test_author_course_and_date_stand_below_the_title(exported, fields, printed):
    (exported / "author.toml").write_text(fields)
    assert f"with Intervals {printed}Notebooks 00 10" in text(paper.build("smoke").read_bytes(), pages=1)


def test_ink_in_the_margins_is_seen(exported):
    with (exported / "report.typ").open("a") as file:
        file.write("#place(bottom, dy: 0.3in, rect(height: 1in, width: 50%, fill: black))")
    assert len(crowded(pages())) == 1


def test_scripts_and_package_know_the_same_profiles():
    import run_notebooks

    for parser in (paper.parser(), run_notebooks.parser()):
        choices = next(action.choices for action in parser._actions if action.dest == "profile")
        assert list(choices) == list(PROFILES)


def test_what_sections_print_is_what_their_notebooks_keep():
    """Nobody else would notice before the whole batch has run."""
    asked = set()
    for file in [*paths.REPORTS.glob("*.typ"), *paths.REPORTS.glob("sections/*.typ")]:
        text = file.read_text()
        asked |= set(re.findall(r'\b(?:row|rows|values)\(\s*"(\d\d_\w+)",\s*"(\w+)"', text))
        asked |= {(slug, table) for slug, table in re.findall(r'"(\d\d_\w+)",[^()]*table: "(\w+)"', text)}
        asked |= set(re.findall(r'\bplate\(\s*"(\d\d_\w+)",\s*"(\w+)"', text))
        for slug, names in re.findall(r'\bplates\(\s*"(\d\d_\w+)",\s*\(([^)]*)\)', text):
            asked |= {(slug, name) for name in re.findall(r'"(\w+)"', names)}
        for function, table in (("recall|counted", "recall"), ("tally|judged", "predictions"), ("own-rates", "rates")):
            asked |= {(slug, table) for slug in re.findall(rf'\b(?:{function})\(\s*"(\d\d_\w+)"', text)}
        of = re.search(r'number\.with\("(\d\d_\w+)"\)', text)
        named = re.findall(r'\bn\("(\w+)', text) if of else []
        asked |= {(of[1], name) for name in named} | set(re.findall(r'\bnumber\("(\d\d_\w+)", "(\w+)', text))
    assert len(asked) > 80
    for slug in sorted({slug for slug, _ in asked}):
        notebook = json.loads((paths.NOTEBOOKS / f"{slug}.ipynb").read_text())
        code = "".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code")
        kept = re.findall(r'page\.(?:figure|table)\(\s*"(\w+)"', code)
        kept += re.findall(r"(\w+)=", code[code.index("page.close(") :])
        assert {name for chapter, name in asked if chapter == slug} <= set(kept), slug
