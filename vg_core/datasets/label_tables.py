"""What the names of many photographs say, as one table: usual names all at once, others one by one by `parse_name`.

A large table stays in the cache folder: millions of names are read once.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from vg_core.datasets import labels
from vg_core.datasets.labels import BANDS, EASTING, NORTHING, parse_name
from vg_core.system import own_files, paths
from vg_core.system.text import printable

NUMBERS = ["easting", "northing", "latitude", "longitude", "heading"]
COLUMNS = [*NUMBERS, "zone_number", "zone_letter", "pano_id", "timestamp", "note"]
TEXT = pa.large_string()  # more than 2 GB of it in a column
SCHEMA = pa.schema(
    [(name, pa.float64() if name in NUMBERS else pa.int64() if name == "zone_number" else TEXT) for name in COLUMNS]
)

# a path with the 14 fields of the format, none of which is odd in its letters; what the numbers are is another matter
WORD, DEGREES = r"[^@/\\]*", r"(-?\d{1,20}(\.\d{0,20})?)?"
METRES = r"\d{1,20}(\.\d{0,20})?"
VIEW = f"@{WORD}@{WORD}@{DEGREES}" + f"@{WORD}" * 5  # panorama, tile, heading; pitch, roll, height, time stamp, note
ZONE = r"@(\d\d?)?@[C-HJ-NP-Xc-hj-np-x]?"
USUAL = rf"(?s)^(.*/)?{WORD}@{METRES}@{METRES}{ZONE}@{DEGREES}@{DEGREES}{VIEW}@(?i:\.jpg|\.jpeg|\.png|\.webp)$"
WORDS = 16  # between the last 15 @: what precedes them, the fields, the extension
ANYWHERE = (-np.inf, np.inf, -np.inf, np.inf)  # the band of a name without zone letter

AT_A_TIME = 1 << 17  # names: 15 MB
LARGE = 10_000_000  # bytes of names, some 100,000 of them, from which on a table is kept


class Doubts:
    """Which fields of names make no sense: how many of each kind, and the first example."""

    def __init__(self):
        self.counts, self.examples = Counter(), {}

    def add(self, doubts: Sequence[tuple[str, str]]) -> None:
        for what, text in doubts:
            self.counts[what] += 1
            self.examples.setdefault(what, text)

    def __str__(self) -> str:
        said = [
            f"{what} of {n} names ('{printable(self.examples[what][:60])}')" for what, n in self.counts.most_common()
        ]
        return f"taken as unknown: {', '.join(said)}" if said else ""


def label_table(files: Sequence[str] | pa.ChunkedArray) -> pd.DataFrame:
    """A table of the labels of photographs: path and COLUMNS, a row per file, in the order given.

    Coordinates may be made up, as numbers of frames are, where those of all names are. Else raises ValueError as
    `parse_name` does. ``attrs["doubts"]`` says in a line which fields make no sense, "" if none.
    """
    doubts = Doubts()
    try:
        table = _real(files, doubts)
    except ValueError:
        try:
            table = _objects(files, doubts := Doubts(), made_up=True)
        except ValueError:
            table = None
        if table is None:
            raise
    table.attrs["doubts"] = str(doubts)
    return table


def _real(files: Sequence[str] | pa.ChunkedArray, doubts: Doubts) -> pd.DataFrame:
    try:
        names = files if isinstance(files, pa.ChunkedArray) else pa.chunked_array([files], TEXT)
    except UnicodeEncodeError:  # bytes that are no UTF-8, which Arrow's texts cannot hold
        return _objects(files, doubts)
    starts = range(0, len(names), AT_A_TIME)
    parts = [_parsed(names.slice(start, AT_A_TIME).combine_chunks(), doubts) for start in starts]
    return pa.concat_tables(parts).add_column(0, "path", names).to_pandas()


def _objects(files: Sequence[str] | pa.ChunkedArray, doubts: Doubts, made_up: bool = False) -> pd.DataFrame:
    files = files.to_pylist() if isinstance(files, pa.ChunkedArray) else files
    table = pd.DataFrame({"path": files} | _one_by_one(files, doubts, made_up), dtype=object)
    return table.astype(dict.fromkeys(NUMBERS, float))


def kept(names: Iterable, nbytes: int, make: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The table that ``make`` returns of names of ``nbytes`` in all. A large one is kept in the cache folder, where
    the names, or what stands for them, bytes in parts, find it again as long as the code that reads them is the same.
    """
    if nbytes < LARGE:
        return make()
    digest = hashlib.sha256("".join(own_files.digest(file) for file in (__file__, labels.__file__)).encode())
    for part in names:
        digest.update(part)
    file = paths.cache_root() / "labels" / f"{digest.hexdigest()[:20]}.feather"
    try:
        return own_files.read_or_make(file, make)
    except UnicodeEncodeError:  # some are no UTF-8, which the file cannot hold
        return make()


def _one_by_one(files: Sequence[str], doubts: Doubts, made_up: bool = False) -> dict[str, list]:
    """COLUMNS of the labels by `parse_name`."""
    found = [parse_name(file, made_up) for file in files]
    for label in found:
        doubts.add(label.doubts)
    return {name: [getattr(label, name) for label in found] for name in COLUMNS}


def _parsed(names: pa.Array, doubts: Doubts) -> pa.Table:
    """COLUMNS of the labels of some names."""
    usual = pc.match_substring_regex(names, USUAL)
    table, sound = _all_at_once(names.filter(usual))
    rows = np.flatnonzero(usual)[sound]  # (U,) those that need no second look
    odd = np.setdiff1d(np.arange(len(names)), rows, assume_unique=True)
    if not len(odd):
        return table
    others = pa.table(_one_by_one(names.take(odd).to_pylist(), doubts), SCHEMA)
    return pa.concat_tables([table.filter(sound), others]).take(np.argsort(np.concatenate([rows, odd])))


def _all_at_once(names: pa.Array) -> tuple[pa.Table, np.ndarray]:
    """(COLUMNS of the labels, bool (N,) where they are what `parse_name` says) of usual names."""
    words = pc.split_pattern(names, "@", max_splits=WORDS - 1, reverse=True).flatten()  # WORDS for each name

    def text(number: int) -> pa.Array:
        return words.take(np.arange(number, len(words), WORDS))

    def value(number: int) -> np.ndarray:
        written = text(number)
        filled = pc.if_else(pc.equal(written, ""), pa.scalar(None, TEXT), written)
        return pc.cast(filled, pa.float64()).to_numpy(zero_copy_only=False)  # NaN where nothing is written

    easting, northing, zone, latitude, longitude, heading = map(value, (1, 2, 3, 5, 6, 9))
    letters = text(4).dictionary_encode()
    bands = np.array([BANDS.get(letter.upper(), ANYWHERE) for letter in letters.dictionary.to_pylist()])
    low, high, south, north = bands.reshape(-1, 4)[letters.indices.to_numpy()].T
    sound = _between(easting, *EASTING) & _between(northing, *NORTHING) & _between(northing, low, high)
    for angle, limit in ((latitude, 90), (longitude, 180), (heading, 720)):
        sound &= _between(angle, -limit, limit)
    sound &= _between(zone, 1, 60) & _between(latitude, south, north)
    heading = np.where(heading == 360, heading, heading % 360)
    zone = pa.array(zone, pa.int64(), from_pandas=True, safe=False)
    values = [easting, northing, latitude, longitude, heading, zone, text(4), text(7), text(13), text(14)]
    return pa.table(dict(zip(COLUMNS, values, strict=True)), SCHEMA), sound


def _between(values: np.ndarray, low, high) -> np.ndarray:
    """Where values lie in a range, or there is none."""
    return ~((values < low) | (values > high))
