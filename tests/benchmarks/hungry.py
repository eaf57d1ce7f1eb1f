"""Benchmark rows that take memory; in a file of their own because a child process imports it."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.measure import Case, Row
from vg_core.system.devices import PEAK

MIB = 2**20
peak_is_told = pytest.mark.skipif(not PEAK.exists(), reason="the kernel does not tell the peak of a process")
PIECE = 100_000  # bytes: glibc takes it from its heap and keeps it there


def prepare(device, reference, ours):
    """Two calls that take so many MiB."""
    return Case(lambda: np.ones(reference * MIB, np.uint8).sum(), lambda: np.ones(ours * MIB, np.uint8).sum())


def prepare_from_freed(device, reference, ours):
    """The same in pieces, of which 100 MiB have been freed before; what lies between these stays with the case."""
    mixed = pieces(200)
    stays = mixed[::2]
    return Case(lambda: (pieces(reference), stays) is None, lambda: (pieces(ours), stays) is None)


def pieces(mib):
    return [np.ones(PIECE, np.uint8) for _ in range(mib * MIB // PIECE)]


HUNGRY = Row("hungry", "memory", "more of it", prepare, {"reference": 96, "ours": 32}, {}, bar=1.0, tolerance=1.0)
REUSING = replace(HUNGRY, name="reusing", prepare=prepare_from_freed)
