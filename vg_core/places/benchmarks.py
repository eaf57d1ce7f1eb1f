"""Ground truth of retrieval benchmarks as their authors publish it, and the measure that each of them is judged by.

Images are found by name in a folder, at any depth, and numbered in the order of their sorted paths, except for Tokyo.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from vg_core import evaluation
from vg_core.places.dataset import neighbours
from vg_core.places.listing import image_files
from vg_core.places.specifications import read_specification, resolved
from vg_core.text import printable

T = TypeVar("T")
WHOLE = re.compile("[0-9]{1,18}")  # int() takes digits of every script, NumPy no longer ones
PIXELS = re.compile(r"[+-]?[0-9]{1,6}([.][0-9]{0,20})?")

TOKYO_VIEWS = 12  # of each panorama, side by side in the database
TOKYO_TIMES = ("day", "sunset", "night")


@dataclass(frozen=True)
class GroundTruth:
    """What queries should find, for mean average precision: one entry of each list but the first is one query."""

    database: list[str]  # paths, in the order of the indices
    queries: list[str]  # paths
    names: list[str]  # of the queries: NAME_query.txt, or the image's number
    positives: list[np.ndarray]  # database indices
    junk: list[np.ndarray]  # database indices that count neither as right nor as wrong
    rois: list[tuple[float, ...]] = field(default_factory=list)  # left, top, right, bottom in pixels, if published


@dataclass(frozen=True)
class Panoramas:
    """Tokyo 24/7: what queries should find, and what belongs together."""

    database: list[str]  # paths
    queries: list[str]  # paths
    positives: list[np.ndarray]  # database indices within 25 m
    panoramas: np.ndarray  # (N,) the panorama of each view
    times: np.ndarray  # (Q,) "day", "sunset" or "night"
    positions: np.ndarray  # (Q, 2) easting and northing of the queries in metres


@dataclass(frozen=True)
class Buildings:
    """San Francisco landmarks: which buildings are seen, by their published numbers."""

    database: list[str]  # paths
    queries: list[str]  # paths
    query_buildings: list[np.ndarray]
    database_buildings: np.ndarray  # (N,)


def ranks_by_panorama(indices: np.ndarray, truth: Panoramas, k: int) -> np.ndarray:
    """(Q,) 1-based rank of the first right one among k panoramas, each represented by its best view; 0 for none.

    ``indices`` (Q, K), K at least 12 k or the whole database: else ValueError. Source: Torii et al., CVPR 2015.
    """
    enough = min(TOKYO_VIEWS * k, len(truth.database))
    if np.shape(indices)[1] < enough:
        raise ValueError(f"{k} panoramas take {enough} retrieved views, there are {np.shape(indices)[1]}")
    return evaluation.first_hits(evaluation.panorama_nms(indices, truth.panoramas, k), truth.positives)


def positives_by_building(truth: Buildings) -> list[np.ndarray]:
    """Database indices of the images that share a building with each query; none for a query without a building.

    Source: Chen et al., CVPR 2011.
    """
    order = np.argsort(truth.database_buildings, kind="stable")
    ordered = truth.database_buildings[order]
    spans = [np.searchsorted(ordered, [wanted, np.add(wanted, 1)]).T for wanted in truth.query_buildings]
    return [np.concatenate([order[:0], *(order[start:end] for start, end in span)]) for span in spans]


def read_landmarks(truth, images, corrupt=None) -> GroundTruth:
    """Oxford 5k or Paris 6k: good and ok images are positives; queries in the order of their names, 55 in either set.

    ``truth`` is a folder that has for each query ``NAME_query.txt`` (image, left, top, right and bottom of the object;
    Oxford writes ``oxc1_`` before the image) and ``NAME_good.txt``, ``NAME_ok.txt`` and ``NAME_junk.txt`` (one image a
    line), all without extensions. ``corrupt`` is the published list of the 20 files of Paris that are no photographs:
    they leave the database and every list. Raises FileNotFoundError, and ValueError with file and line.
    Source: Philbin et al., CVPR 2007 and 2008. Queries are in the database, and right when their own lists say so.
    """
    broken = {Path(name).stem for _, name in _lines(corrupt)} if corrupt else set()
    files = {stem: path for stem, path in _by_stem(images).items() if stem not in broken}
    index = {stem: i for i, stem in enumerate(files)}
    queries = sorted(Path(truth).glob("[!.]*_query.txt"))
    if not queries:
        raise FileNotFoundError(f"{truth}: no *_query.txt there; unpack the ground truth and give its folder")
    found = GroundTruth(list(files.values()), [], [], [], [])
    for file in queries:
        name, roi = _query(file)
        lists = (f"{str(file).removesuffix('_query.txt')}_{label}.txt" for label in ("good", "ok", "junk"))
        good, ok, junk = (_listed(other, index, broken) for other in lists)
        positives = np.union1d(good, ok)
        if not len(positives) or np.isin(junk, positives).any():
            raise ValueError(f"{file}: this query has no good or ok image, or a junk one among them; unpack it again")
        found.queries.append(found.database[_known(name, index, f"{file}, line 1")])
        found.names.append(file.name.removesuffix("_query.txt"))
        found.positives.append(positives)
        found.junk.append(junk)
        found.rois.append(roi)
    return found


def crop(roi: Sequence[float], size: tuple[int, int], field_pixels: int = 196) -> tuple[int, int, int, int]:
    """(left, top, right, bottom), for ``Image.crop``, of a query enlarged by half a receptive field on each side.

    The field of VGG-16's conv5_3 is 196 pixels wide: so no location centred on the object is lost. ``size`` is (height,
    width) of the image. Cut as the NetVLAD authors do: coordinates are rounded, count from one, include both ends.
    """
    wider = np.add(roi, np.multiply((-1, -1, 1, 1), field_pixels / 2))
    left, top, right, bottom = map(int, np.floor(wider + 0.5))
    return max(left, 1) - 1, max(top, 1) - 1, min(right, size[1]), min(bottom, size[0])


def read_holidays(images) -> GroundTruth:
    """INRIA Holidays: names are numbers, those divisible by 100 are queries, the others of a hundred its positives.

    The query itself is junk. There are 1491 images, 500 of them queries, used as they are, not turned upright. Raises
    ValueError with the file that is no number or stands alone. Source: Jégou, Douze, Schmid, ECCV 2008.
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
    shown, names = [paths[q] for q in queries], [Path(paths[q]).stem for q in queries]
    return GroundTruth(paths, shown, names, positives, [np.array([q]) for q in queries])


def holidays_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) in pixels at which a photograph of Holidays is described: its area is 1024 x 768 at most."""
    scale = min(1.0, math.sqrt(1024 * 768 / (size[0] * size[1])))
    return round(size[0] * scale), round(size[1] * scale)


def read_tokyo247(file, images, queries) -> Panoramas:
    """Tokyo 24/7 from the NetVLAD authors' ``tokyo247.mat``, whose order of images decides what belongs together.

    Twelve database images in a row are one panorama, three queries in a row a viewpoint by day, at sunset, at night;
    queries differ in size, so describe them one by one. Its names start below the folders ``images`` and ``queries``,
    where database images may be .png although it says .jpg. Raises FileNotFoundError and ValueError.
    """
    names, places, _ = read_specification(file)
    for name, together in zip(names, (TOKYO_VIEWS, len(TOKYO_TIMES)), strict=True):
        if len(name) % together:
            raise ValueError(f"{file}: {len(name)} images, expected a multiple of {together}; fetch it again")
    paths = [resolved(found, folder, file) for found, folder in zip(names, (images, queries), strict=True)]
    panoramas, times = np.arange(len(names[0])) // TOKYO_VIEWS, np.arange(len(names[1])) % len(TOKYO_TIMES)
    return Panoramas(*paths, neighbours(*places, radius_m=25.0), panoramas, np.array(TOKYO_TIMES)[times], places[1])


def read_san_francisco(truth, database, queries) -> Buildings:
    """San Francisco landmarks, also Sf-0: buildings that queries see, from a file, and database images, by their names.

    ``truth`` is ``cartoid_groundTruth.txt``, or its correction ``…_2014_04.txt``: lines of a query (``0000``) and the
    numbers of its buildings, of which those marked with an x do not count. In the folder ``database`` names have the
    number, ``PCI_sp_PANORAMA_LATITUDE_LONGITUDE_ID_TILE_BUILDING_YAW_PITCH.jpg``; the folder ``queries`` has
    ``0000.jpg`` and so on. Raises FileNotFoundError and ValueError.
    """
    files, shown = list(_by_stem(database).values()), _by_stem(queries)
    paths, buildings = [], []
    for number, line in _lines(truth):
        query, *seen = line.split()
        seen = [building for building in seen if not building.startswith("x")]
        if not all(WHOLE.fullmatch(building) for building in seen):
            raise ValueError(f"{truth}, line {number}: expected a query and numbers, not '{_cut(line)}'")
        paths.append(_known(query, shown, f"{truth}, line {number}"))
        buildings.append(np.unique(np.array(seen, dtype=np.int64)))
    if not paths:
        raise ValueError(f"{truth}: no query in it; unpack the ground truth again")
    return Buildings(files, paths, buildings, np.array([_building(file) for file in files], dtype=np.int64))


def _building(name: str) -> int:
    parts = Path(name).name.split("_")
    if len(parts) != 10 or not WHOLE.fullmatch(parts[7]):
        raise ValueError(f"{name}: expected a name PCI_sp_… of ten parts, the eighth of them the building")
    return int(parts[7])


def _lines(file) -> Iterator[tuple[int, str]]:
    """(number, text) of the lines that are not empty."""
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"{file}: there is no such file; unpack the ground truth again or correct the path")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())


def _cut(text: str) -> str:
    """The beginning of a text that a file of ground truth has: lines may be of any length, and of any bytes."""
    return printable(text[:80])


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
    """(image, region of interest) of a ``*_query.txt``."""
    try:
        name, *edges = next(_lines(file), (1, ""))[1].split()
        for edge in (edge for edge in edges if not PIXELS.fullmatch(edge)):
            raise ValueError(f"'{_cut(edge)}' is no number of pixels")
        left, top, right, bottom = map(float, edges)
        if not (left < right and top < bottom):
            raise ValueError("the region is empty")
    except ValueError as error:
        raise ValueError(f"{file}, line 1: expected image, left, top, right, bottom in pixels ({error})") from error
    return name.removeprefix("oxc1_"), (left, top, right, bottom)


def _listed(file: str, index: dict[str, int], broken: set[str]) -> np.ndarray:
    """Database indices of the images that a file lists, but for broken ones."""
    named = [(number, name) for number, name in _lines(file) if name not in broken]
    return np.array([_known(name, index, f"{file}, line {number}") for number, name in named], dtype=np.int64)


def _known(name: str, index: dict[str, T], where: str) -> T:
    if name not in index:
        raise ValueError(f"{where}: image '{_cut(name)}' is not in the folder of images; unpack all of them")
    return index[name]
