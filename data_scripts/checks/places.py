"""Checks of places: splits that touch, queries without positives, tracks that jump, panoramas, default positions."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from vg_core.datasets.nearest import ROUNDING_METRES

from .names import times
from .survey import Finding, Survey

NOISE, SLOW, HASTE = 15.0, 3.0, 10  # metres that a position may be off; metres per second; times the usual speed
PAUSE = 60  # seconds; after a longer one a track begins anew
REPEATED = 10  # moments or panoramas at the very same position
MANY = 0.1  # share of queries without positives that a set should not have


def check_splits(survey: Survey) -> Iterator[Finding]:
    """Photographs of a split that lie near those of another."""
    for one, other in combinations(survey.placed.split.unique(), 2):
        here, there = (survey.placed.split == split for split in (one, other))
        metres, _ = cKDTree(survey.metres[here]).query(survey.metres[there])
        near = survey.placed.index[there][metres <= survey.radius + ROUNDING_METRES]
        yield from survey.finding("touches", near, other, one, radius=survey.radius)


def check_positives(survey: Survey) -> Iterator[Finding]:
    """Queries without database images near, which are misses whatever the model, at 10 metres and at the radius."""
    for (split, role), rows in survey.placed.groupby(["split", "role"], sort=False):
        database = (survey.placed.split == split) & (survey.placed.role == "database")
        if role == "database" or not database.any():
            continue
        asked = survey.placed.index.get_indexer(rows.index)
        metres, _ = cKDTree(survey.metres[database]).query(survey.metres[asked])
        for reach in sorted({10.0, survey.radius}, reverse=True):
            alone = metres > reach + ROUNDING_METRES
            serious = "error" if alone.all() else "warning" if alone.mean() > MANY else "note"
            words = f"{split} {role}", f"at {reach:g} m", serious if reach == survey.radius else "note"
            yield from survey.finding("without positives", rows.index[alone], *words, share=100 * alone.mean())


def check_tracks(survey: Survey) -> Iterator[Finding]:
    """Photographs far from the one before, as seconds go, and those off the way between their neighbours in time."""
    table = survey.placed.assign(time=times(survey)[survey.placed.index], x=survey.metres[:, 0], y=survey.metres[:, 1])
    table, jumps, strays = table[table.time.notna() & (table.timestamp.str.len() == len("20251222_181013"))], [], []
    for _, rows in table.sort_values("time", kind="stable").groupby(["split", "role"], sort=False):
        rows = rows.drop_duplicates(["time", "x", "y"])
        step, time = _between(rows, 1)
        two, longer = _between(rows, 2)
        haste = max(SLOW, HASTE * np.median(step / np.maximum(time, 1))) if len(step) else SLOW
        far = (step > NOISE + haste * time) & (time <= PAUSE)
        stray = far[:-1] & far[1:] & (two <= NOISE + haste * longer)
        strays += [*rows.index[1:-1][stray]]
        jumps += [*rows.index[1:][far]]
    yield from survey.finding("position off its track", np.array(strays, dtype=int))
    yield from survey.finding("jump along a track", np.setdiff1d(jumps, strays))


def _between(rows: pd.DataFrame, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Metres and seconds from each row to the one so many steps on."""
    spots, seconds = rows[["x", "y"]].to_numpy(), rows.time.astype("int64").to_numpy()
    return np.linalg.norm(spots[steps:] - spots[:-steps], axis=1), seconds[steps:] - seconds[:-steps]


def check_panoramas(survey: Survey) -> Iterator[Finding]:
    """Panoramas that are cut into another number of views than most, and positions that too many share."""
    table = survey.placed
    told = table[table.pano_id != ""]
    views = told.groupby(["split", "role", "pano_id"]).pano_id.transform("size")
    usual = views.groupby([told.split, told.role]).transform(lambda some: some.mode().iloc[0])
    odd = (views != usual) & (usual > 1)
    few = odd.groupby([told.split, told.role]).transform("mean") <= MANY
    yield from survey.finding("uneven panorama", told.index[odd & few])
    who = table.pano_id.where(table.pano_id != "", table.timestamp).where(lambda text: text != "", table.name)
    same = who.groupby([table.split, table.role, table.easting, table.northing]).transform("nunique")
    yield from survey.finding("position of many", table.index[same >= REPEATED])
