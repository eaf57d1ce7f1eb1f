"""Archives of strangers (tar, tar.gz, zip), unpacked so that none does harm: what is odd is refused as a whole."""

import gzip
import os
import re
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from vg_core.system.downloads import check_room, gigabytes
from vg_core.system.files import not_written, scratch_folder
from vg_core.system.progress_bar import bar
from vg_core.system.text import printable

RATIO, HARMLESS = 100, 10**9  # an archive may unpack to so many times its size; to so many bytes in any case
MOST = 10_000_000  # members
HEADER = 2**20  # bytes of what a tar says about one member
BLOCK, LOOK = 2**20, 2**26  # bytes read at a time; bytes between two looks at the disk
LENGTH = 255  # bytes of a name of a file or folder
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|.*[. ]", re.IGNORECASE)  # Windows cannot hold them
REMEDY = "fetch it again from its makers, or unpack it yourself and give the folder with --from"
UNFIT = re.compile(r'[\\:*?"<>|]')
FAULTS = (  # what damaged archives make of their readers
    *(tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, struct.error),
    *(EOFError, NotImplementedError, OverflowError, RuntimeError, ValueError),
)


def is_archive(file: Path) -> bool:
    """True for a tar, tar.gz or zip, whatever it is called."""
    with file.open("rb") as opened:
        start = opened.read(512)
    return start[:4] in (b"PK\3\4", b"PK\5\6") or start[:2] == b"\x1f\x8b" or start[257:262] == b"ustar"


def safe_name(name: str) -> str:
    """The relative path that a stranger's list or archive names; ValueError unless every system may hold it and it
    stays below the folder it is meant for.
    """
    parts = name.removeprefix("./").removesuffix("/").split("/")
    for part in parts:
        odd = part in ("", ".", "..") or UNFIT.search(part) or RESERVED.fullmatch(part) or printable(part) != part
        if odd or len(os.fsencode(part)) > LENGTH:
            raise ValueError(f"it names '{printable(name[:100])}', which leads elsewhere or is no name on all systems")
    return "/".join(parts)


def unpack_all(archives: list[Path], folder: Path) -> None:
    """Unpack archives into one folder, in their order: files of later ones, such as patches, replace earlier ones.

    One whose files lie in no folder gets a folder of its name. Archives in archives are unpacked, too. ValueError names
    an archive that is damaged, or would do harm.
    """
    for archive in archives:
        with scratch_folder(folder) as scratch:
            there = Path(scratch, "unpacked")
            unpack(archive, there)
            for inner in [file for file in there.rglob("*") if file.suffix in (".zip", ".tar", ".gz", ".tgz")]:
                if is_archive(inner):
                    unpack(inner, inner.with_name(f"{inner.name} unpacked"))
                    inner.unlink()
            loose = any(entry.is_file() for entry in there.iterdir())
            _merge(there, folder / archive.name.partition(".")[0] if loose else folder)


def _merge(source: Path, target: Path) -> None:
    """Move the files below one folder to the same places below another."""
    for place, _, names in os.walk(source):
        there = target / Path(place).relative_to(source)
        there.mkdir(parents=True, exist_ok=True)
        for name in names:
            os.replace(Path(place, name), there / name)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack one archive into a new folder, all or nothing counts for the caller; see `unpack_all` for errors."""
    folder.mkdir(parents=True)
    seen: set[str] = set()
    try:
        room = _Room(archive, folder)
        for name, content in _members(archive):
            if not name:  # what follows the end of a tape
                while block := content.read(BLOCK):
                    room.take(len(block))
                continue
            target = folder / _new(name, seen)
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as file:
                while block := content.read(BLOCK):
                    room.take(len(block))
                    file.write(block)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{archive} is not unpacked: it holds a file and a folder of one name; {REMEDY}") from error
    except FAULTS as error:
        said = str(error) if type(error) is ValueError else f"it is damaged ({error or type(error).__name__})"
        raise ValueError(f"{archive} is not unpacked: {said}; {REMEDY}") from error
    except OSError as error:
        raise not_written(folder, error) from error


def _new(name: str, seen: set[str]) -> str:
    """The safe path of a member, which is none of those ``seen`` on any system; it joins them."""
    path = safe_name(name)
    alike = unicodedata.normalize("NFC", path).casefold()
    if alike in seen:
        raise ValueError(f"it holds '{printable(path[:100])}' twice, or so that only capital letters differ")
    if len(seen) >= MOST:
        raise ValueError(f"it holds more than {MOST:,} files")
    seen.add(alike)
    return path


class _Room:
    """Counts what is unpacked against what an archive of its size may hold, and against the disk."""

    def __init__(self, archive: Path, folder: Path):
        self.most, self.folder, self.taken, self.looked = max(HARMLESS, RATIO * archive.stat().st_size), folder, 0, 0
        check_room(folder, archive.stat().st_size)

    def take(self, number: int) -> None:
        self.taken += number
        if self.taken > self.most:
            raise ValueError(f"it unpacks to more than {gigabytes(self.most)}, as an archive made to fill disks does")
        if self.taken - self.looked > LOOK:
            check_room(self.folder, 0)
            self.looked = self.taken


def _members(archive: Path) -> Iterator[tuple[str, BinaryIO]]:
    """(name, content) of the files in an archive; ValueError for what is neither file nor folder."""
    options = {"total": archive.stat().st_size, "desc": f"unpacking {archive.name}", "unit": "B", "unit_scale": True}
    with archive.open("rb") as file, bar(**options) as done:
        start = file.read(2)
        file.seek(0)
        if start == b"PK":
            yield from _zipped(file, done)
        elif start == b"\x1f\x8b":
            with gzip.open(file) as unzipped:
                yield from _taken(unzipped, file, done)
                yield "", unzipped  # to its end, where its checksum is
        else:
            yield from _taken(file, file, done)


def _taken(tape: BinaryIO, file: BinaryIO, done) -> Iterator[tuple[str, BinaryIO]]:
    with tarfile.open(fileobj=tape, mode="r|", tarinfo=_Member) as tar:
        while (member := tar.next()) is not None:
            tar.members.clear()  # else millions of them stay in memory
            done.update(file.tell() - done.n)
            if member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and member.sparse is None:
                yield member.name, tar.extractfile(member)
            elif not member.isdir():
                raise ValueError(f"it holds a link or device, '{printable(member.name[:100])}'")


def _zipped(file: BinaryIO, done) -> Iterator[tuple[str, BinaryIO]]:
    with zipfile.ZipFile(file) as whole:
        for info in whole.infolist():
            done.update(info.compress_size)
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ValueError(f"it holds a link or device, '{printable(info.filename[:100])}'")
            if info.flag_bits & 1:
                raise ValueError("it is locked with a password: unlock it, and give the folder with --from")
            if info.orig_filename != info.filename:  # Python cuts names at NUL, and turns backslashes
                raise ValueError(f"it names '{printable(info.orig_filename[:100])}', which is no name on all systems")
            if not info.is_dir():
                with whole.open(info) as content:
                    yield info.filename, content


class _Member(tarfile.TarInfo):
    """A member of a tar; one that says too much about itself is refused before it fills the memory."""

    def _proc_member(self, tar):
        plain = tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE
        if self.type not in plain and self.size > HEADER:
            raise tarfile.HeaderError("a header of a member is too long")
        return super()._proc_member(tar)
