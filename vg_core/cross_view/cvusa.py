"""CVUSA as its authors distribute it: the rows of a table say which aerial image goes with which panorama.

Source: Workman, Souvenir, Jacobs, ICCV 2015; the split in pairs is of Zhai et al., CVPR 2017.
"""

import csv
from pathlib import Path

import pandas as pd

TABLES = {"train": "train-19zl.csv", "val": "val-19zl.csv", "test": "val-19zl.csv"}  # the papers test on val
CVUSA_PAIRS = {"train": 35_532, "val": 8_884, "test": 8_884}


def read_cvusa(root: Path, split: str) -> pd.DataFrame:
    """A row per pair: aerial and ground (paths) and pano_id, in the order of ``splits/train-19zl.csv`` or
    ``val-19zl.csv``, whose columns are aerial image, panorama, annotation. Where they were taken it does not say.

    FileNotFoundError where there is no such table, ValueError for a row that names no two images.
    """
    file = next((path for path in (root / "splits" / TABLES[split], root / TABLES[split]) if path.is_file()), None)
    if file is None:
        raise FileNotFoundError(
            f"{root / 'splits' / TABLES[split]}: there is no such file; put CVUSA there (bingmap, splits, streetview), "
            "or set VG_DATA to the folder that holds cvusa"
        )
    with file.open(newline="", encoding="utf-8", errors="surrogateescape") as lines:
        rows = [(number, row) for number, row in enumerate(csv.reader(lines), 1) if row]
    for number, row in rows:
        if len(row) < 2 or not all(name.strip() for name in row[:2]):
            raise ValueError(f"{file}, line {number}: expected aerial image, panorama, annotation, not {','.join(row)}")
    if not rows:
        raise ValueError(f"{file}: no pairs in it; copy it again")
    aerial, ground = ([str(root / row[side].strip()) for _, row in rows] for side in (0, 1))
    return pd.DataFrame({"aerial": aerial, "ground": ground, "pano_id": [Path(path).stem for path in ground]})
