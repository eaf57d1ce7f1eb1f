"""The doctor finds each fault that is planted in a healthy city, and none in that."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import utm
from PIL import Image

from data_scripts import doctor
from data_scripts.checks.examination import examine
from data_scripts.checks.pictures import alike
from tests.hostile import MARK, NAMES
from vg_core.datasets.labels import Label, format_name, parse_name

PLACES, VIEWS, QUERIES = {"train": 15, "val": 12, "test": 12}, 2, 12


def draw(file: Path, seed: int, size=(64, 48), **options) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).save(file, **options)


def label(split: str, role: str, place: int, view: int = 0) -> Label:
    asked, number = role == "queries", [*PLACES].index(split)
    east, north = 400_000 + 1000 * number + 20 * place + 3 * asked, 5_000_000 + 4 * asked
    latitude, longitude = utm.to_latlon(east, north, 32, "T")
    stamp = f"202405{1 + asked:02}_12{place // 6:02}{10 * (place % 6):02}"
    words = {"pano_id": f"{'q' * asked}{number}{place:03}", "heading": 180.0 * view + place, "timestamp": stamp}
    return Label(east, north, 32, "T", round(latitude, 5), round(longitude, 5), **words)


@pytest.fixture(scope="session")
def healthy(tmp_path_factory):
    """Folder of a city: streets 1 km apart for three splits, two views of each place, a query near each."""
    root = tmp_path_factory.mktemp("city")
    for split, places in PLACES.items():
        for place in range(places):
            for role, views in (("database", VIEWS), ("queries", 1)):
                for view in range(views):
                    seed = hash((split == "val", split == "test", role == "queries", place, view)) % 2**31
                    draw(root / "images" / split / role / format_name(label(split, role, place, view)), seed)
    return root


@pytest.fixture
def city(healthy, tmp_path):
    return shutil.copytree(healthy, tmp_path / "city")


def photos(city, part="test/database"):
    return sorted((city / "images" / part).iterdir())


def first(city, part="test/database"):
    return photos(city, part)[0]


def rename(file, name):
    return file.rename(file.with_name(name))


def relabel(files, **changes):
    """Files renamed so that their names say something else; functions are called with the label."""
    for file in [*files]:
        before = parse_name(file)
        told = {name: value(before) if callable(value) else value for name, value in changes.items()}
        rename(file, format_name(replace(before, **told)))


def write(file, content: bytes):
    file.unlink()
    file.write_bytes(content)


def redraw(file, size=(64, 48), **options):
    file.unlink()
    draw(file, 1, size, **options)


def copy(file, folder, **changes):
    there = folder / format_name(replace(parse_name(file), **{"note": "copy", "pano_id": ""} | changes))
    there.write_bytes(file.read_bytes())
    return there


def look_alike(file, folder, **changes):
    """A photograph that shows the same, a little brighter, in other bytes."""
    with Image.open(copy(file, folder, **changes)) as image:
        image.point(lambda value: min(255, value + 3)).save(image.filename, quality=70)


def lock(file):
    write(file, b"x")
    file.chmod(0)


def cut(file, end=b""):
    write(file, file.read_bytes()[: -len(file.read_bytes()) // 3] + end)


def png_as_jpeg(file):
    draw(file.with_suffix(".png"), 1)
    file.with_suffix(".png").rename(file)


def damaged_png(file):
    png_as_jpeg(file)
    content = file.read_bytes()
    write(file, content[:99] + bytes(99) + content[198:])


def without(folder):
    for file in folder.iterdir():
        file.unlink()
    return folder


AWAY = {"latitude": None, "longitude": None}  # degrees that are left out contradict nothing
TEST, VAL = "test/queries", "val/queries"
FAULTS = {
    "empty file": lambda c: write(first(c), b""),
    "locked file": lambda c: lock(first(c)),
    "no photograph": lambda c: write(first(c), b"<!DOCTYPE html><title>404</title>"),
    "cut file": lambda c: cut(first(c)),
    "unreadable header": lambda c: write(first(c), b"\xff\xd8\xff" + bytes(100) + b"\xff\xd9"),
    "wrong suffix": lambda c: png_as_jpeg(first(c)),
    "tiny photograph": lambda c: redraw(first(c), (32, 24)),
    "odd shape": lambda c: redraw(first(c), (48, 64)),
    "empty split": lambda c: without(c / "images" / VAL),
    "split without queries": lambda c: without(c / "images" / VAL).rmdir(),
    "links to nothing": lambda c: (c / "images" / VAL / "x.jpg").symlink_to("gone"),
    "other formats": lambda c: (c / "images" / VAL / "x.HEIC").write_bytes(b"x"),
    "other files": lambda c: (c / "images" / VAL / "Thumbs.db").write_bytes(b"x"),
    "name without position": lambda c: rename(first(c), "IMG_1.jpg"),
    "degrees in place of UTM": lambda c: rename(first(c), "@45.1@7.6@.jpg"),
    "easting and northing swapped": lambda c: rename(first(c), "@5000000@402000@32@T@.jpg"),
    "zone letter against northing": lambda c: relabel([first(c)], zone_letter="H"),
    "names that differ in case": lambda c: (
        copy(first(c), first(c).parent),
        copy(first(c), first(c).parent, note="COPY"),
    ),
    "fields that make no sense": lambda c: rename(first(c), first(c).name.replace("@0@", "@x@")),
    "zone missing in part": lambda c: relabel([first(c)], zone_number=None, zone_letter="", **AWAY),
    "other zone": lambda c: relabel(photos(c), zone_number=10, **AWAY),
    "rare zone": lambda c: relabel([first(c)], zone_number=10, **AWAY),
    "degrees against UTM": lambda c: relabel([first(c)], latitude=lambda told: told.latitude + 0.001),
    "latitude and longitude swapped": lambda c: rename(first(c), re.sub(r"T@(.+?)@(.+?)@", r"T@\2@\1@", first(c).name)),
    "position 0, 0": lambda c: rename(first(c), "@0166021.44@0000000.00@31@N@0.0@0.0@.jpg"),
    "no zone in any name": lambda c: relabel(c.rglob("*.jpg"), zone_number=None, zone_letter="", **AWAY),
    "headings missing in part": lambda c: relabel([first(c)], heading=None),
    "no headings": lambda c: relabel(c.rglob("*.jpg"), heading=None, tile=lambda told: f"{told.heading:g}"),
    "all headings are 0": lambda c: relabel(c.rglob("*.jpg"), heading=0.0, tile=lambda told: f"{told.heading:g}"),
    "time that does not parse": lambda c: relabel([first(c)], timestamp="20241399"),
    "time before 1990 or to come": lambda c: relabel([first(c)], timestamp="19700101_000000"),
    "position off its track": lambda c: relabel(photos(c, TEST)[4:5], northing=5_000_900, **AWAY),
    "jump along a track": lambda c: relabel(photos(c, TEST)[6:], northing=5_000_900, **AWAY),
    "uneven panorama": lambda c: first(c).unlink(),
    "position of many": lambda c: relabel(photos(c, TEST), easting=402_003, **AWAY),
    "copy": lambda c: copy(first(c), first(c).parent),
    "copy of a query in the database": lambda c: copy(first(c, TEST), first(c).parent),
    "copy in two splits": lambda c: copy(first(c), first(c, VAL).parent, easting=401_000, **AWAY),
    "test touches train": lambda c: relabel([first(c)], easting=400_300, **AWAY),
    "test queries without positives at 25 m": lambda c: relabel(photos(c, TEST)[:3], northing=5_000_200, **AWAY),
    "val queries without positives at 10 m": lambda c: relabel(photos(c, VAL)[:1], northing=5_000_015, **AWAY),
}
DEEP_FAULTS = {
    "photograph that cannot be decoded": lambda c: damaged_png(first(c)),
    "picture of one colour": lambda c: Image.new("RGB", (64, 48)).save(first(c)),
    "look-alike": lambda c: look_alike(first(c), first(c).parent),
    "look-alike of a query in the database": lambda c: look_alike(first(c), first(c, TEST).parent),
    "look-alike in two splits": lambda c: look_alike(first(c), first(c, VAL).parent, easting=401_000, **AWAY),
}


def found(city, **options):
    return {one.name: one for one in examine(str(city), **options)[1]}


def test_a_healthy_city_has_no_faults(healthy):
    assert found(healthy, deep=True) == {}


@pytest.mark.parametrize("name", [*FAULTS, *DEEP_FAULTS])
def test_a_planted_fault_is_found(city, name):
    (FAULTS | DEEP_FAULTS)[name](city)
    findings = found(city, deep=name in DEEP_FAULTS)
    assert name in findings, findings
    assert findings[name].count >= 1 and findings[name].examples and findings[name].hint


def test_made_up_coordinates_are_no_fault(tmp_path):
    for role in ("database", "queries"):
        for number in range(12):
            draw(
                tmp_path / "test" / role / f"@0@{number}000@@@@@{number}@@@@@@@@.jpg", number + 50 * (role == "queries")
            )
    assert {*found(tmp_path)} == {"made-up coordinates", "no headings"}


@pytest.mark.parametrize(
    "names", [[], ["IMG_1.jpg", "IMG_2.jpg"], ["@402000@5000000@32@T@@@p\udcff@@\udcfe@@@@\udce9@.jpg"]]
)
def test_whatever_lies_there_is_examined(tmp_path, names):
    for role in ("database", "queries"):
        (tmp_path / "test" / role).mkdir(parents=True)
        for name in names:
            (tmp_path / "test" / role / name).write_bytes(b"x")
    assert {one.severity for one in found(tmp_path, deep=True).values()} >= {"error"}


def run(monkeypatch, *arguments) -> int:
    monkeypatch.setattr(sys, "argv", ["doctor.py", *map(str, arguments)])
    return doctor.main()


def test_the_exit_status_tells(city, tmp_path, monkeypatch, capsys):
    assert run(monkeypatch, city, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {
        **{"folder": str(city), "photographs": 117, "status": 0, "findings": []}
    }
    write(first(city), b"")
    assert run(monkeypatch, city, "--html", tmp_path / "map.html") == 1
    said = capsys.readouterr().out
    assert "error          1  empty file  it has no bytes: copy it again" in said and "\x1b" not in said
    assert "error: empty file" in (tmp_path / "map.html").read_text()
    for arguments, sentence in ((["nowhere"], "there is no such folder"), ([city, "--radius", "0"], "is no distance")):
        assert run(monkeypatch, *arguments) == 2
        assert sentence in capsys.readouterr().err


def test_it_is_a_script(city):
    write(first(city), b"")
    script = Path(doctor.__file__)
    environment = os.environ | {"PYTHONPATH": str(script.parents[1])}
    sick = subprocess.run([sys.executable, script, city, "--json"], capture_output=True, text=True, env=environment)
    assert (sick.returncode, json.loads(sick.stdout)["findings"][0]["name"]) == (1, "empty file")


def test_names_of_strangers_are_only_names(city, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(NAMES):
        name = name.replace("/", "").replace("\0", "").removesuffix(".jpg")
        (first(city).parent / f"@{402000 + number}@5000000@32@T@@@@@@@@@@@{name}@.jpg").write_bytes(b"")
    page = tmp_path / "map.html"
    assert run(monkeypatch, city, "--html", page) == 1
    said = capsys.readouterr().out
    assert "\x1b" not in said and "\u202e" not in said and not (tmp_path / "pwned").exists()
    assert f"<img src=x onerror={MARK}>" not in page.read_text()


def test_pictures_alike_are_those_that_differ_in_few_bits():
    bits = np.random.default_rng(0).integers(0, 2, (400, 480)).astype(bool)
    for row, flips in ((1, 4), (2, 12), (3, 13)):
        bits[row] = bits[0]
        bits[row, 100 * row : 100 * row + flips] ^= True
    assert [group for group in alike(bits) if len(group) > 1] == [[0, 1, 2]]
