"""A set of places: which photographs there are, where they were taken, and which of them show the same spot."""

import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import utm
from scipy.spatial import cKDTree

from vg_core import paths
from vg_core.places.images import unreadable
from vg_core.places.labels import IMAGE_SUFFIXES, parse_name

SPLITS = ("train", "val", "test")
GENERATED = ("toycity", "toycity_drive")  # rendered on first use, nothing is downloaded
SPOTS_AT_A_TIME = 1024  # whose neighbours are listed together: what the cache of a core holds
ROUNDING_METRES = 1e-6  # names carry centimetres; binary fractions must not push 25.00 m over the line
NUMBERS = ["easting", "northing", "latitude", "longitude", "heading"]
COLUMNS = [*NUMBERS, "zone_number", "zone_letter", "pano_id", "timestamp", "note"]


@dataclass(frozen=True)
class PlaceSet:
    """Database and queries of one split: two tables with one row an image, in file-name order.

    Columns: path, easting and northing (metres), zone_number, zone_letter, latitude, longitude and heading (degrees;
    NaN if unknown), pano_id, timestamp, note.
    """

    name: str
    split: str
    database: pd.DataFrame
    queries: pd.DataFrame
    skipped: tuple[str, ...] = field(default=())  # sentences about unreadable files that were left out

    @classmethod
    def from_folders(cls, database, queries, name: str = "photographs", split: str = "test") -> "PlaceSet":
        """PlaceSet of two folders, searched recursively. Raises FileNotFoundError or ValueError in a sentence."""
        tables = read_folder(database), read_folder(queries)
        _one_zone(list(pd.concat(tables)[["zone_number", "zone_letter"]].itertuples()))
        return cls(name, split, *tables)

    @classmethod
    def load(cls, name: str, split: str, skip_unreadable: bool = False) -> "PlaceSet":
        """PlaceSet of ``<VG_DATA>/<name>/images/<split>``; ``name`` may also be the path of a dataset folder.

        A folder that holds ``database/`` and ``queries/`` directly is a test split. The toy city is rendered when it is
        not there yet. With ``skip_unreadable`` every file is decoded once and broken ones are left
        out, counted and listed in ``skipped``.
        """
        folder = find_split(name, split)
        places = cls.from_folders(folder / "database", folder / "queries", Path(name).name, split)
        return places.readable() if skip_unreadable else places

    def readable(self) -> "PlaceSet":
        """The set without the files that cannot be decoded; says how many there were."""
        broken = unreadable([*self.database.path, *self.queries.path])
        if not broken:
            return self
        print(f"{self.name} {self.split}: {len(broken)} unreadable images left out:", *broken.values(), sep="\n  ")
        tables = [t[~t.path.isin(broken)].reset_index(drop=True) for t in (self.database, self.queries)]
        for table, role in zip(tables, ("database image", "query"), strict=True):
            if table.empty:
                raise ValueError(f"{self.name} {self.split}: no readable {role} is left")
        return replace(self, database=tables[0], queries=tables[1], skipped=tuple(broken.values()))

    def neighbours(self, radius_m: float) -> list[np.ndarray]:
        """For each query the sorted indices of the database images at most ``radius_m`` metres away."""
        return neighbours(_positions(self.database), _positions(self.queries), radius_m)

    def positives_per_query(self, radius_m: float) -> float:
        """Mean number of database images within ``radius_m`` of a query."""
        return float(np.mean([len(near) for near in self.neighbours(radius_m)]))

    def nearest_m(self) -> np.ndarray:
        """Metres from each query to the closest database image, float (Q,)."""
        return cKDTree(_positions(self.database)).query(_positions(self.queries))[0]

    def without_positives(self, radius_m: float) -> list[str]:
        """Paths of the queries that no database image shows within ``radius_m`` metres: misses, whatever the model."""
        alone = self.nearest_m() > radius_m + ROUNDING_METRES
        return list(self.queries.path[alone])

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change when a file is added, removed, renamed or changes its size."""
        digest = hashlib.sha256()
        for table in (self.database, self.queries):
            for path in table.path:
                digest.update(f"{os.path.basename(path)}|{os.stat(path).st_size}\n".encode())
            digest.update(b"--\n")
        return digest.hexdigest()[:12]

    def card(self, threshold_m: float) -> dict:
        """The protocol that a recall on this set depends on, for printing beside every number."""
        return {
            "dataset": self.name,
            "split": self.split,
            "database": len(self.database),
            "queries": len(self.queries),
            "queries_without_positives": len(self.without_positives(threshold_m)),
            "threshold_m": threshold_m,
            "unreadable_left_out": len(self.skipped),
            "fingerprint": self.fingerprint,
        }


def neighbours(database: np.ndarray, queries: np.ndarray, radius_m: float) -> list[np.ndarray]:
    """For each row of ``queries`` (Q, 2) the sorted rows of ``database`` (N, 2) within ``radius_m``, inclusive.

    Views that share a position are searched once: panoramas give dozens of images the same coordinates.
    """
    keys = _as_numbers(database)
    images = np.argsort(keys, kind="stable")  # grouped by place
    keys = keys[images]
    first = np.flatnonzero(np.append(True, keys[1:] != keys[:-1])[: len(keys)])  # image of each place
    places, first = keys[first], np.append(first, len(keys))
    spots, spot_of = np.unique(_as_numbers(queries), return_inverse=True)
    tree = cKDTree(_as_points(places), leafsize=64, balanced_tree=False, compact_nodes=False)  # built in half the time
    near = tree.query_ball_point(_as_points(spots), radius_m + ROUNDING_METRES)
    blocks = (near[start : start + SPOTS_AT_A_TIME] for start in range(0, len(near), SPOTS_AT_A_TIME))
    found = [one for block in blocks for one in _images_at(block, images, first)]
    return [found[s] for s in spot_of]


def read_folder(folder) -> pd.DataFrame:
    """One row for each image below ``folder``, sorted by path; the columns of PlaceSet.

    Raises FileNotFoundError for a missing folder and ValueError when it holds no image or a name has no coordinates.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: there is no such folder")
    files = image_files(folder)
    if not files:
        raise ValueError(f"{folder}: no image found ({' '.join(IMAGE_SUFFIXES)}, in any case)")
    labels = [parse_name(file) for file in files]
    _one_zone(labels)
    table = pd.DataFrame({column: [getattr(label, column) for label in labels] for column in COLUMNS})
    table[NUMBERS] = table[NUMBERS].astype(float)
    table.insert(0, "path", files)
    return _with_degrees(table)


def image_files(folder) -> list[str]:
    """Sorted paths of the image files below ``folder``; hidden files are no photographs."""
    found = (os.path.join(place, name) for place, _, names in os.walk(folder) for name in names)
    return sorted(f for f in found if f.lower().endswith(IMAGE_SUFFIXES) and not os.path.basename(f).startswith("."))


def find_split(name: str, split: str) -> Path:
    """Folder that holds ``database/`` and ``queries/`` of a split; FileNotFoundError says where it looked."""
    if split not in SPLITS:
        raise ValueError(f"split '{split}' is unknown; choose one of: {', '.join(SPLITS)}")
    root = Path(name).expanduser() if os.sep in str(name) else paths.data_root() / name
    if name in GENERATED and not root.is_dir():
        print(f"{name} is not in {paths.data_root()} yet: rendering it (about a minute, once).", flush=True)
        script = paths.DATA_SCRIPTS / "toy_city.py"
        if subprocess.run([sys.executable, str(script), "--city", name]).returncode:
            raise OSError(f"{name} could not be rendered in {paths.data_root()}: see above, or set VG_DATA")
    bare = [root] if split == "test" else []  # training on the images of the test would go unnoticed
    for folder in (root / "images" / split, root / split, *bare):
        if (folder / "database").is_dir() and (folder / "queries").is_dir():
            return folder
    raise FileNotFoundError(
        f"dataset '{name}' has no {split} split: expected {root / 'images' / split}/database and …/queries. "
        "Set VG_DATA to the folder that holds datasets, or give the path of the dataset folder."
    )


def _positions(table: pd.DataFrame) -> np.ndarray:
    return table[["easting", "northing"]].to_numpy(float)


def _as_numbers(positions: np.ndarray) -> np.ndarray:
    """(N,) complex numbers of positions (N, 2): they sort and compare ten times faster than rows do."""
    return np.ascontiguousarray(positions, dtype=float).view(complex)[:, 0]


def _as_points(numbers: np.ndarray) -> np.ndarray:
    return numbers.view(float).reshape(-1, 2)


def _images_at(places: Sequence[list[int]], images: np.ndarray, first: np.ndarray) -> list[np.ndarray]:
    """For each list of places the sorted images there; those of place p are images[first[p] : first[p + 1]]."""
    flat = np.fromiter(chain.from_iterable(places), dtype=np.int64)
    sizes = first[flat + 1] - first[flat]
    ends = np.append(0, sizes.cumsum())
    found = images[np.arange(ends[-1]) + np.repeat(first[flat] - ends[:-1], sizes)]
    parts = np.split(found, ends[np.cumsum([len(one) for one in places[:-1]], dtype=int)])
    for part in parts:
        part.sort()
    return parts


def _with_degrees(table: pd.DataFrame) -> pd.DataFrame:
    """Fill latitude and longitude (degrees) from UTM where the name gives a zone but no degrees."""
    known = table.zone_number.notna() & (table.zone_letter != "")
    for (number, letter), rows in table[known & table.latitude.isna()].groupby(["zone_number", "zone_letter"]):
        degrees = utm.to_latlon(rows.easting.to_numpy(), rows.northing.to_numpy(), int(number), letter, strict=False)
        table.loc[rows.index, "latitude"], table.loc[rows.index, "longitude"] = degrees
    return table


def _one_zone(labels: Sequence) -> None:
    """Distances are planar, so eastings of two UTM grids must never meet. Letters are bands of one grid, N and beyond
    north of the equator."""
    grids = Counter(
        "no zone"
        if pd.isna(label.zone_number)
        else f"{int(label.zone_number)} {'north' if label.zone_letter.upper() >= 'N' else 'south'}"
        for label in labels
    )
    if len(grids) > 1:
        counts = ", ".join(f"{grid} ({n} images)" for grid, n in grids.most_common())
        raise ValueError(f"mixed UTM zones: {counts}. Distances in metres need one zone: split the set by zone.")
