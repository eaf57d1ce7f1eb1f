"""Digests of photographs: what is known is not read again, what looks touched is."""

import os

import pytest

from vg_core.datasets import contents
from vg_core.datasets.contents import digest_of, digests
from vg_core.datasets.images import UnreadableImage
from vg_core.system import own_files, paths


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.setattr(contents, "YOUNG", 0)  # what was written just now is trusted, too
    (tmp_path / "photos").mkdir()
    made = [tmp_path / "photos" / name for name in ("a.jpg", "b.jpg", "caf\udce9.jpg")]
    for number, file in enumerate(made):
        file.write_bytes(bytes([number]) * 100)
    return [str(file) for file in made]


@pytest.fixture
def read(monkeypatch):
    """Files as they are read."""
    seen, digest = [], own_files.digest
    monkeypatch.setattr(contents.own_files, "digest", lambda file: seen.append(str(file)) or digest(file))
    return seen


def photographs(read):
    return [file for file in read if file.endswith(".jpg")]


def test_known_files_are_not_read_again(files, read):
    first = digests(files)
    assert photographs(read) == files
    assert digests(files[::-1]) == first[::-1] and digests([files[1]] * 2) == [first[1]] * 2
    assert photographs(read) == files


def test_other_bytes_are_noticed_whatever_the_time_says(files, read):
    """The same size, and the time of the last writing set back: only the system's own time tells."""
    first, times = digests(files), os.stat(files[1])
    with open(files[1], "r+b") as photo:
        photo.write(b"!")
    os.utime(files[1], ns=(times.st_atime_ns, times.st_mtime_ns))
    second = digests(files)
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True]
    assert photographs(read) == [*files, files[1]]


def test_what_was_written_a_moment_ago_is_read_again(files, read, monkeypatch):
    monkeypatch.setattr(contents, "YOUNG", 10**12)
    digests(files), digests(files)
    assert photographs(read) == files * 2


def test_a_file_dated_in_the_future_is_known(files, read):
    os.utime(files[0], (4e9, 4e9))
    digests(files), digests(files)
    assert photographs(read) == files


def test_a_damaged_table_is_no_table(files, read):
    first = digests(files)
    (table,) = (paths.cache_root() / "contents").glob("*.parquet")
    table.write_bytes(table.read_bytes()[:-1])
    assert digests(files) == first and photographs(read) == files * 2


def test_contents_are_told_apart_by_their_order_and_not_by_their_names(files, tmp_path):
    whole = digest_of(files)
    (tmp_path / "photos").rename(tmp_path / "moved")
    moved = [file.replace("photos", "moved") for file in files]
    assert digest_of(moved) == whole != digest_of(moved[::-1])


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("nowhere", path), lambda path: None])
def test_what_cannot_be_read_is_named(files, tmp_path, make):
    make(tmp_path / "photos" / "odd.jpg")
    with pytest.raises(UnreadableImage, match=r"odd\.jpg: "):
        digests([*files, str(tmp_path / "photos" / "odd.jpg")])
