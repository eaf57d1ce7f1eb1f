"""UTM zones of a set: one plane where its photographs lie in one area, several where they lie apart.

Distances are planar, so eastings of two zones must never meet. Sets of several cities keep a plane for each zone; a
road across the border of two zones is brought into one of them.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import utm
from scipy.spatial import cKDTree

from vg_core.datasets.labels import EASTING, NORTHING
from vg_core.system.text import count

AREA = 10_000  # metres; zones of which photographs come as near as that are parts of one area
EARTH = 6_371_000  # metres, its radius


def is_made_up(table: pd.DataFrame) -> bool:
    """True for coordinates that are no UTM, such as numbers of frames; those of a table are all so or none is."""
    return (
        len(table) > 0
        and "zone_number" in table
        and pd.isna(table.zone_number.iloc[0])
        and not _possible(table.iloc[:1]).all()
    )


def _possible(table: pd.DataFrame) -> np.ndarray:
    return (table.easting.between(*EASTING) & table.northing.between(*NORTHING)).to_numpy()


def in_planes(tables: Sequence[pd.DataFrame]) -> tuple[list[pd.DataFrame], str]:
    """(tables of one set with what distances and maps need, a line about what is unusual, or "").

    Latitude and longitude (degrees) are filled from UTM where names give a zone but not both. Zones whose photographs
    come near each other become the one that has most of them. If zones remain that lie apart, a column ``plane``
    numbers them from 0, most photographs first. ValueError for sets that are partly made up, and for those that lie in
    several zones while some names lack zone or letter.
    """
    if len(made_up := {is_made_up(table) for table in tables}) > 1:
        table = next(table for table in tables if is_made_up(table))
        raise ValueError(f"{table.path.iloc[0]}: coordinates that are no UTM, in a set where others are: correct them")
    if made_up == {True}:
        return [*tables], "its coordinates are made up (no UTM): distances are in their units, and there is no map"
    half, grids = _grids(pd.concat([table[["zone_number", "zone_letter"]] for table in tables]))
    if not len(grids):
        return [with_degrees(table, half) for table in tables], ""
    whole = pd.concat(tables, ignore_index=True)
    halves = whole.zone_letter.map(_halves(whole.zone_letter))
    codes = np.select([(whole.zone_number == n) & (halves == h) for n, h in grids], np.arange(len(grids)))
    whole, said = _joined(whole, grids, codes)
    ends = np.cumsum([0, *map(len, tables)])
    return [whole.iloc[a:b].reset_index(drop=True) for a, b in pairwise(ends)], said


def _halves(letters: pd.Series) -> dict[str, str]:
    """For each zone letter "north" or "south", the half of the globe that its band lies in; "" for none."""
    return {letter: letter and ("north" if letter.upper() >= "N" else "south") for letter in letters.unique()}


def _grids(table: pd.DataFrame) -> tuple[str, list[tuple[int, str]]]:
    """(half of the globe, []) for names of one zone, "" where none has a letter: those without go with those that have
    one. For names of several zones ("", zones as number and half, most names first); ValueError as of `in_planes`.
    """
    numbers, half_of = table.zone_number, _halves(table.zone_letter)
    halves = {*half_of.values()} - {""}
    if numbers.nunique() + numbers.isna().any() <= 1 and len(halves) <= 1:
        return max(halves, default=""), []
    grids = Counter()
    for (number, letter), rows in (
        table.groupby(["zone_number", "zone_letter"], dropna=False, sort=False).size().items()
    ):
        grids[number, half_of[letter]] += rows
    if numbers.isna().any() or "" in half_of.values():
        names = {grid: "no zone" if pd.isna(grid[0]) else _name(grid).strip() for grid in grids}
        said = ", ".join(f"{names[grid]} ({rows} images)" for grid, rows in grids.most_common())
        raise ValueError(
            f"mixed UTM zones: {said}. Distances in metres need the zone of each photograph, number and letter: write "
            "it into all names, or split the set by zone."
        )
    return "", [grid for grid, _ in grids.most_common()]


def _name(grid: tuple[int, str]) -> str:
    return f"{int(grid[0])} {grid[1]}"


def _joined(table: pd.DataFrame, grids: Sequence[tuple[int, str]], codes: np.ndarray) -> tuple[pd.DataFrame, str]:
    """(table with neighbouring zones made one, and with planes where several remain, a line about both). ``codes`` (N,)
    say which of ``grids`` a row lies in.
    """
    degrees = np.empty((len(table), 2))
    for code, (number, half) in enumerate(grids):
        rows = codes == code
        degrees[rows] = _degrees(table[rows], number, half)
    for axis, values in zip(("latitude", "longitude"), degrees.T, strict=True):
        table[axis] = table[axis].where(table[["latitude", "longitude"]].notna().all(axis=1), values)
    areas, said = _areas(degrees, codes, len(grids)), []
    for code in np.flatnonzero(areas != np.arange(len(grids))):
        rows, (number, half) = codes == code, grids[areas[code]]
        forced = {"force_zone_number": int(number), "force_northern": half == "north"}
        table.loc[rows, ["easting", "northing"]] = np.stack(utm.from_latlon(*degrees[rows].T, **forced)[:2], axis=1)
        table.loc[rows, "zone_number"] = number
        names = _name(grids[code]), _name(grids[areas[code]])
        said.append(f"{count(rows.sum(), 'photograph')} of UTM zone {names[0]} near others of zone {names[1]}")
    if said:
        said = [", ".join(said) + ", whose metres they are told in"]
    planes, of_grids = np.unique(areas, return_inverse=True)  # main zones, most photographs first
    if len(planes) > 1:
        table["plane"] = of_grids[codes]
        sizes = np.bincount(table.plane)
        names = ", ".join(f"{_name(grids[main])} ({size})" for main, size in zip(planes, sizes, strict=True))
        said.append(f"UTM zones that lie apart: {names}; distances are within a zone")
    return table, "; ".join(said)


def _areas(degrees: np.ndarray, codes: np.ndarray, grids: int) -> np.ndarray:
    """For each of so many zones the largest (the first) of those that are one area with it; positions (N, 2)."""
    latitude, longitude = np.deg2rad(degrees).T
    around = np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)
    spots = [EARTH * np.stack(around, axis=1)[codes == code] for code in range(grids)]
    trees, areas = [cKDTree(some) for some in spots], np.arange(grids)
    for one, other in combinations(range(grids), 2):
        if (trees[one].query(spots[other], distance_upper_bound=AREA)[0] <= AREA).any():
            low, high = sorted(areas[[one, other]])
            areas[areas == high] = low
    return areas


def with_degrees(table: pd.DataFrame, half: str) -> pd.DataFrame:
    """Fill latitude and longitude (degrees) from UTM where names of one zone give it but not both, on this ``half``."""
    rows = table.index[(table.latitude.isna() | table.longitude.isna()) & table.zone_number.notna()]
    if half and len(rows):
        table.loc[rows, ["latitude", "longitude"]] = _degrees(table.loc[rows], table.zone_number[rows[0]], half)
    return table


def _degrees(table: pd.DataFrame, number: float, half: str) -> np.ndarray:
    """(N, 2) latitude and longitude of the positions of one zone."""
    metres = (table[axis].to_numpy(float) for axis in ("easting", "northing"))
    return np.stack(utm.to_latlon(*metres, int(number), northern=half == "north", strict=False), axis=1)
