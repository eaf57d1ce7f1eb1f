"""The one module that knows folders. Everything is derived from this file's place, never from the working directory."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
REPORTS = ROOT / "reports"
DATA_SCRIPTS = ROOT / "data_scripts"


def data_root() -> Path:
    """Folder of datasets, ``<name>/images/{train,val,test}/{database,queries}`` (``VG_DATA``, default ``data/``)."""
    return Path(os.environ.get("VG_DATA", ROOT / "data")).expanduser()


def cache_root() -> Path:
    """Folder of what can be made again: checkpoints, pixels, rehearsals (``VG_CACHE``, default ``.cache/``)."""
    return Path(os.environ.get("VG_CACHE", ROOT / ".cache")).expanduser()


def profile_root(profile: str) -> Path:
    """Where a profile's results live. Only ``full`` may reach ``reports/``: a rehearsal never overwrites results."""
    return REPORTS if profile == "full" else cache_root() / profile


def runs_folder(profile: str) -> Path:
    """Per-query tables and histories of finished runs, one folder a run."""
    return profile_root(profile) / "runs"


def assets_folder(profile: str) -> Path:
    """Figures, tables and numbers that notebooks export, one folder a notebook."""
    return profile_root(profile) / "assets"


def checkpoints_folder(profile: str) -> Path:
    """Weights and resumable states; always in the cache, never in ``reports/``."""
    return cache_root() / "checkpoints" / profile


def pixels_folder() -> Path:
    """Decoded images, one memory-mapped file for each file list and size."""
    return cache_root() / "pixels"


def executed_folder(profile: str) -> Path:
    """Executed copies of the notebooks."""
    return cache_root() / profile / "notebooks"
