"""A data set brought into our folders: fetched or found, unpacked, converted, put in its place at once, and counted."""

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from PIL import Image

from vg_core.datasets.images import decode
from vg_core.system.downloads import check_room
from vg_core.system.files import not_written, one_at_a_time, scratch_folder
from vg_core.system.paths import cache_root, data_root
from vg_core.system.progress_bar import bar
from vg_core.system.text import printable

from .archives import is_archive, safe_name, unpack_all
from .catalogue import CATALOGUE, Entry
from .source import Photo, Source
from .transfer import check_sums, fetch, file_name, mirror

QUALITY = 95  # of photographs that are made smaller, as JPEG
LOOK = 1000  # photographs between two looks at the disk


def obtain(name: str, urls: Sequence[str] = (), folder: Path | None = None, agreed: bool = False) -> bool:
    """True when the data set of that name is complete below ``data_root``, after bringing it there if it was not.

    It comes from addresses in place of those of the catalogue, or from a ``folder`` of archives or of what they hold,
    which stays as it is. Raises ValueError and OSError in sentences, those of what can only be asked for included.
    """
    entry, target, work = CATALOGUE[name], data_root() / name, data_root() / f".download-{name}"
    if folder and not folder.is_dir():
        raise FileNotFoundError(f"{folder} is no folder; name the one that holds archives, or what was in them")
    with one_at_a_time(cache_root() / "downloads" / name, f"waiting for another download of {name}"):
        if not target.exists():
            print(f"{name}: {entry.title}; terms: {entry.terms}", flush=True)
            if not folder:
                _check_terms(name, entry, urls, agreed)
            archives, roots = _found(folder) if folder else _fetched(entry, urls, work)
            with scratch_folder(data_root()) as scratch:
                unpacked, new = Path(scratch, "unpacked"), Path(scratch, name)
                unpacked.mkdir()
                unpack_all(archives, unpacked)
                arrange(entry.photos(Source([unpacked, *roots])), new)
                new.rename(target)
        complete = _told(name, entry, target)
        if complete:
            shutil.rmtree(work, ignore_errors=True)
    return complete


def _check_terms(name: str, entry: Entry, urls: Sequence[str], agreed: bool) -> None:
    """Raises ValueError, with what to do, for a data set that one must ask for, or whose terms one must agree to."""
    if entry.form and not agreed:
        raise ValueError(f"fill in the form of the makers of {name}, {entry.form}, then run again with --agreed")
    if not (urls or entry.files or entry.rsync):
        command = f"python data_scripts/download.py {name} --from FOLDER"
        raise ValueError(f"{name} cannot be fetched without asking. {entry.ask.strip()}\nThen: {command}")


def _found(folder: Path) -> tuple[list[Path], list[Path]]:
    """(archives, folders to look in) of a folder that somebody filled."""
    archives = [file for file in sorted(folder.iterdir()) if file.is_file() and is_archive(file)]
    check_sums(folder, archives)
    return archives, [folder]


def _fetched(entry: Entry, urls: Sequence[str], work: Path) -> tuple[list[Path], list[Path]]:
    """(archives, folders to look in) after fetching what an entry or URLs name."""
    if not urls and entry.rsync:
        urls = (entry.rsync,)
    if urls and all(url.startswith("rsync://") for url in urls):
        for url in urls:
            mirror(url, work / "mirror")
        return [], [work / "mirror"]
    files, there = [(url, file_name(url)) for url in urls] or entry.files, work / "files"
    if len({name for _, name, *_ in files}) < len(files):
        raise ValueError("several addresses end with the same name of a file; fetch them, and use --from")
    there.mkdir(parents=True, exist_ok=True)
    for url, name, *digest in files:
        fetch(url, there / name, *digest)
    return _found(there)


def arrange(photos: Iterable[Photo], folder: Path) -> None:
    """Bring photographs to their places in a new folder, without a second copy on the disk where that can be."""
    folder.mkdir()
    photos = list(photos)
    if not photos:
        raise ValueError("there is no photograph in what was given; see that all of it is unpacked")
    for number, photo in enumerate(bar(photos, desc="sorting photographs", unit="")):
        target = folder / safe_name(photo.target)
        if target.exists():
            raise ValueError(f"two photographs would be called {printable(target.name)}; one is {photo.source}")
        if not photo.source.is_file():
            raise FileNotFoundError(f"{printable(photo.source)} is missing, but listed; unpack all archives")
        try:
            if number % LOOK == 0:
                check_room(folder, 0)
            target.parent.mkdir(parents=True, exist_ok=True)
            _shrink(photo, target) if photo.short_side else _link(photo.source, target)
        except OSError as error:
            raise not_written(target, error) from error


def _link(source: Path, target: Path) -> None:
    with suppress(OSError):  # on another disk, or one that cannot
        return os.link(os.path.realpath(source), target)
    shutil.copyfile(source, target)
    return None


def _shrink(photo: Photo, target: Path) -> None:
    """Write a photograph upright, its short side of so many pixels, if it is larger."""
    image = Image.fromarray(decode(photo.source))
    scale = min(1.0, photo.short_side / min(image.size))
    size = [round(side * scale) for side in image.size]
    image.resize(size, Image.Resampling.BILINEAR).save(target, quality=QUALITY)


def _told(name: str, entry: Entry, target: Path) -> bool:
    """Say what is there; True when that is what is published."""
    lines, faults = entry.compared(target)
    print(f"{name} is in {target}", *lines, *faults, sep="\n  ")
    if faults:
        print("  this is not the published set: do not compare with published numbers; to fetch it again, remove it")
    return not faults


def table() -> str:
    """All data sets in lines: name, what it is, how it comes, how many photographs are checked, terms."""
    rows = [("name", "what", "how", "checked", "terms")]
    for name, entry in CATALOGUE.items():
        rows.append(
            (name, entry.title, entry.way, f"{sum(entry.counts.values()):,}" if entry.counts else "–", entry.terms)
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows
    )
