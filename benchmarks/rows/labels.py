"""Classes and groups of photographs from their names, as many to a cell as in San Francisco eXtra Large."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks import reference
from benchmarks.measure import Case
from benchmarks.rows.registry import row
from vg_core.datasets.cells import classes_and_groups
from vg_core.datasets.folders import read_folder
from vg_core.datasets.label_tables import label_table
from vg_core.datasets.path_lists import LIST, LOOKED_FOR
from vg_core.system.paths import cache_root

FULL, QUICK = {"names": 240_000}, {"names": 2400}  # of San Francisco there are 5,600,000
VIEWS = 12  # photographs of one panorama, 30 degrees apart
COSPLACE = (10, 30, 5, 2, 10)  # M, alpha, N, L, images of a class at least
IN_TURN = "one name, then one image after the other, without checks"


@row("labels and classes of 240,000 names, first start", IN_TURN, FULL, QUICK, bar=0.6, tolerance=0.0)
def first_labels(device: torch.device, names: int) -> Case:
    files = write_list(names)
    return _classes(files, lambda: label_table(files))


@row("labels and classes of 240,000 names, second start", IN_TURN, FULL, QUICK, bar=0.3, tolerance=0.0)
def known_labels(device: torch.device, names: int) -> Case:
    """From the list of files on."""
    files = write_list(names)
    return _classes(files, lambda: read_folder(_folder()))


def write_list(count: int) -> list[str]:
    """Sorted names of photographs, about 240 in each cell of 10 metres, which a list beside their folder holds, too.
    There are those that are looked for.
    """
    rng = np.random.default_rng(0)
    panoramas = count // VIEWS
    side = 10 * (panoramas / 20) ** 0.5  # metres
    east, north = rng.uniform((545_000, 4_180_000), (545_000 + side, 4_180_000 + side), (panoramas, 2)).T
    views = enumerate(zip(np.repeat(east, VIEWS), np.repeat(north, VIEWS), strict=True))
    names = sorted(
        f"37.{n // VIEWS % 80:02d}/@{e:010.2f}@{s:010.2f}@10@S@037.81098@-122.47762@{n // VIEWS:022d}@@{n % VIEWS * 30}"
        f"@@@@2014{1 + n % 9:02d}@@.jpg"
        for n, (e, s) in views
    )
    _folder().mkdir(parents=True, exist_ok=True)
    _folder().with_name(f"train{LIST}").write_text("\n".join(names))
    files = [os.path.join(_folder(), name) for name in names]
    for number in np.linspace(0, count - 1, min(count, LOOKED_FOR)).astype(int):
        Path(files[number]).parent.mkdir(exist_ok=True)
        Path(files[number]).touch()
    return files


def _folder() -> Path:
    return cache_root() / "san_francisco" / "train"


def _classes(files: list[str], read: Callable[[], pd.DataFrame]) -> Case:
    """Classes and groups of the files by the loop, and from the table that is read."""

    def ours() -> tuple:
        table = read()
        return table.path, classes_and_groups(
            *(table[axis].to_numpy() for axis in ("easting", "northing", "heading")), *COSPLACE
        )

    return Case(lambda: reference.classes(files, *COSPLACE), ours, compare=_disagreeing)


def _disagreeing(expected: dict[str, tuple], found: tuple) -> float:
    """Share of the photographs that are in another class or group, or in none in one of the two."""
    paths, (of_images, corners, groups) = found
    places = list(zip(map(tuple, corners.astype(int).tolist()), map(tuple, groups.tolist()), strict=True))
    ours = {path: places[number] for path, number in zip(paths, of_images, strict=True) if number >= 0}
    return len(ours.items() ^ expected.items()) / len(paths)
