"""Pairs in folders: twins by name, what lacks a twin or a file, and what a set of pairs is as a set of places."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from vg_core.cross_view import PairSet
from vg_core.datasets.images import UnreadableImage
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.system.paths import data_root

NAMES = [f"@04500{10 * k:02d}.00@4800000.00@32@T@@@{k:06d}@@0@@@@@@" for k in range(5)]


def write_pair(folder: Path, name: str, shade: int = 0, tile: str = ".png", wide: int = 44) -> None:
    for side, suffix, size in (("aerial", tile, (16, 16)), ("ground", ".jpg", (wide, 8))):
        (folder / side).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (shade, 80, 200 if side == "aerial" else 40)).save(folder / side / f"{name}{suffix}")


@pytest.fixture
def folder() -> Path:
    """Five pairs, 10 m apart, as a dataset's train split."""
    split = data_root() / "mine" / "images" / "train"
    for k, name in enumerate(NAMES):
        write_pair(split, name, 40 * k)
    return split


def test_twins_are_in_the_same_row(folder):
    pairs = PairSet.load("mine", "train")
    assert [Path(path).stem for path in pairs.aerial.path] == NAMES
    assert [Path(path).stem for path in pairs.ground.path] == NAMES
    assert {Path(path).parent.name for path in pairs.aerial.path} == {"aerial"}
    assert pairs.ground.easting.tolist() == [450_000, 450_010, 450_020, 450_030, 450_040]
    assert pairs.aerial.drop(columns="path").equals(pairs.ground.drop(columns="path"))
    assert pairs.aerial.latitude.between(43, 44).all()
    assert np.array_equal(pairs.positives(), [[0], [1], [2], [3], [4]])
    near = replace(pairs, metres=10.0)
    assert [found.tolist() for found in near.positives(Within())[:2]] == [[0, 1], [0, 1, 2]]


def test_a_set_of_pairs_is_a_set_of_places(folder):
    pairs = PairSet.load("mine", "train")
    assert isinstance(pairs, PlaceSet) and pairs.database is pairs.aerial and pairs.queries is pairs.ground
    assert pairs.paths == [*pairs.aerial.path, *pairs.ground.path]
    before = pairs.fingerprint
    write_pair(folder, NAMES[2], 7)
    assert PairSet.load("mine", "train").fingerprint != before == pairs.fingerprint


def test_some_pairs_stay_pairs(folder):
    pairs = PairSet.load("mine", "train")
    some = pairs.some_queries(3, seed=1)
    assert len(some.aerial) == 3 and some.aerial.pano_id.equals(some.ground.pano_id)
    assert some.ground.equals(pairs.some_queries(3, seed=1).ground)
    assert pairs.some_queries(0, seed=1).ground.equals(pairs.ground)


def test_names_need_no_coordinates():
    split = data_root() / "bare" / "val"
    for name in ("b", "a"):
        write_pair(split, name, tile=".jpg")
    pairs = PairSet.load(str(split.parent), "val")
    assert pairs.ground.pano_id.tolist() == ["a", "b"] and pairs.ground.easting.isna().all()
    assert (pairs.name, pairs.split) == ("bare", "val")
    assert pd.api.types.is_float_dtype(pairs.aerial.northing)


def test_images_without_a_twin_are_a_sentence(folder):
    (folder / "aerial" / f"{NAMES[1]}.png").unlink()
    (folder / "ground" / f"{NAMES[3]}.jpg").unlink()
    (folder / "ground" / f"{NAMES[4]}.jpg").unlink()
    said = f"train: 2 aerial images and 1 panorama have no twin of the same name, the first is {NAMES[1]}; add"
    with pytest.raises(ValueError, match=said):
        PairSet.load("mine", "train")


def test_two_images_of_one_name_are_a_sentence(folder):
    Image.new("RGB", (16, 16)).save(folder / "aerial" / f"{NAMES[1]}.jpg")
    with pytest.raises(ValueError, match="another image there has the same name but for the suffix"):
        PairSet.load("mine", "train")


def test_a_split_that_is_not_there_is_a_sentence(folder):
    with pytest.raises(
        FileNotFoundError, match=r"mine has no test split of pairs: expected .*test/aerial and …/ground"
    ):
        PairSet.load("mine", "test")
    with pytest.raises(ValueError, match="split 'night' is unknown"):
        PairSet.load("mine", "night")
    for path in (folder / "aerial").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="aerial: no image found"):
        PairSet.load("mine", "train")


def test_pictures_of_the_wrong_kind_are_said_at_once(folder):
    write_pair(folder, NAMES[0], wide=12)
    with pytest.raises(UnreadableImage, match="12 pixels wide and 8 high, which is no panorama"):
        PairSet.load("mine", "train")


def test_pairs_with_a_broken_file_are_left_out_on_demand(folder, capsys):
    broken = folder / "ground" / f"{NAMES[3]}.jpg"
    broken.write_bytes(b"no image")
    pairs = PairSet.load("mine", "train", skip_unreadable=True)
    assert pairs.aerial.pano_id.tolist() == pairs.ground.pano_id.tolist() == ["000000", "000001", "000002", "000004"]
    assert len(pairs.skipped) == 1 and broken.name in pairs.skipped[0]
    assert "mine train: 1 pair left out:" in capsys.readouterr().out
    for path in folder.glob("*/*"):
        path.write_bytes(b"no image")
    with pytest.raises(ValueError, match="no readable pair is left"):
        PairSet.load("mine", "train", skip_unreadable=True)
