"""The example of a folder: positions near where photographs were taken, and faults of all kinds."""

import sys

import numpy as np
import pytest
from PIL import Image

from data_scripts import example_photos
from tests.importing.made import report, run, small_city
from vg_core.datasets.exif import read_taken
from vg_core.datasets.labels import parse_name, to_utm


@pytest.fixture
def walk(tmp_path, monkeypatch):
    """The folder, of 240 photographs of a small city."""
    small_city()
    monkeypatch.setattr(sys, "argv", ["example_photos.py", str(tmp_path / "walk")])
    assert example_photos.main() == 0
    return tmp_path / "walk"


def test_exif_data_say_where_and_when(walk):
    """Up to a scatter of 3 m, but for a few of the second day; pixels are those of the city."""
    labels = sorted(map(parse_name, small_city().rglob("*.jpg")), key=lambda label: label.timestamp)
    off = []
    for number, label in enumerate(labels, 1):
        taken = read_taken(next(walk.glob(f"IMG_{number:04}.*")))
        assert f"{taken.time:%Y%m%d_%H%M%S}" == label.timestamp
        if taken.latitude:
            assert taken.heading == pytest.approx(label.heading)
            place = to_utm(taken.latitude, taken.longitude)[:2]
            off.append((number, np.hypot(place[0] - label.easting, place[1] - label.northing)))
    wrong = [number for number, metres in off if metres > 20]
    assert 3 <= len(wrong) <= 30 and min(wrong) > 120
    assert np.mean([metres for number, metres in off if number not in wrong]) == pytest.approx(
        3 * np.sqrt(np.pi / 2), rel=0.1
    )
    first = next((small_city() / "database").glob("*_000000@*"))
    np.testing.assert_array_equal(Image.open(walk / "IMG_0001.jpg"), Image.open(first))


def test_an_import_finds_what_is_wrong_with_them(walk, monkeypatch):
    assert run(monkeypatch, walk) == 0
    kinds = report().dropped.str.partition(":")[0].value_counts()
    assert kinds["no position"] >= 5 and kinds["copy"] == 2 and kinds["unreadable"] == 1 and kinds["guard"] > 0
    assert report().dropped.str.contains("0, 0").sum() == 3
    assert report().loc["IMG_0030.heic"].dropped == ""


def test_a_folder_is_never_written_over(walk, capsys):
    before = sorted(walk.iterdir())
    assert example_photos.main() == 1
    assert f"{walk} is there already; name another folder" in capsys.readouterr().err
    assert sorted(walk.iterdir()) == before
