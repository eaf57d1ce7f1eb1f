"""Sets of several UTM zones, sets whose coordinates are made up, and roads over the border of a zone."""

import numpy as np
import pytest

from vg_core.config import Config
from vg_core.datasets.folders import read_folder, taken_at
from vg_core.datasets.labels import Label, format_name, to_utm
from vg_core.datasets.places import PlaceSet, load_splits, say_once
from vg_core.evaluation.ranks import Within

COPENHAGEN = "@{:010.2f}@6172895.34@33@U@055.67910@0012.56800@a{}@@@@@@20180522@day_forward_cph@.jpg"
SAN_FRANCISCO = "@{:010.2f}@4178906.70@10@S@037.75654@-122.50912@b{}@@@@@@20180522@day_forward_sf@.jpg"


def names(folder, *given):
    folder.mkdir(parents=True, exist_ok=True)
    for name in given:
        (folder / name).write_bytes(name.encode())


@pytest.fixture
def two_cities(tmp_path):
    """Val of MSLS as its converter writes it: places 60 m apart in either city, at the same eastings; Copenhagen has
    more photographs.
    """
    for role, off in (("database", 0), ("queries", 3)):
        east = [400_000 + 60 * n + off for n in range(5)]
        names(tmp_path / "images" / "val" / role, *(COPENHAGEN.format(e, n) for n, e in enumerate(east)))
        names(tmp_path / "images" / "val" / role, *(SAN_FRANCISCO.format(e, n) for n, e in enumerate(east[:4])))
    say_once.cache_clear()
    return tmp_path


def test_distances_are_within_a_zone(two_cities, capsys):
    places = PlaceSet.load(str(two_cities), "val")
    assert (
        "UTM zones that lie apart: 33 north (10), 10 north (8); distances are within a zone" in capsys.readouterr().out
    )
    cities = [places.database.note[near].str[-3:].tolist() for near in places.neighbours(63)]
    assert sorted(map(len, cities)) == [2] * 4 + [3] * 5 and all(len({*near}) == 1 for near in cities)
    assert np.allclose(places.nearest_m(), 3) and places.card(25)["zones"] == 2
    alone = PlaceSet("a", "val", places.database[places.database.plane == 0], places.queries)
    assert np.isinf(alone.nearest_m()).sum() == 4 == len(alone.without_positives(25))


def test_ranks_are_joint_or_within_the_querys_own_zone(two_cities):
    places = PlaceSet.load(str(two_cities), "val")
    tables = places.queries, places.database
    assert [len(part) for parts in Within().parts(*tables) for part in parts] == [9, 9]
    own = Within(search="own_zone").parts(*tables)
    assert sorted([len(part) for part in parts] for parts in own) == [[4, 4], [5, 5]]
    abroad = np.argsort(-places.database.plane.to_numpy(), kind="stable")[None].repeat(9, axis=0)
    ranks = Within(25).ranks(*tables, abroad, places.positives(Within(25)))
    assert np.isinf(ranks.metres).sum() == 5, "the first image retrieved lies in the other city"
    assert (ranks.within_20 == 3).all() and ranks.place.nunique() == 9 and ranks.easting.max() < 1e6
    with pytest.raises(ValueError, match="4 queries lie in a UTM zone without database images"):
        Within(search="own_zone").parts(places.queries, places.database[places.database.plane == 0])


@pytest.mark.parametrize(
    ("latitude", "longitude", "zones"),
    [
        (45.0, 6.0, (31, 32)),
        (64.0, 180.0, (60, 1)),
        (0.0, 9.5, (32, 32)),
        (-33.0, 12.0, (32, 33)),
        (60.0, 3.0, (31, 32)),
    ],
)
def test_a_road_over_the_border_of_a_zone_is_one_road(tmp_path, capsys, latitude, longitude, zones):
    """Ten photographs 20 m apart across the border, queries 2 m from each: metres as if there was no border."""
    say_once.cache_clear()
    across = longitude if latitude else None
    for number in range(-4, 6):
        metres = 20 * number + 7.0
        lat = latitude if across else np.rad2deg(metres / 6.357e6)
        lon = longitude + (np.rad2deg(metres / (6.378e6 * np.cos(np.deg2rad(latitude)))) if across else 0)
        here = to_utm(lat, (lon + 180) % 360 - 180)
        names(tmp_path / "database", format_name(Label(*here, pano_id=str(number))))
        names(tmp_path / "queries", format_name(Label(here[0], here[1] - 2.0 * (here[1] > 2), *here[2:])))
    places = PlaceSet.from_folders(tmp_path / "database", tmp_path / "queries")
    assert "near others of zone" in capsys.readouterr().out
    assert places.zones == 1 and places.database.zone_number.unique() in zones
    assert np.allclose(places.nearest_m(), 2, atol=0.02)
    steps = np.sort(places.database.easting if across else places.database.northing)
    assert np.allclose(np.diff(steps), 20, atol=0.1)
    assert {len(near) for near in places.neighbours(45)} == {3, 4, 5}


@pytest.mark.parametrize("name", ["@0@{}000@@@@@{}@@@@@@@@.jpg", "@0@{}.3@.jpg", "@00000{}0.00@0000000.00@@@@@@@.png"])
def test_made_up_coordinates_are_in_units(tmp_path, name):
    """As of AmsterTime and SPED (pairs), Nordland (frames), and what people write who have no positions."""
    for role in ("database", "queries"):
        names(tmp_path / "test" / role, *(name.format(n, n) for n in range(1, 7)))
    places = PlaceSet.load(str(tmp_path), "test")
    assert places.unit == "units" and places.database.latitude.isna().all()
    assert all(number in near for number, near in enumerate(places.neighbours(0)))
    assert places.card(25)["threshold"] == "25 units of made-up coordinates"
    assert [*load_splits(Config(dataset=str(tmp_path)))] == ["test"]


def test_real_sets_have_no_word_about_it(street):
    card = PlaceSet.load("street", "test").card(25)
    assert PlaceSet.load("street", "test").unit == "m" and not {"zones", "threshold"} & {*card}
    assert [*load_splits(Config(dataset="street"))] == ["train", "val", "test"]


REAL = "@0396000.00@4991000.00@32@T@.jpg"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ([REAL, "@0@12000@@@@@12@.jpg"], "@0@12000.*easting 0 is outside"),
        (["@0396000.00@4991000.00@.jpg", "@0@12000@.jpg"], "@0@12000.*easting 0 is outside"),
        (["@45.1@7.6@.jpg", "@45.2@7.7@.jpg", "@0@0@.jpg"], "look like degrees|easting 0 is outside"),
        (["@4991000@396000@.jpg", "@4991001@396000@.jpg"], "look swapped"),
        (["@0@12000@32@T@.jpg", "@0@13000@32@T@.jpg"], "easting 0 is outside"),
        (["@0@12000@.jpg", "@0@1e300@.jpg", "@0@1e999@.jpg"], "easting 0 is outside"),
    ],
)
def test_one_name_without_a_place_among_real_ones_is_named(tmp_path, given, sentence):
    names(tmp_path / "set", *given)
    with pytest.raises(ValueError, match=sentence):
        read_folder(tmp_path / "set")


def test_a_set_is_made_up_as_a_whole(tmp_path):
    names(tmp_path / "queries", "@0@12000@.jpg")
    names(tmp_path / "database", "@0396000.00@4991000.00@.jpg")
    for pair in (("queries", "database"), ("database", "queries")):
        with pytest.raises(ValueError, match=r"@0@12000@\.jpg: coordinates that are no UTM, in a set where others are"):
            PlaceSet.from_folders(*(tmp_path / role for role in pair))


def test_a_photograph_is_told_in_the_zone_of_its_guesses(two_cities, tmp_path):
    guesses = PlaceSet.load(str(two_cities), "val").database
    for place in (guesses, guesses[guesses.plane == 1]):
        row = taken_at("/x/" + SAN_FRANCISCO.format(400_000, 1), place)
        assert row.plane.tolist() == [1]
    assert taken_at("/x/" + COPENHAGEN.format(400_000, 1), guesses[guesses.plane == 1]).empty
