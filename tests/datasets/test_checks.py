"""What is said before hours of work: copies among photographs, and shapes that do not fit."""

import shutil

import pytest
from PIL import Image

from vg_core.datasets.checks import copies, squashed
from vg_core.datasets.places import PlaceSet


def test_photographs_of_a_street_are_no_copies(street):
    sets = [PlaceSet.load("street", split) for split in ("train", "val", "test")]
    assert copies(sets) == []
    assert [places.card(25)["queries_in_database"] for places in sets] == [0, 0, 0]


def test_copies_count_by_their_bytes_whatever_their_names(street):
    images = street / "images"
    for file, copy in zip(sorted((images / "test" / "database").iterdir()), range(3), strict=False):
        shutil.copy(file, images / "test" / "queries" / f"@402{copy}00@5000000@32@T@.jpg")
    shutil.rmtree(images / "val")
    shutil.copytree(images / "train", images / "val")
    sets = [PlaceSet.load("street", split) for split in ("train", "val", "test")]
    assert copies(sets) == [
        "street test: 3 of 19 queries are copies of database images",
        "street val: 48 photographs are copies of street train",
    ]
    assert sets[2].queries_in_database == sets[2].card(25)["queries_in_database"] == 3


def test_a_copy_in_the_database_that_no_query_is_does_not_count(street):
    folder = street / "images" / "test" / "database"
    shutil.copy(sorted(folder.iterdir())[0], folder / "@402900@5000000@32@T@.jpg")
    assert copies([PlaceSet.load("street", "test")]) == []


def photographs(folder, sizes, **options):
    """Paths of photographs of these (width, height), two of which are damaged."""
    folder.mkdir()
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(folder / f"{number:03}.jpg", **options)
    for number in (0, 1):
        (folder / f"x{number}.jpg").write_bytes(b"no picture")
    return sorted(map(str, folder.iterdir()))


WIDE, UPRIGHT, TALL, SQUARE = (64, 48), (48, 64), (36, 64), (64, 64)


@pytest.mark.parametrize(
    ("sizes", "image_size", "better"),
    [
        ([WIDE] * 5, (480, 640), ""),
        ([UPRIGHT] * 5, (480, 640), "image_size 640 480 has"),
        ([TALL] * 5, (480, 640), "image_size 736 416 has"),
        ([WIDE] * 5, (640, 480), "image_size 480 640 has"),
        ([SQUARE] * 5, (480, 640), ""),
        ([(64, 36)] * 5, (480, 640), ""),
        ([(90, 30)] * 5, (480, 640), "image_size 320 960 has"),
        ([UPRIGHT] * 3 + [WIDE] * 2, (480, 640), "3 of 5 photographs looked at are squashed at image_size 480 640"),
        ([UPRIGHT] * 2 + [WIDE] * 2, (480, 640), ""),
        ([UPRIGHT] * 9, (192, 256), "image_size 256 192 has"),
        ([UPRIGHT] * 100, (48, 64), "image_size 64 48 has"),
        ([UPRIGHT], (480, 640), "1 of 1 photographs"),
        ([], (480, 640), ""),
    ],
)
def test_a_set_that_is_squashed_gets_a_size_of_its_shape(tmp_path, sizes, image_size, better):
    said = squashed(photographs(tmp_path / "set", sizes), image_size)
    assert better in said and bool(said) == bool(better)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_shapes_are_those_of_photographs_turned_upright(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    paths = photographs(tmp_path / "set", [WIDE] * 3, exif=exif)
    assert bool(squashed(paths, (480, 640))) == (orientation >= 5)


def test_no_photographs_are_not_squashed():
    assert squashed([], (480, 640)) == ""
