"""Comparing two ways of doing one thing: agreement first, then interleaved times, then peak memory in a child process.

The machine is never quiet and its clock never constant, so only ratios of neighbouring measurements are kept.
"""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.device import bandwidth, machine, matrix_rate, operations, seconds
from vg_core.system.devices import PEAK, peak_of

SHORTEST = 0.05  # seconds of one measurement; shorter calls are repeated within it


class Disagreement(AssertionError):
    """Reference and ours do not give the same result, so their times mean nothing."""


@dataclass(frozen=True)
class Case:
    """The callables of one row, ready to run; both return the same thing.

    ``part``: share of the work that the reference does when its cost grows linearly and all of it would take minutes.
    ``compare``: relative difference of two results. ``nbytes``: bytes read and written that no implementation gets
    around, for the share of the device's measured bandwidth.
    """

    reference: Callable[[], object]
    ours: Callable[[], object]
    floor: Callable[[], object] | None = None
    part: float = 1.0
    compare: Callable[[object, object], float] | None = None
    nbytes: float = 0.0


@dataclass(frozen=True)
class Row:
    """One line of the table: ``prepare(device, **shape)`` makes its Case."""

    name: str
    stage: str
    rival: str  # what the reference does
    prepare: Callable[..., Case]
    full: dict[str, int]  # the shape that the bar holds for
    quick: dict[str, int]  # a tiny one, to see that everything runs
    bar: float | None  # largest accepted ours / reference, in time
    tolerance: float  # of the relative difference between the two results
    floor_bar: float | None = None  # largest accepted ours / floor, in time
    memory_bar: float | None = None  # largest accepted ours / reference, in peak memory
    gpu_tolerance: float | None = None  # the row also runs on a GPU, where it may differ by this much

    @property
    def on_gpu(self) -> bool:
        return self.gpu_tolerance is not None

    def shape(self, quick: bool) -> dict[str, int]:
        return self.quick if quick else self.full


def measure(row: Row, repeats: int, quick: bool, device: torch.device) -> dict[str, object]:
    """One line of the table of results. Raises Disagreement before anything is timed."""
    case = row.prepare(device, **row.shape(quick))
    apart = check(row, case, device)
    calls = {"reference": case.reference, "ours": case.ours} | ({"floor": case.floor} if case.floor else {})
    taken = interleave(calls, repeats, device)
    taken["reference"] /= case.part
    ratios = taken["ours"] / taken["reference"]
    found = {
        "row": row.name,
        "stage": row.stage,
        "reference": row.rival,
        "shape": ", ".join(f"{name} {value:,}" for name, value in row.shape(quick).items()),
        "ratio": ratios.median(),
        "ratio_low": ratios.min(),
        "ratio_high": ratios.max(),
        "bar": row.bar,
        "floor_ratio": (taken["ours"] / taken["floor"]).median() if case.floor else None,
        "floor_bar": row.floor_bar,
        "memory_ratio": memory_ratio(row, quick, device) if row.memory_bar and can_measure_memory(device) else None,
        "memory_bar": row.memory_bar,
        **{f"{name}_seconds": taken[name].median() for name in ("reference", "ours")},
        **(shares(case, taken["ours"].median(), device) if device.type == "cuda" else {}),
        "difference": apart,
        "tolerance": tolerance(row, device),
        "repeats": repeats,
        "quick": quick,
        **machine(device),
    }
    return found | {"passed": None if quick else passed(found)}


def passed(found: dict[str, object]) -> bool:
    """Does a line meet every bar that it has a value for?"""
    kinds = ("ratio", "bar"), ("floor_ratio", "floor_bar"), ("memory_ratio", "memory_bar")
    return all(bool(found[value] <= found[bar]) for value, bar in kinds if None not in (found[value], found[bar]))


# --- agreement -----------------------------------------------------------------------------------------------------
def tolerance(row: Row, device: torch.device) -> float:
    return row.gpu_tolerance if device.type == "cuda" else row.tolerance


def check(row: Row, case: Case, device: torch.device) -> float:
    """Relative difference of the two results. Raises Disagreement when it is beyond the row's tolerance."""
    found = (case.compare or difference)(case.reference(), case.ours())
    if not found <= tolerance(row, device):  # also when it is not a number
        raise Disagreement(
            f"{row.name}: reference and ours differ by {found:.2g}, relative to the largest value; "
            f"{tolerance(row, device):.2g} is the tolerance. Nothing was timed"
        )
    return found


def difference(expected: object, found: object) -> float:
    """Largest absolute difference over the largest absolute value, the worst of all arrays of two nested results."""
    if isinstance(expected, dict):
        return difference(list(expected.values()), [found[key] for key in expected])
    if isinstance(expected, (tuple, list)):
        return max(difference(a, b) for a, b in zip(expected, found, strict=True))
    a, b = (np.asarray(x.detach().cpu() if isinstance(x, torch.Tensor) else x, dtype=float) for x in (expected, found))
    if a.shape != b.shape:
        return np.inf
    return float(np.abs(a - b).max(initial=0.0) / max(np.abs(a).max(initial=0.0), np.finfo(float).tiny))


# --- time ----------------------------------------------------------------------------------------------------------
def interleave(calls: dict[str, Callable[[], object]], repeats: int, device: torch.device) -> pd.DataFrame:
    """Seconds of each callable (columns) in each of ``repeats`` rounds A B C A B C …, after a call of each to warm."""
    often = {name: max(1, round(SHORTEST / seconds(call, 1, device))) for name, call in calls.items()}
    rounds = [{name: seconds(call, often[name], device) for name, call in calls.items()} for _ in range(repeats)]
    return pd.DataFrame(rounds)


# --- memory --------------------------------------------------------------------------------------------------------
def memory_ratio(row: Row, quick: bool, device: torch.device) -> float:
    """Peak memory of ours over that of the reference, each in a process of its own."""
    return peak_bytes(row, "ours", quick, device) / peak_bytes(row, "reference", quick, device)


def peak_bytes(row: Row, which: str, quick: bool, device: torch.device) -> int:
    """Bytes that the first call takes at its peak beyond what was there before it."""
    return alone(_peak_bytes, row, which, quick, device)


def alone(call: Callable[..., Any], *arguments: object) -> Any:
    """What a function returns in a new process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as child:
        return child.submit(call, *arguments).result()


def can_measure_memory(device: torch.device) -> bool:
    """True on a GPU and on Linux, which keeps the peak of each process."""
    return device.type == "cuda" or PEAK.exists()


def _peak_bytes(row: Row, which: str, quick: bool, device: torch.device) -> int:
    case = row.prepare(device, **row.shape(quick))  # all of it stays: what it frees, the call would use again
    return peak_of(getattr(case, which), device)


# --- device --------------------------------------------------------------------------------------------------------
def shares(case: Case, taken: float, device: torch.device) -> dict[str, float | None]:
    """What a call that took so many seconds reached of the device's measured matrix rate and bandwidth, 0…1."""
    rates = {"matrix_share": (operations(case.ours), matrix_rate), "bandwidth_share": (case.nbytes, bandwidth)}
    return {name: amount / taken / rate(device) if amount else None for name, (amount, rate) in rates.items()}
