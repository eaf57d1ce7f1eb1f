"""Photographs as tensors: batches ahead of their use, the pixel cache, and what damages it."""

import errno
import os

import pytest
import torch

from tests.children import FORKS, results, started
from vg_core.datasets import photographs
from vg_core.datasets.images import UnreadableImage, read_image
from vg_core.datasets.photographs import Photographs
from vg_core.system import paths
from vg_core.system.files import reserve


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
    monkeypatch.setattr(photographs, "WORKERS", threads)
    asked = []
    coming = Photographs(files, (24, 32), mapped).batches(asked.append(i) or [i % 7] for i in range(100))
    next(coming)
    assert photographs.ahead(mapped) == expected == len(asked) - 1
    assert len(list(coming)) == 99 and asked == [*range(100)]


def test_second_mapping_decodes_a_few_to_compare(files, monkeypatch, capsys):
    Photographs(files, (24, 32), mapped=True)
    assert "7 images at 24x32 take 0.00 GB of the" in capsys.readouterr().out
    read = []
    monkeypatch.setattr(photographs, "read_image", lambda path, size: read.append(path) or read_image(path, size))
    assert Photographs(files, (24, 32), mapped=True).batch([0]).shape == (1, 3, 24, 32)
    assert read == [str(files[i]) for i in (0, 2, 4, 6)] and not capsys.readouterr().out


def test_a_changed_file_is_decoded_again(files):
    before = Photographs(files, (24, 32), mapped=True).batch([3]).clone()
    swap_two_bytes_unseen(files[3])
    after = Photographs(files, (24, 32), mapped=True).batch([3])
    assert not torch.equal(before, after)


def swap_two_bytes_unseen(file):
    """Other content under the same name, of the same size and with the same time of the last change."""
    data, times = bytearray(file.read_bytes()), file.stat()
    middle = len(data) // 2
    data[middle], data[middle + 1] = data[middle + 1], data[middle] ^ 1
    file.write_bytes(data)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_file_that_moved_is_not_decoded_again(files, tmp_path, monkeypatch):
    Photographs(files, (24, 32), mapped=True)
    (tmp_path / "set").rename(tmp_path / "elsewhere")
    moved = [tmp_path / "elsewhere" / file.name for file in files]
    monkeypatch.setattr(Photographs, "_decode_into", lambda *_: pytest.fail("decoded"))
    assert torch.equal(Photographs(moved, (24, 32), mapped=True).batch([3]), Photographs(moved, (24, 32)).batch([3]))


@pytest.mark.parametrize("photo", range(7))
def test_every_picture_of_the_cache_is_checked(files, photo, capsys):
    """One bit of one of them, whichever; a few photographs decoded to compare would miss most."""
    expected = Photographs(files, (24, 32)).batch(range(7))
    place = Photographs(files, (24, 32), mapped=True).pixels.dtype.itemsize * photo
    (file,) = paths.pixels_folder().iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) - place - 1000] ^= 4  # photographs are counted from the end
    file.write_bytes(data)
    cached = Photographs(files, (24, 32), mapped=True)
    for _ in range(2):
        assert torch.equal(cached.batch(range(7)), expected)
    assert torch.equal(Photographs(files, (24, 32), mapped=True).batch(range(7)), expected)


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
    monkeypatch.setattr(photographs, "read_image", lambda *_: pytest.fail("decoded"))
    with pytest.raises(OSError, match=r"could not be written \(No space left on device\); free some space"):
        Photographs(files, (24, 32), mapped=True)
    assert list(paths.pixels_folder().iterdir()) == []


def test_space_is_reserved_for_the_whole_file(tmp_path):
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(2**20)
    reserve(sparse)
    assert sparse.stat().st_blocks * 512 >= 2**20 == sparse.stat().st_size


def decode(files, both_began):
    """The sum of all pixels, which another process has begun to decode, too."""
    photographs.reserve = lambda file: (both_began.wait(60), reserve(file))
    return Photographs(files, (24, 32), mapped=True).batch(range(7)).sum().item()


def test_two_processes_may_decode_the_same_set_at_once(files):
    both_began = FORKS.Barrier(2)
    found = results([started(decode, files, both_began) for _ in range(2)])
    assert found == [Photographs(files, (24, 32)).batch(range(7)).sum().item()] * 2
    assert len(list(paths.pixels_folder().iterdir())) == 1


def test_a_set_too_large_for_the_disk_is_decoded_on_every_pass(files, monkeypatch, capsys):
    monkeypatch.setattr(photographs, "MAPPED_SHARE_OF_DISK", 0.0)
    direct = Photographs(files, (24, 32), mapped=True)
    assert direct.pixels is None
    assert "decoding them on every pass" in capsys.readouterr().out
    assert direct.batch([0, 1]).shape == (2, 3, 24, 32)
