"""The @ format: golden names of the field, round trips, and a sentence for each kind of bad name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vg_core.places.labels import Label, format_name, parse_name, to_utm

SF_XL = "@0545981.19@4184971.70@10@S@037.81098@-122.47762@rtCs5-P_9NGDzUbKyzStWA@@174@@@@201409@@.jpg"
PITTS = "@0584291.21@4476924.92@17@T@040.43870@-080.00613@004702@00@@@@@@pitch1_yaw1@.jpg"


@pytest.mark.parametrize("name", [SF_XL, PITTS])
def test_published_names_survive_a_round_trip(name):
    assert format_name(parse_name(name)) == name


def test_fields_of_a_published_name():
    label = parse_name(SF_XL)
    assert (label.easting, label.northing) == (545981.19, 4184971.70)
    assert (label.zone_number, label.zone_letter) == (10, "S")
    assert (label.latitude, label.longitude) == (37.81098, -122.47762)
    assert (label.pano_id, label.heading, label.timestamp) == ("rtCs5-P_9NGDzUbKyzStWA", 174.0, "201409")
    assert parse_name(PITTS).note == "pitch1_yaw1"
    assert parse_name(PITTS).heading is None


def test_only_the_base_name_counts():
    assert parse_name(f"me@home/photos@2020/{SF_XL}") == parse_name(SF_XL)


def test_prefix_before_the_first_at_is_kept():
    label = parse_name("night" + SF_XL)
    assert label.prefix == "night"
    assert label.easting == 545981.19


def test_two_coordinates_are_enough_and_a_dot_is_no_extension():
    label = parse_name("@0545981.19@4184971.70@.PNG")
    assert (label.easting, label.northing, label.extension) == (545981.19, 4184971.70, ".PNG")
    assert parse_name("@0545981.19@4184971.70").northing == 4184971.70


@pytest.mark.parametrize("extension", [".jpg", ".JPG", ".jpeg", ".Png", ".webp"])
def test_every_extension_in_any_case(extension):
    assert parse_name(f"@500000@4000000@10@S@@@@@@@@@@@{extension}").extension == extension


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("holiday.jpg", "no coordinates"),
        ("@123.jpg", "no coordinates"),
        ("@abc@4184971.70@.jpg", "easting 'abc' is not a number"),
        ("@0545981.19@nan@.jpg", "northing 'nan' is not a finite number"),
        ("@4184971.70@0545981.19@10@S@.jpg", "easting 4.18497e+06 is outside"),
        ("@0545981.19@-5@.jpg", "northing -5 is outside"),
        ("@0545981.19@4184971.70@61@S@.jpg", "zone number 61 is outside"),
        ("@0545981.19@4184971.70@1x@S@.jpg", "zone number '1x' is not a whole number"),
        ("@0545981.19@4184971.70@10@I@.jpg", "zone letter 'I'"),
        ("@0545981.19@4184971.70@10@S@97@0@.jpg", "latitude 97 is outside"),
        ("@0545981.19@4184971.70@10@S@37@0@p@@361@@@@@@.jpg", "heading 361 is outside"),
    ],
)
def test_bad_names_get_a_sentence_that_names_the_file(name, sentence):
    with pytest.raises(ValueError, match="(?s)" + name.replace("+", r"\+") + ".*") as caught:
        parse_name(f"folder/{name}")
    assert sentence in str(caught.value)


words = st.text("abcXYZ019_-", max_size=12)
labels = st.builds(
    Label,
    easting=st.integers(10_000_000, 99_999_999).map(lambda cm: cm / 100),
    northing=st.integers(0, 999_999_999).map(lambda cm: cm / 100),
    zone_number=st.none() | st.integers(1, 60),
    zone_letter=st.sampled_from(["", "C", "S", "X"]),
    latitude=st.none() | st.integers(-9_000_000, 9_000_000).map(lambda x: x / 1e5),
    longitude=st.none() | st.integers(-18_000_000, 18_000_000).map(lambda x: x / 1e5),
    pano_id=words,
    tile=words,
    heading=st.none() | st.integers(0, 360).map(float),
    timestamp=words,
    note=words,
    extension=st.sampled_from([".jpg", ".PNG"]),
    prefix=words,
)


@given(labels)
def test_any_label_survives_a_round_trip(label):
    assert parse_name(format_name(label)) == label


def test_utm_of_a_known_position():
    easting, northing, number, letter = to_utm(37.81098, -122.47762)
    assert (number, letter) == (10, "S")
    assert abs(easting - 545981.19) < 1
    assert abs(northing - 4184971.70) < 1
