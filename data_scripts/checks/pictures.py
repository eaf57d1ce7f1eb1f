"""Checks that decode every photograph: what cannot be decoded, what shows nothing, and what looks the same."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
from PIL import Image

from vg_core.datasets.images import UnreadableImage, decode
from vg_core.system.progress_bar import bar

from .files import copies
from .survey import Finding, Survey

SIDE = 16  # pixels of the small grey picture; each is compared with its right and its lower neighbour
ALIKE = 12  # bits of 480 in which two pictures of one scene may differ
AT_ONCE = 1024  # pictures compared with all others: 80 MB for 20,000
FLAT = 2.0  # grey levels, standard deviation


def check_pictures(survey: Survey) -> Iterator[Finding]:
    """What is found when every file is decoded once."""
    with ThreadPoolExecutor() as pool:
        shown = [*bar(pool.map(_small, survey.table.path), total=len(survey.table), desc="decoding photographs")]
    broken = np.array([small is None for small in shown], dtype=bool)
    yield from survey.finding("photograph that cannot be decoded", broken)
    flat = np.array([small is not None and small.std() < FLAT for small in shown], dtype=bool)
    yield from survey.finding("picture of one colour", flat)
    rows = np.flatnonzero(~broken & ~flat)
    if len(rows):
        groups = alike(np.stack([_bits(shown[row]) for row in rows]))
        yield from copies(survey, [rows[group].tolist() for group in groups], "look-alike")


def _small(path: str) -> np.ndarray | None:
    """float (SIDE, SIDE) grey levels, None for what cannot be decoded."""
    try:
        grey = Image.fromarray(decode(path, about=4 * SIDE)).convert("L")
    except UnreadableImage:
        return None
    return np.asarray(grey.resize((SIDE, SIDE), Image.Resampling.BOX), dtype=float)


def _bits(small: np.ndarray) -> np.ndarray:
    """bool (2 · SIDE · (SIDE - 1),): where a pixel is brighter than its right, and than its lower neighbour."""
    return np.concatenate([np.diff(small, axis=axis).ravel() < 0 for axis in (1, 0)])


def alike(bits: np.ndarray) -> list[list[int]]:
    """Groups of rows of ``bits`` (N, B) that differ in at most ALIKE of them, directly or through others.

    Each is compared with all others: 20,000 take seconds.
    """
    from scipy.sparse import coo_array, csgraph  # take a second to import

    signs, near = np.where(bits, np.float32(1), np.float32(-1)), []  # (N, B)
    for start in range(0, len(signs), AT_ONCE):
        agreeing = signs[start : start + AT_ONCE] @ signs[start:].T  # bits that are the same, less those that differ
        near.append(start + np.argwhere(agreeing >= bits.shape[1] - 2 * ALIKE))
    pairs = np.concatenate(near).T  # (2, pairs)
    whole = coo_array((np.ones(pairs.shape[1]), pairs), shape=(len(bits), len(bits)))
    groups = pd.Series(csgraph.connected_components(whole, directed=False)[1])
    return [rows.tolist() for rows in groups.groupby(groups).indices.values()]
