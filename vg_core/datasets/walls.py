"""How much of one photograph of a generated city another one shows: the city knows which walls each shows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from vg_core.datasets.traffic import RECIPE
from vg_core.system.scripts import run_script


def shared_walls(photographs: Sequence, others: Sequence) -> np.ndarray:
    """(M,) how much two photographs of one split show the same walls: 0 to 1, NaN where nobody knows.

    Of each four metres of wall it is the share of the columns in which these are nearest, in the photograph that shows
    less of them, summed up. The table of walls is drawn when it is not there yet; OSError when that fails.
    """
    if not len(photographs) or not (_root_of(photographs[0]) / RECIPE).exists():
        return np.full(len(photographs), np.nan)
    root, split = _root_of(photographs[0]), Path(photographs[0]).parents[1].name
    file = root / "walls" / f"{split}.csv"
    if not file.exists():
        run_script("walls_seen", "--city", root.name, "--split", split)
    table = pd.read_csv(file)
    rows, names = pd.factorize(table.folder + "/" + table.name)
    pieces = table.groupby(["wall", "piece"]).ngroup()
    shape = len(names) + 1, pieces.max() + 1  # the last row is that of photographs that show no wall
    seen = csr_array((table.share, (rows, pieces)), shape)  # (I + 1, W)
    one, other = (seen[pd.Index(names).get_indexer(_names(some))] for some in (photographs, others))  # (M, W) each
    return one.minimum(other).sum(axis=1)


def _root_of(photograph) -> Path:
    """<root>/images/<split>/<folder>/<name>"""
    return Path(photograph).parents[3]


def _names(photographs: Sequence) -> list[str]:
    return ["/".join(Path(photograph).parts[-2:]) for photograph in photographs]
