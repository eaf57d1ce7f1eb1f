"""The photographs of a folder as a table: what their names say, on one grid of metres."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd
import utm

from vg_core.datasets.labels import IMAGE_SUFFIXES, Label, parse_name
from vg_core.datasets.listing import listed
from vg_core.system.text import printable

NUMBERS = ["easting", "northing", "latitude", "longitude", "heading"]
COLUMNS = [*NUMBERS, "zone_number", "zone_letter", "pano_id", "timestamp", "note"]


def read_folder(folder) -> pd.DataFrame:
    """A table of the photographs below ``folder`` with the columns of PlaceSet, a row per image, sorted by path.
    ``attrs["left_out"]`` counts what else lies there.

    Says in a line each what is left out and which fields of names make no sense. Raises OSError for a folder that
    cannot be listed, and ValueError when it holds no image or a name has no coordinates.
    """
    found = listed(folder)
    if not found.paths:
        raise ValueError(f"{found}: no image found ({' '.join(IMAGE_SUFFIXES)}, in any case)")
    labels = [parse_name(file) for file in found.paths]
    if found.left_out:
        print(found)
    if doubts := _doubts(labels):
        print(f"{printable(folder)}: taken as unknown: {doubts}")
    columns = {"path": found.paths} | {name: [getattr(label, name) for label in labels] for name in COLUMNS}
    try:
        table = pd.DataFrame(columns)
    except UnicodeEncodeError:  # bytes that are no UTF-8, which Arrow's texts cannot hold
        table = pd.DataFrame(columns, dtype=object)
    table[NUMBERS] = table[NUMBERS].astype(float)
    table.attrs["left_out"] = len(found.left_out)
    return with_degrees(table, one_zone(table))


def one_zone(table: pd.DataFrame) -> str:
    """ "north" or "south", the half of the globe that the grid of all rows lies in; "" where no name has a letter.

    Distances are planar, so eastings of two UTM grids must never meet: ValueError. Letters are bands of one grid, N and
    beyond north of the equator; a name without a letter goes with those that have one.
    """
    grids = Counter()
    for (number, letter), count in table.value_counts(["zone_number", "zone_letter"], dropna=False).items():
        half = letter and ("north" if letter.upper() >= "N" else "south")
        grids["no zone" if pd.isna(number) else str(int(number)), half] += count
    halves = {half for _, half in grids} - {""}
    if len({number for number, _ in grids}) > 1 or len(halves) > 1:
        counts = ", ".join(f"{' '.join(grid).strip()} ({n} images)" for grid, n in grids.most_common())
        raise ValueError(f"mixed UTM zones: {counts}. Distances in metres need one zone: split the set by zone.")
    return max(halves, default="")


def with_degrees(table: pd.DataFrame, half: str) -> pd.DataFrame:
    """Fill latitude and longitude (degrees) from UTM where names give a zone but not both, on this ``half``."""
    rows = table[table[["latitude", "longitude"]].isna().any(axis=1) & table.zone_number.notna()]
    if half and len(rows):
        metres, number = (rows.easting.to_numpy(), rows.northing.to_numpy()), int(rows.zone_number.iloc[0])
        degrees = utm.to_latlon(*metres, number, northern=half == "north", strict=False)
        table.loc[rows.index, "latitude"], table.loc[rows.index, "longitude"] = degrees
    return table


def _doubts(labels: Sequence[Label]) -> str:
    """Which fields make no sense, in how many names, with an example each."""
    found = [doubt for label in labels for doubt in label.doubts]
    counts, examples = Counter(what for what, _ in found), dict(reversed(found))
    return ", ".join(f"{what} of {n} names ('{printable(examples[what][:60])}')" for what, n in counts.most_common())
