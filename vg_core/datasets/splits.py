"""Where the photographs of a split lie, which datasets are generated, and how many photographs published ones have."""

import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

from vg_core.system import paths

SPLITS = ("train", "val", "test")
GENERATED = ("toycity", "toycity_drive", "toycity_dense", "toycity_pairs")  # rendered on first use, not downloaded
# (dataset, split) -> photographs of the database, and of each folder of queries; a flat train has none of these.
# Berton, Masone, Caputo, CVPR 2022; the small ones: D'Amico, De Cristofaro, Arpino, 2023
PUBLISHED: dict[tuple[str, str], tuple[int, dict[str, int]]] = {
    ("sf_xl", "val"): (8_015, {"queries": 7_993}),
    ("sf_xl", "test"): (2_805_815, {"queries_v1": 1_000}),
    ("sf_xs", "train"): (59_650, {"queries": 0}),
    ("sf_xs", "val"): (8_015, {"queries": 7_993}),
    ("sf_xs", "test"): (27_191, {"queries_v1": 1_000}),
    ("tokyo_xs", "test"): (12_771, {"queries": 315, "queries_v1": 315, "night": 105}),
    ("tokyo_night", "test"): (12_771, {"queries": 105, "queries_v1": 105, "night": 105}),
}


def find_split(name: str, split: str, queries: str = "queries") -> Path:
    """Folder of a split: of ``database`` and ``queries``, or of the photographs themselves where a train split is flat.

    Raises ValueError for a name that is none, and FileNotFoundError, which says where it looked.
    """
    if split not in SPLITS:
        raise ValueError(f"split '{split}' is unknown; choose one of: {', '.join(SPLITS)}")
    if not re.fullmatch(r"[^/\\\0]+", queries) or queries in (".", ".."):
        raise ValueError(f"{queries!r} is no name of a folder of queries; it lies beside database, as queries_v1 does")
    root, others = root_of(name), []
    for folder in split_folders(root, split):
        parts = (folder / "database").is_dir(), (folder / queries).is_dir()
        if all(parts) or (split == "train" and folder.is_dir() and not any(parts)):
            return folder
        if parts[0] and not others:
            others = _beside(folder)
    if others:
        there = f"test_queries may be one of {', '.join(others)}"
        raise FileNotFoundError(f"{name} {split} has no folder {queries}; {there}")
    known = [*GENERATED, *(folder.name for folder in paths.data_root().glob("*/"))]
    near = [] if root.is_dir() else difflib.get_close_matches(str(name), known, 1)
    raise FileNotFoundError(
        f"dataset '{name}' has no {split} split: expected {root / 'images' / split}/database and …/{queries}. "
        + (f"Did you mean {near[0]}? Else set" if near else "Set")
        + " VG_DATA to the folder that holds datasets, or give the path of the dataset folder."
    )


def splits_there(name: str) -> list[str]:
    """Those of SPLITS that a dataset has a folder for; FileNotFoundError, as of `find_split`, where there is none."""
    root = root_of(name)
    found = [
        split
        for split in SPLITS
        if any((folder if split == "train" else folder / "database").is_dir() for folder in split_folders(root, split))
    ]
    if not found:
        find_split(name, "test")  # raises
    return found


def root_of(name: str) -> Path:
    """The folder of a dataset, there or not; a generated one is rendered."""
    root = Path(name).expanduser() if os.sep in str(name) else paths.data_root() / name
    if name in GENERATED and not root.is_dir():
        _render(name)
    return root


def split_folders(root: Path, split: str) -> list[Path]:
    """Where a split may lie below the folder of a dataset."""
    bare = [root] if split == "test" else []  # training on the images of the test would go unnoticed
    return [root / "images" / split, root / "processed" / split, root / split, *bare]


def find_targets(dataset: str, name: str) -> Path:
    """Folder of unlabelled photographs: one of that name beside the splits of a dataset, or the path of any other.

    FileNotFoundError, which says where it looked; ValueError for a folder that has splits in it.
    """
    root = Path(dataset).expanduser() if os.sep in str(dataset) else paths.data_root() / dataset
    places = [root / "images" / name, root / "processed" / name, root / name, Path(name).expanduser().absolute()]
    for folder in places:
        if any((folder / split).is_dir() for split in SPLITS):
            raise ValueError(f"targets={name!r} is {folder}, which holds labelled photographs too; name one inside")
        if folder.is_dir():
            return folder
    again = f"; draw it again: data_scripts/toy_city.py --city {dataset} --force" if dataset == "toycity_dense" else ""
    raise FileNotFoundError(
        f"dataset '{dataset}' has no unlabelled photographs: expected {places[0]}{again}. Name their folder in "
        "targets, as it is called beside train or by its path"
    )


def unlike_published(name: str, split: str, queries: str, counts: tuple[int, int]) -> str:
    """A sentence if a dataset of a published name has another number of photographs, or of ``queries``, else ""."""
    known = PUBLISHED.get((name.lower().replace("-", "_"), split))
    if known is None or counts == (expected := (known[0], known[1].get(queries, counts[1]))):
        return ""
    there, published = ("{:,} database images and {:,} queries".format(*pair) for pair in (counts, expected))
    return f"{name} {split}: {there} are not the {published} as published; do not compare with published numbers"


def _beside(folder: Path) -> list[str]:
    """Names of the folders beside the database of a split."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name != "database")


def _render(name: str) -> None:
    """Draw a generated city; OSError when that fails."""
    print(f"{name} is not in {paths.data_root()} yet: rendering it (a minute or a few, once).", flush=True)
    script = paths.DATA_SCRIPTS / "toy_city.py"
    environment = os.environ | {"VG_PARENT": str(os.getpid())}  # whose end, even by kill -9, ends it, too
    if subprocess.run([sys.executable, str(script), "--city", name], env=environment).returncode:
        raise OSError(f"{name} could not be rendered in {paths.data_root()}: see above, or set VG_DATA")
