"""Notebooks executed, side by side where there are cores for it, and what is told meanwhile."""

import json
import os
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import TextIO

from vg_core.system import paths
from vg_core.system.files import remove_leftovers, replacing, unfinished
from vg_core.system.notebooks import is_sentence
from vg_core.system.text import spoken

if __package__:
    from . import stamps
else:  # the runner is a script: its own folder is on the path
    import stamps

QUIET = 30  # seconds without a word, after which it is said what is going on
USUAL = 60.0  # seconds of a notebook that nobody has measured
LONGER = 0.2  # of its age: what is left of a notebook that is slower than was measured
MEASURED = paths.REPORTS / "minutes.json"  # seconds of each notebook where the README was written
MINUTES = "minutes.json"  # beside the executed copies: seconds of each notebook here


class Told:
    """What is told on the screen, a whole line at a time; ``last`` is when."""

    def __init__(self):
        self.lock, self.last = threading.Lock(), time.monotonic()

    def line(self, text: str, stream: TextIO | None = None) -> None:
        with self.lock:
            self.last = time.monotonic()
            print(text, file=stream or sys.stdout, flush=True)


class Stream:
    """A file for a kernel's output, of which each whole line is told behind the number of its notebook."""

    def __init__(self, told: Told, name: str, stream: TextIO):
        self.told, self.name, self.stream, self.rest = told, name, stream, ""

    def write(self, text: str) -> None:
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.told.line(f"  {self.name[:2]} | {line}", self.stream)

    def flush(self) -> None:
        """What waits is no whole line yet."""


class Execution:
    """Execution of notebooks, each with its parameters, into a folder of executed copies.

    What is unchanged since its copy was made is only executed ``again`` if that is asked for.
    """

    def __init__(self, values: Mapping[Path, dict], folder: Path, again: bool):
        self.values, self.folder, self.again = values, folder, again
        self.told, self.started, self.stopping = Told(), time.monotonic(), threading.Event()
        self.keeping = threading.Lock()  # the file of minutes is read and written anew
        self.seconds = {notebook.stem: USUAL for notebook in values} | seconds_in(MEASURED)  # that each may take
        self.running: dict[str, float] = {}  # names, and when they began
        self.ended: dict[str, bool] = {}  # names, and whether they succeeded
        self.unchanged: set[str] = set()

    def run(self, side_by_side: int) -> list[str]:
        """Names of the notebooks that failed. So many are executed ``side_by_side``; what is to run ``alone`` waits for
        those before it. Raises KeyboardInterrupt when interrupted, with all kernels ended and no copy half written.
        """
        import papermill  # noqa: F401 -- takes seconds: here, where Ctrl-C ends it

        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder)
        threading.Thread(target=self.watch, daemon=True).start()
        with ThreadPoolExecutor(side_by_side) as pool:
            try:
                for alone, group in groupby(self.values, is_alone):
                    for some in [[one] for one in group] if alone else [list(group)]:
                        finish([pool.submit(self.one, notebook) for notebook in some])
            except KeyboardInterrupt:
                self.stopping.set()
                pool.shutdown(wait=False, cancel_futures=True)
                while self.running:  # again and again: a kernel that begins is nobody's yet
                    end_kernels()
                    time.sleep(0.1)
                raise
        self.stopping.set()
        return [notebook.stem for notebook in self.values if not self.ended[notebook.stem]]

    def one(self, notebook: Path) -> None:
        """Execute a notebook unless that would give the same again, and tell so."""
        name, parameters, began = notebook.stem, self.values[notebook], time.monotonic()
        if not self.again and stamps.unchanged(notebook, parameters, self.folder / notebook.name):
            self.unchanged.add(name)
            self.ended[name] = True
            self.told.line(f"{self.count()} {name} is unchanged since it was executed (--again executes it anyway)")
            return
        self.running[name] = began
        self.told.line(f"      {name} begins")
        try:
            succeeded = self.execute(notebook, parameters)
        finally:
            del self.running[name]
        self.ended[name] = succeeded
        if not self.stopping.is_set():
            took = time.monotonic() - began
            with self.keeping:
                keep_seconds(self.folder / MINUTES, name, took)
            verb = "took" if succeeded else "failed after"
            self.told.line(f"{self.count()} {name} {verb} {spoken(took)}{self.left()}")

    def execute(self, notebook: Path, parameters: dict) -> bool:
        """True when the notebook ran to its end; its executed copy is then in the folder, else as ``.failed.ipynb``."""
        import papermill  # already there: see run

        copy, broken = self.folder / notebook.name, self.folder / f"{notebook.stem}.failed.ipynb"
        new, before = unfinished(copy), stamps.sources(notebook, parameters)
        try:
            papermill.execute_notebook(
                str(notebook),
                str(new),
                parameters=parameters,
                cwd=str(paths.NOTEBOOKS),
                kernel_name="python3",
                progress_bar=False,
                stdout_file=Stream(self.told, notebook.stem, sys.stdout),
                stderr_file=Stream(self.told, notebook.stem, sys.stderr),
                extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # the kernel's own remarks are not about it
            )
        except Exception as error:  # whatever it is, it is this notebook's, and the others shall still run
            if self.stopping.is_set():  # its kernel was ended
                new.unlink(missing_ok=True)
                return False
            self.told.line(complaint(notebook, error), sys.stderr)
            if new.exists():
                os.replace(new, broken)
                self.told.line(f"its executed part: {broken}", sys.stderr)
            return False
        stamps.mark(notebook, parameters, new, before)
        os.replace(new, copy)
        broken.unlink(missing_ok=True)
        return True

    def count(self) -> str:
        return f"[{len(self.ended)}/{len(self.values)}]"

    def left(self) -> str:
        """How long the rest takes at the pace so far, in words; both are counted in the seconds that were measured."""
        now = time.monotonic()
        ages = {name: now - since for name, since in list(self.running.items())}
        done = sum(ages.values()) + sum(self.seconds[name] for name in self.ended.keys() - self.unchanged)
        rest = sum(max(self.seconds[name] - age, LONGER * age) for name, age in ages.items())
        begun = self.ended.keys() | ages.keys()
        rest += sum(self.seconds[notebook.stem] for notebook in self.values if notebook.stem not in begun)
        return f", about {spoken((now - self.started) * rest / max(done, 1))} left" if rest else ""

    def watch(self) -> None:
        """Say what is going on when nothing was said for a while."""
        while not self.stopping.wait(1):
            if self.running and time.monotonic() - self.told.last > QUIET:
                now = time.monotonic()
                names = [f"{name} for {spoken(now - since)}" for name, since in list(self.running.items())]
                self.told.line(f"      at work: {', '.join(names)}{self.left()}")


def finish(futures: Sequence) -> None:
    """Wait for all; an error of one, which is the runner's own, is raised."""
    for future in wait(futures, return_when=FIRST_EXCEPTION).done:
        future.result()


def is_alone(notebook: Path) -> bool:
    """True for a notebook that needs the machine to itself, or reads what those before it wrote: by its metadata."""
    return bool(json.loads(notebook.read_text())["metadata"].get("vg_core", {}).get("alone"))


def end_kernels() -> None:
    """End what this process has started: Ctrl-C does not reach kernels."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def seconds_in(file: Path) -> dict[str, float]:
    """Seconds of each notebook in a file; none if it is missing or damaged, for they are only for estimates."""
    try:
        return {name: float(seconds) for name, seconds in json.loads(file.read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def keep_seconds(file: Path, name: str, seconds: float) -> None:
    """Add what a notebook took to a file."""
    with replacing(file) as new:
        new.write_text(json.dumps(seconds_in(file) | {name: round(seconds, 1)}, indent=1, sort_keys=True) + "\n")


def complaint(notebook: Path, error: Exception) -> str:
    """What failed where: the sentence about it, or else the error and the source of its cell."""
    from papermill.exceptions import PapermillExecutionError

    if not isinstance(error, PapermillExecutionError):
        return f"{notebook.stem} failed outside its cells: {type(error).__name__}: {error}"
    where = f"{notebook.stem} failed in cell [{error.exec_count}] of its executed copy"
    if is_sentence(error.traceback):
        return f"{where}: {error.evalue}"
    source = "\n".join(f"    {line}" for line in error.source.splitlines())
    return f"{where}: {error.ename}: {error.evalue}\n{source}"
