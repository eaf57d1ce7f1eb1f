"""Checks of files: what stands in their first and last bytes and headers; nothing is decoded."""

import os
import re
import stat
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from PIL import Image

from vg_core.datasets.folders import PICTURES
from vg_core.datasets.images import DECODED_BYTES, FORMATS, LIMIT
from vg_core.system import own_files
from vg_core.system.bounds import allowed_bytes
from vg_core.system.progress_bar import bar

from .survey import Finding, Survey

KINDS = {  # first bytes -> suffixes, last bytes
    b"\xff\xd8\xff": ((".jpg", ".jpeg"), b"\xff\xd9"),
    b"\x89PNG\r\n\x1a\n": ((".png",), b"IEND"),
    b"RIFF": ((".webp",), b""),
}
READABLE = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
OTHERS = re.compile(rb"BM|GIF8|II\*\0|MM\0\*|\0\0\0.ftyp(avif|heic|mif1)|\0\0\0\x0cjP  ", re.DOTALL)
TAIL = 4096  # bytes; what some cameras and programs write behind the picture
TINY = 32  # pixels of the shorter side
RARE, TOLERATED = 0.1, 1.4  # share of photographs that have another shape than most; change of width to height


def check_layout(survey: Survey) -> Iterator[Finding]:
    """Empty folders, splits without queries, what is no photograph."""
    yield from survey.about("empty split", survey.empty)
    yield from survey.about("split without queries", survey.unasked)
    kinds = {"links to nothing": [], "other formats": [], "other files": []}
    for kind, name in survey.left_out:
        group = "links to nothing" if kind == "broken link" else "other formats" if kind in PICTURES else "other files"
        kinds[group].append(name)
    for group, names in kinds.items():
        yield from survey.about(group, names)


def check_bytes(survey: Survey) -> Iterator[Finding]:
    """Files that are empty, locked, cut or something else, and photographs of odd sizes."""
    with ThreadPoolExecutor() as pool:
        found = [*bar(pool.map(_look, survey.table.path), total=len(survey.table), desc="looking at files")]
    faults = np.array([fault for fault, _ in found], dtype=object)
    for fault in sorted({*faults} - {""}):
        yield from survey.finding(fault, faults == fault)
    width, height = np.array([size for _, size in found], dtype=float).reshape(-1, 2).T  # (N,), 0 where unknown
    known = width * height > 0
    yield from survey.finding("tiny photograph", known & (np.minimum(width, height) < TINY))
    ratios = np.divide(width, height, out=np.ones(len(width)), where=known)
    usual = np.median(ratios[known]) if known.any() else 1.0
    odd = known & (np.maximum(ratios / usual, usual / ratios) > TOLERATED)
    if odd.sum() <= RARE * known.sum():
        yield from survey.finding("odd shape", odd, usual=usual)


def _look(path: str) -> tuple[str, tuple[int, int]]:
    """(what is wrong, or "", (width, height), zeros where unknown) of a file."""
    try:
        status = os.stat(path)
        if not status.st_size:
            return "empty file", (0, 0)
        if not status.st_mode & READABLE:  # which would not stop an administrator
            return "locked file", (0, 0)
        with open(path, "rb") as file:
            head = file.read(32)
            file.seek(max(0, status.st_size - TAIL))
            tail = file.read()
    except OSError:
        return "locked file", (0, 0)
    kind = next((kind for start, kind in KINDS.items() if head.startswith(start)), None)
    if kind is None and not OTHERS.match(head):
        return "no photograph", (0, 0)
    announced = 8 + int.from_bytes(head[4:8], "little") if head.startswith(b"RIFF") else 0  # bytes
    if kind and (kind[1] not in tail or announced > status.st_size):
        return "cut file", (0, 0)
    try:
        with Image.open(path, formats=FORMATS) as image:
            size = image.size
    except Exception:  # on bytes of strangers decoders raise whatever they stumble over
        return "unreadable header", (0, 0)
    if 3 * size[0] * size[1] > allowed_bytes(LIMIT, DECODED_BYTES):
        return "too large", (0, 0)
    return ("" if kind and path.lower().endswith(kind[0]) else "wrong suffix"), size


def check_copies(survey: Survey) -> Iterator[Finding]:
    """Files that hold the same bytes. Only those of one size are read."""
    sizes = defaultdict(list)
    for row, path in enumerate(survey.table.path):
        if os.access(path, os.R_OK) and (size := os.path.getsize(path)):
            sizes[size].append(row)
    rows = [row for same in sizes.values() if len(same) > 1 for row in same]
    with ThreadPoolExecutor() as pool:
        digests = pool.map(own_files.digest, survey.table.path.iloc[rows])
        groups = defaultdict(list)
        for row, digest in zip(rows, bar(digests, total=len(rows), desc="comparing files"), strict=True):
            groups[digest].append(row)
    yield from copies(survey, groups.values(), "copy")


def copies(survey: Survey, groups: Iterable[list[int]], what: str) -> Iterator[Finding]:
    """Findings about groups of rows that show the same: in two splits, in database and queries, elsewhere."""
    found = {what: [], f"{what} of a query in the database": [], f"{what} in two splits": []}
    for rows in groups:
        if len(rows) > 1:
            parts = {(survey.table.split[row], survey.table.role[row] == "database") for row in rows}
            splits = len({split for split, _ in parts})
            [*found.values()][2 if splits > 1 else len(parts) - 1].extend(rows)
    for check, rows in found.items():
        yield from survey.finding(check, np.array(rows, dtype=int))
