"""Photographs that a file lists, one path a line, as CosPlace reads those of SF-XL: millions need no searching."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from vg_core.datasets.label_tables import TEXT, kept, label_table
from vg_core.datasets.labels import IMAGE_SUFFIXES
from vg_core.system import own_files
from vg_core.system.text import printable

LIST = "_images_paths.txt"  # follows the name of the folder, beside it
LOOKED_FOR = 1000  # photographs of a list, evenly spread; all others are missed when they are read
REMEDY = "correct it, or remove it and the folder is searched"
LINES = csv.ReadOptions(column_names=["path"], block_size=1 << 24)
WHOLE = csv.ParseOptions(delimiter="\1", quote_char=False)  # a line is a path, whatever stands in it


def read_list(file: Path, folder) -> pd.DataFrame:
    """The table of the photographs that ``file`` lists, paths relative to ``folder``, sorted by path.

    Says how many lines are no photographs. Raises ValueError for a list that is none, FileNotFoundError, which names
    the photograph, where one of some that are looked for is not there.
    """
    if not file.stat().st_size:
        raise ValueError(f"{file} lists nothing; {REMEDY}")
    names = os.fsencode(folder), own_files.digest(file).encode()
    table = kept(names, file.stat().st_size, lambda: _read(file, os.path.join(folder, "")))
    for row in np.linspace(0, len(table) - 1, min(len(table), LOOKED_FOR)).astype(int):
        if not os.path.isfile(table.path[row]):
            raise FileNotFoundError(f"{table.path[row]} is not there, but {file} lists it; {REMEDY}")
    if table.attrs["left_out"]:
        print(f"{printable(file)}: left out: {table.attrs['left_out']} lines that name no photograph")
    return table


def _read(file: Path, folder: str) -> pd.DataFrame:
    lines = _lines(file)
    photographs = pc.match_substring_regex(lines, f"(?i)({'|'.join(IMAGE_SUFFIXES)})$".replace(".", r"\."))
    names = pc.binary_join_element_wise(pa.scalar(folder, TEXT), lines.filter(photographs), pa.scalar("", TEXT))
    if not len(names):
        raise ValueError(f"{file} lists no photograph ({' '.join(IMAGE_SUFFIXES)}, in any case); {REMEDY}")
    before, after = names[:-1], names[1:]
    if not pc.all(pc.less(before, after)).as_py():
        names = names.take(pc.sort_indices(names))
        twice = names[1:].filter(pc.equal(names[:-1], names[1:]))
        if len(twice):
            raise ValueError(f"{file} lists {printable(twice[0].as_py())} twice; {REMEDY}")
    table = label_table(names)
    table.attrs["left_out"] = len(lines) - len(names)
    return table


def _lines(file: Path) -> pa.ChunkedArray:
    """The lines of a file but for empty ones."""
    as_text = csv.ConvertOptions(column_types={"path": TEXT}, strings_can_be_null=False)
    try:
        return csv.read_csv(file, LINES, WHOLE, as_text)["path"]
    except pa.ArrowInvalid as error:
        raise ValueError(f"{file} is no list of paths in UTF-8; {REMEDY}") from error
