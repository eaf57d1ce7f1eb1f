"""What other notebooks exported, read back: their tables laid end to end, and where these came from."""

from collections.abc import Sequence

import pandas as pd

from vg_core import own_files, paths


def exported(table: str, chapters: Sequence[str], profile: str) -> pd.DataFrame:
    """A table that several notebooks exported under one name, with a first column ``chapter``.

    Raises FileNotFoundError for a chapter without it and Damaged for a damaged one; both name the notebook to run.
    """
    parts = [_read(chapter, f"{table}.csv", profile).assign(chapter=chapter) for chapter in chapters]
    whole = pd.concat(parts, ignore_index=True)
    return whole[["chapter", *whole.columns.drop("chapter")]]


def origins(chapters: Sequence[str], profile: str) -> dict:
    """Runs and datasets behind several chapters, as ``export`` takes them."""
    found = [_read(chapter, "origin.json", profile) for chapter in chapters]
    runs = sorted({run for origin in found for run in origin["runs"]})
    return {"runs": runs, "datasets": {name: print_ for origin in found for name, print_ in origin["datasets"].items()}}


def _read(chapter: str, name: str, profile: str):
    command = f"python reports/run_notebooks.py --profile {profile} {chapter}"
    file = paths.assets_folder(profile) / chapter / name
    if not file.exists():
        raise FileNotFoundError(f"{chapter} has not exported {name}: run it first, {command}")
    return own_files.read(file, f"run {chapter} again, {command}")
