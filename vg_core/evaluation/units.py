"""Which queries count as one: places, and blocks of them that grow until neighbouring blocks no longer agree."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from vg_core.evaluation.ranks import CELL_METRES

CELL = r"^e(?P<east>-?\d+)_n(?P<north>-?\d+)$"  # how `ranks.cells` names a place, those of other UTM zones far away
# Standard errors by which neighbours may agree before blocks grow; chosen on designs of benchmarks/coverage.py.
AGREE = 0.25
SURELY = 1.64  # where blocks would be too few to be trusted: 5 % by chance
TRUSTED = 10  # effective units, below which simulated intervals kept their promise only now and then


def independent(values: np.ndarray, places: Sequence[str]) -> tuple[np.ndarray, str]:
    """(Q,) numbers of the blocks whose queries count as one, from values (Q, n) of queries, and what blocks they are.

    Along a street success goes on beyond a place. So the 25 m cells are joined to squares of 50 m, 100 m and so on
    until the residuals of squares that touch no longer agree: until their products, summed over pairs and columns,
    exceed what independent squares would show by no more than a quarter of the standard error. A step that would leave
    fewer than ten squares, from which no interval can be trusted, is taken only where they surely agree. Places that
    are no cells stay as they are.
    """
    codes, names = pd.factorize(np.asarray(places))
    cells = pd.Series(names).astype(str).str.extract(CELL)
    if cells.isna().any(axis=None):
        return codes, "places" if len(names) < len(codes) else "queries"
    east, north = (at - at.min() for at in cells.to_numpy(int).T)  # (places,) each
    tall = north.max() + 2  # numbers of squares go up a column of so many: above its last one there is none
    residuals = unit_sums(values - values.mean(axis=0), codes)  # (places, n)
    units, side = effective_number(codes), 1  # cells
    while True:
        blocks, of_place = np.unique(east // side * tall + north // side, return_inverse=True)
        larger = east // (2 * side) * tall + north // (2 * side)
        fewer = effective_number(np.unique(larger, return_inverse=True)[1][codes])
        agreement = _agreement(unit_sums(residuals, of_place), blocks, tall)
        if units < TRUSTED or agreement <= (AGREE if fewer >= TRUSTED else SURELY):
            return of_place[codes], f"blocks of {side * CELL_METRES:g} m"
        units, side = fewer, 2 * side


def worth(table: pd.DataFrame) -> str:
    """ "45 blocks of 25 m": over what the intervals of a table go, at the fewest, and if these are too few."""
    fewest = table.loc[table["units"].idxmin()]
    few = f" · fewer than {TRUSTED}: no interval can be trusted" if fewest["units"] < TRUSTED else ""
    return f"{int(fewest['units'])} {fewest['unit']}{few}"


def unit_sums(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Sums (G, n) of values (Q, n) over the queries of each of the units 0 … G - 1."""
    return np.stack([np.bincount(codes, column) for column in values.T], axis=1)


def effective_number(codes: np.ndarray) -> float:
    """Number of units, less if their sizes differ (Kish, Survey Sampling, 1965)."""
    sizes = np.bincount(codes)
    return len(codes) ** 2 / float(np.square(sizes, dtype=float).sum())


def _agreement(sums: np.ndarray, blocks: np.ndarray, tall: int) -> float:
    """Standard errors by which sums of residuals (B, n) of blocks that touch agree more than by chance."""
    products = []
    for step in (tall, 1, tall + 1, tall - 1):  # east, north and between, so that each pair comes once
        near = np.searchsorted(blocks, blocks + step).clip(max=len(blocks) - 1)
        there = blocks[near] == blocks + step
        products.append((sums[there] * sums[near[there]]).sum(axis=1))
    products = np.concatenate(products)  # (pairs,)
    if not products.any():
        return 0.0
    expected = -np.square(sums).sum() / (len(sums) * (len(sums) - 1))  # of a pair, since residuals add up to zero
    return float((products - expected).sum() / np.sqrt(np.square(products).sum()))
