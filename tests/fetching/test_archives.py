"""Archives of strangers: whole ones unpacked, and of every other nothing, nowhere, with a sentence."""

import gzip
import io
import random
import shutil
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

from data_scripts.fetching import archives
from data_scripts.fetching.archives import is_archive, safe_name, unpack, unpack_all

FILES = {"a/1.jpg": b"one", "a/b/2.jpg": b"two" * 1000, "c.txt": b""}
KINDS = "tar", "tar.gz", "zip"


def packed(file: Path, members) -> Path:
    """An archive of the kind that its suffix says, of (name, bytes), TarInfo or ZipInfo and bytes."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as whole:
            for name, content in members:
                whole.writestr(name, content)
        return file
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as whole:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = info.size or len(content)
            whole.addfile(info, io.BytesIO(content))
    return file


def found(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refused(archive: Path, said: str) -> None:
    """The archive is not unpacked, with a sentence, and nothing is outside of the folder meant for it."""
    folder, before = archive.parent / "in" / "there", {*archive.parent.iterdir()}
    with pytest.raises(ValueError, match=said) as caught:
        unpack(archive, folder)
    assert str(caught.value).startswith(f"{archive} is not unpacked: ") and "fetch it again" in str(caught.value)
    assert {*archive.parent.iterdir()} - before == {archive.parent / "in"}
    assert [*(archive.parent / "in").iterdir()] == [folder]
    assert all(entry.is_dir() or stat.S_ISREG(entry.lstat().st_mode) for entry in folder.rglob("*"))


@pytest.mark.parametrize("kind", KINDS)
def test_whole_archives(tmp_path, kind):
    archive = packed(tmp_path / f"x.{kind}", [*FILES.items(), ("./d/e", b"e")])
    unpack(archive, tmp_path / "there")
    assert found(tmp_path / "there") == FILES | {"d/e": b"e"} and is_archive(archive)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        *(
            "../x",
            "a/../../x",
            "/tmp/x",
            "a//x",
            "..",
            "a/.",
            "C:/x",
            "a\\..\\..\\x",
            "a\nb",
            "x" * 256,
            "\x7f",
            "\u202egpj.exe",
        ),
        *("CON", "a/nul.jpg", "com1", "end.", "end ", 'a"b', "a<b", "a|b", "a?b", "a*b"),
    ],
)
def test_names_that_lead_elsewhere_or_fit_no_system(tmp_path, kind, name):
    refused(
        packed(tmp_path / f"x.{kind}", [("fine", b"1"), (name, b"2")]), "which leads elsewhere or is no name on all"
    )


def test_a_name_with_a_nul(tmp_path):
    archive = packed(tmp_path / "x.zip", [("a.jpgXexe", b"1")])
    archive.write_bytes(archive.read_bytes().replace(b"a.jpgXexe", b"a.jpg\0exe"))
    refused(archive, "which is no name on all systems")


def test_a_name_with_a_nul_on_a_tape(tmp_path):
    header = tarfile.TarInfo("a")
    header.pax_headers = {"path": "a\0b"}
    refused(packed(tmp_path / "x.tar", [(header, b"1")]), "which leads elsewhere or is no name")


LINKS = {"symbolic": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "pipe": tarfile.FIFOTYPE}
LINKS |= {"device": tarfile.CHRTYPE, "disk": tarfile.BLKTYPE, "sparse": tarfile.GNUTYPE_SPARSE}


@pytest.mark.parametrize("kind", LINKS)
def test_a_tape_with_what_is_neither_file_nor_folder(tmp_path, kind):
    info = tarfile.TarInfo("a")
    info.type, info.linkname = LINKS[kind], "/etc/passwd"
    refused(packed(tmp_path / "x.tar", [(info, b""), ("a/passwd", b"evil")]), "it holds a link or device, 'a'")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_a_zip_with_what_is_neither_file_nor_folder(tmp_path, mode):
    info = zipfile.ZipInfo("a")
    info.external_attr = (mode | 0o777) << 16
    refused(packed(tmp_path / "x.zip", [(info, b"/etc/passwd"), ("b", b"evil")]), "it holds a link or device, 'a'")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["a/X.jpg", "A/x.JPG", "./a/X.jpg", "a/\uff38.jpg".replace("\uff38", "x")])
def test_two_files_that_would_be_one(tmp_path, kind, other):
    refused(
        packed(tmp_path / f"x.{kind}", [("a/X.jpg", b"1"), (other, b"2")]), "twice, or so that only capital letters"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_accents_written_in_two_ways_are_one_name(tmp_path, kind):
    refused(packed(tmp_path / f"x.{kind}", [("\u00e9.jpg", b"1"), ("e\u0301.jpg", b"2")]), "twice, or so that only")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a")])
def test_a_file_where_a_folder_is(tmp_path, kind, names):
    refused(packed(tmp_path / f"x.{kind}", [(name, b"1") for name in names]), "a file and a folder of one name")


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_bombs(tmp_path, kind, monkeypatch):
    monkeypatch.setattr(archives, "HARMLESS", 10**6)
    archive = packed(tmp_path / f"x.{kind}", [(str(number), bytes(10**6)) for number in range(20)])
    refused(archive, r"it unpacks to more than [\d.,]+ MB, as an archive made to fill disks does")
    assert sum(map(len, found(tmp_path / "in").values())) < 10**7


def test_a_bomb_behind_the_end_of_a_tape(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "HARMLESS", 10**6)
    archive = packed(tmp_path / "x.tar.gz", [("a", b"1")])
    archive.write_bytes(gzip.compress(gzip.decompress(archive.read_bytes()) + bytes(10**7)))
    refused(archive, "it unpacks to more than")


def test_a_zip_that_lies_about_sizes(tmp_path):
    archive = packed(tmp_path / "x.zip", [("a", bytes(10**5))])
    archive.write_bytes(archive.read_bytes().replace(struct.pack("<I", 10**5), struct.pack("<I", 10)))
    refused(archive, "it is damaged")


def test_too_many_files(tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "MOST", 10)
    refused(packed(tmp_path / "x.tar", [(str(number), b"") for number in range(11)]), "it holds more than 10 files")


def test_a_header_that_would_fill_the_memory(tmp_path):
    info = tarfile.TarInfo("a")
    info.type, info.size = tarfile.XHDTYPE, 2 * 10**7
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(gzip.compress(info.tobuf() + bytes(2 * 10**7)))
    tracemalloc.start()
    refused(archive, "it is damaged")
    assert tracemalloc.get_traced_memory()[1] < 5 * 10**6
    tracemalloc.stop()


def test_a_zip_with_a_password(tmp_path):
    archive = packed(tmp_path / "x.zip", [("a", b"1")])
    data = bytearray(archive.read_bytes())
    for mark, place in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + place] |= 1
    archive.write_bytes(data)
    refused(archive, "it is locked with a password: unlock it, and give the folder with --from")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_archives(tmp_path, kind):
    """Cut, or with one byte changed: what was packed, or a sentence; never another file, nor one outside."""
    noise, files = random.Random(0), {"a/1.jpg": random.Random(1).randbytes(3000), "a/2.jpg": b"2" * 3000}
    whole = packed(tmp_path / f"x.{kind}", files.items()).read_bytes()
    damaged = [whole[: noise.randrange(len(whole))] for _ in range(40)]
    for _ in range(200):
        changed = bytearray(whole)
        changed[noise.randrange(len(whole))] ^= 1 << noise.randrange(8)
        damaged.append(bytes(changed))
    said = 0
    for number, data in enumerate(damaged):
        archive, folder = tmp_path / str(number) / f"x.{kind}", tmp_path / str(number) / "there"
        archive.parent.mkdir()
        archive.write_bytes(data)
        try:
            unpack(archive, folder)
        except ValueError as error:
            said += str(error).startswith(f"{archive} is not unpacked: ")
        assert sorted(entry.name for entry in archive.parent.iterdir()) == sorted(("there", archive.name))
    assert said > (20 if kind == "tar" else 100)  # tapes without gzip have no checksums of contents


def test_there_must_be_room(tmp_path, monkeypatch):
    archive = packed(tmp_path / "x.tar", FILES.items())
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: namedtuple("usage", "free")(10**9 + 1000))
    with pytest.raises(OSError, match=r"MB are needed, the disk has 0\.0 MB to give.*; free some space and run again"):
        unpack(archive, tmp_path / "there")


def test_several_archives_in_one_folder(tmp_path):
    """A later one replaces files, as patches do; one without folders gets its own; archives inside are unpacked."""
    inner = packed(tmp_path / "inner.zip", [("new/1.png", b"png")]).read_bytes()
    parts = {
        "a.tar": [("set/1.jpg", b"old"), ("set/2.jpg", b"2")],
        "b_patch.zip": [("set/1.jpg", b"new")],
        "winter.tar.gz": [("1.png", b"1"), ("2.png", b"2")],
        "outer.zip": [("deep/inner.zip", inner), ("deep/note.gz", b"no archive")],
    }
    there = tmp_path / "there"
    there.mkdir()
    unpack_all([packed(tmp_path / name, members) for name, members in parts.items()], there)
    assert found(there) == {
        **{"set/1.jpg": b"new", "set/2.jpg": b"2", "winter/1.png": b"1", "winter/2.png": b"2"},
        **{"deep/inner.zip unpacked/new/1.png": b"png", "deep/note.gz": b"no archive"},
    }


def test_names_of_the_field_are_safe():
    for name in ("@0584291.21@4476924.92@17@T@040.43870@-080.00613@004702@00@@@@@@pitch1_yaw1@.jpg", "a/b c/d (1).jpg"):
        assert safe_name(name) == name
