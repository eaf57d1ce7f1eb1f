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

from tests.synthetic_assets import TOY, drawing, export_baseline, pictures
from vg_core import paths, report
from vg_core.config import Config
from vg_core.report import export, rounded, shows_photographs

SLUG = "20_optimizer"


def contents(folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_an_export_is_a_folder_of_files():
    folder = export_baseline()
    assert folder == paths.cache_root() / "smoke" / "assets" / "10_baseline"
    named = "SHA256SUMS curves.svg gains.csv gallery.jpg hardness.svg numbers.json origin.json recall.csv training.svg"
    assert sorted(contents(folder)) == sorted(named.split())
    numbers = json.loads((folder / "numbers.json").read_text())
    assert numbers["gem"]["r1"] == 53.2 and numbers["config"]["image_size"] == list(Config.of("smoke").image_size)
    assert pd.read_csv(folder / "recall.csv").columns[0] == "variant"


def test_origin_says_where_results_come_from():
    origin = json.loads((export_baseline() / "origin.json").read_text())
    assert origin["profile"] == "smoke" and origin["datasets"] == TOY
    assert origin["commit"] == "unknown" or len(origin["commit"].rstrip("+")) == 40
    assert len(origin["runs"]) == 2 and origin["runs"] == sorted(origin["runs"])
    assert origin["software"]["python"].count(".") == 2 and origin["software"]["numpy"] == np.__version__
    assert origin["figures"]["curves"] == {"file": "curves.svg", "inches": [3.4, 2.3]}


def test_theory_looks_at_no_dataset():
    folder = export("32_gradients", datasets={}, numbers={"deviation": 2e-15})
    origin = json.loads((folder / "origin.json").read_text())
    assert origin["datasets"] == {} and origin["runs"] == []


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
    assert contents(type(paths.ROOT)(done.stdout.strip())) == here


def test_full_results_go_to_reports_and_nowhere_else(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "REPORTS", tmp_path / "reports")
    assert export_baseline(profile="full") == tmp_path / "reports" / "assets" / "10_baseline"
    assert not (tmp_path / "cache").exists()


def test_an_export_replaces_the_earlier_one_as_a_whole():
    export(SLUG, datasets=TOY, figures={"a": drawing("a", (3, 2)), "b": drawing("b", (3, 2))})
    folder = export(SLUG, datasets=TOY, figures={"b": drawing("b", (3, 2))})
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
        report._replace_folder(folder, {"new": b"new"})
    assert contents(folder) == before and [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_a_full_disk_leaves_the_earlier_export_whole(monkeypatch):
    folder = export(SLUG, datasets=TOY, numbers={"r1": 1.0})
    before = contents(folder)

    def full(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(folder), "write_bytes", full)
    with pytest.raises(OSError, match=r"20_optimizer could not be written .*No space left.* free some space"):
        export(SLUG, datasets=TOY, numbers={"r1": 2.0})
    assert contents(folder) == before and [f.name for f in folder.parent.iterdir()] == [SLUG]


def test_photographs_are_small_jpegs_and_everything_else_is_vector():
    rng = np.random.default_rng(0)
    noisy = pictures(4, 6)
    for ax in noisy.axes:
        ax.imshow(rng.random((300, 400, 3)))  # the hardest thing to compress
    matrix = Figure(figsize=(3, 2))
    matrix.subplots().imshow(rng.random((5, 5)))
    assert shows_photographs(noisy) and not shows_photographs(matrix)
    folder = export(SLUG, datasets=TOY, figures={"gallery": noisy, "matrix": matrix})
    assert (folder / "gallery.jpg").stat().st_size <= 200_000
    assert (folder / "matrix.svg").read_text().startswith("<?xml")


def test_tables_keep_a_named_index_and_drop_a_counting_one():
    table = pd.DataFrame({"recall": [1 / 3, np.nan]}, index=[4, 9])
    folder = export(SLUG, datasets=TOY, tables={"plain": table, "named": table.rename_axis("n")})
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
        export(SLUG, datasets=TOY, numbers={"gem": {"gain": [1.0, number]}})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"slug": "baseline"}, "'baseline' is not a notebook's name"),
        ({"slug": "../10_x"}, "is not a notebook's name"),
        ({"profile": "ful"}, "profile 'ful' is unknown; choose one of: smoke, full"),
        ({"datasets": None}, "datasets must map the name of each dataset to its fingerprint; {} if none was looked at"),
        ({"datasets": {}, "runs": ["one-run"]}, "runs were made on a dataset: datasets must name it"),
        ({"runs": "one-run"}, "runs must be a list of run ids"),
        ({"figures": [Figure()]}, "figures must map names to Figure"),
        ({"figures": {"Map 1": Figure()}}, "figure name 'Map 1' is no file name"),
        ({"figures": {"map": folium.Map()}}, r"figure map is a folium\.folium\.Map; export takes Figure"),
        ({"tables": {"recall": [1]}}, r"table recall is a builtins\.list; export takes DataFrame"),
        ({"numbers": {"R@1": 1.0}}, "'R@1' in 20_optimizer names no number"),
        ({"numbers": {"table": pd.DataFrame()}}, r"number 20_optimizer\.table is a DataFrame"),
    ],
)
def test_what_cannot_be_exported_is_a_sentence(changes, sentence):
    arguments = {"slug": SLUG, "datasets": TOY} | changes
    with pytest.raises((ValueError, TypeError), match=sentence):
        export(arguments.pop("slug"), **arguments)
    assert not paths.assets_folder("smoke").exists()
