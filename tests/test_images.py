"""Reading photographs: every kind of file, one resize path, and faults that name the file."""

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image

from vg_core.places import images
from vg_core.places.images import IMAGENET_MEAN, IMAGENET_STD, UnreadableImage, normalise, read_image


@pytest.fixture
def colours():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def save(array, path, mode="RGB", **options):
    Image.fromarray(array).convert(mode).save(path, **options)
    return path


def test_png_comes_back_as_it_was(colours, tmp_path):
    assert np.array_equal(read_image(save(colours, tmp_path / "a.png")), colours)


def test_size_is_height_then_width(colours, tmp_path):
    assert read_image(save(colours, tmp_path / "a.png"), (12, 18)).shape == (12, 18, 3)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize(("orientation", "turns"), [(3, 2), (6, 3), (8, 1)])
def test_exif_orientation_is_applied(colours, tmp_path, orientation, turns, suffix):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = read_image(save(colours, tmp_path / f"plain.{suffix}"))
    file = save(colours, tmp_path / f"turned.{suffix}", exif=exif)
    assert np.array_equal(read_image(file), np.rot90(stored, turns))
    assert np.array_equal(read_image(file, upright=False), stored)


@pytest.mark.parametrize(("mode", "suffix"), [("L", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("LA", "png"), ("1", "png")])
def test_every_mode_becomes_rgb(colours, tmp_path, mode, suffix):
    pixels = read_image(save(colours, tmp_path / f"a.{suffix}", mode))
    assert pixels.shape == (20, 30, 3)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("options", [{}, {"subsampling": 0}, {"subsampling": 1}, {"progressive": True}, {"quality": 9}])
@pytest.mark.parametrize("shape", [(20, 30), (17, 23), (1, 1)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_the_fast_decoder_gives_pillows_pixels(tmp_path, mode, shape, options):
    colours = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    file = save(colours, tmp_path / "a.jpg", mode, **options)
    with Image.open(file) as image:
        assert np.array_equal(read_image(file), np.asarray(image.convert("RGB")))


def test_a_jpeg_with_a_flaw_is_read_as_pillow_reads_it(colours, tmp_path):
    file = save(colours, tmp_path / "a.jpg")
    file.write_bytes(file.read_bytes()[:-2] + b"more" + b"\xff\xd9")  # bytes that do not belong there
    with pytest.raises(ValueError, match="extraneous"):
        simplejpeg.decode_jpeg(file.read_bytes())
    with Image.open(file) as image:
        assert np.array_equal(read_image(file), np.asarray(image.convert("RGB")))


def test_transparent_pixels_become_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[:2] = 255, 0, 0, 255
    pixels = read_image(save(rgba, tmp_path / "a.png", "RGBA"))
    assert (pixels[:2] == (255, 0, 0)).all()
    assert (pixels[2:] == 255).all()


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    deep = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert np.abs(read_image(tmp_path / "a.png")[..., 0].astype(int) - deep / 257).max() <= 1


def test_unreadable_files_are_named(colours, tmp_path):
    truncated = save(colours, tmp_path / "cut.jpg")
    truncated.write_bytes(truncated.read_bytes()[:300])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("cut.jpg", "empty.jpg", "text.jpg", "absent.jpg"):
        with pytest.raises(UnreadableImage, match=name):
            read_image(tmp_path / name)
    cut, good = str(tmp_path / "cut.jpg"), str(save(colours, tmp_path / "good.png"))
    complaints = images.unreadable([cut, good], progress=False)
    assert list(complaints) == [cut]
    assert "cut.jpg" in complaints[cut]


def test_normalise_is_imagenets():
    pixels = torch.arange(2 * 3 * 4 * 5, dtype=torch.uint8).view(2, 3, 4, 5).to(memory_format=torch.channels_last)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    result = normalise(pixels)
    torch.testing.assert_close(result, (pixels / 255.0 - mean) / std)
    assert result.is_contiguous(memory_format=torch.channels_last)
    floats = pixels.float()
    torch.testing.assert_close(normalise(floats), result)
    assert torch.equal(floats, pixels.float())  # what comes in stays as it was
