"""Reading photographs: every kind of file, one resize path, and faults that name the file."""

import os
import socket
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
import torch
from PIL import Image, ImageOps

from vg_core.datasets import images
from vg_core.datasets.images import UnreadableImage, read_image
from vg_core.datasets.photographs import unreadable
from vg_core.figures.galleries import small_photo
from vg_core.models.precision import IMAGENET_MEAN, IMAGENET_STD, normalise


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


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(colours, tmp_path, orientation, suffix, mode):
    stored = read_image(save(colours, tmp_path / f"plain.{suffix}", mode))
    file = save(colours, tmp_path / f"turned.{suffix}", mode, exif=oriented(orientation))
    with Image.open(file) as image:
        assert np.array_equal(read_image(file), np.asarray(ImageOps.exif_transpose(image).convert("RGB")))
    assert np.array_equal(read_image(file, upright=False), stored)


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def with_header(jpeg: bytes, *entries: tuple[int, int, int, bytes], more: bytes = b"") -> bytes:
    """The JPEG file with an EXIF header of these entries: tag, type, count, four bytes of value or offset."""
    packed = b"".join(struct.pack("<HHI", *entry[:3]) + entry[3] for entry in sorted(entries))
    header = b"Exif\0\0II*\0" + struct.pack("<IH", 8, len(entries)) + packed + bytes(4) + more
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(header) + 2) + header + jpeg[2:]


TURNED = (0x0112, 3, 1, b"\6\0\0\0")  # orientation 6


@pytest.mark.filterwarnings("ignore")  # Pillow's, of what it skips
@pytest.mark.parametrize(
    "entry",
    [
        (0x011A, 10, 1, b"\x26\0\0\0"),  # a resolution of -1/0
        (0x010F, 4, 1, b"\7\0\0\0"),  # a number for a maker
        (0x0132, 2, 40, b"\xff\xff\0\0"),  # a text behind the end
        (0x8769, 4, 1, b"\x08\0\0\0"),  # a directory within itself
        (0x8825, 9, 1, b"\xff\xff\xff\xff"),  # one before the start
        (0x9286, 3, 2, b"\1\0\2\0"),  # numbers for a comment
        (0xA005, 99, 1, b"text"),  # an unknown type
    ],
)
def test_a_photograph_is_turned_whatever_else_its_header_says(colours, tmp_path, entry):
    plain = save(colours, tmp_path / "plain.jpg")
    file = tmp_path / "turned.jpg"
    file.write_bytes(with_header(plain.read_bytes(), TURNED, entry, more=b"\xff" * 4 + bytes(4)))
    assert np.array_equal(read_image(file), np.rot90(read_image(plain), 3))


@pytest.mark.parametrize(
    ("kind", "count", "value"),
    [(3, 1, b"\0\0\0\0"), (3, 1, b"\x09\0\0\0"), (2, 2, b"6\0\0\0"), (9, 1, b"\xff" * 4), (11, 1, b"\0\0\xc0\x40")],
    ids=["0", "9", "text", "-1", "6.0"],
)
def test_an_orientation_that_is_none_turns_nothing(colours, tmp_path, kind, count, value):
    plain = save(colours, tmp_path / "plain.jpg")
    file = tmp_path / "odd.jpg"
    file.write_bytes(with_header(plain.read_bytes(), (0x0112, kind, count, value)))
    assert np.array_equal(read_image(file), read_image(plain))


@pytest.mark.filterwarnings("ignore")
def test_no_header_is_a_crash(colours, tmp_path):
    jpeg, file = save(colours, tmp_path / "plain.jpg").read_bytes(), str(tmp_path / "odd.jpg")
    rng = np.random.default_rng(0)
    tags = [0x010F, 0x011A, 0x0128, 0x0132, 0x02BC, 0x8769, 0x8773, 0x8825, 0x9000, 0x927C, 0x9286, 0xA005]
    for _ in range(300):
        entries = [(int(rng.choice(tags)), *map(int, rng.integers(1, (14, 6))), rng.bytes(4)) for _ in range(2)]
        Path(file).write_bytes(with_header(jpeg, TURNED, *entries, more=rng.bytes(40)))
        assert read_image(file).size == 1800 and not unreadable([file])


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


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["grey.png", "grey.tiff", "colour.png"])
def test_values_of_few_bits_in_a_file_of_sixteen_are_bright(tmp_path, bits, kind):
    shape, most = ((8, 8), (8, 8, 3))[kind.startswith("colour")], 2**bits - 1
    values = np.linspace(0, most, np.prod(shape)).astype(np.uint16).reshape(shape)
    if kind == "colour.png":
        save_deep_colour(values, tmp_path / kind)
    else:
        Image.fromarray(values).save(tmp_path / kind)
    expected = np.broadcast_to((values * 255.0 / most).reshape(8, 8, -1), (8, 8, 3))
    assert np.abs(read_image(tmp_path / kind) - expected).max() <= 1
    assert np.array_equal(small_photo(tmp_path / kind, 8), read_image(tmp_path / kind))


@pytest.mark.parametrize("bands", [2, 4])
def test_deep_colour_with_alpha_that_comes_out_black_is_said(tmp_path, bands):
    values = np.full((8, 8, bands), 4095)
    values[..., -1] = 65535
    save_deep_colour(values.reshape(8, -1), tmp_path / "a.png", kind={2: 4, 4: 6}[bands], width=8)
    with pytest.warns(UserWarning, match=r"a\.png: nearly black, as of its 16 bits the upper 8 are read"):
        assert read_image(tmp_path / "a.png").max() == 15
    values[..., 0] = 65535
    save_deep_colour(values.reshape(8, -1), tmp_path / "b.png", kind={2: 4, 4: 6}[bands], width=8)
    assert read_image(tmp_path / "b.png").max() == 255


def save_deep_colour(values: np.ndarray, path, kind: int = 2, width: int = 0) -> None:
    """A PNG of several times 16 bits, which Pillow cannot write; by default three, which is kind 2."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width or values.shape[1], values.shape[0], 16, kind, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 0.5, 1], [0, 127, 255]),
        ([-1, 100, 255], [0, 100, 255]),
        ([0, 2**19, 2**20], [0, 127, 255]),
        ([np.nan, np.inf, 1], [0, 0, 255]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_floats_are_scaled_by_their_range(tmp_path, values, expected):
    Image.fromarray(np.array([values], np.float32)).save(tmp_path / "a.tiff")
    assert read_image(tmp_path / "a.tiff")[0, :, 0].tolist() == expected


def pipe(path):
    os.mkfifo(path)


def link_to_a_pipe(path):
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


def plug(path):
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes among files")
@pytest.mark.parametrize("make", [pipe, link_to_a_pipe, plug, Path.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_no_photograph_at_once(tmp_path, monkeypatch, make):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(file := Path("a.jpg"))
    monkeypatch.setattr("builtins.open", lambda *_: pytest.fail("opened, perhaps for ever"))
    with pytest.raises(UnreadableImage, match=r"a\.jpg: not a readable image \(it is no file but a folder, a pipe"):
        read_image(file)
    assert small_photo(file, 8) is None


def resized_header(file: Path, height: int, width: int) -> Path:
    """The file with another size in its header."""
    old, new = (struct.pack(*form) for form in ((">HH", 20, 30), (">HH", height, width)))
    if file.suffix == ".png":
        old, new = (struct.pack(*form) for form in ((">II", 30, 20), (">II", width, height)))
    start = file.read_bytes().index(old)
    content = bytearray(file.read_bytes())
    content[start : start + len(new)] = new
    if file.suffix == ".png":
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    file.write_bytes(content)
    return file


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", ["a.jpg", "grey.jpg", "a.png", "a.gif", "a.tiff"])
def test_a_picture_beyond_the_limit_is_a_sentence_before_it_is_decoded(colours, tmp_path, monkeypatch, name):
    file = save(colours, tmp_path / name, "L" if name == "grey.jpg" else "RGB")
    monkeypatch.setenv("VG_IMAGE_BYTES", "1799")
    with monkeypatch.context() as meanwhile, pytest.raises(UnreadableImage) as refused:
        meanwhile.setattr(simplejpeg, "decode_jpeg", lambda _: pytest.fail("decoded"))
        meanwhile.setattr("PIL.ImageFile.ImageFile.load", lambda _: pytest.fail("decoded"))
        read_image(file)
    sentence = f"{file}: its 30x20 pixels take 0.00 GB, VG_IMAGE_BYTES allows 0.00; make it smaller, or set "
    assert str(refused.value).startswith(sentence + "VG_IMAGE_BYTES=1800 ")
    monkeypatch.setenv("VG_IMAGE_BYTES", "1800")
    assert read_image(file).shape == (20, 30, 3)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_panoramas_pass_and_bombs_do_not(colours, tmp_path, monkeypatch, suffix):
    decoded, panorama = [], resized_header(save(colours, tmp_path / f"a{suffix}"), 9000, 20000)
    monkeypatch.setattr(images, "_pixels", lambda image, *_, **__: decoded.append(image.size) or colours)
    read_image(panorama)
    assert decoded == [(20000, 9000)]  # not refused for its 180 million pixels
    with pytest.raises(UnreadableImage, match=r"60000x60000 pixels take 10\.80 GB, VG_IMAGE_BYTES allows 1\.00"):
        read_image(resized_header(save(colours, tmp_path / f"b{suffix}"), 60000, 60000))


@pytest.mark.parametrize("text", ["1GB", "-1", "", "１０００"])
def test_a_limit_that_is_no_number_refuses_no_photograph(colours, tmp_path, monkeypatch, text):
    monkeypatch.setenv("VG_IMAGE_BYTES", text)
    with pytest.raises(ValueError, match=f"VG_IMAGE_BYTES='{text}' must be a whole number of bytes") as refused:
        unreadable([str(save(colours, tmp_path / "a.png"))])
    assert not isinstance(refused.value, UnreadableImage)


@pytest.mark.parametrize("fault", [MemoryError, RuntimeError, OverflowError, struct.error, KeyError, EOFError])
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_whatever_a_decoder_raises_is_a_sentence(colours, tmp_path, monkeypatch, suffix, fault):
    def broken(*_):
        raise fault

    file = save(colours, tmp_path / f"a.{suffix}")
    monkeypatch.setattr(simplejpeg, "decode_jpeg", broken)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", broken)
    with pytest.raises(
        UnreadableImage,
        match=f"a.{suffix}: {'there is too little memory for its pixels' if fault is MemoryError else 'not'}",
    ):
        read_image(file)
    assert small_photo(file, 8) is None or suffix == "jpg"  # at a fraction of its size Pillow decodes


def test_no_program_is_started_for_a_photograph(tmp_path):
    (tmp_path / "a.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(UnreadableImage, match="cannot identify"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_small_photo_is_upright(colours, tmp_path, orientation):
    file = save(colours, tmp_path / "a.jpg", exif=oriented(orientation))
    assert small_photo(file, 15).size == ((15, 10), (10, 15))[orientation == 6]


def test_unreadable_files_are_named(colours, tmp_path):
    truncated = save(colours, tmp_path / "cut.jpg")
    truncated.write_bytes(truncated.read_bytes()[:300])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.jpg").write_text("no picture")
    for name in ("cut.jpg", "empty.jpg", "text.jpg", "absent.jpg"):
        with pytest.raises(UnreadableImage, match=name):
            read_image(tmp_path / name)
    cut, good = str(tmp_path / "cut.jpg"), str(save(colours, tmp_path / "good.png"))
    complaints = unreadable([cut, good])
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
