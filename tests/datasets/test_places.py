"""Sets of places: reading folders, radius neighbours against brute force, and a sentence for each kind of bad input."""

import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vg_core.datasets.folders import read_folder
from vg_core.datasets.labels import to_utm
from vg_core.datasets.places import PlaceSet, neighbours, say_once


def test_split_of_a_dataset(street):
    places = PlaceSet.load("street", "train")
    assert (len(places.database), len(places.queries)) == (24, 24)
    assert places.database.path.is_monotonic_increasing
    assert PlaceSet.load(str(street), "train").fingerprint == places.fingerprint


def test_two_bare_folders_are_a_test_split_and_nothing_else(street):
    bare = str(street / "images" / "val")
    assert len(PlaceSet.load(bare, "test").queries) == 16
    with pytest.raises(FileNotFoundError, match="no train split"):
        PlaceSet.load(bare, "train")


def test_bands_of_one_grid_are_one_zone(tmp_path, write_photo):
    write_photo(tmp_path / "set", 500_000, 4_427_000, zone_letter="S")
    write_photo(tmp_path / "set", 500_000, 4_429_000, zone_letter="T")
    assert len(read_folder(tmp_path / "set")) == 2


def test_degrees_are_filled_from_utm(tmp_path, write_photo):
    easting, northing, number, letter = to_utm(45.07, 7.68)
    write_photo(tmp_path / "a", easting, northing, zone_number=number, zone_letter=letter)
    row = read_folder(tmp_path / "a").iloc[0]
    assert abs(row.latitude - 45.07) < 1e-6
    assert abs(row.longitude - 7.68) < 1e-6


def test_radius_is_inclusive_at_exactly_25_metres(tmp_path, write_photo):
    write_photo(tmp_path / "queries", 584291.21, 4476924.92)
    write_photo(tmp_path / "database", 584291.21, 4476924.92 + 25.00)
    write_photo(tmp_path / "database", 584291.21 + 25.01, 4476924.92)
    places = PlaceSet.from_folders(tmp_path / "database", tmp_path / "queries")
    assert [places.database.northing[i] for i in places.neighbours(25)[0]] == [4476949.92]


points = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=30).map(
    lambda rows: np.array(rows, dtype=float)
)


@given(points, points, st.sampled_from([0.0, 5.0, 13.0, 25.0]))
def test_neighbours_equal_brute_force(database, queries, radius):
    squared = ((queries[:, None] - database[None]) ** 2).sum(-1)
    for found, row in zip(neighbours(database, queries, radius), squared, strict=True):
        assert found.tolist() == np.flatnonzero(row <= radius**2).tolist()


def test_queries_without_positives_are_listed(street, write_photo):
    lost = write_photo(street / "images" / "test" / "queries", 450_000, 5_000_000, 77)
    places = PlaceSet.load("street", "test")
    assert places.without_positives(25) == [str(lost)]
    assert places.card(25)["queries_without_positives"] == 1


def test_fingerprint_follows_what_photographs_hold(street):
    """Two exchange their bytes: names, sizes and times are the same as before."""
    before, folder = PlaceSet.load("street", "val").fingerprint, street / "images" / "val" / "database"
    first, second = sorted(folder.iterdir())[:4:2]
    stat, longest = first.stat(), max(first.stat().st_size, second.stat().st_size)
    contents = [file.read_bytes().ljust(longest, b"\0") for file in (second, first)]
    for file, content in zip((first, second), contents, strict=True):
        file.write_bytes(content)
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert PlaceSet.load("street", "val").fingerprint != before


def test_what_is_left_out_is_said_once_and_counted(street, capsys):
    split = street / "images" / "val"
    for number in range(3):
        (split / "queries" / f"{number}.HEIC").write_bytes(b"x")
    (split / "database" / ".ipynb_checkpoints").mkdir()
    places = PlaceSet.load("street", "val")
    assert capsys.readouterr().out.splitlines() == [
        f"{split}/database: 16 photographs; left out: 1 hidden folder (.ipynb_checkpoints)",
        f"{split}/queries: 16 photographs; left out: 3 .heic (convert them to JPEG)",
    ]
    assert places.left_out == places.card(25)["others_left_out"] == 4
    for file in (split / "queries").glob("@*"):
        file.unlink()
    with pytest.raises(ValueError, match=r"0 photographs; left out: 3 \.heic .*: no image found"):
        PlaceSet.load("street", "val")


def test_a_split_that_is_linked_is_read(street, tmp_path):
    (tmp_path / "kept").mkdir()
    database = street / "images" / "val" / "database"
    database.rename(tmp_path / "kept" / "part")
    database.mkdir()
    (database / "part").symlink_to(tmp_path / "kept" / "part")
    assert len(PlaceSet.load("street", "val").database) == 16


def test_fields_that_make_no_sense_are_counted_in_one_line(tmp_path, capsys):
    for number in range(12):
        write_name(tmp_path / "set", f"@{500000 + number}@5000000@17.0@T@nan@nan@p@@{'x' if number % 3 else 7}@.jpg")
    table = read_folder(tmp_path / "set")
    assert capsys.readouterr().out == (
        f"{tmp_path / 'set'}: taken as unknown: latitude of 12 names ('nan'), longitude of 12 names ('nan'), "
        "heading of 8 names ('x')\n"
    )
    assert table.heading.count() == 4 and table.latitude.between(45, 46).all() and (table.zone_number == 17).all()


def write_name(folder, name):
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"")


MELBOURNE, TURIN = "@0320704.45@5812911.70@55", "@0396000.00@4991000.00@32"


@pytest.mark.parametrize(
    ("database", "queries", "latitude"),
    [
        (f"{TURIN}@T", f"{TURIN}@", 45.1),
        (f"{TURIN}@", f"{TURIN}@T", 45.1),
        (f"{TURIN}@N", f"{TURIN}@T", 45.1),  # north is meant
        (f"{TURIN}@", f"{TURIN}@", np.nan),
        (f"{TURIN}@?", f"{TURIN}@", np.nan),
        (f"{MELBOURNE}@H", f"{MELBOURNE}@", -37.8),
        (f"{MELBOURNE}@H", f"{MELBOURNE}@S", -37.8),
        (f"{MELBOURNE}@S", f"{MELBOURNE}@S", np.nan),
        (f"{MELBOURNE}@S@-37.8@144.9", f"{MELBOURNE}@H", -37.8),
        (f"{MELBOURNE}@H@-37.8@", f"{MELBOURNE}@H@@144.9", -37.8),  # one without the other is filled
        (f"{TURIN}.0@T", f"{TURIN}@T", 45.1),
        (TURIN[:-3], TURIN[:-3], np.nan),
    ],
)
def test_a_name_without_zone_letter_goes_with_those_that_have_one(tmp_path, database, queries, latitude):
    write_name(tmp_path / "database", f"{database}@.jpg")
    write_name(tmp_path / "queries", f"{queries}@.jpg")
    places = PlaceSet.from_folders(tmp_path / "database", tmp_path / "queries")
    for table in (places.database, places.queries):
        assert table.latitude[0] == pytest.approx(latitude, abs=0.1, nan_ok=True)
        assert np.isnan(table.longitude[0]) == np.isnan(latitude)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([f"{TURIN}@T", "@0396000.00@4991000.00@33"], r"32 north \(1 images\), 33 \(1 images\)"),
        ([f"{TURIN}@T", "@0396000.00@4991000.00"], r"no zone \(1 images\), 32 north \(1 images\)"),
        (["@0396000@0004000@32@N", "@0396000@9994000@32@M", "@0397000@4000@32"], r"32 \(1 images\)"),
        (["@0396000@9994000@32@M", "@0396000@4994000@33@T", "@0396000@4994000"], r"no zone \(1 images\)"),
    ],
)
def test_zones_that_are_not_all_known_never_meet(tmp_path, names, sentence):
    for number, name in enumerate(names):
        write_name(tmp_path / "set", f"{name}@.jpg")
        write_name(tmp_path / ("queries" if number else "database"), f"{name}@.jpg")
    with pytest.raises(ValueError, match=f"mixed UTM zones: .*{sentence}"):
        read_folder(tmp_path / "set")
    with pytest.raises(ValueError, match="mixed UTM zones"):
        PlaceSet.from_folders(tmp_path / "database", tmp_path / "queries")


def test_names_that_are_no_utf_8_are_read(tmp_path, capsys):
    write_name(tmp_path / "set", os.fsdecode(b"@0500000@5000000@17@T@@@p\xff@@\xfe@.jpg"))
    table = read_folder(tmp_path / "set")
    assert os.path.exists(table.path[0]) and table.pano_id[0] == "p\udcff"
    assert "heading of 1 names ('\ufffd')" in capsys.readouterr().out
    write_name(tmp_path / "plain", "@0500001@5000000@17@T@.jpg")
    for database, queries in (("plain", "set"), ("set", "plain")):
        places = PlaceSet.from_folders(tmp_path / database, tmp_path / queries)
        assert len(places.card(25)["fingerprint"]) == 12


def test_a_split_without_a_single_positive_is_refused(street):
    places = PlaceSet.load("street", "val")
    places.check_positives(25)
    places.check_positives(5)  # exactly
    with pytest.raises(
        ValueError, match=r"street val: none of the 16 queries .* within 4 m, the nearest is 4\.5 m away"
    ):
        places.check_positives(4)
    some = PlaceSet("street", "val", places.database[:5], places.queries)
    some.check_positives(25, 4)
    with pytest.raises(ValueError, match="street val: recall@5 would retrieve all 5 images of this database"):
        some.check_positives(25, 5)


def test_fingerprint_follows_the_file_list(street, write_photo):
    before = PlaceSet.load("street", "val").fingerprint
    write_photo(street / "images" / "val" / "database", 401_500, 5_000_000, 5)
    assert PlaceSet.load("street", "val").fingerprint != before


def test_unreadable_images_are_skipped_when_asked(street, capsys):
    victim = next((street / "images" / "val" / "database").iterdir())
    victim = victim.rename(victim.with_name(f"{victim.stem}\x1b]0;title\x07{victim.suffix}"))
    victim.write_bytes(b"")
    places = PlaceSet.load("street", "val", skip_unreadable=True)
    assert len(places.database) == 15
    assert str(victim) in places.skipped[0]
    said = capsys.readouterr().out
    assert "1 unreadable" in said and "\x1b" not in said, "names do not speak to the terminal"


def test_faults_are_sentences(tmp_path, write_photo):
    (tmp_path / "empty").mkdir()
    (tmp_path / "named" / "inner").mkdir(parents=True)
    (tmp_path / "named" / "inner" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        read_folder(tmp_path / "absent")
    with pytest.raises(ValueError, match="no image found"):
        read_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"holiday\.jpg: no coordinates"):
        read_folder(tmp_path / "named")
    with pytest.raises(FileNotFoundError, match=r"no train split.*VG_DATA"):
        PlaceSet.load("nowhere", "train")
    with pytest.raises(ValueError, match="choose one of: train, val, test"):
        PlaceSet.load("nowhere", "holdout")


def test_a_flat_train_split_is_a_database_without_queries(street, write_photo, capsys):
    folder = street / "images" / "train"
    for role in ("database", "queries"):
        for file in (folder / role).iterdir():
            file.rename(folder / f"{role}{file.name}") if role == "queries" else file.rename(folder / file.name)
        (folder / role).rmdir()
    for file in folder.glob("queries@*"):
        file.unlink()
    (broken := write_photo(folder, 400_000, 5_000_000, 5)).write_bytes(b"broken")
    say_once.cache_clear()
    places = [PlaceSet.load("street", "train", skip_unreadable=True) for _ in range(2)][1]
    assert (
        capsys.readouterr().out.count("street train: 25 photographs, all of them database: there are no queries") == 1
    )
    assert (len(places.database), len(places.queries), str(broken) in [*places.database.path]) == (24, 0, False)
    assert places.neighbours(25) == [] and places.without_positives(25) == []
    assert (places.card(25)["queries"], places.card(25)["queries_without_positives"]) == (0, 0)
    with pytest.raises(ValueError, match="street train: there are no queries, so no recall"):
        places.check_positives(25)
    for split in ("val", "test"):  # of which a recall is asked
        (street / "images" / split / "queries").rename(street / split)
        with pytest.raises(FileNotFoundError, match=f"no {split} split: expected .*database and …/queries"):
            PlaceSet.load("street", split)


def test_a_split_may_have_other_queries(street):
    folder = street / "images" / "test"
    usual = PlaceSet.load("street", "test")
    assert len(usual.fingerprint) == 12 and "queries_folder" not in usual.card(25)
    (folder / "night").mkdir()
    for file in sorted((folder / "queries").iterdir())[:6]:
        file.rename(folder / "night" / file.name)
    night, left = PlaceSet.load("street", "test", queries="night"), PlaceSet.load("street", "test")
    assert (len(night.queries), len(left.queries), len(night.database)) == (6, 10, 16)
    assert len({places.fingerprint for places in (usual, night, left)}) == 3
    assert night.card(25)["queries_folder"] == "night" and night.card(25)["queries"] == 6


@pytest.mark.parametrize("queries", ["", ".", "..", "../val/queries", "/tmp", "a\\b", "a\0"])
def test_a_folder_of_queries_has_a_plain_name(street, queries):
    with pytest.raises(ValueError, match="is no name of a folder of queries"):
        PlaceSet.load("street", "test", queries=queries)
