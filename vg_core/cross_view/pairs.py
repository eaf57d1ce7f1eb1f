"""Pairs: an aerial image and a street panorama of the same spot, from folders or as published sets have them."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from vg_core.cross_view.cvact import CVACT_PAIRS, read_cvact
from vg_core.cross_view.cvusa import CVUSA_PAIRS, read_cvusa
from vg_core.cross_view.pictures import read_aerial, read_ground
from vg_core.datasets.folders import image_files, read_folder
from vg_core.datasets.label_tables import COLUMNS, NUMBERS
from vg_core.datasets.photographs import unreadable
from vg_core.datasets.places import PlaceSet, say_once
from vg_core.datasets.splits import SPLITS, root_of
from vg_core.datasets.zones import in_planes
from vg_core.evaluation.ranks import Within
from vg_core.system.text import count, printable

# what reads the pairs of a published set, and how many each split has
PUBLISHED = {"cvusa": (read_cvusa, CVUSA_PAIRS), "cvact": (read_cvact, CVACT_PAIRS)}
TEST_METRES = {"cvact": 5.0}  # within which an aerial image is right in the published test, beside the twin


@dataclass(frozen=True)
class PairSet(PlaceSet):
    """A set of places whose database are aerial images and whose queries are panoramas, or the other way round: twins
    are in the same row.
    """

    metres: float = 0.0  # an image within is right, too
    one_size, unit = False, "m"

    @classmethod
    def load(cls, name: str, split: str, skip_unreadable: bool = False, queries: str = "queries") -> "PairSet":
        """The pairs in ``<VG_DATA>/<name>``; ``name`` may also be the path of such a folder.

        Folders ``cvusa`` and ``cvact`` are read as published; a line says when there are not as many pairs. In others
        twins have the same name in ``images/<split>/aerial`` and ``images/<split>/ground``; generated pairs are
        rendered when they are not there yet. ``queries="aerial"`` looks for panoramas by aerial images. With
        ``skip_unreadable`` pairs that lack a file, or have one that is no image, are left out, counted and listed in
        ``skipped``. Raises OSError or ValueError, which say what is wrong.
        """
        if split not in SPLITS:
            raise ValueError(f"split '{split}' is unknown; choose one of: {', '.join(SPLITS)}")
        if queries not in ("queries", "aerial"):
            raise ValueError(f"test_queries={queries!r}: of pairs it is queries, which are panoramas, or aerial")
        root = root_of(name)
        read, published = PUBLISHED.get(root.name.lower(), (twins, {}))
        metres = TEST_METRES.get(root.name.lower(), 0.0) if split == "test" else 0.0
        pairs = cls(printable(root.name), split, *_tables(read(root, split)), metres=metres)
        if len(pairs.aerial) != (expected := published.get(split, len(pairs.aerial))):
            there = f"{pairs.name} {split}: {count(len(pairs.aerial), 'pair')} are not the {expected:,} as published"
            say_once(f"{there}; do not compare with published numbers")
        pairs = pairs.readable() if skip_unreadable else pairs._complete()
        for read_side, table in ((read_aerial, pairs.aerial), (read_ground, pairs.ground)):
            read_side(table.path[0])  # the wrong kind of pictures is said before anything is trained
        return pairs if queries == "queries" else pairs.swapped()

    def swapped(self) -> "PairSet":
        """The set in which aerial images are the queries, and panoramas the database."""
        return replace(self, database=self.ground, queries=self.aerial, queries_folder="aerial")

    @property
    def aerial(self) -> pd.DataFrame:
        return self.queries if self.queries_folder == "aerial" else self.database

    @property
    def ground(self) -> pd.DataFrame:
        return self.database if self.queries_folder == "aerial" else self.queries

    @property
    def sides(self) -> dict[str, pd.Series]:
        """Paths of each side, the database first."""
        names = ("ground", "aerial") if self.queries_folder == "aerial" else ("aerial", "ground")
        return dict(zip(names, (self.database.path, self.queries.path), strict=True))

    def positives(self, _protocol: Within | None = None) -> list[np.ndarray]:
        """For each query the images that are right, whatever the protocol: its twin, or those within ``metres``."""
        return self.neighbours(self.metres) if self.metres else list(np.arange(len(self.queries))[:, None])

    def nearest_m(self) -> np.ndarray:
        """Metres from each query to its twin, float (Q,)."""
        return np.zeros(len(self.queries))

    def card(self, _threshold_m: float) -> dict:
        return super().card(self.metres)

    def some_queries(self, count: int, seed: int) -> "PairSet":
        """The set with ``count`` of its pairs, drawn by a seed; with all of them for 0."""
        rows = np.random.default_rng(seed).permutation(len(self.ground))[: count or None]
        return self._rows(np.sort(rows))

    def readable(self) -> "PairSet":
        """The set without the pairs that have a file which cannot be decoded; says how many there were."""
        broken = unreadable(self.paths)
        if not broken:
            return self
        whole = ~(self.aerial.path.isin(broken) | self.ground.path.isin(broken)).to_numpy()
        said = map(printable, broken.values())
        print(f"{self.name} {self.split}: {count((~whole).sum(), 'pair')} left out:", *said, sep="\n  ")
        if not whole.any():
            raise ValueError(f"{self.name} {self.split}: no readable pair is left")
        return replace(self._rows(np.flatnonzero(whole)), skipped=tuple(broken.values()))

    def _rows(self, rows: np.ndarray) -> "PairSet":
        tables = (table.iloc[rows].reset_index(drop=True) for table in (self.database, self.queries))
        return replace(self, **dict(zip(("database", "queries"), tables, strict=True)))

    def _complete(self) -> "PairSet":
        """The set; FileNotFoundError where files that it names are not there."""
        missing = [path for path, there in zip(self.paths, _exist(self.paths), strict=True) if not there]
        if missing:
            raise FileNotFoundError(
                f"{self.name} {self.split}: {len(missing):,} of {len(self.paths):,} images are not there, the first is "
                f"{missing[0]}; copy them there, or leave their pairs out with skip_unreadable"
            )
        return self


def twins(root: Path, split: str) -> pd.DataFrame:
    """A row per pair of images with the same name, but for the suffix, in the folders ``aerial`` and ``ground`` of a
    split, sorted by name: aerial and ground (paths) and what the names say.

    FileNotFoundError where there are no such folders, ValueError for images without a twin.
    """
    places = [place for place in (root / "images" / split, root / split) if (place / "aerial").is_dir()]
    if not places or not (places[0] / "ground").is_dir():
        raise FileNotFoundError(
            f"{root.name} has no {split} split of pairs: expected {root / 'images' / split}/aerial and …/ground, with "
            "the same names. Set VG_DATA to the folder that holds datasets, or give the path of the dataset folder"
        )
    aerial, ground = (_by_name(places[0] / side) for side in ("aerial", "ground"))
    if lonely := sorted(aerial.keys() ^ ground.keys()):
        high = sum(name in aerial for name in lonely)
        raise ValueError(
            f"{places[0]}: {count(high, 'aerial image')} and {count(len(lonely) - high, 'panorama')} have no twin of "
            f"the same name, the first is {printable(lonely[0])}; add what lacks or take them out"
        )
    names = sorted(ground)
    paths = {"aerial": [aerial[name] for name in names], "ground": [ground[name] for name in names]}
    if not any("@" in os.path.basename(name) for name in names):  # coordinates are not needed
        return pd.DataFrame(paths | {"pano_id": names})
    said = read_folder(places[0] / "ground").set_index("path").loc[paths["ground"]].reset_index(drop=True)
    return pd.DataFrame(paths).join(said)


def _by_name(folder: Path) -> dict[str, str]:
    """Paths of the images in a folder by their names without suffix; ValueError where two have the same."""
    paths = image_files(folder)
    named = {os.path.splitext(os.path.relpath(path, folder))[0]: path for path in paths}
    if len(named) < len(paths):
        twice = next(path for path in paths if path not in set(named.values()))
        raise ValueError(f"{printable(twice)}: another image there has the same name but for the suffix; remove one")
    if not named:
        raise ValueError(f"{folder}: no image found")
    return named


def _tables(rows: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The aerial and the ground table, with the columns of PlaceSet, of rows of both paths and what is known."""
    texts = dict.fromkeys({*COLUMNS} - {*NUMBERS, "zone_number"}, "")
    known = pd.DataFrame(texts, rows.index).assign(**rows).reindex(columns=COLUMNS)
    known = known.astype(dict.fromkeys(NUMBERS, float))
    if known.easting.notna().all():
        (known,), _ = in_planes([known])
    return tuple(known.assign(path=rows[side])[["path", *COLUMNS]] for side in ("aerial", "ground"))


def _exist(paths: list[str]) -> list[bool]:
    """Which files there are; each folder is listed once, which on a network is much faster than a look at each file."""
    folders = {os.path.dirname(path) for path in paths}
    there = {folder: set(os.listdir(folder)) if os.path.isdir(folder) else set() for folder in folders}
    return [os.path.basename(path) in there[os.path.dirname(path)] for path in paths]
