"""Checks of what names say: positions, zones, degrees, headings, times."""

import os
from collections.abc import Iterator

import numpy as np
import pandas as pd
import utm

from .survey import Finding, Survey

FAULTS = {  # part of a sentence of `parse_name` -> check
    "look like degrees": "degrees in place of UTM",
    "look swapped": "easting and northing swapped",
    "zone letter": "zone letter against northing",
    "": "name without position",
}
FORMATS = {6: "%Y%m", 8: "%Y%m%d", 15: "%Y%m%d_%H%M%S"}  # by the number of characters
FAR = 20.0  # metres between UTM and degrees; five decimals are a metre
FEW = 0.01  # share of photographs in another zone that is no other city
NULL = 166_021.44, 0.0  # 0° N, 0° E in UTM


def check_names(survey: Survey) -> Iterator[Finding]:
    """Names that do not say where, or say odd things, and those that some systems take for the same."""
    faults = [
        next(check for words, check in FAULTS.items() if words in fault) if fault else ""
        for fault in survey.table.fault
    ]
    for check in FAULTS.values():
        yield from survey.finding(check, np.array(faults, dtype=object) == check)
    folded = survey.table.name.astype(str).str.casefold()
    yield from survey.finding("names that differ in case", folded.duplicated(keep=False).to_numpy())
    if survey.made_up:
        yield from survey.finding("made-up coordinates", survey.table.index)
    odd = [any(" in zone letter " not in text for _, text in doubts or ()) for doubts in survey.table.doubts]
    yield from survey.finding("fields that make no sense", np.array(odd, dtype=bool))


def check_zones(survey: Survey) -> Iterator[Finding]:
    """Zones that differ or are missing."""
    table = survey.table[survey.table.fault == ""]
    lacking = table.zone_number.isna()
    yield from survey.finding("no zone in any name" if lacking.all() else "zone missing in part", table.index[lacking])
    if "plane" in survey.placed:
        other = survey.placed.plane != 0
        yield from survey.finding("rare zone" if other.mean() < FEW else "other zone", survey.placed.index[other])


def check_degrees(survey: Survey) -> Iterator[Finding]:
    """Latitude and longitude that contradict UTM, and the position without a fix."""
    table = survey.table[survey.table.fault == ""]
    fields = [[*os.path.basename(path).split("@"), *[""] * 7][5:7] for path in table.path]  # a doubt hides some
    told = pd.DataFrame(fields, table.index).apply(pd.to_numeric, errors="coerce").to_numpy(float).reshape(-1, 2)
    off, swapped = np.zeros((2, len(table)))
    for (number, letter), rows in table[table.zone_letter != ""].groupby(["zone_number", "zone_letter"]):
        at, metres = table.index.get_indexer(rows.index), rows[["easting", "northing"]].to_numpy(float).T
        here = np.stack(utm.to_latlon(*metres, int(number), northern=letter.upper() >= "N", strict=False), axis=1)
        off[at], swapped[at] = _metres(here, told[at]), _metres(here, told[at, ::-1])
    wrong, turned = off > FAR, swapped <= FAR
    yield from survey.finding("latitude and longitude swapped", table.index[wrong & turned])
    yield from survey.finding("degrees against UTM", table.index[wrong & ~turned])
    null = np.abs(table[["easting", "northing"]].to_numpy(float) - NULL).max(axis=1, initial=0) < 1
    yield from survey.finding("position 0, 0", table.index[null | (told == 0).all(axis=1)])


def _metres(here: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Metres (N,) between near positions in degrees (N, 2)."""
    north, east = (there - here).T * 111_320
    return np.hypot(north, east * np.cos(np.deg2rad(here[:, 0])))


def check_headings(survey: Survey) -> Iterator[Finding]:
    """Headings that are missing, or nothing but 0."""
    known = survey.table.heading.notna().to_numpy()
    yield from survey.finding("headings missing in part" if known.any() else "no headings", ~known)
    if known.sum() >= 10 and (survey.table.heading[known] % 360 == 0).all():
        yield from survey.finding("all headings are 0", known)


def times(survey: Survey) -> pd.Series:
    """Moment of each photograph, NaT where its name does not tell."""
    texts = survey.table.timestamp
    found = pd.Series(pd.NaT, index=texts.index, dtype="datetime64[s]")
    for length, form in FORMATS.items():
        rows = texts.str.len() == length
        found[rows] = pd.to_datetime(texts[rows], format=form, errors="coerce")
    return found


def check_times(survey: Survey) -> Iterator[Finding]:
    """Time stamps in no known format, and those before digital cameras or after today."""
    moments, tomorrow = times(survey), pd.Timestamp.now() + pd.Timedelta(days=1)
    yield from survey.finding("time that does not parse", ((survey.table.timestamp != "") & moments.isna()).to_numpy())
    odd = (moments < pd.Timestamp(1990, 1, 1)) | (moments > tomorrow)
    yield from survey.finding("time before 1990 or to come", odd.to_numpy())
