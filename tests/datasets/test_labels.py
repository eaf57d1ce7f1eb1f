"""The @ format: golden names of the field, round trips, and a sentence for each kind of bad name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vg_core.datasets.labels import Label, format_name, parse_name, to_utm

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


NO_NUMBERS = [
    "",
    " 545981.19",
    "545981.19 ",
    *["545_981", "５４５９８１", "545981,19", "0x8534d", "1e", "--5"],
    "5" * 400,
    "0" * 400,
]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("holiday.jpg", "no coordinates"),
        ("@123.jpg", "no coordinates"),
        ("@abc@4184971.70@.jpg", "easting 'abc' is not a number"),
        ("@0545981.19@nan@.jpg", "northing 'nan' is not a number"),
        ("@4184971.70@0545981.19@10@S@.jpg", "easting 4.18497e+06 is outside"),
        ("@4184971.70@0545981.19@10@S@.jpg", "easting and northing look swapped"),
        ("@0545981.19@-5@.jpg", "northing -5 is outside"),
        ("@0545981.19@5e400@.jpg", "northing inf is outside 0…10000000 metres"),
        ("@40.43776@-80.00627@.jpg", "these look like degrees"),
        ("@-122.47762@37.81098@10@S@.jpg", "these look like degrees"),
        ("@7@45@.jpg", "these look like degrees"),
        ("@0@12000@@@@@12@@@@@@@@.jpg", "easting 0 is outside 100000…1000000 metres: UTM has no such position"),
        ("@0@2.3@.jpg", "UTM has no such position"),
        ("@0000010.00@0000000.00@@@@@@@@@@@.png", "UTM has no such position"),
        *((f"@{text}@4184971.70@10@S@.jpg", f"easting '{text}' is not a number") for text in NO_NUMBERS),
        ("@0500000@10000000@32@X@.jpg", "northing 1e+07 is outside 7938933…9378094 metres, where zone letter X (71"),
        ("@0500000@7900000@32@X@.jpg", "is outside 7938933"),
        ("@0500000@9900000@32@n@.jpg", "is outside 0…9378094 metres, where zone letter n"),
        ("@0500000@0500000@55@H@.jpg", "where zone letter H (-41…-31° of latitude) lies: one of them is wrong"),
        ("@0584291.21@4476924.92@17@H@.jpg", "where zone letter H"),
        ("@0320704.45@5812911.70@55@T@.jpg", "where zone letter T (39…49° of latitude) lies"),
    ],
)
def test_bad_names_get_a_sentence_that_names_the_file(name, sentence):
    with pytest.raises(ValueError, match="(?s)" + name.replace("+", r"\+") + ".*") as caught:
        parse_name(f"folder/{name}")
    assert sentence in str(caught.value)


# after easting and northing: zone, letter, latitude, longitude, pano, tile, heading; what is understood, what is not
UNUSED = [
    ("10@S@037.8@-122.4@p@@174", {"zone_number": 10, "zone_letter": "S", "heading": 174.0}, []),
    ("10.0@S", {"zone_number": 10}, []),
    ("010@s", {"zone_number": 10, "zone_letter": "s"}, []),
    ("61@S", {"zone_number": None, "zone_letter": "S"}, ["zone number"]),
    ("0@S", {"zone_number": None}, ["zone number"]),
    ("1x@S", {"zone_number": None}, ["zone number"]),
    ("10.5@S", {"zone_number": None}, ["zone number"]),
    ("１０@S", {"zone_number": None}, ["zone number"]),
    (f"{'1' * 200}@S", {"zone_number": None}, ["zone number"]),
    ("10S", {"zone_number": None, "zone_letter": ""}, ["zone number"]),
    ("None@None", {"zone_number": None, "zone_letter": ""}, ["zone letter", "zone number"]),
    ("10@I", {"zone_number": 10, "zone_letter": ""}, ["zone letter"]),
    ("10@ß", {"zone_letter": ""}, ["zone letter"]),
    ("10", {"zone_number": 10, "zone_letter": ""}, []),
    ("10@S@nan@nan", {"latitude": None, "longitude": None}, ["latitude", "longitude"]),
    ("10@S@97@0", {"latitude": None, "longitude": 0.0}, ["latitude"]),
    ("10@S@37_8@-181", {"latitude": None, "longitude": None}, ["latitude", "longitude"]),
    ("10@S@1e999", {"latitude": None}, ["latitude"]),
    ("10@S@-37.8@-122.4", {"zone_letter": "", "latitude": -37.8}, ["zone letter"]),
    ("10@S@62.8@-122.4", {"zone_letter": "S", "latitude": None, "longitude": None}, ["latitude"]),
    ("10@N@37.8@-122.4", {"zone_letter": "N", "latitude": 37.8}, []),
    ("10@S@@@p@@-5", {"heading": 355.0}, []),
    ("10@S@@@p@@361", {"heading": 1.0}, []),
    ("10@S@@@p@@360", {"heading": 360.0}, []),
    ("10@S@@@p@@-180.5", {"heading": 179.5}, []),
    ("10@S@@@p@@201409", {"heading": None}, ["heading"]),
    ("10@S@@@p@@north", {"heading": None}, ["heading"]),
]


@pytest.mark.parametrize(("fields", "known", "doubts"), UNUSED)
def test_fields_that_metres_do_not_need_refuse_no_photograph(fields, known, doubts):
    label = parse_name(f"@0545981.19@4184971.70@{fields}@.jpg")
    assert {name: getattr(label, name) for name in known} == known
    assert [what for what, _ in label.doubts] == doubts
    assert (label.easting, label.northing) == (545981.19, 4184971.70)


@pytest.mark.parametrize("latitude", ["", "-37.81361"])
def test_s_is_a_band_and_not_the_south(latitude):
    label = parse_name(f"@0320704.45@5812911.70@55@S@{latitude}@@@@@@@@@.jpg")
    assert (label.zone_number, label.zone_letter) == (55, "")
    assert label.doubts == (("zone letter", "S: a band of latitude, 32…40° north, not the south"),)


@given(st.floats(-79.9, 83.9), st.floats(-180, 179.9))
def test_every_position_lies_within_its_band(lat, lon):
    easting, northing, number, letter = to_utm(lat, lon)
    name = f"@{easting:.2f}@{northing:.2f}@{number}@{letter}@{lat:.5f}@{lon:.5f}@.jpg"
    assert (parse_name(name).doubts, parse_name(name).zone_letter) == ((), letter)


words = st.text("abcXYZ019_-", max_size=12)
band = st.sampled_from(
    [("", 0, 10_000_000), ("C", 1_200_000, 2_000_000), ("S", 3_600_000, 4_400_000), ("n", 0, 9_000_000)]
)


@st.composite
def labels(draw):
    letter, low, high = draw(band)
    latitude = {"": (-90, 90), "C": (-80, -72), "S": (32, 40), "n": (0, 84)}[letter]
    whole, hundredth = draw(st.integers(low, high - 1)), draw(st.integers(0, 99))
    return Label(
        easting=draw(st.integers(10_000_000, 99_999_999)) / 100,
        northing=round(whole + hundredth / 100, 2),
        zone_number=draw(st.none() | st.integers(1, 60)),
        zone_letter=letter,
        latitude=draw(st.none() | st.integers(*(int(1e5) * end for end in latitude)).map(lambda x: x / 1e5)),
        longitude=draw(st.none() | st.integers(-18_000_000, 18_000_000).map(lambda x: x / 1e5)),
        pano_id=draw(words),
        tile=draw(words),
        heading=draw(st.none() | st.integers(0, 360).map(float)),
        timestamp=draw(words),
        note=draw(words),
        extension=draw(st.sampled_from([".jpg", ".PNG"])),
        prefix=draw(words),
    )


@given(labels())
def test_any_label_survives_a_round_trip(label):
    assert parse_name(format_name(label)) == label


@pytest.mark.parametrize(
    ("place", "zone", "metres"),
    [  # by PROJ 9.5.1 (pyproj 3.7.2, EPSG:326xx and 327xx), whose series is exact to nanometres in a zone
        ((48.8583, 2.2945), "31U", (448251.8983, 5411943.7938)),
        ((-33.8568, 151.2153), "56H", (334900.5697, 6252288.7529)),
        ((-54.8019, -68.3030), "19F", (544805.0975, 3927029.8847)),
        ((0, 9), "32N", (500000, 0)),
        ((-0.00001, 9), "32M", (500000, 9999998.8947)),  # the other side of the equator
        ((40, -78.00001), "17T", (756098.7942, 4432069.0281)),
        ((40, -78), "18T", (243900.3520, 4432069.0569)),  # the other side of a border
        ((-17, 179.99999), "60K", (819450.4876, 8117998.2073)),
        ((-17, 180), "1K", (180548.4468, 8117998.1909)),
        ((-17, -180), "1K", (180548.4468, 8117998.1909)),
        ((-17, -179.99999), "1K", (180549.5124, 8117998.2073)),
        ((60.39299, 2.99999), "31V", (499999.4489, 6695178.9001)),  # Norway's zone 32 begins at 3°
        ((60, 3), "32V", (165640.3321, 6666593.5721)),
        ((60.39299, 5.32415), "32V", (297477.3070, 6700830.0632)),
        ((79, 8.99999), "31X", (627589.7137, 8776538.2798)),  # Svalbard has no 32, 34 and 36
        ((79, 9), "33X", (372410.0743, 8776538.3017)),
        ((78.2232, 15.6469), "33X", (514738.9337, 8683360.4770)),
        ((79, 21), "35X", (372410.0743, 8776538.3017)),
        ((80, 32.99999), "35X", (616114.4585, 8887578.9878)),
        ((80, 33), "37X", (383885.3487, 8887579.0077)),
        ((81, 41.99999), "37X", (552370.1355, 8994558.8388)),
        ((-79.99999, -60), "21C", (441867.7273, 1116916.1588)),
        ((83.99999, -60), "21X", (465005.2868, 9329004.0676)),
    ],
)
def test_utm_within_a_centimetre(place, zone, metres):
    easting, northing, number, letter = to_utm(*place)
    assert f"{number}{letter}" == zone
    assert (easting, northing) == pytest.approx(metres, abs=0.01, rel=0)
