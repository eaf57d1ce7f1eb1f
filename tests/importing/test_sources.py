"""Where positions come from: tables as people write them, tracks, points of maps; and which wins."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from data_scripts.importing.photographs import Index, Photo
from data_scripts.importing.rows import parse_time
from data_scripts.importing.tables import read_csv, read_points, read_xml
from data_scripts.importing.tracks import Track
from tests.importing.made import HOME, NORTH, exif, photograph, report, run

NOON = datetime(2025, 12, 22, 12)
BOMB = '<!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]><gpx>&b;</gpx>'


def rows(tmp_path, text: str | bytes):
    file = tmp_path / "photos.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(file)


@pytest.mark.parametrize(
    "text",
    [
        "file,lat,lon\na.jpg,45.5,9.25\n",
        "\ufefffile,lat,lon\r\na.jpg,45.5,9.25\r\n",
        "Latitude;Longitude;File Name\n45,5;9,25;a.jpg\n",
        "sep=;\nfile;lat;lon\na.jpg;45,5;9,25\n",
        '"IMAGE","GPS_Latitude","GPS_Longitude"\n"a.jpg","45,5","9,25"\n',
        "path\tlat\tlng\n\n  a.jpg \t45.5°\t+9.25\n\n",
        'number,file,note,lat,lon\n1,a.jpg,"a, b\nc",45.5,9.25\n'.replace('\\"', '"'),
        "file,lat,lon\na.jpg,45.5,9.25\n".encode("utf-16"),
    ],
)
def test_tables_as_people_write_them(tmp_path, text):
    (row,) = rows(tmp_path, text)
    assert (row.texts, row.latitude, row.longitude, row.doubt) == (["a.jpg"], 45.5, 9.25, "")


def test_other_columns_of_a_table(tmp_path):
    text = "lat,lon,Heading,captured_at,split,ROLE,file\n-33.8,151.2,-90,1766404800000,Test,query,a.jpg\n"
    (row,) = rows(tmp_path, text)
    assert (row.heading, row.time, row.split, row.role) == (270, NOON.replace(tzinfo=UTC), "test", "queries")


@pytest.mark.parametrize(
    ("line", "doubt"),
    [
        ("a.jpg,45,5,9,25", "line 2: 5 cells for 3 columns (decimal commas need semicolons or quotes)"),
        ("a.jpg,north,9.25", "line 2: latitude 'north' is no number"),
        ("a.jpg,,9.25", "line 2: of latitude and longitude one is missing"),
        ("a.jpg,45.5", "line 2: of latitude and longitude one is missing"),
        ("a.jpg,9.25,145.5e400", "longitude '145.5e400' is no number"),
        ("a.jpg,145.5,9.25", "145.5, 9.25 are no degrees"),
        ("a.jpg,0,0.0", "position 0, 0"),
        ("a.jpg,=1+1,9.25", "latitude '=1+1' is no number"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path, line, doubt):
    (row,) = rows(tmp_path, f"file,lat,lon\n{line}\n")
    assert row.latitude is None and row.doubt.startswith("photos.csv line 2: ") and doubt in row.doubt


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2025-12-22T12:00:00Z", NOON.replace(tzinfo=UTC)),
        ("2025-12-22 12:00:00", NOON),
        ("2025:12:22 12:00:00", NOON),
        ("2025/12/22 12:00", NOON),
        ("20251222_120000", NOON),
        ("1766404800", NOON.replace(tzinfo=UTC)),
        ("2025-12-22", datetime(2025, 12, 22)),
        ("22/12/2025 12:00", None),
        ("99999999999999999", None),
        ("noon", None),
    ],
)
def test_times_as_people_write_them(text, time):
    assert parse_time(text) == time


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "line 1 must name columns such as file, lat and lon; it has: "),
        ("file,lat\na.jpg,4\n", "must name columns such as file, lat and lon; it has: file, lat"),
        ("a.jpg,45.5,9.25\n", "it has: a.jpg, 45.5, 9.25"),
        (b"file,lat,lon\n" + b"caf\xe9.jpg,45,9\n", "line 2 is no UTF-8; save the file as UTF-8"),
        ("file,lat,lon\n" + "x" * 200_000, "is no table of text"),
    ],
)
def test_what_is_no_table_is_a_sentence(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=r"photos\.csv") as error:
        rows(tmp_path, text)
    assert sentence in str(error.value)


def test_a_text_names_the_photograph_whose_path_ends_so():
    names = ["walk/a/IMG_1.jpg", "walk/b/IMG_1.jpg", "walk/b/IMG_2.HEIC", "walk/b/IMG_2.5.jpg"]
    index = Index([Photo("", name) for name in names])
    assert index.find("a/img_1.jpg").name == names[0]
    assert index.find("D:\\walk\\b\\IMG_1.JPG").name == names[1]
    assert index.find("IMG_2.jpg").name == index.find(" IMG_2 ").name == names[2]
    assert index.find("IMG_2.5").name == names[3]
    assert index.find("IMG_3.jpg") is index.find("") is None
    with pytest.raises(ValueError, match=r"2 photographs, such as walk/a/IMG_1.jpg and walk/b/IMG_1.jpg"):
        index.find("IMG_1.jpg")


def test_each_photograph_and_each_row_is_kept_or_named(tmp_path, monkeypatch):
    for n, name in enumerate(["a, b.jpg", "c.jpg", "d.heic", "e.jpg", "f.jpg", "g.jpg"]):
        photograph(tmp_path / "walk" / name, n, exif(HOME) if name == "g.jpg" else None)
    lines = [
        "\ufeffFile;Lat;Lon;Heading;Time",
        '"a, b.jpg";45,05;9,0;90;2025-12-22 12:00:00',
        "c.jpg;45,0501;9;;",
        "d.jpg;45,0502;9;;yesterday",
        "e.jpg;45,0503;x;;",
        "absent.jpg;45;9;;",
        "c.jpg;45,0501;9;;",
        "c.jpg;46;9;;",
    ]
    (tmp_path / "photos.csv").write_text("\n".join(lines))
    assert run(monkeypatch, tmp_path / "walk", "--csv", tmp_path / "photos.csv", "--test_only") == 0
    table = report()
    assert table.position_from.to_dict() == {
        **{"a, b.jpg": "table", "c.jpg": "", "d.heic": "table", "e.jpg": "", "f.jpg": "", "g.jpg": "EXIF"},
        "absent.jpg": "",
    }
    assert table.dropped["absent.jpg"] == "photos.csv line 6: no photograph of that name"
    assert table.dropped["c.jpg"] == "no position: photos.csv line 3: another position in photos.csv line 8"
    assert table.dropped["e.jpg"] == "no position: photos.csv line 5: longitude 'x' is no number"
    assert table.dropped["f.jpg"] == "no position"
    assert table.remark["d.heic"] == "photos.csv line 4: time 'yesterday' is not written as 2025-12-31 23:59:59"
    assert "@90@@@@20251222_120000@" in table["copy"]["a, b.jpg"]


def gpx(points, version="1/1") -> str:
    inner = "".join(f'<trkpt lat="{lat}" lon="{lon}"><time>{time}</time></trkpt>' for lat, lon, time in points)
    return f'<gpx xmlns="http://www.topografix.com/GPX/{version}"><trk><trkseg>{inner}</trkseg></trk></gpx>'


@pytest.fixture
def track(tmp_path):
    """A minute to the north from noon on, a metre a second, and again an hour later, to the east over 180°."""
    first = [
        (HOME[0] + NORTH * second, HOME[1], f"2025-12-22T12:{second // 60:02}:{second % 60:02}Z")
        for second in (0, 20, 60)
    ]
    later = [(-17.0, lon, f"2025-12-22T13:00:{second:02}.5Z") for second, lon in ((0, 179.9998), (40, -179.9998))]
    lost = [("x", "y", "2025-12-22T12:00:05Z"), (45, 9, ""), (0, 0, "2025-12-22T12:00:06Z")]
    (tmp_path / "track.gpx").write_text(gpx([*later, *first, *lost]))
    return tmp_path / "track.gpx"


def test_between_points_of_a_track_lies_a_line(track, capsys):
    found = Track([track], gap=60)
    assert "3 track points without a position or a time are left out" in capsys.readouterr().out
    noon = NOON.replace(tzinfo=UTC)
    for second in (0, 7, 20, 50, 60):
        place = found.at(noon + timedelta(seconds=second))
        assert place == pytest.approx((HOME[0] + NORTH * second, HOME[1]), abs=1e-9)
    assert found.at(noon.replace(hour=13, second=10, microsecond=500_000)) == pytest.approx((-17, 179.9999), abs=1e-9)
    assert found.at(noon.replace(hour=13, second=30, microsecond=500_000)) == pytest.approx((-17, -179.9999), abs=1e-9)
    for seconds in (-1, 61, 1800, 4000):
        assert found.at(noon + timedelta(seconds=seconds)) is None
    assert Track([track], gap=30).at(noon + timedelta(seconds=40)) is None
    assert Track([track], gap=30).at(noon + timedelta(seconds=60)) is not None


def test_photographs_on_a_track(tmp_path, monkeypatch, track):
    photograph(tmp_path / "walk" / "zone.jpg", 1, exif(time=NOON + timedelta(hours=2, seconds=40), zone="+02:00"))
    photograph(tmp_path / "walk" / "bare.jpg", 2, exif(time=NOON + timedelta(hours=1, seconds=20)))
    photograph(tmp_path / "walk" / "late.jpg", 3, exif(time=NOON + timedelta(hours=3)))
    photograph(tmp_path / "walk" / "none.jpg", 4)
    photograph(tmp_path / "walk" / "own.jpg", 5, exif(HOME))
    words = [tmp_path / "walk", "--gpx", track, "--test_only", "--clock_offset", "-10"]
    assert run(monkeypatch, *words, "--utc_offset", 1) == 0
    table = report()
    assert table.position_from.tolist() == ["track", "", "", "EXIF", "track"]
    assert (table.latitude.astype(str) != "").tolist() == [True, False, False, True, True]
    north = (table.latitude[["bare.jpg", "zone.jpg"]].astype(float) - HOME[0]) / NORTH
    assert north.tolist() == pytest.approx([10, 30], abs=0.01)
    assert table.dropped["late.jpg"].endswith("no two track points within 60 s around 2025-12-22 14:59:50+0100")
    assert table.dropped["none.jpg"] == "no position: no time to look for"
    assert run(monkeypatch, *words, "--force") == 0
    assert table.dropped["bare.jpg"] == "" and "give --utc_offset" in report().dropped["bare.jpg"]


KML = """<kml xmlns="http://www.opengis.net/kml/2.2"><Document><Folder>
<Placemark><name>a.jpg</name><Point><coordinates>9.25,45.5,12</coordinates></Point></Placemark>
<Placemark><name>Church</name><ExtendedData><Data name="photo"><value>b.jpg</value></Data>
<Data name="heading"><value>45</value></Data></ExtendedData><Point><coordinates> 9.25,45.5001 </coordinates></Point>
</Placemark><Placemark><name>way</name><LineString><coordinates>1,2 3,4</coordinates></LineString></Placemark>
</Folder></Document></kml>"""
FEATURES = [
    {"type": "Feature", "properties": {"name": "a"}, "geometry": {"type": "Point", "coordinates": [9.25, 45.5]}},
    {
        "type": "Feature",
        "properties": {"title": "Church", "image": "x/b.jpg", "heading": 45, "none": None},
        "geometry": {"type": "Point", "coordinates": [9.25, 45.5001, 12.0]},
    },
    {"type": "Feature", "properties": None, "geometry": {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}},
]
GEOJSON = json.dumps({"type": "FeatureCollection", "features": FEATURES})


@pytest.mark.parametrize(("name", "text"), [("map.kml", KML), ("map.geojson", GEOJSON)])
def test_points_of_a_map(tmp_path, monkeypatch, name, text):
    (tmp_path / name).write_text(text)
    for n, photo in enumerate(["a.jpg", "b.jpg", "c.jpg"]):
        photograph(tmp_path / "walk" / photo, n)
    assert run(monkeypatch, tmp_path / "walk", "--points", tmp_path / name, "--test_only") == 0
    table = report()
    assert table.position_from[:3].tolist() == ["points", "points", ""] and len(table) == 3
    assert table.latitude[["a.jpg", "b.jpg"]].astype(float).tolist() == [45.5, 45.5001]
    assert table.heading["b.jpg"] in (45, "45", "45.0")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("t.gpx", BOMB, "declares a document type"),
        ("t.gpx", BOMB.encode("utf-16"), "declares a document type"),
        ("t.gpx", "<gpx>", "is no XML"),
        ("t.gpx", '<?xml version="1.0" encoding="no-such"?><gpx/>', "is no XML"),
        ("t.gpx", gpx([(45, 9, "")]), "has no track point with a position and a time (1 without)"),
        ("p.kml", BOMB, "declares a document type"),
        ("p.kml", "<kml/>", "holds no points"),
        ("p.kmz", "PK", "unpack this zip archive"),
        ("p.txt", "", "points are read from .kml, .geojson and .json files"),
        ("p.json", "[" * 100_000, "is no GeoJSON"),
        ("p.json", "[1]", "is no GeoJSON"),
        ("p.json", '{"features": [{"geometry": {"type": "Point", "coordinates": [1]}}]}', "is no GeoJSON"),
    ],
)
def test_files_that_are_refused_are_named(tmp_path, name, text, sentence):
    file = tmp_path / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=name) as error:
        Track([file], 60) if name.endswith("gpx") else read_points(file)
    assert sentence in str(error.value)


def test_an_entity_without_a_declaration_is_no_xml(tmp_path):
    (tmp_path / "t.xml").write_text("<a>&b;</a>")
    with pytest.raises(ValueError, match="is no XML"):
        read_xml(tmp_path / "t.xml")


def test_a_table_wins_over_a_track_a_track_over_points_and_these_over_exif(tmp_path, monkeypatch, track):
    photo = photograph(tmp_path / "a.jpg", 0, exif((45.3, 9.0), NOON, "+00:00"))
    photograph(tmp_path / "b.jpg", 1, exif((45.31, 9.0), NOON))
    (tmp_path / "photos.csv").write_text("file,lat,lon\na.jpg,45.1,9\n")
    (tmp_path / "map.kml").write_text(KML)
    words = [photo, tmp_path / "b.jpg", "--test_only", "--force"]
    for more, origin in (
        (["--csv", tmp_path / "photos.csv"], "table"),
        (["--gpx", track], "track"),
        (["--points", tmp_path / "map.kml"], "points"),
        ([], "EXIF"),
    ):
        assert run(monkeypatch, *words, *more, *(["--points", tmp_path / "map.kml"] if origin != "EXIF" else [])) == 0
        assert report().position_from["a.jpg"] == origin
