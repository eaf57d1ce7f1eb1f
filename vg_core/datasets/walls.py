"""How much of one photograph of a generated city another one shows: the city knows which walls each shows."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.sparse import csr_array

from vg_core.datasets.generated import drawn


def shared_walls(photographs: Sequence, others: Sequence) -> np.ndarray:
    """(M,) how much two photographs of one split show the same walls: 0 to 1, NaN where nobody knows.

    Of each four metres of wall it is the share of the columns in which these are nearest, in the photograph that shows
    less of them, summed up. The table of walls is drawn when it is not there yet; OSError when that fails.
    """
    if not len(photographs):
        return np.empty(0)
    split = Path(photographs[0]).parts[-3]
    if (file := drawn(photographs[0], f"walls/{split}.csv", "walls_seen")) is None:
        return np.full(len(photographs), np.nan)
    table = pd.read_csv(file)
    rows, names = pd.factorize(table.folder + "/" + table.name)
    pieces = table.groupby(["wall", "piece"]).ngroup()
    shape = len(names) + 1, pieces.max() + 1  # the last row is that of photographs that show no wall
    seen = csr_array((table.share, (rows, pieces)), shape)  # (I + 1, W)
    one, other = (seen[pd.Index(names).get_indexer(_names(some))] for some in (photographs, others))  # (M, W) each
    return one.minimum(other).sum(axis=1)


def _names(photographs: Sequence) -> list[str]:
    return ["/".join(Path(photograph).parts[-2:]) for photograph in photographs]
