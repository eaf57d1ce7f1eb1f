"""Small sets of photographs that tests share, and a cache of their own for each test."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vg_core.datasets.labels import Label, format_name

# before torch is imported, and inherited by child processes: numbers that are compared bit for bit need one setting
os.environ["OMP_NUM_THREADS"] = "1"
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as jobs in the background find it, and hand it on
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test sees the user's datasets or leaves anything in the user's cache, and none waits for the disk."""
    monkeypatch.setenv("VG_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("VG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VG_HEADLESS", "1")
    monkeypatch.setattr(os, "fsync", lambda _file: None)  # what has been written outlives a process without it


@pytest.fixture
def write_photo():
    """Function that writes one photograph with coordinates in its name and returns its path."""
    return write


@pytest.fixture(scope="session")
def one_street(tmp_path_factory):
    return make_street(tmp_path_factory.mktemp("street"))


@pytest.fixture
def street(one_street, tmp_path):
    """Dataset ``street`` below VG_DATA."""
    return shutil.copytree(one_street, tmp_path / "data" / "street")


@pytest.fixture
def night_street(street):
    """The dataset ``street`` with five unlabelled photographs."""
    for n in range(5):
        write(street / "images" / "unlabelled", 0, 0, 77 + n)
    return street


def write(folder: Path, easting: float, northing: float, seed: int = 0, size=(48, 64), **fields) -> Path:
    """Path of a photograph written with coordinates in its name."""
    folder.mkdir(parents=True, exist_ok=True)
    label = Label(easting, northing, **({"zone_number": 32, "zone_letter": "T", "pano_id": str(seed)} | fields))
    path = folder / format_name(label)
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC).save(path, quality=90)
    return path


def make_street(folder: Path) -> Path:
    """The folder with a dataset in it: places 30 m apart, two database views and two queries of each, three splits.

    Photographs of one place look alike (blurred noise of the same seed, brightened for the queries).
    """

    def brighten(path: Path) -> None:
        with Image.open(path) as image:
            image.point(lambda v: min(255, int(v * 1.15) + 8)).save(path, quality=90)

    root = folder / "images"
    for number, (split, places) in enumerate({"train": 12, "val": 8, "test": 8}.items()):
        for place in range(places):
            east, seed = 400_000 + 1000 * number + 30 * place, 1000 * number + place
            for view in range(2):
                write(root / split / "database", east + view, 5_000_000, seed, tile=str(view))
                path = write(root / split / "queries", east + 3 + view, 5_000_004, seed, tile=str(view))
                brighten(path)
    return folder
