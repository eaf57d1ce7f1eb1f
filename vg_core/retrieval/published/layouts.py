"""Folders of published benchmarks: what lies where, how many images there should be, and who reads them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from vg_core.datasets.folders import listed
from vg_core.retrieval.descriptors import Size, View, scaled, whole
from vg_core.retrieval.published.ground_truth import Benchmark, read_holidays, read_landmarks, read_san_francisco
from vg_core.retrieval.published.lists import read_lists, read_positions
from vg_core.retrieval.published.tokyo import read_tokyo247, read_tokyo_tm
from vg_core.retrieval.strategies import own_size
from vg_core.system.errors import ByName


@dataclass(frozen=True)
class Layout:
    """What a benchmark's folder holds, and how it is read."""

    read: Callable[..., Benchmark]  # takes the paths of the parts
    database: int | None  # images when complete; None where a layout is that of many sets
    queries: int | None
    parts: Mapping[str, str]  # file or folder in it, * for any letters -> what is to be put there
    views: Callable[[Size, Size], list[View]] = own_size


def read_benchmark(name: str, folder) -> tuple[Benchmark, dict]:
    """(benchmark, card of its protocol) of the folder of the benchmark called ``name``, a key of LAYOUTS.

    Says how many images are left out, and when the set is not the published one.
    """
    layout, folder = LAYOUTS[name], Path(folder)
    parts = []
    for part, what in layout.parts.items():
        there = sorted(folder.glob(part))
        if len(there) != 1:
            raise FileNotFoundError(
                f"{folder / part} is {'there several times: keep' if there else 'missing: put'} {what} there. A folder "
                f"of {name} holds {', '.join(layout.parts)}"
            )
        parts += there
    found = layout.read(*parts)
    database, queries = len(found.database), len(found.queries)
    known = set(found.database).union(*(shown for _, shown in found.shown if isinstance(shown, list)))
    folders = [part for part in parts if part.is_dir()]
    left_out = sum(file not in known for each in folders for file in listed(each).paths)
    if left_out:
        print(f"{name}: {left_out} images in {folder} are corrupt or not part of the benchmark; they are left out")
    complete = layout.database is None or (database, queries) == (layout.database, layout.queries)
    if not complete:
        print(
            f"{name}: {database} database images and {queries} queries are not the {layout.database} and "
            f"{layout.queries} of the benchmark; do not compare with published numbers"
        )
    card = {"dataset": name, "database": database, "queries": queries}
    card |= {"queries_without_positives": int((found.queries.positives == 0).sum()), "images_left_out": left_out}
    size = "own" if layout.views is own_size else "own, at most 1024x768 pixels"
    return found, card | {"complete": complete, "image_size": size, "retrieved": found.retrieved}


def holidays_views(photo: Size, _size: Size) -> list[View]:
    """The whole photograph, shrunk to the area of 1024 x 768 pixels if it is larger."""
    return whole(photo, scaled(photo, min(1.0, math.sqrt(1024 * 768 / (photo[0] * photo[1])))))


TRUTH = "its ground truth (*_query.txt, *_good.txt, *_ok.txt, *_junk.txt)"
OXFORD = {"groundtruth": TRUTH, "images": "the photographs of Oxford 5k"}
CORRUPT = {"corrupt.txt": "the published list of its 20 corrupt files"}
PARIS = {"groundtruth": TRUTH, "images": "the photographs of Paris 6k"} | CORRUPT
TOKYO = {
    "tokyo247.mat": "the specification by the authors of NetVLAD",
    "images": "the database of Tokyo 24/7 (folders 03814 … 03829)",
    "query": "its 315 queries (version 2 of the subset)",
}
TIME_MACHINE = {
    "tokyoTM_val.mat": "the specification of its validation split by the authors of NetVLAD",
    "images": "the photographs of Tokyo Time Machine (folders 03814 …)",
}
SAN_FRANCISCO = {
    "cartoid_groundTruth_2014_04.txt": "its corrected ground truth",
    "database": "the perspective images (PCI_sp_….jpg) of San Francisco landmarks",
    "queries": "its queries (0000.jpg …)",
}
IMAGES = {"images": "the folder that the lists' names start from"}
GSV_CITIES = {
    "*_dbImages.npy": "the list of database images",
    "*_qImages.npy": "the list of queries",
    "*_[gp][tI]*.npy": "the right images of each query (…_gt.npy, for MSLS …_pIdx.npy)",
} | IMAGES
PATCH_NETVLAD = {
    "*.npz": "the ground truth (utmDb, utmQ, posDistThr)",
    "*_imageNames_index.txt": "the list of database images",
    "*_imageNames_query.txt": "the list of queries",
} | IMAGES
LAYOUTS: dict[str, Layout] = ByName(
    "benchmark",
    {
        "oxford5k": Layout(read_landmarks, 5063, 55, OXFORD),
        "paris6k": Layout(read_landmarks, 6392, 55, PARIS),
        "holidays": Layout(read_holidays, 1491, 500, {"jpg": "the photographs of INRIA Holidays"}, holidays_views),
        "tokyo247": Layout(read_tokyo247, 75984, 315, TOKYO),
        "tokyotm_val": Layout(read_tokyo_tm, 49056, 7186, TIME_MACHINE),
        "sf0": Layout(read_san_francisco, 610773, 803, SAN_FRANCISCO),
        "gsv_cities": Layout(read_lists, None, None, GSV_CITIES),
        "patch_netvlad": Layout(read_positions, None, None, PATCH_NETVLAD),
    },
)
