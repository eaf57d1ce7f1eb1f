"""Where and when, from EXIF data: what cameras write, and what strangers may."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational

from tests.importing.made import HOME, NORTH, exif, photograph, walk
from tests.tiny import TINY
from vg_core.datasets.exif import read_taken
from vg_core.datasets.folders import read_folder
from vg_core.models import build_model, save_model
from vg_core.retrieval.locating import locate

NOON = datetime(2025, 12, 22, 12, 30, 15)
NOTHING = IFDRational(0, 0)


def taken(tmp_path, data, name="photo.jpg"):
    return read_taken(photograph(tmp_path / name, data=data))


@pytest.mark.parametrize("place", [(45.0703, 7.6869), (-33.8568, 151.2153), (40.4387, -80.0061), (-54.8019, -68.303)])
def test_positions_of_all_quarters_of_the_globe(tmp_path, place):
    found = taken(tmp_path, exif(place))
    assert (found.latitude, found.longitude) == pytest.approx(place, abs=1e-6)
    assert found.doubt == "" and found.heading is None and found.time is None


@pytest.mark.parametrize("suffix", [".heic", ".png", ".webp"])
def test_other_formats_have_the_same_data(tmp_path, suffix):
    found = taken(tmp_path, exif(HOME, NOON, "+02:00"), f"photo{suffix}")
    assert (found.latitude, found.longitude) == pytest.approx(HOME, abs=1e-6)
    assert found.time == NOON.replace(tzinfo=timezone(timedelta(hours=2)))


def test_heading_height_and_time(tmp_path):
    data = exif(HOME, NOON, GPSImgDirection=IFDRational(9050, 100), GPSImgDirectionRef="T", GPSAltitude=IFDRational(12))
    found = taken(tmp_path, data)
    assert (found.heading, found.magnetic, found.height, found.time) == (90.5, False, 12, NOON)
    below = exif(
        HOME, GPSAltitude=IFDRational(430), GPSAltitudeRef=b"\x01", GPSImgDirection=360.0, GPSImgDirectionRef="M"
    )
    found = taken(tmp_path, below)
    assert (found.heading, found.magnetic, found.height) == (0, True, -430)


@pytest.mark.parametrize(
    ("gps", "doubt"),
    [
        ({"GPSLatitudeRef": None}, "lacks N or S"),
        ({"GPSLongitudeRef": "?"}, "lacks N or S, E or W"),
        ({"GPSLatitude": None}, "is no number"),
        ({"GPSLatitude": (IFDRational(45), IFDRational(3), NOTHING)}, "is no number"),
        ({"GPSLatitude": (IFDRational(95), IFDRational(0), IFDRational(0))}, "95, 9 are no degrees"),
        ({"GPSLatitude": (IFDRational(87), IFDRational(0), IFDRational(0))}, "where UTM ends"),
    ],
)
def test_a_position_that_makes_no_sense_is_none_and_is_said(tmp_path, gps, doubt):
    found = taken(tmp_path, exif(HOME, **gps))
    assert found.latitude is None and doubt in found.doubt


def test_zero_zero_is_no_position(tmp_path):
    assert "no fix" in taken(tmp_path, exif((0.0, 0.0))).doubt


def test_fractions_without_a_denominator_are_unknown(tmp_path):
    found = taken(tmp_path, exif(HOME, GPSImgDirection=NOTHING, GPSAltitude=NOTHING))
    assert (found.heading, found.height) == (None, None)
    assert found.latitude == pytest.approx(HOME[0])


def test_nuls_and_blanks_around_texts(tmp_path):
    data = exif(HOME, NOON, "+01:00\0", GPSLatitudeRef="N\0\0", GPSLongitudeRef="E ")
    found = taken(tmp_path, data)
    assert found.latitude == pytest.approx(HOME[0])
    assert found.time == NOON.replace(tzinfo=timezone(timedelta(hours=1)))


def test_an_edited_photograph_has_the_time_of_its_exposure(tmp_path):
    data = exif()
    data[Base.DateTime] = "2026:05:05 05:05:05"
    assert taken(tmp_path, data).time is None  # of editing
    data.get_ifd(IFD.Exif)[Base.DateTimeDigitized] = "2025:12:22 12:30:15"
    assert taken(tmp_path, data).time == NOON
    data.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = "0000:00:00 00:00:00"
    assert taken(tmp_path, data).time == NOON


def test_the_receiver_s_time_stands_in(tmp_path):
    hours = IFDRational(11), IFDRational(30), IFDRational(31, 2)
    found = taken(tmp_path, exif(GPSTimeStamp=hours, GPSDateStamp="2025:12:22"))
    assert found.time == datetime(2025, 12, 22, 11, 30, 15, 500_000, UTC)


def test_ten_megabytes_are_not_read(tmp_path):
    data = exif(HOME)
    data.get_ifd(IFD.Exif)[Base.MakerNote] = b"x" * 10_000_000
    found = taken(tmp_path, data, "photo.png")
    assert found.latitude is None and "take 10.0 MB" in found.doubt


def test_what_is_no_photograph_has_none(tmp_path):
    (tmp_path / "text.jpg").write_text("no photograph")
    assert read_taken(tmp_path / "text.jpg") == read_taken(tmp_path / "absent.jpg")
    data = exif(HOME)
    data[IFD.GPSInfo] = 77_777  # a place where nothing is
    assert taken(tmp_path, data).latitude in (None, pytest.approx(HOME[0]))


def test_a_folder_is_read_by_exif_only_when_asked(tmp_path):
    walk(tmp_path / "walk", places=3, days=[1])
    walk(tmp_path / "walk", places=2, days=[2], suffix=".heic")
    table = read_folder(tmp_path / "walk", exif=True)
    assert [path[-12:] for path in table.path] == [f"IMG_{n}" for n in ("1000.jpg", "1001.jpg", "1002.jpg")] + [
        "MG_2000.heic",
        "MG_2001.heic",
    ]
    assert table.northing.diff()[1:3].tolist() == pytest.approx([10, 10], abs=0.2)
    with pytest.raises(ValueError, match="no coordinates in the name"):
        read_folder(tmp_path / "walk")
    photograph(tmp_path / "walk" / "none.jpg")
    with pytest.raises(ValueError, match=r"none\.jpg.*nor is there a position in its EXIF data"):
        read_folder(tmp_path / "walk", exif=True)


def test_a_heic_is_located_among_photographs_without_names(tmp_path):
    save_model(build_model(TINY.replace(pooling="gem")), tmp_path / "tiny.safetensors")
    walk(tmp_path / "walk", places=4, days=[1])
    photograph(tmp_path / "where.HEIC", 1002, exif((HOME[0] + 25 * NORTH, HOME[1])))
    guesses = locate(tmp_path / "where.HEIC", tmp_path / "tiny.safetensors", tmp_path / "walk")
    assert guesses.path.iloc[0].endswith("IMG_1002.jpg")
    assert guesses.error.iloc[0] == pytest.approx(5, abs=0.2)
