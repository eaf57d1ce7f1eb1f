"""Exports: what lands in the folder, that its bytes are stable, and a sentence for whatever cannot be exported."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import folium
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.synthetic_assets import TOY, drawing, export, export_baseline, pictures
from vg_core.config import Config
from vg_core.report import Page, findings, rounded, shows_photographs
from vg_core.system import own_files, paths

SLUG = "20_optimizer"


def contents(folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_an_export_is_a_folder_of_files():
    folder = export_baseline()
    assert folder == paths.cache_root() / "smoke" / "assets" / "10_baseline"
    named = "SHA256SUMS cards.csv curves.svg gains.csv gallery.jpg hardness.svg"
    named += " numbers.json origin.json predictions.csv recall.csv training.svg"
    assert sorted(contents(folder)) == sorted(named.split())
    numbers = json.loads((folder / "numbers.json").read_text())
    assert numbers["chance_r1"] == 5.8 and numbers["config"]["image_size"] == list(Config.of("smoke").image_size)
    assert pd.read_csv(folder / "recall.csv").columns[0] == "variant"


def test_origin_says_where_results_come_from():
    origin = json.loads((export_baseline() / "origin.json").read_text())
    assert origin["profile"] == "smoke" and origin["datasets"] == TOY
    assert origin["commit"] == "unknown" or len(origin["commit"].rstrip("+")) == 40
    assert len(origin["runs"]) == 2 and origin["runs"] == sorted(origin["runs"])
    assert origin["software"]["python"].count(".") == 2 and origin["software"]["numpy"] == np.__version__
    assert origin["figures"]["curves"] == {"file": "curves.svg", "inches": [3.4, 2.3]}


def test_theory_looks_at_no_dataset():
    Page("32_gradients").close({}, deviation=2e-15)
    origin = json.loads((paths.assets_folder("smoke") / "32_gradients" / "origin.json").read_text())
    assert origin["datasets"] == {} and origin["runs"] == []


def test_a_page_says_where_it_is_and_leaves_the_cell_nothing_to_show(capsys):
    assert Page("32_gradients").close({}) is None
    assert capsys.readouterr().out == f"32_gradients is written to {paths.assets_folder('smoke') / '32_gradients'}\n"


def test_outside_git_the_commit_is_unknown(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert json.loads((export_baseline() / "origin.json").read_text())["commit"] == "unknown"


def test_the_same_results_give_the_same_bytes_in_another_process(tmp_path):
    here = contents(export_baseline())
    code = "from tests.synthetic_assets import export_baseline as export; print(export())"
    environment = os.environ | {"VG_CACHE": str(tmp_path / "other"), "PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=paths.ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert contents(Path(done.stdout.splitlines()[-1])) == here


def test_full_results_go_to_reports_and_nowhere_else(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    assert export_baseline(profile="full") == tmp_path / "reports" / "assets" / "10_baseline"
    assert not (tmp_path / "cache").exists()


def test_an_export_replaces_the_earlier_one_as_a_whole():
    export(SLUG, TOY, figures={"a": drawing("a", (3, 2)), "b": drawing("b", (3, 2))})
    folder = export(SLUG, TOY, figures={"b": drawing("b", (3, 2))})
    assert not (folder / "a.svg").exists() and (folder / "b.svg").exists()
    assert [f.name for f in folder.parent.iterdir()] == [SLUG], "nothing unfinished stays behind"


def test_an_export_that_cannot_take_its_place_leaves_the_earlier_one(monkeypatch):
    folder = export_baseline()
    before, rename = contents(folder), Path.rename

    def refused(path, target):
        if path != folder and Path(target) == folder and path.joinpath("new").exists():
            raise PermissionError(1, "Operation not permitted")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(OSError, match="10_baseline could not be written"):
        own_files.write_folder(folder, {"new": b"new"})
    assert contents(folder) == before and [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_a_full_disk_leaves_the_earlier_export_whole(monkeypatch):
    folder = export(SLUG, TOY, numbers={"r1": 1.0})
    before = contents(folder)

    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(folder), "write_bytes", full)
    with pytest.raises(OSError, match=r"20_optimizer could not be written .*No space left.* free some space"):
        export(SLUG, TOY, numbers={"r1": 2.0})
    assert contents(folder) == before and [f.name for f in folder.parent.iterdir()] == [SLUG]


def test_photographs_are_small_jpegs_and_everything_else_is_vector():
    rng = np.random.default_rng(0)
    noisy = pictures(4, 6)
    for ax in noisy.axes:
        ax.imshow(rng.random((300, 400, 3)))  # the hardest thing to compress
    matrix = Figure(figsize=(3, 2))
    matrix.subplots().imshow(rng.random((5, 5)))
    assert shows_photographs(noisy) and not shows_photographs(matrix)
    folder = export(SLUG, TOY, figures={"gallery": noisy, "matrix": matrix})
    assert (folder / "gallery.jpg").stat().st_size <= 200_000
    assert (folder / "matrix.svg").read_text().startswith("<?xml")


def test_tables_keep_a_named_index_and_drop_a_counting_one():
    table = pd.DataFrame({"recall": [1 / 3, np.nan]}, index=[4, 9])
    folder = export(SLUG, TOY, tables={"plain": table, "named": table.rename_axis("n")})
    assert (folder / "plain.csv").read_text() == 'recall\n0.333333\n""\n'
    assert (folder / "named.csv").read_text() == "n,recall\n4,0.333333\n9,\n"


def test_numbers_are_plain_rounded_and_portable():
    given = {"a": np.float32(0.1), "b": np.int64(3), "c": {"d": [True, None, "x"]}, "e": np.arange(2), "p": 1e-12 / 3}
    expected = {"a": 0.1, "b": 3, "c": {"d": [True, None, "x"]}, "e": [0, 1], "p": 3.33333e-13}
    assert rounded(given, SLUG) == expected
    assert rounded({"weights": "/somewhere/of/mine/resnet18.pth"}, SLUG) == {"weights": "resnet18.pth"}


@pytest.mark.parametrize("number", [float("nan"), np.float32("inf")])
def test_a_number_that_is_none_is_refused_by_name(number):
    with pytest.raises(ValueError, match=r"number 20_optimizer\.gem\.gain\[1\] is (nan|inf)"):
        export(SLUG, TOY, numbers={"gem": {"gain": [1.0, number]}})


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda page: Page("baseline"), "'baseline' is not a notebook's name"),
        (lambda page: Page("../10_x"), "is not a notebook's name"),
        (lambda page: Page(SLUG, "ful"), "profile 'ful' is unknown; choose one of: smoke, full"),
        (lambda page: page.close(), "must be told where results of 20_optimizer come from: ranks of a sweep, or {}"),
        (lambda page: page.close(pd.DataFrame()), "must be told where results"),
        (lambda page: page.close(TOY), "must be told where results"),
        (lambda page: page.close({"datasets": None}), "datasets must map the name of each dataset to its fingerprint"),
        (lambda page: page.close({"datasets": {}, "runs": ["one-run"]}), "runs were made on a dataset: datasets must"),
        (lambda page: page.close({"datasets": TOY, "runs": "one-run"}), "runs must be a list of run ids"),
        (lambda page: page.figure("Map 1", Figure()), "'Map 1' names no Figure"),
        (lambda page: page.figure("map", folium.Map()), r"map is a folium\.folium\.Map, not a Figure"),
        (lambda page: page.table("recall", [1]), r"recall is a builtins\.list, not a DataFrame"),
        (lambda page: page.close({}, **{"R@1": 1.0}), "'R@1' names no number of 20_optimizer"),
        (lambda page: page.close({}, table=pd.DataFrame()), r"number 20_optimizer\.table is a DataFrame"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(made, sentence):
    with pytest.raises((ValueError, TypeError), match=sentence):
        made(Page(SLUG))
    assert not paths.assets_folder("smoke").exists()


def test_a_page_shows_what_it_keeps_as_it_was_shown():
    page, table, figure = Page(SLUG), pd.DataFrame({"recall": [1.0]}), drawing("a", (3, 2))
    assert page.table("recall", table) is table and page.figure("curves", figure) is figure
    table["recall"] = 2.0
    ranks = table.copy()
    ranks.attrs["origin"] = {"datasets": {"b": "1"}, "runs": ["two", "one"]}
    page.close(ranks[:0], {"datasets": {"a": "2"}, "runs": ["one"]})
    folder = paths.assets_folder("smoke") / SLUG
    assert (folder / "recall.csv").read_text() == "recall\n1\n"
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["datasets"] == {"b": "1", "a": "2"} and origin["runs"] == ["one", "two"]


@pytest.mark.parametrize(("seeds", "said"), [(1, "1 query, 1 seed"), (3, "1 query, 3 seeds")])
def test_a_finding_counts_in_plain_english(seeds, said):
    row = {"variant": "a", "expected": "same", "gain": 1.0, "low": 0.0, "high": 2.0, "queries": 1.0, "seeds": seeds}
    assert f"{said}; " in findings(pd.DataFrame([row | {"decidable": 3.0, "verdict": "undecided"}]))


# --- read back --------------------------------------------------------------------------------------------------------
@pytest.fixture
def chapters():
    for number, (slug, runs) in enumerate({"20_one": ["b", "a"], "21_two": ["b"], "22_none": []}.items()):
        tables = {"predictions": pd.DataFrame({"variant": [slug], "gain": [1.5 + number]})} if runs else {}
        export(slug, datasets={"street": "f00", slug: "f01"}, runs=runs, tables=tables)


@pytest.mark.usefixtures("chapters")
def test_tables_of_all_earlier_chapters_are_laid_end_to_end_with_their_origin():
    table = Page("90_summary").exported("predictions")
    expected = {"chapter": ["20_one", "21_two"], "variant": ["20_one", "21_two"], "gain": [1.5, 2.5]}
    assert table.to_dict("list") == expected and table.attrs["without"] == ["22_none"]
    assert table.attrs["origin"] == {
        "runs": ["a", "b"],
        "datasets": {"street": "f00", "20_one": "f01", "21_two": "f01"},
    }
    assert list(Page("21_two").exported("predictions").chapter) == ["20_one"], "a chapter does not read its own"


@pytest.mark.usefixtures("chapters")
def test_tables_that_no_chapter_has_or_that_are_damaged_say_what_to_run():
    with pytest.raises(FileNotFoundError, match=r"no chapter has exported recall\.csv.*--profile smoke"):
        Page("90_summary").exported("recall")
    (paths.assets_folder("smoke") / "20_one" / "predictions.csv").write_text("variant,gain\nx,99\n")
    with pytest.raises(ValueError, match=r"damaged.*run 20_one again, .*--profile smoke 20_one"):
        Page("90_summary").exported("predictions")
