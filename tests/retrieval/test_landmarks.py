"""Ground truth of Oxford, Paris and Holidays: files made here as they are published, and a sentence for each fault."""

import numpy as np
import pytest

from vg_core.retrieval.published.ground_truth import Region, crop, read_holidays, read_landmarks
from vg_core.retrieval.published.layouts import holidays_views


def touch(folder, *names):
    """Empty files, for no reader opens an image."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def lists(items):
    return [[int(index) for index in entry] for entry in items]


def right(found):
    return lists(found.score.keywords["positives"])


def junk(found):
    return lists(found.score.keywords["junk"])


# --- Oxford and Paris ------------------------------------------------------------------------------------------

BUILDINGS = ["a_01", "a_02", "a_03", "b_01", "b_02"]  # indices 0 … 4


@pytest.fixture
def oxford(tmp_path):
    """(ground truth, images): two queries; Windows line ends and a blank line in one list."""
    images = touch(tmp_path / "images", *(f"{name}.jpg" for name in BUILDINGS))
    truth = tmp_path / "groundtruth"
    truth.mkdir()
    write_query(truth, "a_1", "oxc1_a_01 136.5 34.1 648.5 955.7\n", good="a_01\r\n\r\na_03\r\n", ok="", junk="b_02\n")
    write_query(truth, "b_1", "b_01 0 0 10 20", good="b_01\n", ok="b_02\n", junk="")
    return truth, images


def write_query(truth, name, query, **labels):
    (truth / f"{name}_query.txt").write_text(query)
    for label, text in labels.items():
        (truth / f"{name}_{label}.txt").write_text(text)


def test_oxford(oxford):
    found = read_landmarks(*oxford)
    assert found.database == [str(oxford[1] / f"{name}.jpg") for name in BUILDINGS]
    assert found.queries.to_numpy().tolist() == [["a_1", "a", 2], ["b_1", "b", 2]]
    assert right(found) == [[0, 2], [3, 4]] and junk(found) == [[4], []]
    (full, indices), (cut, regions) = found.shown
    rois = [(136.5, 34.1, 648.5, 955.7), (0, 0, 10, 20)]
    assert (full, indices.tolist(), cut) == ("full", [0, 3], "crop")
    assert regions == [Region(found.database[i], roi) for i, roi in zip((0, 3), rois, strict=True)]


def test_average_precision_of_the_protocol(oxford):
    """First query: junk is taken out, so its positives are at 0-based ranks 0 and 2; second: all first."""
    ranking = [[0, 4, 3, 2, 1], [4, 3, 0, 1, 2]]
    assert read_landmarks(*oxford).score(np.array(ranking)) == pytest.approx([19 / 24, 1])


def test_paris_lies_in_folders_and_leaves_corrupt_images_out(oxford, tmp_path):
    images = touch(tmp_path / "paris", "b/b_01.jpg", "b/b_02.jpg", *(f"a/a_0{i}.jpg" for i in (1, 2, 3)))
    (tmp_path / "corrupt.txt").write_text("a/a_03.jpg\na/a_02.jpg\nc/removed_already.jpg\n")
    found = read_landmarks(oxford[0], images, tmp_path / "corrupt.txt")
    assert found.database == [str(images / name) for name in ("a/a_01.jpg", "b/b_01.jpg", "b/b_02.jpg")]
    assert right(found) == [[0], [1, 2]]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("a_1_query.txt", "a_01 1 2 3", r"a_1_query\.txt, line 1: expected image, left, .* \(not enough values"),
        ("a_1_query.txt", "", r"a_1_query\.txt, line 1: expected image, left"),
        ("a_1_query.txt", "a_01 1 2 x 4", r"line 1: .* \('x' is no number of pixels\)"),
        ("a_1_query.txt", "a_01 9 2 3 4", r"line 1: .* \(the region is empty\)"),
        ("a_1_query.txt", "oxc1_lost 1 2 3 4", r"a_1_query\.txt, line 1: image 'lost' is not in the folder"),
        ("a_1_ok.txt", "a_01\n\nlost\n", r"a_1_ok\.txt, line 3: image 'lost' is not in the folder of images"),
        ("b_1_junk.txt", "b_02\n", r"b_1_query\.txt: this query has no good or ok image, or a junk one among them"),
    ],
)
def test_faults_name_file_and_line(oxford, file, text, message):
    (oxford[0] / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_landmarks(*oxford)


def test_a_query_without_positives(oxford):
    (oxford[0] / "a_1_good.txt").write_text("")
    with pytest.raises(ValueError, match=r"a_1_query\.txt: this query has no good or ok image"):
        read_landmarks(*oxford)


def test_files_that_are_missing(oxford, tmp_path):
    truth, images = oxford
    with pytest.raises(FileNotFoundError, match=r"elsewhere: no images there"):
        read_landmarks(truth, tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"images: no \*_query\.txt there; unpack the ground truth"):
        read_landmarks(images, images)
    with pytest.raises(FileNotFoundError, match=r"corrupt\.txt: there is no such file"):
        read_landmarks(truth, images, tmp_path / "corrupt.txt")
    (truth / "b_1_junk.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"b_1_junk\.txt: there is no such file; unpack the ground truth again"):
        read_landmarks(truth, images)


def test_two_images_of_one_name(oxford):
    touch(oxford[1], "again/a_02.png")
    with pytest.raises(ValueError, match=r"again/a_02\.png has the same name as .*; ground truth knows images by name"):
        read_landmarks(*oxford)


@pytest.mark.parametrize(
    ("roi", "size", "field", "expected"),
    [
        ((136.5, 34.1, 648.5, 955.7), (1024, 768), 196, (38, 0, 747, 1024)),  # rounds 38.5 up to 39, counted from one
        ((136.5, 34.1, 648.5, 955.7), (1024, 768), 0, (136, 33, 649, 956)),
        ((1, 1, 768, 1024), (1024, 768), 196, (0, 0, 768, 1024)),
        ((200, 300, 210, 320), (1024, 768), 7, (196, 296, 214, 324)),
    ],
)
def test_crop_of_a_query(roi, size, field, expected):
    assert crop(roi, size, field) == expected


# --- Holidays --------------------------------------------------------------------------------------------------


def test_holidays(tmp_path):
    images = touch(tmp_path, *(f"{number}.jpg" for number in (100000, 100001, 100010, 100100, 100101)))
    found = read_holidays(images)
    assert found.queries.to_numpy().tolist() == [["100000", "100000", 2], ["100100", "100100", 1]]
    assert right(found) == [[1, 2], [4]] and junk(found) == [[0], [3]]
    assert [(part, shown.tolist()) for part, shown in found.shown] == [("full", [0, 3])]
    # each finds itself first, which does not count; then all right, and right at the second place
    assert found.score(np.array([[0, 2, 1, 3, 4], [3, 0, 4, 1, 2]])) == pytest.approx([1, 0.25])


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("100200.jpg", r"100200\.jpg: this is a query without positives, or has no query"),
        ("100301.jpg", r"100301\.jpg: this is a query without positives, or has no query"),
        ("cover.jpg", r"cover\.jpg: images of Holidays have numbers for names; take this one out"),
    ],
)
def test_images_that_stand_alone(tmp_path, extra, message):
    with pytest.raises(ValueError, match=message):
        read_holidays(touch(tmp_path, "100000.jpg", "100001.jpg", extra))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((768, 1024), (768, 1024)), ((2448, 3264), (768, 1024)), ((3264, 2448), (1024, 768)), ((480, 640), (480, 640))],
)
def test_holidays_are_shrunk_to_an_area(size, expected):
    assert holidays_views(size, (1, 1)) == [((0, 0, size[1], size[0]), expected)]
