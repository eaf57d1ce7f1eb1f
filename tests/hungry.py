"""A benchmark row that takes memory; in a file of its own because a child process imports it."""

import numpy as np

from benchmarks.measure import Case, Row

MIB = 2**20


def prepare(device, reference, ours):
    """Two calls that take so many MiB."""
    return Case(lambda: np.ones(reference * MIB, np.uint8).sum(), lambda: np.ones(ours * MIB, np.uint8).sum())


HUNGRY = Row("hungry", "memory", "more of it", prepare, {"reference": 96, "ours": 32}, {}, bar=1.0, tolerance=1.0)
