"""One's own photographs brought into the layout: what is kept where, what is dropped and why, the same bytes again."""

import csv
import os
import shutil
from datetime import datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import utm
from scipy.spatial.distance import cdist

from data_scripts.importing import layout
from tests.hostile import MARK, NAMES
from tests.importing.made import HOME, NORTH, contents, exif, photograph, report, run, walk
from vg_core.datasets.images import decode
from vg_core.datasets.labels import parse_name
from vg_core.datasets.places import PlaceSet
from vg_core.datasets.splits import SPLITS
from vg_core.evaluation.ranks import recall
from vg_core.system.files import unfinished
from vg_core.system.paths import data_root

REAL = os.environ.get("VG_REAL", "")  # a folder of real data sets, bgu_campus among them


def town() -> Path:
    return data_root() / "town"


def places(table: pd.DataFrame) -> np.ndarray:
    return table[["easting", "northing"]].to_numpy()


def test_a_walk_with_exif_becomes_a_data_set(tmp_path, monkeypatch, capsys):
    walk(tmp_path / "walk", days=[1])
    walk(tmp_path / "walk", days=[2], suffix=".heic")
    photograph(tmp_path / "walk" / "indoors.jpg", 5)
    (tmp_path / "walk" / "film.mov").touch()
    assert run(monkeypatch, tmp_path / "walk") == 0
    sets = {split: PlaceSet.load("town", split) for split in SPLITS}
    for places_of in sets.values():
        assert {*places_of.database.timestamp.str[:8]} == {"20251201"}
        assert {*places_of.queries.timestamp.str[:8]} == {"20251202"}
        assert places_of.nearest_m().max() < 0.1  # every place was seen on both days
    for one, other in combinations(sets.values(), 2):
        both = [places(pd.concat([s.database, s.queries])) for s in (one, other)]
        assert cdist(*both).min() >= 25
    kept = sum(len(s.database) + len(s.queries) for s in sets.values())
    assert len(sets["train"].database) > len(sets["test"].database)
    table = report()
    assert len(table) == 81 and (table.dropped == "").sum() == kept
    assert table.dropped["indoors.jpg"] == "no position"
    assert {*table.dropped.str.partition(":")[0]} == {"", "guard", "no position"}
    assert kept == 80 - table.dropped.str.startswith("guard").sum() >= 68
    printed = capsys.readouterr().out
    assert f"town: {kept} of 81 photographs kept" in printed and "left out, .mov: 1" in printed
    assert f"encoded anew, as JPEG of quality 95: {kept // 2}" in printed
    copy = parse_name(next(filter(None, table["copy"])))
    place = HOME[0] + int(copy.pano_id[-3:]) * 10 * NORTH, HOME[1]
    assert (copy.easting, copy.northing) == pytest.approx(utm.from_latlon(*place)[:2], abs=0.05)


def test_the_same_photographs_give_the_same_bytes(tmp_path, monkeypatch, capsys):
    walk(tmp_path / "walk")
    assert run(monkeypatch, tmp_path / "walk") == 0
    before = contents(town())
    assert run(monkeypatch, tmp_path / "walk") == 1
    assert "town is there already; --force replaces it" in capsys.readouterr().err
    assert run(monkeypatch, tmp_path / "walk", "--force") == 0
    assert contents(town()) == before
    assert [entry.name for entry in data_root().iterdir()] == ["town"]
    assert run(monkeypatch, tmp_path / "walk", "--force", "--seed", 1) == 0
    assert contents(town()).keys() != before.keys()


def test_splits_keep_their_distance_wherever_photographs_lie(tmp_path):
    rng = np.random.default_rng(0)
    for guard in (0, 25, 60):
        metres = rng.uniform(0, 800, (600, 2)) * (1, 0.5)
        splits = layout.cut(metres, guard, seed=3)
        assert {*splits} - {""} == {*SPLITS}
        for one, other in combinations(SPLITS, 2):
            assert cdist(metres[splits == one], metres[splits == other]).min() >= guard
        assert np.mean(splits == "train") > 0.4 and np.mean(splits == "") < guard / 200 + 0.01


def test_an_area_that_is_too_small_is_a_sentence_and_may_be_a_test(tmp_path, monkeypatch, capsys):
    walk(tmp_path / "walk", places=4)
    assert run(monkeypatch, tmp_path / "walk") == 1
    assert "no photograph is left for" in (said := capsys.readouterr().err) and "--test_only" in said
    assert not any(data_root().iterdir())
    assert run(monkeypatch, tmp_path / "walk", "--test_only") == 0
    test = PlaceSet.load("town", "test")
    assert (len(test.database), len(test.queries)) == (4, 4)
    assert run(monkeypatch, walk(tmp_path / "longer", places=16)[0].parent.parent, "--force") == 0
    assert "that is much: --test_only needs none" in capsys.readouterr().out


def test_of_one_day_each_place_is_dealt_out(tmp_path, monkeypatch, capsys):
    for n in range(24):
        place = HOME[0] + n // 4 * 20 * NORTH, HOME[1]
        photograph(tmp_path / "walk" / f"{n}.jpg", n, exif(place, datetime(2025, 12, 1, 12, n)))
    assert run(monkeypatch, tmp_path / "walk", "--test_only") == 0
    test = PlaceSet.load("town", "test")
    assert (len(test.database), len(test.queries)) == (12, 12)
    assert test.nearest_m().max() < 0.1
    assert "one day: photographs of each place dealt out" in capsys.readouterr().out


def test_copies_are_dropped(tmp_path, monkeypatch):
    paths = walk(tmp_path / "walk")
    shutil.copy(paths[0], tmp_path / "walk" / "day1" / "IMG_1000 (1).jpg")
    assert run(monkeypatch, tmp_path / "walk") == 0
    assert report().dropped["IMG_1000.jpg"] == "copy: the same bytes as walk/day1/IMG_1000 (1).jpg"


def test_one_zone_for_a_road_over_a_border_and_none_for_another_country(tmp_path, monkeypatch):
    for n in range(20):  # zones 32 and 33 meet at 12°
        data = exif((45, 12 - 2e-4 * 14 + 2e-4 * n), datetime(2025, 12, 1 + n % 2, 12, n))
        photograph(tmp_path / "road" / f"{n}.jpg", n, data)
    photograph(tmp_path / "road" / "far.jpg", 99, exif((45, 17.0), datetime(2025, 12, 1)))
    photograph(tmp_path / "road" / "south.jpg", 98, exif((-45, 11.9), datetime(2025, 12, 1)))
    assert run(monkeypatch, tmp_path / "road", "--test_only") == 0
    test = PlaceSet.load("town", "test")
    assert {*test.database.zone_number} == {32}
    easts = np.sort(pd.concat([test.database, test.queries]).easting)
    assert len(easts) == 20
    assert np.diff(easts) == pytest.approx(2e-4 * 111_320 * np.cos(np.pi / 4), rel=0.01)
    assert "other UTM zone: 33, north, while most lie in 32, north" in report().dropped["far.jpg"]
    assert "32, south" in report().dropped["south.jpg"]


def test_names_of_the_field_keep_what_they_say(tmp_path, monkeypatch, write_photo):
    fields = {"pano_id": "pano", "heading": 90.0, "pitch": "5", "note": "by night", "timestamp": "201409"}
    for seed in range(3):
        write_photo(tmp_path / "named", 402_000.5 + seed, 5_000_000, seed, **fields | {"tile": str(seed)})
    write_photo(tmp_path / "named", 402_000.5, 5_000_000, 9, zone_number=None)
    assert run(monkeypatch, tmp_path / "named", "--test_only") == 0
    table = report()
    assert table.dropped[table["copy"] == ""].tolist() == ["no position: its name gives no UTM zone"]
    for seed, copy in enumerate(map(parse_name, table["copy"][table["copy"] != ""])):
        assert (copy.easting, copy.northing) == pytest.approx((402_000.5 + seed, 5_000_000), abs=0.011)
        assert (copy.tile, copy.heading, copy.pitch, copy.note) == (str(seed), 90, "5", "by night")
        assert (copy.pano_id, copy.timestamp, copy.zone_letter) == ("pano", "201409", "T")


def strip(dataset: Path, folder: Path) -> Path:
    """A table of where the photographs of a data set were taken; in the folder they have no names that say so."""
    rows = []
    for number, path in enumerate(sorted((dataset / "images").rglob("*.jpg"))):
        label = parse_name(path)
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / f"IMG_{number:05}.jpg")
        degrees = utm.to_latlon(label.easting, label.northing, label.zone_number, northern=True)
        split, role = path.parent.parent.name, path.parent.name
        rows.append([f"IMG_{number:05}.jpg", *(f"{float(one):.9f}" for one in degrees), label.timestamp, split, role])
    with (folder / "photos.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "lat", "lon", "time", "split", "role"], *rows])
    return folder / "photos.csv"


def pixels(table: pd.DataFrame) -> np.ndarray:
    return np.stack([decode(path, about=8)[:6, :6].ravel() for path in table.path]).astype(float)


def recalls(dataset: str | Path) -> dict:
    """Recalls of descriptors that are a few pixels."""
    found = {}
    for split in SPLITS:
        one = PlaceSet.load(str(dataset), split)
        ranks = cdist(pixels(one.queries), pixels(one.database)).argsort(axis=1, kind="stable")[:, :10]
        found |= {(split, metres): recall(ranks, one.neighbours(metres), at=(1, 5, 10)) for metres in (10, 25)}
    return found


def test_stripped_names_and_a_table_give_the_recalls_of_the_original(street, tmp_path, monkeypatch):
    table = strip(street, tmp_path / "stripped")
    assert run(monkeypatch, tmp_path / "stripped", "--csv", table) == 0
    assert recalls("town") == recalls("street")


@pytest.mark.skipif(not REAL, reason="VG_REAL names no folder of real data sets")
def test_a_real_campus_gives_the_recalls_of_the_original(tmp_path, monkeypatch):
    campus = Path(REAL) / "bgu_campus"
    assert run(monkeypatch, tmp_path / "stripped", "--csv", strip(campus, tmp_path / "stripped")) == 0
    assert recalls("town") == recalls(campus)


def test_names_of_strangers_stay_texts(tmp_path, monkeypatch):
    for n, name in enumerate(name for name in NAMES if name.endswith(".jpg") and "/" not in name and "\0" not in name):
        place = HOME[0] + n * NORTH, HOME[1]
        photograph(tmp_path / "walk" / "x.jpg", n, exif(place)).rename(tmp_path / "walk" / name)
    photograph(tmp_path / "walk" / "=HYPERLINK(1).jpg", 100, exif(HOME))
    assert run(monkeypatch, tmp_path / "walk", "--test_only") == 0
    for path in (town() / "images").rglob("*.jpg"):
        assert path.name.isascii() and not set(path.name) & set("<>{}$`'\"\\=%&")
    page = (town() / "import_map.html").read_text("utf-8")
    assert f"<script>{MARK}" not in page and f'<img src=x onerror="{MARK}">' not in page
    assert not any(report().photograph.str.match(r"[=+-]"))
    assert not (Path.cwd() / "pwned").exists()


def test_what_cannot_be_decoded_is_dropped_by_name(tmp_path, monkeypatch):
    paths = walk(tmp_path / "walk")
    whole = paths[3].read_bytes()
    paths[3].write_bytes(whole[:-60])
    assert run(monkeypatch, tmp_path / "walk", "--guard", "5") == 0
    assert report().dropped[paths[3].name].startswith("unreadable: not a readable image")
    assert len([*town().rglob("*.jpg")]) == (report().dropped == "").sum()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_unfinished_stays(tmp_path, monkeypatch, capsys, error):
    walk(tmp_path / "walk")
    assert run(monkeypatch, tmp_path / "walk") == 0
    before, seen = contents(town()), []

    def fails(*words):
        seen.append(words)
        if len(seen) > 9:
            raise error
        return False

    monkeypatch.setattr(layout, "write_copy", fails)
    assert run(monkeypatch, tmp_path / "walk", "--force") in (1, 130)
    assert contents(data_root()) == {f"town/{name}": content for name, content in before.items()}
    said = capsys.readouterr().err
    assert "stopped; nothing unfinished is left" in said or "could not be written (No space left" in said


def test_what_a_killed_import_left_goes(tmp_path, monkeypatch):
    left = data_root() / unfinished(Path("town")).name.replace(f"-{os.getpid()}-", "-999999999-")
    (left / "town" / "images").mkdir(parents=True)
    photos = [photograph(tmp_path / f"{n}.jpg", n, exif(HOME)) for n in range(2)]
    assert run(monkeypatch, *photos, "--test_only") == 0
    assert [entry.name for entry in data_root().iterdir()] == ["town"]


def test_a_long_name_stays_one(tmp_path, monkeypatch):
    photos = [photograph(tmp_path / f"{'x' * 240}{n}.jpg", n, exif(HOME)) for n in range(3)]
    assert run(monkeypatch, *photos, "--test_only") == 0
    assert len([*town().rglob("*.jpg")]) == 3  # told apart by their tiles


def test_a_folder_whose_successor_cannot_take_its_name_stays(tmp_path, monkeypatch, capsys):
    walk(tmp_path / "walk")
    assert run(monkeypatch, tmp_path / "walk") == 0
    before, rename = contents(town()), Path.rename

    def refuse(path, target):
        if path.name == "town" and path.parent != data_root():
            raise PermissionError(13, "Permission denied", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    assert run(monkeypatch, tmp_path / "walk", "--force") == 1
    assert "could not be written (Permission denied)" in capsys.readouterr().err
    assert contents(town()) == before and [entry.name for entry in data_root().iterdir()] == ["town"]


def test_what_permissions_forbid_is_dropped(tmp_path, monkeypatch):
    paths, access = walk(tmp_path / "walk"), os.access
    monkeypatch.setattr(os, "access", lambda path, *how: str(path) != str(paths[0]) and access(path, *how))
    assert run(monkeypatch, tmp_path / "walk") == 0
    assert report().dropped[paths[0].name] == "unreadable: its permissions forbid it"


def test_other_data_is_never_replaced(tmp_path, monkeypatch, capsys, street):
    street.rename(town())
    before = contents(town())
    walk(tmp_path / "walk")
    assert run(monkeypatch, tmp_path / "walk", "--force") == 1
    assert "was not made by import_photos.py" in capsys.readouterr().err
    (town() / "import_report.csv").touch()
    assert run(monkeypatch, town() / "images", "--force") == 1
    assert "which --force replaces" in capsys.readouterr().err
    assert before.items() < contents(town()).items()


@pytest.mark.parametrize("name", ["../town", "a/b", ".hidden", "", "toycity"])
def test_a_name_is_a_folder_below_the_data(tmp_path, monkeypatch, capsys, name):
    photograph(tmp_path / "one.jpg", 0, exif(HOME))
    assert run(monkeypatch, tmp_path / "one.jpg", name=name) == 1
    assert "choose another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["absent"], "there is no such folder"),
        (["empty"], "no photograph (.jpg"),
        (["bare.jpg"], "no photograph has a position (no position: 1); --csv, --gpx or --points give one"),
        (["one.jpg", "--csv", "absent.csv"], "absent.csv: No such file"),
    ],
)
def test_bad_input_is_a_sentence(tmp_path, monkeypatch, capsys, words, sentence):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    photograph(Path("bare.jpg"))
    photograph(Path("one.jpg"), 0, exif(HOME))
    assert run(monkeypatch, *words) == 1
    assert sentence in capsys.readouterr().err
