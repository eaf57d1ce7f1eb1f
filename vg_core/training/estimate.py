"""What a run will need, said before it starts: memory, disk and minutes, from what its trainer costs on few images."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vg_core.config import Config
from vg_core.datasets.photographs import MAPPED_SHARE_OF_DISK, ahead
from vg_core.datasets.places import PlaceSet
from vg_core.models.whitening import LEARNED_ON, learning_bytes
from vg_core.retrieval.ranking import MEMORY_SHARE
from vg_core.retrieval.strategies import make_strategy
from vg_core.retrieval.whitened import widest
from vg_core.system import own_files, paths, processes
from vg_core.system.devices import free_memory, pick_device
from vg_core.training.cost import MARGIN, Cost

FILE = "estimate.json"  # beside the tables of a run
LIBRARIES = 3 * 10**7  # bytes of RAM that libraries keep once they have trained and searched: code, buffers of threads


@dataclass(frozen=True)
class Estimate:
    """What a run will need: minutes of each part; of each resource, the bytes ``needed`` and ``free``."""

    minutes: Mapping[str, float]
    needed: Mapping[str, float]
    free: Mapping[str, float]
    remedies: Mapping[str, str]  # what to say where a resource is short
    training: Mapping[str, float]  # beside which ``after_training`` sets what it took

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {minutes:.1f}" for part, minutes in self.minutes.items())
        needs = [f"{name} {_gb(needed)} of {_gb(self.free[name])} free" for name, needed in self.needed.items()]
        return f"expected minutes, if no early stop: {parts}\nexpected need: {', '.join(needs)}"

    def check(self) -> None:
        """Raises ValueError where a resource is short: it says which, and what would fit."""
        for name, needed in self.needed.items():
            if needed > (free := self.free[name]):
                raise ValueError(f"{name} is short: {_gb(needed)} needed, {_gb(free)} free{self.remedies[name]}")

    def save(self, folder: Path, test: str) -> None:
        """Write the estimate to the folder of a run's tables; what the run and its ``test`` take is added later."""
        foreseen = {**self.training, **_of_test(test, self.minutes["test"], self.needed["disk"])}
        own_files.write(folder / FILE, {"expected": foreseen, "taken": {}, "free_disk": self.free["disk"]})


def after_training(folder: Path, history: pd.DataFrame, validation: pd.DataFrame) -> None:
    """Add the minutes and the memory that a training took to the estimate in its folder, if one is there."""
    if own_files.is_intact(folder / FILE):
        minutes = history.seconds_decode.sum() / 60, (history.seconds.sum() + validation.seconds.sum()) / 60
        memory, peak = _memory_of(pick_device()), history.peak_bytes.max()
        _set_beside(folder, _of_training(int(validation.epoch.max()), *minutes, memory, peak))


def after_test(folder: Path, test: str, seconds: float) -> None:
    """Add the time of a test, and by how much less disk is free than before its training, to the estimate in the run's
    folder, if one is there and for this test.
    """
    if own_files.is_intact(folder / FILE):
        filled = max(0, own_files.read(folder / FILE)["free_disk"] - _free_disk())  # others write and remove, too
        _set_beside(folder, _of_test(test, seconds / 60, filled))


def comparison(folder: Path) -> pd.DataFrame:
    """What the run whose tables lie in a folder was ``expected`` to take and what was ``taken``, one row per quantity.

    Damaged, in a sentence, for a run that has no estimate, such as one that trained nothing.
    """
    remedy = f"an estimate is made when a training begins: delete {folder} to train again"
    return pd.DataFrame(own_files.read(folder / FILE, remedy))[["expected", "taken"]]


def _set_beside(folder: Path, taken: Mapping[str, float]) -> None:
    """Print what was taken of each quantity that a folder's estimate expects, and add it to its file."""
    record = own_files.read(folder / FILE)
    found = {name: amount for name, amount in taken.items() if name in record["expected"]}
    for name, amount in found.items():
        print(f"{name}: {amount:.2f} taken, {record['expected'][name]:.2f} expected")
    own_files.write(folder / FILE, record | {"taken": record["taken"] | found})


def _of_training(epochs: int, once: float, minutes: float, memory: str, peak: float) -> dict[str, float]:
    done = {"epochs": epochs, "minutes done once": once, "minutes of training": minutes}
    return done | {f"GB of {memory} in training": peak / 1e9}


def _of_test(test: str, minutes: float, disk: float) -> dict[str, float]:
    """Quantities of a test by names that contain its own, since one training may have several tests."""
    return {f"minutes of test {test}": minutes, f"GB of disk with test {test}": disk / 1e9}


def expected(config: Config, sets: Sequence[PlaceSet]) -> Estimate:
    """Estimate of a whole run on the sets train, val and test, on this machine as it is.

    Minutes count decoding, describing and training; choosing tuples, searching and NetVLAD's clusters are left out, and
    every photograph counts as not decoded yet. ValueError where there is no room for the network and a few images.
    """
    device = pick_device()
    memory = _memory_of(device)
    free = {"RAM": free_memory(torch.device("cpu")), memory: free_memory(device), "disk": _free_disk()}
    try:
        return estimate(config, sets, Cost(config, sets[:2], device), free)
    except torch.OutOfMemoryError:
        raise ValueError(
            f"{memory} is short: {_gb(free[memory])} free do not hold the network and a few images; "
            "lower image_size or negs_num_per_query, or freeze more layers"
        ) from None


def estimate(config: Config, sets: Sequence[PlaceSet], cost: Cost, free: Mapping[str, float]) -> Estimate:
    """Estimate from what a training costs, where so many bytes are ``free`` of RAM, GPU memory, if any, and disk.

    Memory is an upper bound: what the test needs is added to what the training needs, in RAM and on a GPU.
    """
    (train, _, test), size, dim = sets, prod(config.image_size), cost.dim
    memory = "GPU memory" if "GPU memory" in free else "RAM"
    room = MEMORY_SHARE * min(free["RAM"], free[memory])  # for descriptors; without it they lie on disk, as float16
    strategy, area = make_strategy(config.test_method), prod(config.tested_at) / size
    database, count = len(test.database), len(test.database) + len(test.queries)
    views = len(strategy.views(config.tested_at, config.tested_at)) * len(test.queries) + database
    validated, tested = 4 * cost.images[1] * dim, 4 * views * strategy.width(config.whitened_dim or dim)
    learned_on = min(LEARNED_ON, len(train.database)) if config.whitened_dim else 0  # images, by a whitening
    longest = widest(dim, learned_on) if learned_on else 0
    pixels = 3 * size * np.array([*cost.images, area * count])  # bytes on disk, where it has room for them
    pixels *= pixels.sum() <= MAPPED_SHARE_OF_DISK * free["disk"]

    waiting = (ahead(mapped=pixels.any()) + 2) * 3 * size  # bytes of RAM for each image of a batch that is decoded
    own = ceil(config.train_batch_size / processes.size()) * config.task.images_per_row
    needed = {"RAM": waiting * max(own, config.infer_batch_size) + LIBRARIES + 2 * cost.model}  # the best, its copy
    held = MARGIN * (cost.model + cost.beside + max(4 * cost.mined * dim, validated * (validated <= room)))
    needed[memory] = needed.get(memory, 0) + held + sum(cost.cached) + max(cost.describing, cost.learning)
    remedies = {name: _remedy(config, cost, name == memory, needed[name] - free[name]) for name in needed}
    peak = needed[memory] + sum(pixels[:2]) * (memory == "RAM")  # mapped pages count as taken, but need no RAM
    more = MARGIN * tested * (tested <= room) + max(0, area - 1) * (cost.describing + waiting * config.infer_batch_size)
    more += 4 * learned_on * dim + learning_bytes(learned_on, dim, longest) if longest else 0
    needed = {name: taken + more for name, taken in needed.items()}
    files = 2 * (3 * cost.model + cost.beside + 4 * dim * longest)  # written beside those they replace
    needed["disk"] = pixels.sum() + files + max(some * (some > room) for some in (validated, tested)) / 2
    remedies["disk"] = f" in {paths.cache_root()}; free some, or set VG_CACHE to a larger disk"
    minutes = _minutes(config, cost, pixels.any())
    pictures = area * (1 + strategy.flip) * sum(scale**2 for scale in strategy.scales) * views + learned_on
    training = _of_training(config.epochs_num, *minutes.values(), memory, peak)
    minutes["test"] = (cost.decode * count + cost.describe[2] * pictures) / 60
    return Estimate(minutes, needed, free, remedies, training)


def _minutes(config: Config, cost: Cost, mapped: bool) -> dict[str, float]:
    """Minutes of what is done once, and of a training's rounds and validations."""
    rounds = config.epochs_num * config.queries_per_epoch // config.cache_refresh_rate
    described = np.array([rounds * cost.mined, (1 + config.epochs_num) * cost.images[1]])  # images of train and of val
    learned, each = rounds * cost.rows.size, np.array(cost.describe[:2])  # (2,), seconds per image
    decoded = np.array(cost.cached) + mapped > 0  # are their photographs decoded once?
    frozen = np.maximum(0, cost.describe[2] - each)  # seconds in layers whose output is cached
    once = np.dot(cost.images, cost.decode * decoded + frozen)
    training = cost.decode * np.dot(described + np.array([learned, 0]), ~decoded) + described @ each
    return {"done once": float(once) / 60, "training": float(training + learned * cost.learn) / 60}


def _remedy(config: Config, cost: Cost, of_network: bool, over: float) -> str:
    """End of a sentence: what to change where memory is short, by ``over`` bytes for the training alone."""
    if over <= 0:
        return "; its test: lower infer_batch_size, test_image_size or whitened_dim, or choose another test_method"
    if not of_network:
        lower = "lower train_batch_size, negs_num_per_query, infer_batch_size or image_size"
        return f"; decoded batches wait there: {lower}"
    size = config.train_batch_size
    rows = ceil(size / (processes.size() * config.accumulate)) - ceil(over / max(1, cost.row))  # that fit at a time
    fit = processes.size() * rows
    if 0 < fit < size and over <= cost.learning - cost.describing:
        return f"; train_batch_size={fit} instead of {size} would fit, or accumulate={ceil(size / fit)}"
    return "; lower image_size, negs_num_per_query or infer_batch_size, or freeze more layers"


def _memory_of(device: torch.device) -> str:
    return "GPU memory" if device.type == "cuda" else "RAM"


def _free_disk() -> int:
    """Bytes free where the cache lies."""
    cache = paths.cache_root()
    cache.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache).free


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
