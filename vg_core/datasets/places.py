"""A set of places: which photographs there are, where they were taken, and which of them show the same spot."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from vg_core.config import Config
from vg_core.datasets.contents import digests
from vg_core.datasets.folders import image_files, read_names
from vg_core.datasets.nearest import ROUNDING_METRES, neighbours
from vg_core.datasets.photographs import unreadable
from vg_core.datasets.splits import SPLITS, find_split, find_targets, splits_there, unlike_published
from vg_core.datasets.zones import in_planes, is_made_up
from vg_core.evaluation.ranks import FARTHEST, Within, positions
from vg_core.system.text import printable


@dataclass(frozen=True)
class PlaceSet:
    """Database and queries of one split: two tables with one row per image, in file-name order.

    Columns: path, easting and northing (metres), zone_number, zone_letter, latitude, longitude and heading (degrees;
    NaN if unknown), pano_id, timestamp, note; and plane, in sets of several UTM zones that lie apart (see `in_planes`).
    """

    one_size = True  # are all photographs shown at one size?

    name: str
    split: str
    database: pd.DataFrame
    queries: pd.DataFrame
    skipped: tuple[str, ...] = ()  # sentences about unreadable files that were left out
    left_out: int = 0  # files and folders beside the photographs, such as .heic, links to nothing, hidden folders
    queries_folder: str = "queries"
    unlabelled: tuple[str, ...] = ()  # paths of photographs of which nothing else is known, such as some by night

    @classmethod
    def from_folders(cls, database, queries=None, name: str = "photographs", split: str = "test") -> "PlaceSet":
        """The set of two folders, searched recursively, or of a database alone. Raises OSError or ValueError as
        `read_folder` does.
        """
        tables = [read_names(folder) for folder in (database, queries) if folder is not None]
        left_out = sum(table.attrs["left_out"] for table in tables)
        tables, said = in_planes(tables)
        if said:
            say_once(f"{name} {split}: {said}")
        return cls(name, split, tables[0], tables[1] if queries else tables[0].iloc[:0], left_out=left_out)

    @classmethod
    def load(cls, name: str, split: str, skip_unreadable: bool = False, queries: str = "queries") -> "PlaceSet":
        """The set in ``<VG_DATA>/<name>/images/<split>``; ``name`` may also be the path of a dataset folder.

        A split is a folder ``database`` and one of ``queries``, which may have another name, such as queries_v1 or
        night. A train split may hold photographs directly (as that of SF-XL): all are database, and there are no
        queries. A folder that holds ``database`` and queries directly is a test split. A toy city is rendered when it
        is not there yet. A line says when a dataset of a published name has other numbers of photographs. With
        ``skip_unreadable`` every file is decoded once and broken ones are left out, counted and listed in ``skipped``.
        """
        folder, name = find_split(name, split, queries), printable(Path(name).name)
        flat = not (folder / "database").is_dir()
        parts = (folder, None) if flat else (folder / "database", folder / queries)
        places = replace(cls.from_folders(*parts, name, split), queries_folder=queries)
        if flat:
            say_once(f"{name} {split}: {len(places.database)} photographs, all of them database: there are no queries")
        if unlike := unlike_published(name, split, queries, (len(places.database), len(places.queries))):
            say_once(unlike)
        return places.readable() if skip_unreadable else places

    def readable(self) -> "PlaceSet":
        """The set without the files that cannot be decoded; says how many there were."""
        broken = unreadable(self.paths)
        if not broken:
            return self
        said = map(printable, broken.values())
        print(f"{self.name} {self.split}: {len(broken)} unreadable images left out:", *said, sep="\n  ")
        tables = {}
        for role, image in (("database", "database image"), ("queries", "query")):
            before = getattr(self, role)
            tables[role] = before[~before.path.isin(broken)].reset_index(drop=True)
            if len(before) and tables[role].empty:
                raise ValueError(f"{self.name} {self.split}: no readable {image} is left")
        unlabelled = tuple(path for path in self.unlabelled if path not in broken)
        return replace(self, **tables, unlabelled=unlabelled, skipped=tuple(broken.values()))

    @property
    def paths(self) -> list[str]:
        """All photographs, in the order of their numbers: database, queries, unlabelled ones."""
        return [*self.database.path, *self.queries.path, *self.unlabelled]

    def some_queries(self, count: int, seed: int) -> "PlaceSet":
        """The set with ``count`` of its queries, drawn by a seed; with all of them for 0."""
        if not count:
            return self
        chosen = np.sort(np.random.default_rng(seed).permutation(len(self.queries))[:count])
        return replace(self, queries=self.queries.iloc[chosen].reset_index(drop=True))

    def neighbours(self, radius_m: float) -> list[np.ndarray]:
        """For each query the sorted indices of the database images at most ``radius_m`` metres away."""
        return neighbours(positions(self.database), positions(self.queries), radius_m)

    def positives(self, protocol: Within) -> list[np.ndarray]:
        """For each query the sorted database images that are right by a protocol."""
        return self.neighbours(protocol.metres)

    @cached_property
    def unit(self) -> str:
        """What distances are in: "m", or "units" of coordinates that are made up, such as numbers of frames."""
        return "units" if is_made_up(self.database) else "m"

    @cached_property
    def zones(self) -> int:
        """Number of UTM zones that lie apart, each a plane of its own; 1 of most sets, and where names give none."""
        return 1 + int(self.database.plane.max()) if "plane" in self.database else 1

    def positives_per_query(self, radius_m: float) -> float:
        """Mean number of database images within ``radius_m``, per query."""
        return float(np.mean([len(near) for near in self.neighbours(radius_m)]))

    def nearest_m(self) -> np.ndarray:
        """Metres from each query to the closest database image, float (Q,); infinite where its zone has none."""
        metres = cKDTree(positions(self.database)).query(positions(self.queries))[0]
        return np.where(metres < FARTHEST, metres, np.inf)

    def without_positives(self, radius_m: float) -> list[str]:
        """Paths of the queries that no database image shows within ``radius_m`` metres: misses, whatever the model."""
        alone = self.nearest_m() > radius_m + ROUNDING_METRES
        return list(self.queries.path[alone])

    def check_positives(self, radius_m: float, n: int = 1) -> None:
        """Raises ValueError when recall@n could not tell one model from another, whatever they retrieve."""
        name = f"{self.name} {self.split}"
        if self.queries.empty:
            raise ValueError(f"{name}: there are no queries, so no recall")
        nearest = self.nearest_m().min()
        if nearest > radius_m + ROUNDING_METRES:
            raise ValueError(
                f"{name}: none of the {len(self.queries)} queries has a database image within {radius_m:g} "
                f"{self.unit}, the nearest is {nearest:.1f} {self.unit} away; check the coordinates, or raise "
                "val_positives_dist_threshold"
            )
        if len(self.database) <= n:
            raise ValueError(f"{name}: recall@{n} would retrieve all {len(self.database)} images of this database")

    @cached_property
    def contents(self) -> tuple[list[str], list[str], list[str]]:
        """Digests of the bytes of the database images, of the queries and of unlabelled photographs, in order."""
        found, count, labelled = digests(self.paths), len(self.database), len(self.database) + len(self.queries)
        return found[:count], found[count:labelled], found[labelled:]

    @cached_property
    def queries_in_database(self) -> int:
        """Number of queries that are database images byte for byte, which any model finds."""
        images = set(self.contents[0])
        return sum(query in images for query in self.contents[1])

    @cached_property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change when a file is added, removed, renamed or changes its content."""
        digest = hashlib.sha256()
        parts = [self.database.path, self.queries.path, *([self.unlabelled] if self.unlabelled else [])]
        for paths, contents in zip(parts, self.contents, strict=False):
            for path, content in zip(paths, contents, strict=True):
                digest.update(os.fsencode(os.path.basename(path)) + f"|{content}\n".encode())
            digest.update(b"--\n")
        return digest.hexdigest()[:12]

    def card(self, threshold_m: float) -> dict:
        """Facts of the protocol that a recall on this set depends on, for printing beside every number."""
        usual = {
            "dataset": self.name,
            "split": self.split,
            "database": len(self.database),
            "queries": len(self.queries),
            "queries_without_positives": len(self.without_positives(threshold_m)),
            "queries_in_database": self.queries_in_database,
            "threshold_m": threshold_m,
            "unreadable_left_out": len(self.skipped),
            "others_left_out": self.left_out,
            "fingerprint": self.fingerprint,
        }
        rare = {"queries_folder": self.queries_folder} if self.queries_folder != "queries" else {}
        rare |= {"zones": self.zones} if self.zones > 1 else {}
        rare |= {"threshold": f"{threshold_m:g} units of made-up coordinates"} if self.unit == "units" else {}
        return usual | rare


@cache
def say_once(sentence: str) -> None:
    """Print a sentence unless this process has printed it already: a sweep opens the same sets again and again."""
    print(sentence, flush=True)


def load_places(config: Config, split: str) -> PlaceSet:
    """The photographs that a run of a configuration trains, validates or tests on; those to train on with unlabelled
    ones if it looks at them.
    """
    dataset, queries = (config.tested_on, config.test_queries) if split == "test" else (config.dataset, "queries")
    if config.task.kind == "pairs":
        from vg_core.cross_view.pairs import PairSet  # which is a PlaceSet

        return PairSet.load(dataset, split, config.skip_unreadable, queries)
    places = PlaceSet.load(dataset, split, queries=queries)
    if split == "train" and config.uses_targets:
        places = replace(places, unlabelled=tuple(_targets(config.dataset, config.targets)))
    return places.readable() if config.skip_unreadable else places


def load_splits(config: Config) -> dict[str, PlaceSet]:
    """The splits that a configuration's dataset has, by name: some published ones are a test alone."""
    queries = dict.fromkeys(SPLITS, "queries") | {"test": config.test_queries}
    options = config.dataset, config.skip_unreadable
    return {split: PlaceSet.load(options[0], split, options[1], queries[split]) for split in splits_there(options[0])}


def tables_by_area(sets: Mapping[str, PlaceSet]) -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """(database, queries) of each set, by its name, for maps: of one with UTM zones that lie apart, those of each."""
    areas = {}
    for name, places in sets.items():
        pair = places.database, places.queries
        for plane in range(places.zones):
            some = [table[table.plane == plane].reset_index(drop=True) for table in pair] if places.zones > 1 else pair
            zone = f", zone {some[0].zone_number[0]:.0f}" if places.zones > 1 else ""
            areas[f"{name}{zone}"] = tuple(some)
    return areas


def _targets(dataset: str, name: str) -> list[str]:
    """Paths of unlabelled photographs; ValueError where there are none."""
    folder = find_targets(dataset, name)
    if found := image_files(folder):
        return found
    raise ValueError(f"{folder}: no photograph there; fda and domain adaptation need some of the other domain")
