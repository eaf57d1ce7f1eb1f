"""The two sides of a row, each in a process of its own and as its users have it: what one leaves in the allocator is
not what the other lives on, and ours keeps its memory as a training does.
"""

from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from typing import Any

import torch

from vg_core.devices import keeping_memory

SIDES = "reference", "ours"
_cases: dict[str, Any] = {}  # of the sides that live in this process


class Sides:
    """Both sides, ready to be asked; with ``together`` as threads of this process, which tells nothing about speed.

    ``make()`` returns the row's Case. It runs once on each side, from the same random numbers.
    """

    def __init__(self, make: Callable[[], Any], together: bool = False):
        self.workers = {side: ThreadPoolExecutor(1) if together else child() for side in SIDES}
        for ready in [worker.submit(callable, make) for worker in self.workers.values()]:
            ready.result()  # both have imported what ``make`` needs, side by side
        for side, worker in self.workers.items():  # one after the other: they write the same files
            worker.submit(_begin, side, make, together).result()

    def ask(self, side: str, question: Callable[..., Any], *arguments: object) -> Any:
        """What ``question(case, *arguments)`` returns there."""
        return self.workers[side].submit(_answer, side, question, *arguments).result()

    def __enter__(self) -> "Sides":
        return self

    def __exit__(self, *_fault: object) -> None:
        for worker in self.workers.values():
            worker.shutdown()
        _cases.clear()


def child() -> Executor:
    """One new process, which imports everything anew."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def alone(call: Callable[..., Any], *arguments: object) -> Any:
    """What a function returns in a new process."""
    with child() as worker:
        return worker.submit(call, *arguments).result()


def _begin(side: str, make: Callable[[], Any], together: bool) -> None:
    torch.manual_seed(0)
    _cases[side] = make()
    if side == "ours" and not together:
        ExitStack().enter_context(keeping_memory(torch.device("cpu")))  # until the process ends


def _answer(side: str, question: Callable[..., Any], *arguments: object) -> Any:
    return question(_cases[side], *arguments)
