"""What a training will need, said before it starts: memory, disk and minutes, from one batch and the sets' sizes."""

import json
import shutil
from collections.abc import Sequence
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
from vg_core.room import MEMORY_SHARE
from vg_core.stem_cache import pixels_fit, stem_budget
from vg_core.strategies import Strategy, make_strategy
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
        """The minutes and the memory that training took, with those expected."""
        taken = (history.seconds.sum() if len(history) else 0.0) + validation.seconds.sum()
        epochs = f"{validation.epoch.max()} of {self.config.epochs_num} epochs"
        said = f"minutes of training: {taken / 60:.1f} in {epochs}, {self.minutes['training']:.1f} expected for all"
        if not len(history):
            return said
        memory = "GPU memory" if "GPU memory" in self.needed else "RAM"
        return f"{said}\n{memory}: {_gb(history.peak_bytes.max())} at most, {_gb(self.needed[memory])} expected"

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
    seen, waiting = _seen(config, sets), _waiting(config)
    pixels = 3 * (sum(seen[:2]) * prod(config.image_size) + seen[2] * prod(config.tested_at))
    mapped = pixels <= MAPPED_SHARE_OF_DISK * free["disk"]
    stems = _kept_stems(config, batch, seen, stem_budget(device, free[memory]))
    on_gpu = 0 if stems[0] else 3 * seen[0] * prod(config.image_size)
    on_gpu *= pixels_fit(on_gpu, device, free[memory])
    resident = MARGIN * (batch.weights + MOMENTS * batch.trained) + sum(stems) + on_gpu
    resident += waiting if memory == "RAM" else 0
    validated, stored = _at_hand(0, seen[1] * batch.dim, free[memory] - resident, free["RAM"])
    training = resident + MARGIN * max(4 * mined(config, sets[0]) * batch.dim, validated)
    plain = config.test_method == "hard_resize"  # described where the network is; views are NumPy's, in RAM
    rooms = free["RAM"], free[memory if plain else "RAM"]
    tested, stored_of_test = _at_hand(*_tested(config, sets[2], batch.dim), *rooms)
    passing = MARGIN * config.infer_batch_size * ALIVE * batch.largest
    a_tuple = MARGIN * (2 + config.negs_num_per_query) * (batch.kept + ALIVE * batch.largest)
    left = free[memory] - training
    fitting = processes.size() * int(left // a_tuple) if left >= max(a_tuple, passing) else 0
    own = -(-config.train_batch_size // (processes.size() * config.accumulate))  # tuples at a time
    needed = {"RAM": waiting + (0 if plain else MARGIN * tested)}
    testing = MARGIN * (batch.weights + (tested if plain or memory == "RAM" else 0)) + passing
    needed[memory] = max(training + max(passing, own * a_tuple), testing)
    # every checkpoint is written beside the one that it replaces
    needed["disk"] = pixels * mapped + 2 * (2 * batch.weights + (MOMENTS - 1) * batch.trained)
    needed["disk"] += max(stored, stored_of_test)
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
    train, val, test = _seen(config, sets)
    described = config.epochs_num * config.queries_per_epoch // config.cache_refresh_rate * mined(config, sets[0])
    learned = config.epochs_num * config.queries_per_epoch * (2 + config.negs_num_per_query)
    validated = (1 + config.epochs_num) * val
    stemmed = (train if stems[0] else described + learned) + (val if stems[1] else validated)
    decoded = train + val + test if mapped else stemmed + test
    training = (described + validated) * batch.tail_seconds + learned * batch.train_seconds
    training += stemmed * batch.stem_seconds
    larger = prod(config.tested_at) / prod(config.image_size)
    testing = larger * _pictures(config, sets[2]) * (batch.stem_seconds + batch.tail_seconds)
    spent = {"training": training, "test": testing}
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


def _seen(config: Config, sets: Sequence[PlaceSet]) -> list[int]:
    """Images of train, val and test; val has some of its queries only where the configuration says so."""
    train, val, test = ([len(places.database), len(places.queries)] for places in sets)
    val[1] = min(val[1], config.val_queries or val[1])
    return [sum(train), sum(val), sum(test)]


def _shown(config: Config) -> tuple[Strategy, int]:
    """How queries are shown in the test, and the views of each."""
    strategy = make_strategy(config.test_method)
    return strategy, len(strategy.views(config.tested_at, config.tested_at))


def _pictures(config: Config, test: PlaceSet) -> int:
    """Pictures that the network sees in the test, by their area: of views, scales and mirrored images each."""
    strategy, views = _shown(config)
    each = (1 + strategy.flip) * sum(scale**2 for scale in strategy.scales)
    return each * (len(test.database) + views * len(test.queries))


def _tested(config: Config, test: PlaceSet, dim: int) -> tuple[int, int]:
    """Values of the descriptors of the test: of what stays in memory, and of what may go to disk."""
    strategy, views = _shown(config)
    width = strategy.width(dim)
    queries, database = views * len(test.queries) * width, len(test.database) * width
    return (0, queries + database) if config.test_method == "hard_resize" else (queries, database)


def _at_hand(held: int, may_be_stored: int, *free: float) -> tuple[int, int]:
    """Bytes in memory and on disk of so many values, of which some go to disk, as float16, when they have no room."""
    fits = 4 * may_be_stored <= MEMORY_SHARE * min(free)
    return 4 * (held + may_be_stored * fits), 2 * may_be_stored * (not fits)


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
