"""Which database images may become negatives: random draws that need no descriptors. NumPy only."""

from collections.abc import Sequence

import numpy as np

Lists = Sequence[np.ndarray]  # database indices of each query; -1 is none
FEWER = "ask for fewer negatives"


class TooFew(ValueError):
    """Raised for a query with too few images to choose from; ``row`` is its index."""

    def __init__(self, sentence: str, row: int):
        super().__init__(sentence)
        self.row = row


def draw_pool(mining: str, queries: int, database: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Database indices among which negatives are mined: ``size`` distinct ones, sorted, or all where there are fewer.

    (Q, P), drawn per query, for "full" mining; (P,), shared by all queries, for "partial". "random" mining compares no
    images: see `random_negatives`. Names and sizes: Berton et al., Deep Visual Geo-localization Benchmark, 2022.
    """
    if mining not in ("full", "partial"):
        raise ValueError(f"there is no pool for mining '{mining}'; choose one of: full, partial")
    rows, size, untaken = queries if mining == "full" else 1, min(size, database), np.empty(0, dtype=np.int64)
    if 2 * size <= database:
        drawn = _distinct(rows, database, size, untaken, rng)
    else:  # draw what is left out instead: distinct indices run short near the end
        chosen = np.ones((rows, database), dtype=bool)  # (rows, N)
        np.put_along_axis(chosen, _distinct(rows, database, database - size, untaken, rng), False, axis=1)
        drawn = np.nonzero(chosen)[1].reshape(rows, size)  # (rows, P)
    return drawn if mining == "full" else drawn[0]


def random_negatives(soft_positives: Lists, database: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """(Q, count) distinct random database indices, sorted per query, none of them a soft positive; raises TooFew."""
    soft = pair_keys(soft_positives, database)
    left = database - np.bincount(soft // database, minlength=len(soft_positives))  # (Q,)
    require(left, count, "candidate negatives", FEWER)
    return _distinct(len(soft_positives), database, count, soft, rng)


def excluded(soft_positives: Lists, pool: np.ndarray, kept: np.ndarray, database: int) -> int:
    """How many candidates, over all queries, `mine` drops because they are soft positives."""
    dropped, among = 0, np.zeros(database + 1, dtype=bool)  # the last is that of -1, no image
    for soft, own, old in zip(soft_positives, pool if pool.ndim == 2 else [pool] * len(kept), kept, strict=True):
        among[own] = among[old] = True
        dropped += int(among[soft].sum())
        among[own] = among[old] = False
    return dropped


def pair_keys(lists: Lists, size: int) -> np.ndarray:
    """The (row, index) pairs of ragged lists as sorted, distinct numbers row * size + index; -1 is left out."""
    rows = np.repeat(np.arange(len(lists)), [len(one) for one in lists])  # (M,)
    ids = np.concatenate([[], *lists], dtype=np.int64, casting="unsafe")
    if ids.max(initial=-1) >= size:
        raise ValueError(f"index {ids.max()} does not fit a database of {size} images")
    keys = np.sort((rows * size + ids)[ids >= 0], kind="stable")  # mostly sorted already
    return keys[np.diff(keys, prepend=-1) > 0]


def is_among(wanted: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """bool, shaped as ``wanted``: which of its values occur in the sorted keys."""
    if not len(keys):
        return np.zeros(wanted.shape, dtype=bool)
    return keys[np.searchsorted(keys, wanted).clip(max=len(keys) - 1)] == wanted


def require(counts: np.ndarray, least: int, what: str, remedy: str) -> None:
    """Raises TooFew, naming the first query whose count is below ``least``."""
    short = np.flatnonzero(counts < least)
    if len(short):
        raise TooFew(
            f"query {short[0]} has {counts[short[0]]} {what}, needs {least} ({len(short)} of {len(counts)} queries "
            f"have too few): {remedy}",
            row=int(short[0]),
        )


def _distinct(rows: int, database: int, size: int, taken: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(rows, size) distinct integers below ``database``, uniform, sorted; row * database + integer never in ``taken``.

    What repeats or is taken is drawn again until nothing is: work grows with the sample, not with the database.
    """
    drawn = np.sort(rng.integers(database, size=(rows, size)), axis=1)  # (rows, size)
    again = np.arange(rows)  # rows that may still hold something to draw again
    while len(again):
        part = drawn[again]  # (again, size)
        wrong = is_among(again[:, None] * database + part, taken)  # (again, size)
        wrong[:, 1:] |= part[:, 1:] == part[:, :-1]
        part[wrong] = rng.integers(database, size=wrong.sum())
        again = again[wrong.any(axis=1)]
        drawn[again] = np.sort(part[wrong.any(axis=1)], axis=1)
    return drawn
