"""What other notebooks exported, read back: their tables laid end to end, and where these came from."""

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vg_core import paths


def exported(table: str, chapters: Sequence[str], profile: str) -> pd.DataFrame:
    """A table that several notebooks exported under one name, with a first column ``chapter``.

    Raises FileNotFoundError, which names the notebook to run, for a chapter without it.
    """
    parts = [pd.read_csv(_file(chapter, f"{table}.csv", profile)).assign(chapter=chapter) for chapter in chapters]
    whole = pd.concat(parts, ignore_index=True)
    return whole[["chapter", *whole.columns.drop("chapter")]]


def origins(chapters: Sequence[str], profile: str) -> dict:
    """Runs and datasets behind several chapters, as ``export`` takes them."""
    found = [json.loads(_file(chapter, "origin.json", profile).read_text()) for chapter in chapters]
    runs = sorted({run for origin in found for run in origin["runs"]})
    return {"runs": runs, "datasets": {name: print_ for origin in found for name, print_ in origin["datasets"].items()}}


def _file(chapter: str, name: str, profile: str) -> Path:
    file = paths.assets_folder(profile) / chapter / name
    if not file.exists():
        command = f"python reports/run_notebooks.py --profile {profile} {chapter}"
        raise FileNotFoundError(f"{chapter} has not exported {name}: run it first, {command}")
    return file
