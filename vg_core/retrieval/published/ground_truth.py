"""Ground truth as its authors give it out: of Oxford, Paris, Holidays and San Francisco.

Images are found by name in a folder, at any depth, and numbered in the order of their sorted paths. Readers raise
FileNotFoundError, and ValueError with file and line.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from vg_core.datasets.folders import image_files
from vg_core.evaluation.ranks import average_precisions, first_hits
from vg_core.system.text import printable

Names, Lists = list[str], list[np.ndarray]  # one per image; database indices, per query
AT, TOP = (1, 5, 10), 10  # N of recall@N, and the largest
WHOLE = re.compile("[0-9]{1,18}")  # int() takes digits of every script, NumPy no longer ones
BUILDING = re.compile(r"(?:[^_]*_){7}([0-9]{1,18})(?:_[^_]*){2}")  # the eighth of the ten parts of a name
PIXELS = re.compile(r"[+-]?[0-9]{1,6}([.][0-9]{0,20})?")


class Region(NamedTuple):
    """The object in a photograph that a query of Oxford or Paris asks for."""

    path: str
    roi: tuple[float, ...]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark shows to a network, and how it scores what is retrieved."""

    database: list[str]  # paths, in the order of the indices
    queries: pd.DataFrame  # a row per query: query (its name), place, positives (how many)
    shown: list[tuple[str | Sequence[str], Sequence]]  # (part, per query a path, a Region or a database index)
    retrieved: int  # database images per query
    column: str  # what ``score`` gives: "average_precision" or "rank"
    score: Callable[[np.ndarray], np.ndarray]  # database indices (Q, retrieved), nearest first -> (Q,)


def by_rank(
    database: Names, queries: Names, positives: Lists, places: Names, parts="all", retrieved=TOP, ranks=first_hits
) -> Benchmark:
    """Benchmark that counts by the rank of the first right image, which ``ranks`` finds in (indices, positives)."""
    names, counts = [Path(query).stem for query in queries], [len(found) for found in positives]
    table = pd.DataFrame({"query": names, "place": places, "positives": counts})
    return Benchmark(database, table, [(parts, queries)], retrieved, "rank", partial(ranks, positives=positives))


def by_precision(
    database: Names, queries: pd.DataFrame, numbers: Sequence[int], positives: Lists, junk: Lists, crops=()
) -> Benchmark:
    """Benchmark that counts by average precision over the whole database; ``numbers`` are the queries' indices in it.

    Images of ``junk`` count neither as right nor as wrong; ``crops`` are the Regions that show less of the queries.
    """
    shown = [("full", np.array(numbers)), *([("crop", crops)] if crops else [])]
    score = partial(average_precisions, positives=positives, junk=junk)
    table = queries.assign(positives=[len(found) for found in positives])
    return Benchmark(database, table, shown, len(database), "average_precision", score)


def read_landmarks(truth, images, corrupt=None) -> Benchmark:
    """Oxford 5k or Paris 6k: good and ok images are positives; queries in the order of their names, 55 in either set.

    The folder ``truth`` has for each query ``NAME_query.txt`` (image, left, top, right and bottom of the object; Oxford
    writes ``oxc1_`` before the image) and ``NAME_good.txt``, ``NAME_ok.txt`` and ``NAME_junk.txt`` (one image a line,
    without extension). ``corrupt`` is the published list of the 20 files of Paris that are no photographs. Queries are
    in the database, and right when their own lists say so. Source: Philbin et al., CVPR 2007 and 2008.
    """
    broken = {Path(name).stem for _, name in lines(corrupt)} if corrupt else set()
    files = {stem: path for stem, path in _by_stem(images).items() if stem not in broken}
    index = {stem: i for i, stem in enumerate(files)}
    found = []
    for file in sorted(Path(truth).glob("[!.]*_query.txt")):
        image, roi = _query(file)
        name, number = file.name.removesuffix("_query.txt"), _known(image, index, f"{file}, line 1")
        labels = (file.with_name(f"{name}_{label}.txt") for label in ("good", "ok", "junk"))
        good, ok, junk = (_listed(labelled, index, broken) for labelled in labels)
        positives = np.union1d(good, ok)
        if not len(positives) or np.isin(junk, positives).any():
            raise ValueError(f"{file}: this query has no good or ok image, or a junk one among them; unpack it again")
        found.append((name, name.rpartition("_")[0], number, positives, junk, Region(files[image], roi)))
    if not found:
        raise FileNotFoundError(f"{truth}: no *_query.txt there; unpack the ground truth and give its folder")
    names, places, *others = map(list, zip(*found, strict=True))
    return by_precision(list(files.values()), pd.DataFrame({"query": names, "place": places}), *others)


def crop(roi: Sequence[float], size: Sequence[int], field_pixels: int = 196) -> tuple[int, int, int, int]:
    """(left, top, right, bottom), for ``Image.crop``, of a query enlarged by half a receptive field on each side.

    So no location centred on the object is lost. Cut as the NetVLAD authors do: coordinates are rounded, count from
    one, include both ends.
    """
    wider = np.add(roi, np.multiply((-1, -1, 1, 1), field_pixels / 2))
    left, top, right, bottom = map(int, np.floor(wider + 0.5))
    return max(left, 1) - 1, max(top, 1) - 1, min(right, size[1]), min(bottom, size[0])


def read_holidays(images) -> Benchmark:
    """INRIA Holidays: names are numbers, those divisible by 100 are queries, the others of a hundred its positives.

    The query itself is junk. Source: Jégou, Douze, Schmid, ECCV 2008.
    """
    files = _by_stem(images)
    for path in (path for stem, path in files.items() if not WHOLE.fullmatch(stem)):
        raise ValueError(f"{path}: images of Holidays have numbers for names; take this one out of the folder")
    paths, numbers = list(files.values()), np.array([int(stem) for stem in files])
    is_query, groups = numbers % 100 == 0, numbers // 100
    for lonely in np.flatnonzero(~np.isin(groups, groups[is_query]) | ~np.isin(groups, groups[~is_query])):
        raise ValueError(f"{paths[lonely]}: this is a query without positives, or has no query; unpack all images")
    queries = np.flatnonzero(is_query)
    positives = [np.flatnonzero((groups == groups[q]) & ~is_query) for q in queries]
    names = [Path(paths[q]).stem for q in queries]
    return by_precision(paths, pd.DataFrame({"query": names, "place": names}), queries, positives, [*queries[:, None]])


def read_san_francisco(truth, database, queries) -> Benchmark:
    """San Francisco landmarks, also Sf-0: right is an image of the same building (Chen et al., CVPR 2011).

    ``truth`` is ``cartoid_groundTruth.txt``, or its correction ``…_2014_04.txt``: lines of a query (``0000``) and the
    numbers of its buildings, of which those marked with an x do not count. Names of database images hold the number,
    ``PCI_sp_PANORAMA_LATITUDE_LONGITUDE_ID_TILE_BUILDING_YAW_PITCH.jpg``. Queries whose smallest number is the same are
    of one place.

    All 803 queries count. The recalls that Liu et al. (ICCV 2019) publish can only be shares of 737: of those with a
    positive, perhaps, whose `scores` are those of the rows with ``positives > 0``.
    """
    files, shown = list(_by_stem(database).values()), _by_stem(queries)
    paths, buildings, places = [], [], []
    for number, line in lines(truth):
        query, *seen = line.split()
        seen = [building for building in seen if not building.startswith("x")]
        if not all(WHOLE.fullmatch(building) for building in seen):
            raise ValueError(f"{truth}, line {number}: expected a query and numbers, not '{printable(line[:80])}'")
        paths.append(_known(query, shown, f"{truth}, line {number}"))
        buildings.append(np.unique(np.array(seen, dtype=np.int64)))
        places.append(f"building {buildings[-1][0]}" if seen else Path(paths[-1]).stem)
    if not paths:
        raise ValueError(f"{truth}: no query in it; unpack the ground truth again")
    own = [BUILDING.fullmatch(Path(file).name) for file in files]
    if None in own:
        name = files[own.index(None)]
        raise ValueError(f"{name}: expected a name PCI_sp_… of ten parts, the eighth of them the building")
    positives = positives_by_building(buildings, np.array([int(found[1]) for found in own]))
    return by_rank(files, paths, positives, places)


def positives_by_building(seen: Lists, own: np.ndarray) -> Lists:
    """Per query the images, whose buildings are ``own`` (N,), that show one of those it has ``seen``."""
    images, none = pd.Series(own).groupby(own).indices, np.empty(0, dtype=np.int64)
    return [np.concatenate([none, *(images.get(building, none) for building in wanted)]) for wanted in seen]


def lines(file) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that are not empty; they may be of any length, and of any bytes."""
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file; unpack the ground truth again or correct the path")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())


def _by_stem(folder) -> dict[str, str]:
    """Paths of the images below a folder by their names without extension, which must differ."""
    files: dict[str, str] = {}
    for path in image_files(folder):
        other = files.setdefault(Path(path).stem, path)
        if other != path:
            raise ValueError(f"{path} has the same name as {other}; ground truth knows images by name alone: keep one")
    if not files:
        raise FileNotFoundError(f"{folder}: no images there; unpack them or correct the path")
    return files


def _query(file: Path) -> tuple[str, tuple[float, ...]]:
    """(image, left, top, right and bottom of its object) of a ``*_query.txt``."""
    try:
        name, *edges = next(lines(file), (1, ""))[1].split()
        for edge in (edge for edge in edges if not PIXELS.fullmatch(edge)):
            raise ValueError(f"'{printable(edge[:80])}' is no number of pixels")
        left, top, right, bottom = map(float, edges)
        if not (left < right and top < bottom):
            raise ValueError("the region is empty")
    except ValueError as error:
        raise ValueError(f"{file}, line 1: expected image, left, top, right, bottom in pixels ({error})") from error
    return name.removeprefix("oxc1_"), (left, top, right, bottom)


def _listed(file: Path, index: dict[str, int], broken: set[str]) -> np.ndarray:
    """Database indices of the images that a file lists, but for broken ones."""
    named = [(number, name) for number, name in lines(file) if name not in broken]
    return np.array([_known(name, index, f"{file}, line {number}") for number, name in named], dtype=np.int64)


def _known(name: str, index: dict, where: str):
    """What ``index`` holds by that name; ``where`` is the file and line that names it."""
    if name not in index:
        raise ValueError(f"{where}: image '{printable(name[:80])}' is not in the folder of images; unpack all of them")
    return index[name]
