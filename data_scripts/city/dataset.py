"""The toy city as a folder of photographs, written beside its place and moved there when complete."""

import json
import math
import multiprocessing
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, fields, replace
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Thread

import numpy as np
from PIL import Image
from tqdm import tqdm

from vg_core.datasets.generated import RECIPE
from vg_core.system.files import not_written, remove_leftovers, unfinished
from vg_core.system.paths import data_root

from .aerial import look_down
from .camera import Camera, Overhead, Panorama
from .light import VIGNETTE, develop
from .panorama import look_around
from .plan import SPLITS, Plan, sizes_of
from .render import render
from .scene import Scene
from .shots import Shot, district_of, shots_of
from .traffic import make_traffic

VERSION = 1  # of the pictures: raised when the same plan gives other bytes
CHUNK = 16  # photographs handed to a process at a time; neighbours share textures


def build_city(
    name: str = "toycity",
    size: str = "small",
    seed: int = 0,
    workers: int | None = None,
    *,
    force: bool = False,
    database: int | None = None,
    queries: int | None = None,
) -> Path:
    """Folder of the finished dataset, drawn now or found as this very recipe made it.

    ``database`` and ``queries`` replace the size's counts for each split. ValueError: unknown city or size.
    FileExistsError: the folder holds something else; ``force`` replaces another toy city, never other data.
    """
    plan = make_plan(name, size, seed, database, queries)
    if workers is not None and workers < 1:
        raise ValueError(f"workers {workers} must be at least 1")
    target = data_root() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target.parent)
    if _keep(target, plan, force):
        print(f"{target}: already there, made by the same recipe")
        return target
    scratch = unfinished(target)
    try:
        try:
            _draw(plan, scratch / name, workers or usable_cores())
            (scratch / name / RECIPE).write_text(json.dumps(recipe(plan), indent=1) + "\n")
        except OSError as error:
            raise not_written(target, error) from error
        _move(scratch / name, target, plan, force)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(f"{target}: {plan.total()} photographs")
    return target


def make_plan(name: str, size: str, seed: int, database: int | None = None, queries: int | None = None) -> Plan:
    """Plan of a named city and size; ValueError lists the known names."""
    if name not in SPLITS:
        raise ValueError(f"city '{name}' is unknown; choose one of: {', '.join(SPLITS)}")
    sizes = sizes_of(name)
    if size not in sizes:
        raise ValueError(f"size '{size}' is unknown; choose one of: {', '.join(sizes)}")
    chosen = sizes[size]
    if seed < 0:
        raise ValueError(f"seed {seed} must not be negative")
    for what, number in (("database", database), ("queries", queries)):
        if number is not None and number < 1:
            raise ValueError(f"{what} {number} must be at least 1")
        if number is not None:
            counts = [field.name for field in fields(chosen) if field.name.endswith(what)]
            if not counts:
                raise ValueError(f"{what} {number}: {name} has as many panoramas as tiles; give database")
            chosen = replace(chosen, **dict.fromkeys(counts, number))
    return Plan(name, chosen, seed)


def recipe(plan: Plan) -> dict:
    """What a dataset's bytes depend on, as JSON values."""
    return {"city": plan.city, "seed": plan.seed, "version": VERSION, "size": asdict(plan.size)}


def plan_of(root: Path) -> Plan:
    """What the city in a folder was drawn from; FileNotFoundError for what is no city."""
    try:
        found = json.loads((root / RECIPE).read_text())
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{root} is no generated city: only of those is it known what they show") from error
    return Plan(found["city"], type(sizes_of(found["city"])["tiny"])(**found["size"]), found["seed"])


def usable_cores() -> int:
    """Processor cores this process may use, as in ``vg_core.system.devices``, which would load PyTorch."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _keep(target: Path, plan: Plan, force: bool) -> bool:
    """True where the target is what the plan would make; FileExistsError where it may not be replaced."""
    if not target.exists():
        return False
    path = target / RECIPE
    if not path.is_file():
        raise FileExistsError(f"{target} exists and was not made by toy_city.py; move it away or set VG_DATA")
    if force:
        return False
    try:
        found = dict(json.loads(path.read_text()))
    except (ValueError, TypeError):  # cut or changed
        found = {}
    if changed := [key for key, value in recipe(plan).items() if found.get(key) != value]:
        raise FileExistsError(f"{target} holds a toy city with another {' and '.join(changed)}; --force replaces it")
    there, wanted = len(list(target.glob("images/**/*.jpg"))), plan.total()
    if there != wanted:
        raise FileExistsError(f"{target} holds {there:,} photographs, not {wanted:,}; --force draws it again")
    return True


def _move(folder: Path, target: Path, plan: Plan, force: bool) -> None:
    """Give the finished folder its name. Where another process was faster with the same recipe, its work stays."""
    if force and target.exists():
        target.rename(folder.with_name("old"))
        folder.rename(target)
        return
    try:
        folder.rename(target)
    except OSError:
        if not _keep(target, plan, force=False):
            raise


def _draw(plan: Plan, folder: Path, workers: int) -> None:
    """Write every photograph of the plan below ``folder``."""
    jobs = []
    for split in SPLITS[plan.city]:
        for kind in plan.counts(split):
            (folder / "images" / split / kind).mkdir(parents=True)
        total = sum(plan.counts(split).values())
        jobs += [(plan, split, start, min(start + CHUNK, total), folder) for start in range(0, total, CHUNK)]
    total = sum(job[3] - job[2] for job in jobs)
    with tqdm(total=total, desc=plan.city, unit="image", mininterval=1.0 if sys.stderr.isatty() else 20.0) as bar:
        if workers > 1:
            _share(jobs, workers, bar.update)
            return
        for job in jobs:
            bar.update(draw_shots(*job))


def _share(jobs: list[tuple], workers: int, tell: Callable[[int], object]) -> None:
    """Let processes do the jobs and ``tell`` numbers of photographs as they are drawn.

    Each process gets a stretch of consecutive jobs, because photographs of one street share textures. All of them end
    as soon as this process closes its end of a pipe, which it does even when it is killed.
    """
    end, held = multiprocessing.Pipe(duplex=False)
    with ExitStack() as stack, held:
        stretch = math.ceil(len(jobs) / workers)
        futures = []
        for start in range(0, len(jobs), stretch):
            pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _end_with, (end,))
            stack.callback(pool.shutdown, cancel_futures=True)
            with _uninterrupted():
                futures += [pool.submit(draw_shots, *job) for job in jobs[start : start + stretch]]
        try:
            for future in as_completed(futures):
                tell(future.result())
        except BrokenProcessPool:
            raise OSError("a process that draws was killed, perhaps for want of memory; lower --workers") from None


def _end_with(pipe: Connection) -> None:
    """From here on this process ends as soon as the other end of the pipe is closed."""

    def wait() -> None:
        pipe.poll(None)
        os._exit(1)

    Thread(target=wait, daemon=True).start()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Within the block Ctrl-C waits; processes that start there never feel it, where the system can block it."""
    pressed, blocks = [], hasattr(signal, "pthread_sigmask")  # Windows does not
    handler = signal.signal(signal.SIGINT, lambda *_: pressed.append(True))  # other threads receive it all the same
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if blocks else None
    try:
        yield
    finally:
        if blocks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if pressed:
        signal.raise_signal(signal.SIGINT)


def draw_shots(plan: Plan, split: str, start: int, stop: int, folder: Path) -> int:
    """Write photographs ``start`` to ``stop`` of a split; returns their number."""
    scene = _scene(plan, split)
    for shot in shots_of(plan, split)[start:stop]:
        photo = photograph(scene, shot, plan.size.supersample)
        path = folder / "images" / split / shot.kind / shot.name
        Image.fromarray(photo).save(path, quality=90)
    return stop - start


def photograph(scene: Scene, shot: Shot, supersample: int) -> np.ndarray:
    """(H, W, 3) uint8 picture of one shot."""
    rng = np.random.default_rng(shot.key)
    conditions = shot.conditions.jittered(rng)
    take = {Camera: render, Panorama: look_around, Overhead: look_down}[type(shot.camera)]
    light = take(scene, shot.camera, conditions, make_traffic(scene.district, shot), rng)
    return develop(light, conditions, supersample, rng, VIGNETTE if take is render else 0.0)


@lru_cache(maxsize=1)
def _scene(plan: Plan, split: str) -> Scene:
    return Scene(district_of(plan, split)[0], plan.size.wall_resolution, plan.size.ground_resolution)
