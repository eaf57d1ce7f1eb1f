"""A dataset as it lies on disk: a row for each file that should be a photograph, whatever its name or content."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from vg_core.datasets.folders import listed
from vg_core.datasets.label_tables import COLUMNS, NUMBERS
from vg_core.datasets.labels import Label, parse_name
from vg_core.datasets.splits import SPLITS, root_of, split_folders
from vg_core.datasets.zones import in_planes
from vg_core.evaluation.ranks import positions

SEVERITIES = "error", "warning", "note"
TABLES = tomllib.loads(Path(__file__).with_name("checks.toml").read_text(encoding="utf-8"))
CHECKS = {name: known for table in TABLES.values() for name, known in table.items()}  # name -> severity, hint
SHOWN = 4  # examples of a finding


@dataclass(frozen=True)
class Finding:
    """What a check found: in how many files, some of them, and what to do."""

    name: str
    severity: str
    count: int
    examples: list[str]
    hint: str
    rows: Sequence[int] = ()  # of the survey's table


@dataclass
class Survey:
    """The files of a dataset. Columns of ``table``: path, name (below the root), split, role, fault (of the name, "" if
    it says where), doubts, and what names say, as in `PlaceSet`.
    """

    root: Path
    table: pd.DataFrame
    left_out: list[tuple[str, str]]  # (kind, name) of what else lies there
    empty: list[str]  # folders that should hold photographs
    unasked: list[str]  # splits without queries
    radius: float  # metres of one place

    def finding(
        self, check: str, rows, before: str = "", after: str = "", severity: str = "", **facts
    ) -> list[Finding]:
        """[] where nothing is found, else a finding about rows (numbers, or a mask)."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else np.unique(rows).astype(int)
        found = self.about(check, [*self.table.name.iloc[rows]], severity, **facts)
        return [replace(one, name=f"{before} {check} {after}".strip(), rows=rows) for one in found]

    @staticmethod
    def about(check: str, names: Sequence[str], severity: str = "", **facts) -> list[Finding]:
        """[] where there are no names, else a finding about them."""
        usual, hint = CHECKS[check]
        found = Finding(check, severity or usual, len(names), [*names[:SHOWN]], hint.format(**facts))
        return [found] if names else []

    @cached_property
    def made_up(self) -> bool:
        """Are all coordinates none of UTM, such as numbers of frames?"""
        return len(self.table) > 0 and bool(self.table.doubts.isna().all())

    @cached_property
    def placed(self) -> pd.DataFrame:
        """The rows that say where, with degrees. Where some names lack zone or letter, those of most photographs."""
        table = self.table[self.table.fault == ""]
        try:
            whole, _ = in_planes([table.reset_index(drop=True)])
        except ValueError:
            written = table.zone_number.astype(str) + table.zone_letter.str.upper()
            table = table[written == written.mode().iloc[0]]
            whole, _ = in_planes([table.reset_index(drop=True)])
        return whole[0].set_index(table.index)

    @cached_property
    def metres(self) -> np.ndarray:
        """Positions (rows of ``placed``, 2) between which distances hold."""
        return positions(self.placed)


def survey(name: str, radius: float) -> Survey:
    """The survey of a dataset, by its name below VG_DATA or its folder, or of any folder of photographs.

    FileNotFoundError, OSError in a sentence.
    """
    root = Path(name) if Path(name).is_dir() else root_of(name)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: there is no such folder; give a dataset's folder, or its name below VG_DATA")
    parts = [(split, *part) for split in SPLITS for part in _parts(root, split)] or [("", "database", root)]
    tables, left_out, empty = [], [], []
    for split, role, folder in parts:
        found = listed(folder)
        left_out += found.left_out
        empty += [] if found.paths else [str(folder.relative_to(root))]
        tables.append(pd.DataFrame({"path": found.paths, "split": split, "role": role}, dtype=object))
    table = pd.concat(tables, ignore_index=True)
    table["name"] = [_text(os.path.relpath(path, root)) for path in table.path]
    asked = {split for split, role, _ in parts if role != "database"}
    unasked = sorted({split for split, *_ in parts} & {"val", "test"} - asked)
    return Survey(root, table.join(_labels(table.path)), left_out, empty, unasked, radius)


def _parts(root: Path, split: str) -> list[tuple[str, Path]]:
    """(role, folder) of what a split holds; a train split may be flat."""
    for folder in split_folders(root, split):
        if (folder / "database").is_dir():
            others = sorted(one for one in folder.iterdir() if one.is_dir() and one.name not in ("database", *SPLITS))
            others = [one for one in others if folder != root or one.name.startswith("quer")]
            return [("database", folder / "database"), *((one.name, one) for one in others)]
        if folder.is_dir() and folder != root:
            return [("database", folder)]
    return []


def _labels(paths: Sequence[str]) -> pd.DataFrame:
    """COLUMNS, fault and doubts of each name; doubts are None in a set whose coordinates are all made up."""
    made_up = all(not _label(path, made_up=True)[1] for path in paths)  # ends at the first that is not
    found = [_label(path, made_up) for path in paths]
    columns = {name: [_text(getattr(label, name)) for label, _ in found] for name in COLUMNS}
    columns |= {"fault": [fault for _, fault in found], "doubts": [None if made_up else one.doubts for one, _ in found]}
    return pd.DataFrame(columns, dtype=object).astype(dict.fromkeys(NUMBERS, float))


def _text(value):
    """A text with what is no UTF-8 written out, which tables do not hold; any other value as it is."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _label(path: str, made_up: bool = False) -> tuple[Label, str]:
    try:
        return parse_name(path, made_up), ""
    except ValueError as error:
        return Label(np.nan, np.nan), str(error).removeprefix(f"{path}: ")
