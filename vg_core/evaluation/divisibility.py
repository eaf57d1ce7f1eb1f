"""Published percentages that no number of hits gives: of 105 queries 58.1 % are 61, and 68.3 % are none."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

ROUNDING = 1e-9  # percent


def divisible(percentages, queries: int, decimals: int = 1) -> np.ndarray:
    """bool: can each percentage, rounded to ``decimals``, be a count of hits among that many queries?

    A share halfway between two rounded numbers may be either.
    """
    percentages = np.asarray(percentages, dtype=float)
    nearest = 100.0 * np.rint(percentages * queries / 100.0).clip(0, queries) / queries
    return np.abs(nearest - percentages) <= 0.5 * 10.0**-decimals + ROUNDING


def impossible_cells(table: pd.DataFrame, queries: Mapping[str, int], decimals: int = 1) -> pd.DataFrame:
    """The cells of a table of results that cannot be right: row (its index), column, percentage, queries.

    ``queries`` gives their number for columns whose names start so, such as {"tokyo_night_r": 105}; empty cells are
    passed over. KeyError for a start that no column has, ValueError for no queries.
    """
    found = []
    for start, count in queries.items():
        columns = [column for column in table if column.startswith(start)]
        if not columns:
            raise KeyError(f"no column starts with {start!r}; there are: {', '.join(table)}")
        if count < 1:
            raise ValueError(f"{start!r}: percentages of {count} queries mean nothing")
        for column in columns:
            percentages = table[column].dropna()
            wrong = percentages[~divisible(percentages, count, decimals)]
            found += [(row, column, percentage, count) for row, percentage in wrong.items()]
    return pd.DataFrame(found, columns=["row", "column", "percentage", "queries"])
