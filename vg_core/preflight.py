"""What a training will need, said before it starts: memory, disk and minutes, from one batch and the sets' sizes."""

import json
import shutil
from dataclasses import dataclass
from math import prod

import numpy as np
import pandas as pd
import torch

from vg_core import paths, processes
from vg_core.batch_cost import Batch, measure
from vg_core.config import Config
from vg_core.devices import free_memory, pick_device
from vg_core.files import replacing
from vg_core.places.dataset import PlaceSet
from vg_core.places.images import MAPPED_SHARE_OF_DISK, WORKERS
from vg_core.records import load_places, run_id
from vg_core.retrieval import MEMORY_SHARE
from vg_core.stem_cache import pixels_fit, stem_budget
from vg_core.tasks import hard_positives

MARGIN = 1.3  # on memory that is counted: workspaces of convolutions, fragmentation
MOMENTS = 3  # gradient and the two moments of Adam, for each trained weight
ALIVE = 2  # maps of the largest size that a layer has at hand: its input and its output


@dataclass(frozen=True)
class Estimate:
    """Bytes needed and free of each resource, minutes of each part of a run, the largest train_batch_size that fits."""

    config: Config
    needed: dict[str, float]
    free: dict[str, float]
    minutes: dict[str, float]
    fitting: int

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {minutes:.1f}" for part, minutes in self.minutes.items())
        needs = [f"{name} {_gb(self.needed[name])} of {_gb(self.free[name])} free" for name in self.needed]
        return f"expected minutes, if no early stop: {parts}\nexpected need: {', '.join(needs)}"

    def beside(self, history: pd.DataFrame, validation: pd.DataFrame) -> str:
        """The minutes that training took, with those expected."""
        taken = (history.seconds.sum() if len(history) else 0.0) + validation.seconds.sum()
        epochs = f"{validation.epoch.max()} of {self.config.epochs_num} epochs"
        return f"minutes of training: {taken / 60:.1f} in {epochs}, {self.minutes['training']:.1f} expected for all"

    def check(self) -> None:
        """Nothing, or a ValueError that says what is short and what would fit."""
        short = [name for name in self.needed if self.needed[name] > self.free[name]]
        if not short:
            return
        sentence = f"{short[0]} is short: {_gb(self.needed[short[0]])} needed, {_gb(self.free[short[0]])} free"
        if short[0] == "disk":
            raise ValueError(f"{sentence} in {paths.cache_root()}; free some, or set VG_CACHE to a larger disk")
        fit, size = self.fitting, self.config.train_batch_size
        smaller = f"train_batch_size={fit} instead of {size} would fit, or accumulate={-(-size // max(fit, 1))}"
        other = "lower image_size, negs_num_per_query or infer_batch_size, or freeze more layers"
        raise ValueError(f"{sentence}; {smaller if 0 < fit < size else other}")


def preflight(config: Config, batch: Batch | None = None, free: dict[str, float] | None = None) -> Estimate:
    """Estimate for a whole run of this configuration, on this machine as it is.

    Minutes count decoding, describing and training; choosing tuples, searching, what PyTorch itself takes and what
    several processes send each other are left out; every photograph counts as not decoded yet. ``batch`` is measured,
    and ``free`` asked for, unless given.
    """
    sets, device = [load_places(config, split) for split in ("train", "val", "test")], pick_device()
    memory = "GPU memory" if device.type == "cuda" else "RAM"
    batch, free = batch or measure(config, sets[0], device), free or _free(memory, device)
    images = [_count(places) for places in sets]
    pixels = 3 * (sum(images[:2]) * prod(config.image_size) + images[2] * prod(config.tested_at))
    mapped = pixels <= MAPPED_SHARE_OF_DISK * free["disk"]
    stems = _kept_stems(config, batch, images, stem_budget(device, free[memory]))
    on_gpu = 0 if stems[0] else 3 * images[0] * prod(config.image_size)
    on_gpu *= pixels_fit(on_gpu, device, free[memory])
    evaluated, most = 4 * max(images[1:]) * batch.dim, MEMORY_SHARE * min(free[memory], free["RAM"])
    at_hand = max(4 * mined(config, sets[0]) * batch.dim, evaluated if evaluated <= most else 0)  # descriptors
    fixed = MARGIN * (batch.weights + MOMENTS * batch.trained + at_hand) + sum(stems) + on_gpu
    passing = MARGIN * config.infer_batch_size * ALIVE * batch.largest
    a_tuple = MARGIN * (2 + config.negs_num_per_query) * (batch.kept + ALIVE * batch.largest)
    needed = {"RAM": _waiting(config)}
    left = free[memory] - fixed - needed.get(memory, 0)
    fitting = processes.size() * int(left // a_tuple) if left >= max(a_tuple, passing) else 0
    own = -(-config.train_batch_size // (processes.size() * config.accumulate))  # tuples at a time
    needed[memory] = needed.get(memory, 0) + fixed + max(passing, own * a_tuple)
    # every checkpoint is written beside the one that it replaces
    needed["disk"] = pixels * mapped + 2 * (2 * batch.weights + (MOMENTS - 1) * batch.trained)
    needed["disk"] += evaluated / 2 if evaluated > most else 0  # in half precision
    return Estimate(config, needed, free, minutes(config, batch, sets, stems, mapped), fitting)


def expected_minutes(config: Config) -> dict[str, float]:
    """Minutes of ``preflight`` as they were estimated when first asked for, which the cache keeps."""
    file = paths.cache_root() / "estimates" / f"{run_id(config)}.json"
    if not file.exists():
        text = json.dumps(preflight(config).minutes)  # its faults are not those of writing
        with replacing(file) as unfinished:
            unfinished.write_text(text)
    return json.loads(file.read_text())


def _free(memory: str, device: torch.device) -> dict[str, float]:
    """Bytes free now, for each process of this machine: of RAM, of disk, and of the memory of its device."""
    cache = paths.cache_root()
    cache.mkdir(parents=True, exist_ok=True)
    free = {"RAM": free_memory(torch.device("cpu")), "disk": shutil.disk_usage(cache).free}
    return free | {memory: free_memory(device)}


def minutes(config: Config, batch: Batch, sets: list[PlaceSet], stems: list[int], mapped: bool) -> dict[str, float]:
    """Minutes of decoding, training (with validations) and test; ``stems`` are bytes kept of train and val, or 0."""
    train, val, test = map(_count, sets)
    if config.val_queries:
        val = len(sets[1].database) + min(config.val_queries, len(sets[1].queries))
    described = config.epochs_num * config.queries_per_epoch // config.cache_refresh_rate * mined(config, sets[0])
    learned = config.epochs_num * config.queries_per_epoch * (2 + config.negs_num_per_query)
    validated = (1 + config.epochs_num) * val
    stemmed = (train if stems[0] else described + learned) + (val if stems[1] else validated)
    decoded = train + val + test if mapped else stemmed + test
    training = (described + validated) * batch.tail_seconds + learned * batch.train_seconds
    training += stemmed * batch.stem_seconds
    spent = {"training": training, "test": test * (batch.stem_seconds + batch.tail_seconds)}
    shared = {part: seconds / 60 / processes.size() for part, seconds in spent.items()}
    return {"decoding": decoded * batch.decode_seconds / 60} | shared


def mined(config: Config, places: PlaceSet) -> int:
    """Images described in one mining round, at most."""
    queries = min(config.cache_refresh_rate, len(places.queries))
    if config.loss == "geo_classification":
        return 0
    if config.mining == "full":
        return len(places.database) + queries
    drawn = config.neg_samples_num if config.mining == "partial" else 0
    positives = np.mean([len(some) for some in hard_positives(config, places)])
    wanted = drawn + int(np.ceil(queries * (positives + config.negs_num_per_query)))
    return min(len(places.database), wanted) + queries


def _kept_stems(config: Config, batch: Batch, images: list[int], budget: float) -> list[int]:
    """Bytes of the frozen layers' output that are kept of the training and of the validation images."""
    kept = []
    for count, fixed in zip(images, (config.augmentation == "none", True), strict=False):
        size = count * batch.stem
        kept.append(size if fixed and size <= budget - sum(kept) else 0)
    return kept


def _waiting(config: Config) -> int:
    """Bytes of decoded batches that wait to be used."""
    images = max(config.train_batch_size * (2 + config.negs_num_per_query), config.infer_batch_size)
    return (2 * WORKERS + 2) * images * 3 * prod(config.image_size)


def _count(places: PlaceSet) -> int:
    return len(places.database) + len(places.queries)


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
