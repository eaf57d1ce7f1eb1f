"""CVUSA and CVACT in small files of their formats: which pairs, in which order, where, and what is not as published."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from vg_core.cross_view import PairSet
from vg_core.datasets import places
from vg_core.system.paths import data_root

IDS = ["_jaGbjgbHAe78_VhcPtmZQ", "pdZmLHYEhe2PHj_8-WHMhw", "VAMM6sIEbYAY5E6ZD_RMKg", "YL81FiK9PucIvAkr1FHkpA"]
UTM = np.array([[6_092_000.25, 693_000.125], [6_092_007.5, 693_000.125], [6_093_000.0, 694_000.0], [6.094e6, 6.95e5]])


@pytest.fixture(autouse=True)
def said_anew():
    places.say_once.cache_clear()


def image(path: Path, width: int, height: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), (90, 120, 60)).save(path)


@pytest.fixture
def cvusa() -> Path:
    root = data_root() / "cvusa"
    for split, numbers in (("train", (44, 2, 17)), ("val", (5, 3))):
        rows = []
        for number in numbers:
            names = [f"{folder}/{number:07d}.{end}" for folder, end in FOLDERS]
            image(root / names[0], 75, 75)
            image(root / names[1], 88, 16)
            rows.append(",".join(names))
        (root / "splits").mkdir(exist_ok=True)
        (root / "splits" / f"{split}-19zl.csv").write_text("\n".join(rows) + "\n")
    return root


FOLDERS = ("bingmap/19", "jpg"), ("streetview/panos", "jpg"), ("streetview/annotations", "png")


def test_cvusa_is_read_row_by_row(cvusa, capsys):
    pairs = PairSet.load("cvusa", "train")
    assert pairs.ground.pano_id.tolist() == ["0000044", "0000002", "0000017"]
    assert pairs.aerial.path[0] == str(cvusa / "bingmap/19/0000044.jpg")
    assert pairs.ground.path[2] == str(cvusa / "streetview/panos/0000017.jpg")
    assert pairs.ground.easting.isna().all()
    assert "cvusa train: 3 pairs are not the 35,532 as published; do not compare" in capsys.readouterr().out


def test_cvusa_is_tested_on_what_it_calls_val(cvusa, capsys):
    assert PairSet.load("cvusa", "test").ground.equals(PairSet.load(str(cvusa), "val").ground)
    assert "2 pairs are not the 8,884" in capsys.readouterr().out


def test_rows_whose_files_are_missing_are_a_sentence_or_left_out(cvusa):
    for number, folder in ((44, "bingmap/19"), (17, "streetview/panos")):
        (cvusa / folder / f"{number:07d}.jpg").unlink()
    said = r"cvusa train: 2 of 6 images are not there, the first is .*0000044\.jpg; copy them there, or leave"
    with pytest.raises(FileNotFoundError, match=said):
        PairSet.load("cvusa", "train")
    pairs = PairSet.load("cvusa", "train", skip_unreadable=True)
    assert pairs.aerial.pano_id.tolist() == pairs.ground.pano_id.tolist() == ["0000002"]


def test_tables_of_cvusa_that_are_none_are_sentences(cvusa):
    table = cvusa / "splits" / "val-19zl.csv"
    table.write_text("bingmap/19/0000005.jpg,streetview/panos/0000005.jpg\n\nbingmap/19/0000003.jpg\n")
    with pytest.raises(
        ValueError, match=r"val-19zl\.csv, line 3: expected aerial image, panorama, annotation, not bing"
    ):
        PairSet.load("cvusa", "val")
    table.write_text("\n")
    with pytest.raises(ValueError, match="no pairs in it"):
        PairSet.load("cvusa", "val")
    table.unlink()
    with pytest.raises(FileNotFoundError, match=r"splits/val-19zl\.csv: there is no such file; put CVUSA there"):
        PairSet.load("cvusa", "val")


def write_mat(root: Path, **changes) -> None:
    """The fields that are read, as the authors' file has them, some of them changed or, with None, left out."""
    split = {
        "trainSet": {"trainInd": np.array([[3], [1]])},
        "valSet": {"valInd": np.array([[2]])},
        "valSetAll": {"valInd": np.array([[2], [4]])},
    }
    fields = {"panoIds": np.array(IDS), "utm": UTM} | split | changes
    savemat(root / "ACT_data.mat", {name: value for name, value in fields.items() if value is not None})


@pytest.fixture
def cvact() -> Path:
    root = data_root() / "cvact"
    for name in IDS:
        image(root / "satview_polish" / f"{name}_satView_polish.jpg", 120, 120)
        image(root / "streetview" / f"{name}_grdView.jpg", 80, 40)
    write_mat(root)
    return root


def test_cvact_is_read_in_the_order_of_its_indices_which_start_at_1(cvact, capsys):
    pairs = PairSet.load("cvact", "train")
    assert pairs.ground.pano_id.tolist() == [IDS[2], IDS[0]]
    assert pairs.aerial.path[1] == str(cvact / "satview_polish" / f"{IDS[0]}_satView_polish.jpg")
    assert pairs.ground.path[0] == str(cvact / "streetview" / f"{IDS[2]}_grdView.jpg")
    assert "cvact train: 2 pairs are not the 35,532 as published" in capsys.readouterr().out
    assert [len(PairSet.load("cvact", split).ground) for split in ("val", "test")] == [1, 2]


def test_positions_of_cvact_are_metres_in_full_precision(cvact):
    ground = PairSet.load("cvact", "train").ground
    assert (ground.easting[1], ground.northing[1]) == (693_000.125, 6_092_000.25)
    assert ground.latitude[1] == pytest.approx(-35.29, abs=0.02)
    assert ground.longitude[1] == pytest.approx(149.12, abs=0.02)


def test_in_cvacts_test_whatever_lies_within_5_metres_is_right(cvact):
    write_mat(cvact, utm=UTM[[0, 0, 0, 0]] + np.array([[0, 0], [0, 0], [0, 0], [3, 4]]))
    test, val = (PairSet.load("cvact", split) for split in ("test", "val"))
    assert [one.tolist() for one in test.positives()] == [[0, 1], [0, 1]] and val.positives()[0].tolist() == [0]
    assert (test.card(25.0)["threshold_m"], val.card(25.0)["threshold_m"]) == (5.0, 0.0)
    write_mat(cvact, utm=UTM[[0, 0, 0, 0]] + np.array([[0, 0], [0, 0], [0, 0], [4, 4]]))
    assert [one.tolist() for one in PairSet.load("cvact", "test").positives()] == [[0], [1]]


def test_of_pairs_of_unknown_places_each_query_has_its_twin(cvusa):
    pairs = PairSet.load("cvusa", "train")
    assert pairs.ground.easting.isna().all() and [one.tolist() for one in pairs.positives()] == [[0], [1], [2]]
    assert pairs.card(25.0)["queries_without_positives"] == 0
    pairs.check_positives(25.0, 2)
    with pytest.raises(ValueError, match="recall@3 would retrieve all 3 images"):
        pairs.check_positives(25.0, 3)


def test_folders_of_cvact_may_be_called_like_its_archives(cvact):
    for archive in ("ANU_data_small", "ANU_data_test"):
        for folder in ("satview_polish", "streetview"):
            (cvact / archive).mkdir(exist_ok=True)
            (cvact / archive / folder).symlink_to(cvact / folder)
    assert "ANU_data_small" in PairSet.load("cvact", "val").aerial.path[0]
    assert "ANU_data_test" in PairSet.load("cvact", "test").ground.path[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"utm": None}, "it lacks utm, so it is not the file of CVACT"),
        ({"trainSet": {"other": 1}, "panoIds": None}, "it lacks panoIds and trainSet.trainInd"),
        ({"trainSet": 3}, "it lacks trainSet.trainInd"),
        ({"trainSet": {"trainInd": np.array([0, 1])}}, "should number some of the 4 panoramas from 1 on"),
        ({"trainSet": {"trainInd": np.array([5])}}, "should number some of the 4 panoramas from 1 on"),
        ({"utm": UTM[:3]}, r"utm has shape \(3, 2\), not two numbers for each of 4"),
        ({"utm": UTM / 1e5}, "eastings and northings of Canberra in metres"),
    ],
)
def test_a_mat_without_its_fields_is_a_sentence(cvact, changes, message):
    write_mat(cvact, **changes)
    with pytest.raises(ValueError, match=message):
        PairSet.load("cvact", "train")


def test_a_mat_that_is_none_is_a_sentence(cvact):
    (cvact / "ACT_data.mat").write_bytes(b"MATLAB 7.3 or whatever" * 40)
    with pytest.raises(ValueError, match=r"ACT_data\.mat: not readable as MATLAB's -v7 format"):
        PairSet.load("cvact", "train")
    (cvact / "ACT_data.mat").unlink()
    with pytest.raises(FileNotFoundError, match=r"ACT_data\.mat: there is no such file; put CVACT there"):
        PairSet.load("cvact", "train")


def test_a_missing_panorama_of_cvact_is_a_sentence(cvact):
    (cvact / "streetview" / f"{IDS[1]}_grdView.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="cvact val: 1 of 2 images are not there, the first is"):
        PairSet.load("cvact", "val")
