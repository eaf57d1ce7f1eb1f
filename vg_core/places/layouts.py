"""Folders of published retrieval benchmarks: what lies where, what is shown to a network, how its ranking is judged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from vg_core.evaluation import average_precisions, cells, first_hits
from vg_core.places import benchmarks, time_machine
from vg_core.places.listing import listed
from vg_core.registry import ByName
from vg_core.views import Size, View, own_size

AT = (1, 5, 10)  # N of recall@N
SF_TRUTH = "cartoid_groundTruth_2014_04.txt"


class Region(NamedTuple):
    """The object in a photograph that a query of Oxford or Paris asks for."""

    path: str
    roi: tuple[float, ...]  # left, top, right, bottom in pixels


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as read from its folder."""

    database: list[str]  # paths
    shown: list[tuple[pd.DataFrame, list | np.ndarray]]  # rows of queries; paths or regions, or database indices
    retrieved: int  # database images for each query
    measure: str  # "average_precision" or "rank"
    judge: Callable[[np.ndarray], np.ndarray]  # indices (Q, retrieved) -> measure (Q,)


@dataclass(frozen=True)
class Layout:
    """What a benchmark's folder holds, and how it is read."""

    parts: Mapping[str, str]  # file or folder in it -> what is to be put there
    database: int  # images when complete
    queries: int
    read: Callable[[Path], Benchmark]
    views: Callable[[Size, Size], list[View]] = own_size


def read_benchmark(name: str, folder) -> tuple[Benchmark, dict]:
    """(benchmark, card of its protocol) of the folder of the benchmark called ``name``, a key of LAYOUTS.

    Says how many images are left out, and when the set is not the published one. Raises KeyError, and FileNotFoundError
    or ValueError in a sentence about the file.
    """
    layout, folder = LAYOUTS[name], Path(folder)
    for part, what in layout.parts.items():
        if not (folder / part).exists():
            raise FileNotFoundError(
                f"{folder / part} is missing: put {what} there. A folder of {name} holds {', '.join(layout.parts)}"
            )
    found = layout.read(folder)
    queries, left_out = len(found.shown[0][0]), _left_out(folder, layout, found)
    if left_out:
        print(f"{name}: {left_out} images in {folder} are corrupt or not part of the benchmark; they are left out")
    complete = (len(found.database), queries) == (layout.database, layout.queries)
    if not complete:
        print(
            f"{name}: {len(found.database)} database images and {queries} queries are not the {layout.database} and "
            f"{layout.queries} of the benchmark; do not compare with published numbers"
        )
    alone = int((found.shown[0][0]["positives"] == 0).sum())
    counts = {"database": len(found.database), "queries": queries, "queries_without_positives": alone}
    counts |= {"images_left_out": left_out, "complete": complete}
    size = "own" if layout.views is own_size else "own, at most 1024x768 pixels"
    return found, {"dataset": name, **counts, "image_size": size, "retrieved": found.retrieved}


def _left_out(folder: Path, layout: Layout, found: Benchmark) -> int:
    files = {file for part in layout.parts if (folder / part).is_dir() for file in listed(folder / part).paths}
    return len(files.difference(found.database, *(shown for _, shown in found.shown if isinstance(shown, list))))


def _landmarks(folder: Path, corrupt: str = "") -> Benchmark:
    lists = folder / corrupt if corrupt else None
    truth = benchmarks.read_landmarks(folder / "groundtruth", folder / "images", lists)
    crops = [Region(path, roi) for path, roi in zip(truth.queries, truth.rois, strict=True)]
    return _map_benchmark(truth, [name.rpartition("_")[0] for name in truth.names], {"crop": crops})


def _holidays(folder: Path) -> Benchmark:
    truth = benchmarks.read_holidays(folder / "jpg")
    return _map_benchmark(truth, truth.names, {})


def _map_benchmark(truth: benchmarks.GroundTruth, places: list[str], others: Mapping[str, list]) -> Benchmark:
    """Queries shown in full are database images, whose descriptors they share."""
    numbers = {path: number for number, path in enumerate(truth.database)}
    shown = {"full": np.array([numbers[path] for path in truth.queries]), **others}
    counts = [len(found) for found in truth.positives]
    rows = pd.DataFrame({"query": truth.names, "place": places, "positives": counts})
    judge = partial(average_precisions, positives=truth.positives, junk=truth.junk)
    parts = [(rows.assign(part=part), queries) for part, queries in shown.items()]
    return Benchmark(truth.database, parts, len(truth.database), "average_precision", judge)


def _tokyo247(folder: Path) -> Benchmark:
    truth = benchmarks.read_tokyo247(folder / "tokyo247.mat", folder / "images", folder / "query")
    rows = _rank_rows(truth.queries, truth.positives).assign(place=cells(truth.positions), part=truth.times)
    judge = partial(benchmarks.ranks_by_panorama, truth=truth, k=max(AT))
    return Benchmark(truth.database, [(rows, truth.queries)], benchmarks.TOKYO_VIEWS * max(AT), "rank", judge)


def _tokyotm_val(folder: Path) -> Benchmark:
    truth = time_machine.read_tokyo_tm(folder / "tokyoTM_val.mat", folder / "images")
    rows = _rank_rows(truth.queries, truth.positives).assign(place=cells(truth.positions), part="all")
    judge = partial(time_machine.ranks_at_other_times, truth=truth, k=max(AT))
    return Benchmark(truth.database, [(rows, truth.queries)], time_machine.RETRIEVED, "rank", judge)


def _sf0(folder: Path) -> Benchmark:
    """Queries whose smallest building number is the same are of one place.

    All 803 queries count. The recalls that Liu et al. (ICCV 2019) publish can only be shares of 737: of those with a
    positive, perhaps, whose `scores` are those of the rows with ``positives > 0``.
    """
    truth = benchmarks.read_san_francisco(folder / SF_TRUTH, folder / "database", folder / "queries")
    positives = benchmarks.positives_by_building(truth)
    seen = zip(truth.queries, truth.query_buildings, strict=True)
    places = [f"building {buildings[0]}" if len(buildings) else Path(query).stem for query, buildings in seen]
    rows = _rank_rows(truth.queries, positives).assign(place=places, part="all")
    return Benchmark(truth.database, [(rows, truth.queries)], max(AT), "rank", partial(first_hits, positives=positives))


def _rank_rows(queries: list[str], positives: list[np.ndarray]) -> pd.DataFrame:
    return pd.DataFrame({"query": [Path(q).stem for q in queries], "positives": [len(found) for found in positives]})


def _holidays_view(photo: Size, size: Size) -> list[View]:
    """The whole photograph, shrunk to the area of 1024 x 768 pixels if it is larger."""
    return [View((0.0, 0.0, float(photo[1]), float(photo[0])), benchmarks.holidays_size(photo))]


LANDMARK_TRUTH = "its ground truth (*_query.txt, *_good.txt, *_ok.txt, *_junk.txt)"
LAYOUTS: dict[str, Layout] = ByName(
    "benchmark",
    {
        "oxford5k": Layout(
            {"images": "the photographs of Oxford 5k", "groundtruth": LANDMARK_TRUTH}, 5063, 55, _landmarks
        ),
        "paris6k": Layout(
            {
                "images": "the photographs of Paris 6k",
                "groundtruth": LANDMARK_TRUTH,
                "corrupt.txt": "the published list of its 20 corrupt files",
            },
            6392,
            55,
            partial(_landmarks, corrupt="corrupt.txt"),
        ),
        "holidays": Layout({"jpg": "the photographs of INRIA Holidays"}, 1491, 500, _holidays, _holidays_view),
        "tokyo247": Layout(
            {
                "images": "the database of Tokyo 24/7 (folders 03814 … 03829)",
                "query": "its 315 queries (version 2 of the subset)",
                "tokyo247.mat": "the specification by the authors of NetVLAD",
            },
            75984,
            315,
            _tokyo247,
        ),
        "tokyotm_val": Layout(
            {
                "images": "the photographs of Tokyo Time Machine (folders 03814 …)",
                "tokyoTM_val.mat": "the specification of its validation split by the authors of NetVLAD",
            },
            49056,
            7186,
            _tokyotm_val,
        ),
        "sf0": Layout(
            {
                "database": "the perspective images (PCI_sp_….jpg) of San Francisco landmarks",
                "queries": "its queries (0000.jpg …)",
                SF_TRUTH: "its corrected ground truth",
            },
            610773,
            803,
            _sf0,
        ),
    },
)
