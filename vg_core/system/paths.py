"""The one module that knows folders. Everything is derived from this file's place, never from the working directory."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
REPORTS = ROOT / "reports"
DATA_SCRIPTS = ROOT / "data_scripts"


def data_root() -> Path:
    """Folder of datasets, ``<name>/images/{train,val,test}/{database,queries}`` (``VG_DATA``, default ``data/``)."""
    return _folder("VG_DATA", "data")


def cache_root() -> Path:
    """Folder of what can be made again: checkpoints, pixels, rehearsals (``VG_CACHE``, default ``.cache/``)."""
    return _folder("VG_CACHE", ".cache")


def profile_root(profile: str) -> Path:
    """Where a profile's results live. Only ``full`` may reach ``reports/``: a rehearsal never overwrites results."""
    return REPORTS if profile == "full" else cache_root() / profile


def runs_folder(profile: str) -> Path:
    """Per-query tables and histories of finished runs, one folder per run."""
    return profile_root(profile) / "runs"


def assets_folder(profile: str) -> Path:
    """Figures, tables and numbers that notebooks export, one folder per notebook."""
    return profile_root(profile) / "assets"


def checkpoints_folder(profile: str) -> Path:
    """Weights and resumable states; always in the cache, never in ``reports/``."""
    return cache_root() / "checkpoints" / profile


def pixels_folder() -> Path:
    """Decoded images, one memory-mapped file for each list of contents and size."""
    return cache_root() / "pixels"


def executed_folder(profile: str) -> Path:
    """Executed copies of the notebooks."""
    return cache_root() / profile / "notebooks"


def _folder(variable: str, default: str) -> Path:
    """What a variable of the environment names, or the default, as if it were not set, where that is empty."""
    named = os.environ.get(variable)
    if not named:
        return ROOT / default
    folder = Path(os.path.expanduser(named))
    if not folder.is_absolute():  # "~name" is left as it is where there is no such user
        raise ValueError(f"{variable}={named} must be the whole path of a folder, the same from everywhere")
    if not os.path.isdir(next(filter(os.path.lexists, (folder, *folder.parents)), "")):
        raise ValueError(f"{variable}={named} lies where a file is, or a link to nothing; name a folder")
    return folder
