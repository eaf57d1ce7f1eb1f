"""Processes that tests start: copies of one that has imported everything already, which takes seconds each time."""

import multiprocessing
import os
import socket
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

TIMEOUT = 300  # seconds, of a machine that does much else
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["pytest", "hypothesis", "torchvision", "distributed", "vg_core.__main__", "tests.tiny"])


def started(work: Callable, *arguments: object, **environment: str) -> tuple[multiprocessing.Process, Connection]:
    """A process that calls a function of a module, and where (result, "") or (None, traceback) comes from it."""
    here, there = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_call, args=(there, {**os.environ} | environment, work, arguments), daemon=True)
    process.start()
    there.close()
    return process, here


def child(work: Callable, *arguments: object, **environment: str) -> object:
    """What a function returns in a process of its own."""
    return results([started(work, *arguments, **environment)])[0]


def several(work: Callable, *arguments: object, count: int = 2) -> list:
    """What a function returns in each of several processes of one training, which ``torchrun`` would start so."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        one = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1]), "CUDA_VISIBLE_DEVICES": ""}
    one |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), str(count))
    return results([started(work, *arguments, **one, RANK=str(n), LOCAL_RANK=str(n)) for n in range(count)])


def results(children: list[tuple[multiprocessing.Process, Connection]]) -> list:
    """What the functions of started processes return; AssertionError with the traceback of the first that fails."""
    found = {}
    try:
        while len(found) < len(children):
            ready = wait([end for _, end in children if end not in found], TIMEOUT)
            assert ready, f"nothing was heard of a process for {TIMEOUT} s"
            for end in ready:
                found[end], fault = end.recv()
                assert not fault, fault
    finally:
        for process, _ in children:
            process.kill()
            process.join()
    return [found[end] for _, end in children]


def _call(there: Connection, environment: dict[str, str], work: Callable, arguments: tuple) -> None:
    os.environ.clear()
    os.environ.update(environment)
    try:
        there.send((work(*arguments), ""))
    except BaseException:
        there.send((None, traceback.format_exc()))
