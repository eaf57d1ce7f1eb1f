"""Copies of photographs: the pixels they had, upright as they were, and nothing else of the original."""

import numpy as np
import pytest
from PIL import Image
from PIL.ExifTags import IFD, Base

from data_scripts.importing.copies import bare_jpeg, extension_of, write_copy
from data_scripts.importing.photographs import Photo
from tests.importing.made import HOME, as_bytes, exif, photograph, picture
from vg_core.datasets.images import decode

SECRET = b"someone's telephone"


def copied(tmp_path, path, keep_exif=False):
    """(path of the copy, whether it was encoded anew)."""
    target = tmp_path / f"copy{extension_of(str(path), keep_exif)}"
    return target, write_copy(Photo(str(path), path.name), target, keep_exif)


def coefficients(content: bytes) -> bytes:
    """The compressed pixels, from the first scan on."""
    return content[content.index(b"\xff\xda") :]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 2}])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_jpeg_keeps_its_very_pixels_and_its_orientation(tmp_path, options, turn):
    path = photograph(tmp_path / "photo.jpg", 3, exif(HOME, turn=turn), comment=SECRET, quality=90, **options)
    target, anew = copied(tmp_path, path)
    assert not anew and coefficients(target.read_bytes()) == coefficients(path.read_bytes())
    np.testing.assert_array_equal(decode(target), decode(path))
    data = Image.open(target).getexif()
    assert dict(data) == ({} if turn == 1 else {Base.Orientation: turn}) and not data.get_ifd(IFD.GPSInfo)
    assert SECRET not in target.read_bytes() and b"Maker of Cameras" not in target.read_bytes()


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
def test_colours_stay(tmp_path, mode):
    profile = b"profile of colours" * 5000  # more than a segment holds
    picture(1).convert(mode).save(tmp_path / "photo.jpg", exif=exif(HOME), icc_profile=profile)
    target, anew = copied(tmp_path, tmp_path / "photo.jpg")
    assert not anew and Image.open(target).info["icc_profile"] == profile
    np.testing.assert_array_equal(decode(target), decode(tmp_path / "photo.jpg"))


@pytest.mark.filterwarnings("ignore:Image appears to be a malformed MPO")
def test_what_follows_the_picture_goes(tmp_path):
    inner = as_bytes(picture(2), format="JPEG", exif=exif(HOME))
    content = as_bytes(picture(1), format="JPEG", exif=exif(HOME))
    xmp = b"http://ns.adobe.com/xap/1.0/\0" + SECRET
    segment = b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp
    pictures = b"\xff\xe2" + (4 + 2).to_bytes(2, "big") + b"MPF\0"
    path = tmp_path / "motion.jpg"
    path.write_bytes(content[:2] + segment + pictures + content[2:] + inner + b"film" + SECRET)
    target, anew = copied(tmp_path, path)
    assert not anew and target.read_bytes() == bare_jpeg(content)
    assert SECRET not in target.read_bytes() and target.read_bytes().endswith(b"\xff\xd9")


@pytest.mark.parametrize("filling", [b"\xff" * 5, b""])
def test_filling_between_segments_does_no_harm(tmp_path, filling):
    content = as_bytes(picture(1), format="JPEG", exif=exif(HOME))
    (tmp_path / "photo.jpg").write_bytes(content[:2] + filling + content[2:])
    target, anew = copied(tmp_path, tmp_path / "photo.jpg")
    assert not anew
    np.testing.assert_array_equal(decode(target), decode(tmp_path / "photo.jpg"))


def test_a_jpeg_that_cannot_be_taken_apart_is_encoded_anew(tmp_path):
    content = as_bytes(picture(1), format="JPEG", exif=exif(HOME))
    at = content.index(b"\xff\xc0")
    (tmp_path / "photo.jpg").write_bytes(content[:at] + b"\0\0" + content[at:])  # which decoders skip
    target, anew = copied(tmp_path, tmp_path / "photo.jpg")
    assert anew and not Image.open(target).getexif()
    assert np.abs(decode(target).astype(int) - decode(tmp_path / "photo.jpg")).mean() < 3


@pytest.mark.parametrize(("suffix", "anew", "same"), [(".png", False, 0), (".heic", True, 8), (".webp", True, 8)])
@pytest.mark.parametrize("turn", [1, 6])
def test_other_formats_are_turned_upright(tmp_path, suffix, anew, same, turn):
    path = photograph(tmp_path / f"photo{suffix}", 4, exif(HOME, turn=turn))
    target, was_anew = copied(tmp_path, path)
    assert was_anew == anew and target.suffix == (".png" if suffix == ".png" else ".jpg")
    assert np.abs(decode(target).astype(int) - decode(path)).mean() <= same
    assert decode(target).shape == ((48, 64, 3) if turn == 1 else (64, 48, 3))
    assert not Image.open(target).getexif()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".heic"])
def test_exif_data_stay_when_wanted(tmp_path, suffix):
    path = photograph(tmp_path / f"photo{suffix}", 4, exif(HOME, turn=6 if suffix != ".heic" else 1))
    target, anew = copied(tmp_path, path, keep_exif=True)
    assert anew == (suffix == ".heic")
    assert anew or target.read_bytes() == path.read_bytes()
    assert Image.open(target).getexif().get_ifd(IFD.GPSInfo)
