"""The CSV of epochs that were measured: a line for each rung and settings, and what a reader is shown of it."""

from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.ladder import RUNGS
from vg_core.system.clock import PHASES
from vg_core.system.files import replacing

OF_ROUNDS = tuple(phase for phase in PHASES if phase != "decode")  # that is done once, and belongs to no epoch
PARTS = (*OF_ROUNDS, "other", "validation")


def kept(file: Path, settings: dict[str, str]) -> pd.DataFrame:
    """What the CSV has for these settings."""
    lines = _read(file)
    return lines[_fits(lines, settings)].reset_index(drop=True)


def write(file: Path, line: dict[str, object], settings: dict[str, str]) -> pd.DataFrame:
    """Add a line to the CSV, in the place of an earlier one of the same rung and settings; the lines of the settings,
    in the order of the ladder. Lines of other settings stay.
    """
    lines = _read(file)
    same = _fits(lines, settings)
    mine = pd.concat([lines[same & (lines.rung != line["rung"])].astype(object), pd.DataFrame([line | settings])])
    mine = mine.sort_values("rung", key=lambda names: names.map([*RUNGS].index)).reset_index(drop=True)
    mine["factor"] = (mine.seconds[mine.rung == "reference"].sum() or np.nan) / mine.seconds.astype(float)
    with replacing(file) as unfinished:
        pd.concat([lines[~same].astype(object), mine.astype(object)]).to_csv(unfinished, index=False)
    return mine


def _read(file: Path) -> pd.DataFrame:
    """All lines of the CSV; ValueError for a file that is something else."""
    lines = pd.read_csv(file) if file.exists() else pd.DataFrame(columns=["rung", "seconds"])
    if not {"rung", "seconds"} <= set(lines):
        raise ValueError(f"{file} is no table of rungs; give another --output")
    return lines


def _fits(lines: pd.DataFrame, settings: dict[str, str]) -> pd.Series:
    """Which lines were measured with these settings."""
    return (lines.reindex(columns=[*settings]).astype(str) == pd.Series(settings)).all(axis=1)


def table(lines: pd.DataFrame) -> str:
    """For a reader: seconds of an epoch and of its parts, the factor over the reference, peak memory of the device."""
    shown = lines[["rung", "seconds", "factor", *PARTS]].copy()
    if "peak_bytes" in lines:
        shown["peak GB"] = lines.peak_bytes / 1e9
    shown = shown.join(lines[lines.columns.intersection(["predicted", "goal"])])
    return shown.astype({"rung": str}).to_string(index=False, float_format="{:.2f}".format, na_rep="")
