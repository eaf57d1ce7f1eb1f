"""CVACT as its authors distribute it: a MATLAB file says which panoramas there are, where, and of which split.

Source: Liu, Li, Lending orientation to neural networks for cross-view geo-localization, CVPR 2019.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.io import loadmat

FILE = "ACT_data.mat"
INDICES = {"train": ("trainSet", "trainInd"), "val": ("valSet", "valInd"), "test": ("valSetAll", "valInd")}
CVACT_PAIRS = {"train": 35_532, "val": 8_884, "test": 92_802}
NAMES = {"aerial": "satview_polish/{}_satView_polish.jpg", "ground": "streetview/{}_grdView.jpg"}
ZONE = 55, "H"  # of Canberra


def read_cvact(root: Path, split: str) -> pd.DataFrame:
    """A row per pair: aerial and ground (paths), pano_id, easting and northing (metres, float64) and zone, in the order
    of ``ACT_data.mat``.

    FileNotFoundError where there is no such file, ValueError where it is another one: a field lacks, row numbers lie
    outside, or positions are no UTM metres.
    """
    file = root / FILE
    found = _read(file)
    outer, inner = INDICES[split]
    fields = {"panoIds": found.get("panoIds"), "utm": found.get("utm"), f"{outer}.{inner}": None}
    if isinstance(found.get(outer), dict):
        fields[f"{outer}.{inner}"] = found[outer].get(inner)
    if lacking := [name for name, value in fields.items() if value is None]:
        raise ValueError(f"{file}: it lacks {' and '.join(lacking)}, so it is not the file of CVACT; copy it again")
    ids, utm, numbers = (np.atleast_1d(value) for value in fields.values())
    rows = _rows(file, numbers, len(ids))
    easting, northing = _metres(file, utm, len(ids))[rows].T
    names = [str(ids[row]).strip() for row in rows]
    folder = root / ("ANU_data_test" if split == "test" else "ANU_data_small")  # as the archives are called
    folder = folder if folder.is_dir() else root
    paths = {side: [str(folder / name.format(one)) for one in names] for side, name in NAMES.items()}
    zone = {"zone_number": ZONE[0], "zone_letter": ZONE[1]}
    return pd.DataFrame(paths | {"pano_id": names, "easting": easting, "northing": northing} | zone)


def _read(file: Path) -> dict:
    """Variables of a MATLAB file, structs as dicts."""
    if not file.is_file():
        raise FileNotFoundError(
            f"{file}: there is no such file; put CVACT there ({FILE}, satview_polish, streetview), or set VG_DATA to "
            "the folder that holds cvact"
        )
    try:
        return loadmat(file, simplify_cells=True)
    except Exception as error:  # of strangers' bytes the reader raises whatever it stumbles over
        raise ValueError(f"{file}: not readable as MATLAB's -v7 format ({error}); copy it again") from error


def _rows(file: Path, numbers: np.ndarray, count: int) -> np.ndarray:
    """Row numbers from 0 of MATLAB's, which start at 1."""
    rows = numbers.astype(np.int64).ravel() - 1 if numbers.dtype.kind in "iuf" else np.zeros(0, int)
    if not len(rows) or rows.min() < 0 or rows.max() >= count:
        raise ValueError(f"{file}: its split should number some of the {count} panoramas from 1 on; copy it again")
    return rows


def _metres(file: Path, utm: np.ndarray, count: int) -> np.ndarray:
    """float64 (N, 2) eastings and northings, which are told apart by their size: float32 has half metres there."""
    if utm.shape != (count, 2) or utm.dtype.kind not in "iuf":
        raise ValueError(f"{file}: utm has shape {utm.shape}, not two numbers for each of {count} panoramas")
    metres = np.sort(utm.astype(np.float64), axis=1)
    (east, north), (east_most, north_most) = metres.min(0), metres.max(0)
    if not 100_000 <= east <= east_most < 1_000_000 <= north <= north_most <= 10_000_000:
        raise ValueError(f"{file}: utm should be eastings and northings of Canberra in metres, not {utm[0].tolist()}")
    return metres
