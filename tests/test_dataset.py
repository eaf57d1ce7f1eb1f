"""Sets of places: reading folders, radius neighbours against brute force, and a sentence for each kind of bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vg_core.places.dataset import PlaceSet, neighbours, read_folder
from vg_core.places.labels import to_utm


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


def test_fingerprint_follows_the_file_list(street, write_photo):
    before = PlaceSet.load("street", "val").fingerprint
    write_photo(street / "images" / "val" / "database", 401_500, 5_000_000, 5)
    assert PlaceSet.load("street", "val").fingerprint != before


def test_unreadable_images_are_skipped_when_asked(street, capsys):
    victim = next((street / "images" / "val" / "database").iterdir())
    victim.write_bytes(b"")
    places = PlaceSet.load("street", "val", skip_unreadable=True)
    assert len(places.database) == 15
    assert str(victim) in places.skipped[0]
    assert "1 unreadable" in capsys.readouterr().out


def test_faults_are_sentences(tmp_path, write_photo):
    (tmp_path / "empty").mkdir()
    write_photo(tmp_path / "zone32", 500_000, 5_000_000)
    write_photo(tmp_path / "zone33", 500_000, 5_000_000, zone_number=33)
    (tmp_path / "named" / "inner").mkdir(parents=True)
    (tmp_path / "named" / "inner" / "holiday.jpg").write_bytes(b"x")
    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        read_folder(tmp_path / "absent")
    with pytest.raises(ValueError, match="no image found"):
        read_folder(tmp_path / "empty")
    with pytest.raises(ValueError, match=r"holiday\.jpg: no coordinates"):
        read_folder(tmp_path / "named")
    with pytest.raises(ValueError, match=r"mixed UTM zones: .*32 north.*33 north"):
        PlaceSet.from_folders(tmp_path / "zone32", tmp_path / "zone33")
    with pytest.raises(FileNotFoundError, match=r"no train split.*VG_DATA"):
        PlaceSet.load("nowhere", "train")
    with pytest.raises(ValueError, match="choose one of: train, val, test"):
        PlaceSet.load("nowhere", "holdout")
