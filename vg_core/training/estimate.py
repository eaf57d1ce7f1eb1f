"""What a run will need, said before it starts: memory, disk and minutes, from what its trainer was seen to cost."""

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
from vg_core.retrieval.exact_search import MEMORY_BYTES
from vg_core.retrieval.ranking import MEMORY_SHARE, STORED_AT_ONCE
from vg_core.retrieval.strategies import make_strategy
from vg_core.retrieval.whitened import widest
from vg_core.system import own_files, paths, processes
from vg_core.system.devices import free_memory, pick_device
from vg_core.training.cost import MARGIN, Cost, measure

FILE = "estimate.json"  # beside the tables of a run
LIBRARIES = 3 * 10**7  # bytes of RAM that libraries keep once they have trained and searched: code, buffers of threads


@dataclass(frozen=True)
class Estimate:
    """Bytes that training and test need of each resource and what is ``free`` of it, minutes of each part of a run."""

    epochs: int
    minutes: Mapping[str, float]
    training: Mapping[str, float]
    testing: Mapping[str, float]
    free: Mapping[str, float]
    mapped: float  # bytes of decoded photographs of train and val that are mapped from disk
    remedies: Mapping[str, str]  # where a training has no room, and a "test"

    @property
    def needed(self) -> dict[str, float]:
        return {name: max(self.training[name], self.testing[name]) for name in self.training}

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {minutes:.1f}" for part, minutes in self.minutes.items())
        needs = [f"{name} {_gb(needed)} of {_gb(self.free[name])} free" for name, needed in self.needed.items()]
        return f"expected minutes, if no early stop: {parts}\nexpected need: {', '.join(needs)}"

    def check(self) -> None:
        """Nothing, or a ValueError that says what is short and what would fit."""
        for name, needed in self.needed.items():
            if needed > self.free[name]:
                remedy = self.remedies[name if self.training[name] > self.free[name] or name == "disk" else "test"]
                raise ValueError(f"{name} is short: {_gb(needed)} needed, {_gb(self.free[name])} free{remedy}")

    def save(self, folder: Path, test: str) -> None:
        """Write it to the folder of a run's tables, where what the run and its ``test`` take will be set beside it."""
        memory, minutes = "GPU memory" if "GPU memory" in self.free else "RAM", self.minutes
        peak = self.training[memory] + self.mapped * (memory == "RAM")  # their pages count as taken, but need no RAM
        foreseen = _of_training(self.epochs, minutes["done once"], minutes["training"], memory, peak)
        foreseen |= _of_test(test, minutes["test"], self.needed["disk"])
        own_files.write(folder / FILE, {"expected": foreseen, "taken": {}, "free_disk": self.free["disk"]})


def after_training(folder: Path, history: pd.DataFrame, validation: pd.DataFrame) -> None:
    """Set the minutes and the memory that a training took beside the estimate in its folder, if one is there."""
    if own_files.is_intact(folder / FILE):
        minutes = history.seconds_decode.sum() / 60, (history.seconds.sum() + validation.seconds.sum()) / 60
        memory, peak = _memory_of(pick_device()), history.peak_bytes.max()
        _set_beside(folder, _of_training(int(validation.epoch.max()), *minutes, memory, peak))


def after_test(folder: Path, test: str, seconds: float) -> None:
    """Set the time of a test, and by how much less disk is free than before its training, beside the estimate in the
    run's folder, if one is there and for this test.
    """
    if own_files.is_intact(folder / FILE):
        filled = max(0, own_files.read(folder / FILE)["free_disk"] - _free_disk())  # others write and remove, too
        _set_beside(folder, _of_test(test, seconds / 60, filled))


def comparison(folder: Path) -> pd.DataFrame:
    """What the run whose tables lie in a folder was ``expected`` to take and what was ``taken``, a row for each thing.

    Damaged, in a sentence, for a run that has no estimate, such as one that trained nothing.
    """
    record = own_files.read(
        folder / FILE, f"an estimate is made when a training begins: delete {folder} to train again"
    )
    return pd.DataFrame({column: record[column] for column in ("expected", "taken")})


def _set_beside(folder: Path, taken: Mapping[str, float]) -> None:
    """Say what was taken of that which a folder's estimate expects, and add it to its file."""
    record = own_files.read(folder / FILE)
    found = {name: amount for name, amount in taken.items() if name in record["expected"]}
    for name, amount in found.items():
        print(f"{name}: {amount:.2f} taken, {record['expected'][name]:.2f} expected")
    own_files.write(folder / FILE, record | {"taken": record["taken"] | found})


def _of_training(epochs: int, once: float, minutes: float, memory: str, peak: float) -> dict[str, float]:
    names = "epochs", "minutes done once", "minutes of training", f"GB of {memory} in training"
    return dict(zip(names, (epochs, once, minutes, peak / 1e9), strict=True))


def _of_test(test: str, minutes: float, disk: float) -> dict[str, float]:
    """One training may have several tests."""
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
        return estimate(config, sets, measure(config, sets[:2], device), free)
    except torch.OutOfMemoryError:
        raise ValueError(
            f"{memory} is short: {_gb(free[memory])} free do not hold the network and a few images; "
            "lower image_size or negs_num_per_query, or freeze more layers"
        ) from None


def estimate(config: Config, sets: Sequence[PlaceSet], cost: Cost, free: Mapping[str, float]) -> Estimate:
    """Estimate from what a training costs, where so many bytes are ``free`` of RAM, GPU memory, if any, and disk."""
    (train, val, test), size, dim = sets, prod(config.image_size), cost.dim
    strategy, area = make_strategy(config.test_method), prod(config.tested_at) / size
    count, database = len(test.database) + len(test.queries), len(test.database)
    queries = len(strategy.views(config.tested_at, config.tested_at)) * len(test.queries)
    pixels = np.array([*cost.images, area * count]) * 3 * size  # on disk, where it has room for them
    pixels *= pixels.sum() <= MAPPED_SHARE_OF_DISK * free["disk"]
    learned_on = min(LEARNED_ON, len(train.database)) if config.whitened_dim else 0  # images, by a whitening
    learning, longest = (learning_bytes(learned_on, dim, k := widest(dim, learned_on)), k) if learned_on else (0, 0)
    validated = _descriptors(cost.images[1] - len(val.database), len(val.database), dim, free)
    tested = _descriptors(queries, database, strategy.width(config.whitened_dim or dim), free)

    waiting = (ahead(mapped=pixels.any()) + 2) * 3 * size  # bytes of RAM for each image of a batch that is decoded
    own = ceil(config.train_batch_size / processes.size()) * config.task.images_per_row
    beside = waiting * max(own, config.infer_batch_size) + LIBRARIES + 2 * cost.model  # the best, its copy to be saved
    held = (
        cost.steady + sum(cost.kept) + MARGIN * max(4 * cost.mined * dim, validated[0]) + max(cost.passing, cost.step)
    )
    memory = "GPU memory" if "GPU memory" in free else "RAM"
    training = _together(memory, beside, held)
    beside = area * waiting * config.infer_batch_size + max(MARGIN * tested[0], 4 * learned_on * dim + learning)
    network = MARGIN * (cost.model + 4 * dim * longest) + area * cost.passing
    shown = MARGIN * max(tested[0], 4 * learned_on * dim) * (memory != "RAM")
    testing = _together(memory, beside, network + shown)
    files = 2 * (cost.model + cost.state) + 4 * dim * longest  # each is written beside the one that it replaces
    disk = {"disk": pixels.sum() + files + max(validated[1], tested[1])}

    scales = (1 + strategy.flip) * sum(scale**2 for scale in strategy.scales)
    pictures = area * scales * (queries + database) + learned_on
    minutes = _minutes(config, cost, pixels.any()) | {"test": (cost.decode * count + cost.describe[2] * pictures) / 60}
    remedies = _remedies(config, cost, memory, training[memory] - free[memory])
    return Estimate(config.epochs_num, minutes, training | disk, testing | disk, free, sum(pixels[:2]), remedies)


def _minutes(config: Config, cost: Cost, mapped: bool) -> dict[str, float]:
    """Of what is done once, and of a training's rounds and validations."""
    rounds = config.epochs_num * config.queries_per_epoch // config.cache_refresh_rate
    validated = (1 + config.epochs_num) * cost.images[1]
    decoded = np.array(cost.kept) + mapped > 0  # are the photographs of train and of val decoded once?
    once = cost.decode * np.dot(cost.images, decoded) + cost.stem * np.dot(cost.images, np.sign(cost.kept))
    training = cost.decode * np.dot((rounds * (cost.mined + cost.learned), validated), ~decoded)
    training += rounds * (cost.mined * cost.describe[0] + cost.learned * cost.learn) + validated * cost.describe[1]
    return {"done once": float(once) / 60, "training": float(training) / 60}


def _remedies(config: Config, cost: Cost, memory: str, over: float) -> dict[str, str]:
    """What to change where a training has no room: in ``memory``, of which it needs so many bytes too many, or else."""
    lower = "; lower image_size, negs_num_per_query or infer_batch_size, or freeze more layers"
    size = config.train_batch_size
    rows = ceil(size / (processes.size() * config.accumulate)) - ceil(over / max(1, cost.row))  # that fit at a time
    fit = processes.size() * rows if over <= cost.step - cost.passing else 0
    if 0 < fit < size:
        lower = f"; train_batch_size={fit} instead of {size} would fit, or accumulate={ceil(size / fit)}"
    waiting = "; decoded batches wait there: lower train_batch_size, negs_num_per_query, infer_batch_size or image_size"
    disk = f" in {paths.cache_root()}; free some, or set VG_CACHE to a larger disk"
    test = "; its test: lower infer_batch_size, test_image_size or whitened_dim, or choose another test_method"
    return {"RAM": waiting, "disk": disk, "test": test} | {memory: lower}


def _descriptors(queries: int, database: int, width: int, free: Mapping[str, float]) -> tuple[float, float]:
    """Bytes of the descriptors of an evaluation, in memory and on disk, as `evaluate` has them."""
    every = 4 * (queries + database) * width
    if every <= MEMORY_SHARE * min(free["RAM"], free.get("GPU memory", free["RAM"])):
        return every, 0
    return 4 * (queries + min(database, STORED_AT_ONCE)) * width + MEMORY_BYTES, 2 * database * width


def _together(memory: str, in_ram: float, on_device: float) -> dict[str, float]:
    return {"RAM": in_ram + on_device} if memory == "RAM" else {"RAM": in_ram, memory: on_device}


def _memory_of(device: torch.device) -> str:
    return "GPU memory" if device.type == "cuda" else "RAM"


def _free_disk() -> int:
    """Bytes free where the cache lies."""
    cache = paths.cache_root()
    cache.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache).free


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
