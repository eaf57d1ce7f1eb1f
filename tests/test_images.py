"""Reading photographs: every kind of file, one resize path, the pixel cache, and faults that name the file."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image

from vg_core import paths
from vg_core.files import reserve
from vg_core.places import images
from vg_core.places.images import IMAGENET_MEAN, IMAGENET_STD, UnreadableImage, normalise, read_image
from vg_core.places.photographs import Photographs


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


@pytest.fixture
def files(tmp_path, write_photo):
    return [write_photo(tmp_path / "set", 500_000 + i, 5_000_000, i) for i in range(7)]


def test_mapped_pixels_equal_decoded_ones(files):
    direct, mapped = Photographs(files, (24, 32)), Photographs(files, (24, 32), mapped=True)
    wanted = [[0, 1, 2], [6, 3], [3]]
    for a, b, indices in zip(direct.batches(wanted), mapped.batches(wanted), wanted, strict=True):
        assert torch.equal(a, b)
        assert torch.equal(a[0], torch.from_numpy(read_image(files[indices[0]], (24, 32)).copy()).permute(2, 0, 1))


@pytest.mark.parametrize(("threads", "mapped", "expected"), [(2, True, 4), (64, True, 8), (64, False, 64)])
def test_batches_that_wait_are_few_however_many_threads(files, monkeypatch, threads, mapped, expected):
    monkeypatch.setattr(images, "WORKERS", threads)
    photographs, asked = Photographs(files, (24, 32), mapped), []
    coming = photographs.batches(asked.append(i) or [i % 7] for i in range(100))
    next(coming)
    assert images.ahead(mapped) == expected == len(asked) - 1
    assert len(list(coming)) == 99 and asked == [*range(100)]


def test_second_mapping_decodes_a_few_to_compare(files, monkeypatch, capsys):
    Photographs(files, (24, 32), mapped=True)
    assert "7 images at 24x32 take 0.00 GB of the" in capsys.readouterr().out
    read = []
    monkeypatch.setattr(images, "read_image", lambda path, size: read.append(path) or read_image(path, size))
    assert Photographs(files, (24, 32), mapped=True).batch([0]).shape == (1, 3, 24, 32)
    assert read == [str(files[i]) for i in (0, 2, 4, 6)] and not capsys.readouterr().out


def test_a_changed_file_is_decoded_again(files, write_photo):
    before = Photographs(files, (24, 32), mapped=True).batch([0]).clone()
    Image.new("RGB", (64, 48), "red").save(files[0])
    after = Photographs(files, (24, 32), mapped=True).batch([0])
    assert not torch.equal(before, after)


def test_a_corrupt_file_leaves_no_half_written_cache(files):
    files[3].write_bytes(b"broken")
    with pytest.raises(UnreadableImage, match=files[3].name):
        Photographs(files, (24, 32), mapped=True)
    assert list(paths.pixels_folder().iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [lambda b: b[:-1], lambda b: b"", lambda b: b"text", lambda b: b[:-5000] + bytes(5000)],
    ids=["cut", "empty", "text", "zeros"],
)
def test_a_damaged_cache_is_made_anew(files, damage):
    expected = Photographs(files, (24, 32)).batch([0, 6])
    Photographs(files, (24, 32), mapped=True)
    (file,) = paths.pixels_folder().iterdir()
    file.write_bytes(damage(file.read_bytes()))
    assert torch.equal(Photographs(files, (24, 32), mapped=True).batch([0, 6]), expected)


def test_a_full_disk_is_a_sentence_before_anything_is_decoded(files, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(images, "read_image", lambda *_: pytest.fail("decoded"))
    with pytest.raises(OSError, match=r"could not be written \(No space left on device\); free some space"):
        Photographs(files, (24, 32), mapped=True)
    assert list(paths.pixels_folder().iterdir()) == []


def test_space_is_reserved_for_the_whole_file(tmp_path):
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(2**20)
    reserve(sparse)
    assert sparse.stat().st_blocks * 512 >= 2**20 == sparse.stat().st_size


def test_two_processes_may_decode_the_same_set_at_once(files):
    program = """
import sys
from vg_core.places.photographs import Photographs
print("ready", flush=True)
sys.stdin.readline()
print(Photographs(sys.argv[1:], (24, 32), mapped=True, progress=False).batch(range(7)).sum().item())
"""
    command, pipes = [sys.executable, "-c", program, *map(str, files)], {"stdin": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, **pipes) for _ in range(2)]
    assert [one.stdout.readline() for one in both] == ["ready\n"] * 2
    for one in both:
        one.stdin.write("go\n")
        one.stdin.flush()
    total = Photographs(files, (24, 32)).batch(range(7)).sum().item()
    assert [int(one.communicate(timeout=60)[0]) for one in both] == [total] * 2
    assert len(list(paths.pixels_folder().iterdir())) == 1


def test_a_set_too_large_for_the_disk_is_decoded_on_every_pass(files, monkeypatch, capsys):
    monkeypatch.setattr(images, "MAPPED_SHARE_OF_DISK", 0.0)
    photographs = Photographs(files, (24, 32), mapped=True)
    assert photographs.pixels is None
    assert "decoding them on every pass" in capsys.readouterr().out
    assert photographs.batch([0, 1]).shape == (2, 3, 24, 32)
