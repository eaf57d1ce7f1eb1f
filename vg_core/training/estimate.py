"""What a run will need, said before it starts: memory, disk and minutes, from what its trainer costs on few images."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np
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
from vg_core.training.cost import MARGIN, Cost, measure_cost
from vg_core.training.taken import FILE, GPU, RAM, memory_of, of_test, of_training

DISK = "disk"  # beside RAM and GPU memory
LIBRARIES = 3 * 10**7  # bytes of RAM that libraries keep once they have trained and searched: code, buffers of threads


@dataclass(frozen=True)
class Estimate:
    """What a run will need: minutes of each part; of each resource, the bytes needed and free."""

    minutes: Mapping[str, float]
    bytes_needed: Mapping[str, float]
    bytes_free: Mapping[str, float]
    remedies: Mapping[str, str]  # what to say where a resource is short
    training: Mapping[str, float]  # beside which ``after_training`` sets what it took

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {minutes:.1f}" for part, minutes in self.minutes.items())
        needs = [f"{name} {_gb(some)} of {_gb(self.bytes_free[name])} free" for name, some in self.bytes_needed.items()]
        return f"expected minutes, if no early stop: {parts}\nexpected need: {', '.join(needs)}"

    def check(self) -> None:
        """Raises ValueError where a resource is short: it says which, and what would fit."""
        for name, needed in self.bytes_needed.items():
            if needed > (free := self.bytes_free[name]):
                raise ValueError(f"{name} is short: {_gb(needed)} needed, {_gb(free)} free{self.remedies[name]}")

    def save(self, folder: Path, test: str) -> None:
        """Write the estimate to the folder of a run's tables; what the run and its ``test`` take is added later."""
        foreseen = {**self.training, **of_test(test, self.minutes["test"], self.bytes_needed[DISK])}
        own_files.write(folder / FILE, {"expected": foreseen, "taken": {}, "began": time.time()})


def expected(config: Config, sets: Sequence[PlaceSet]) -> Estimate:
    """Estimate of a whole run on the sets train, val and test, on this machine as it is: it is measured first.

    Minutes count decoding, describing and training; choosing tuples, searching and NetVLAD's clusters are left out, and
    every photograph counts as not decoded yet. ValueError where there is no room for the network and a few images.
    """
    device = pick_device()
    resource = memory_of(device)
    bytes_free = {RAM: free_memory(torch.device("cpu")), resource: free_memory(device), DISK: _free_disk()}
    try:
        return from_cost(config, sets, _cost_of(config, sets[:2], device), bytes_free)
    except torch.OutOfMemoryError:
        raise ValueError(
            f"{resource} is short: {_gb(bytes_free[resource])} free do not hold the network and a few images; "
            f"lower image_size or {config.task.row_option}, or freeze more layers"
        ) from None


_measured: dict[tuple, Cost] = {}


def _cost_of(config: Config, sets: Sequence[PlaceSet], device: torch.device) -> Cost:
    """What a training costs: measured once for all in this process whose rounds do the same work, as other seeds do."""
    key = config.training().replace(seed=0, lr=1.0, epochs_num=1), *(places.fingerprint for places in sets), device
    if key not in _measured:
        _measured[key] = measure_cost(config, sets, device)
    return _measured[key]


def from_cost(config: Config, sets: Sequence[PlaceSet], cost: Cost, bytes_free: Mapping[str, float]) -> Estimate:
    """Estimate from what a training costs, where so many bytes are free of RAM, GPU memory, if any, and disk.

    Memory is an upper bound: what the test needs is added to what the training needs, in RAM and on a GPU.
    """
    network_in, test = GPU if GPU in bytes_free else RAM, _Test(config, sets, cost.values_per_descriptor)
    bytes_per_image = 3 * prod(config.image_size)
    bytes_of_pixels = bytes_per_image * np.array([*cost.images, test.area * test.images])  # (3,): train, val, test
    mapped = bool(bytes_of_pixels.sum() <= MAPPED_SHARE_OF_DISK * bytes_free[DISK])  # decoded once, to files
    bytes_of_pixels *= mapped
    bytes_waiting = (ahead(mapped) + 2) * bytes_per_image  # in RAM, for each image of a batch that is decoded
    bytes_of_val = 4 * cost.images[1] * cost.values_per_descriptor
    bytes_of_descriptors = np.array([bytes_of_val, test.bytes_of_descriptors])  # (2,)
    fit = bytes_of_descriptors <= MEMORY_SHARE * min(bytes_free[RAM], bytes_free[network_in])  # (2,); else on disk
    bytes_held = bytes_of_descriptors * fit  # (2,)

    bytes_of_training = dict.fromkeys([RAM, network_in], 0.0)  # one entry where the network lies in RAM
    bytes_of_training[RAM] += _bytes_of_ram(config, cost.bytes_of_model, bytes_waiting)
    bytes_of_training[network_in] += _bytes_of_network(cost, bytes_held[0])
    bytes_of_training[RAM if processes.size() == 1 else network_in] += MARGIN * cost.bytes_resting
    bytes_of_test = _bytes_of_test(config, cost, test, bytes_held[1], bytes_waiting)
    bytes_needed = {resource: nbytes + bytes_of_test for resource, nbytes in bytes_of_training.items()}
    bytes_needed[DISK] = bytes_of_pixels.sum() + _bytes_of_files(cost, test, max(bytes_of_descriptors - bytes_held))
    bytes_over = {resource: nbytes - bytes_free[resource] for resource, nbytes in bytes_of_training.items()}
    peak_bytes = bytes_of_training[network_in] + (network_in == RAM) * bytes_of_pixels[:2].sum()  # mapped pages count
    minutes = _minutes(config, cost, test, mapped)
    training = of_training(config.epochs_num, minutes["done once"], minutes["training"], network_in, peak_bytes)
    return Estimate(minutes, bytes_needed, bytes_free, _remedies(config, cost, bytes_over, network_in), training)


class _Test:
    """What the test of a run works on."""

    def __init__(self, config: Config, sets: Sequence[PlaceSet], values_per_descriptor: int):
        (train, _, test), strategy = sets, make_strategy(config.test_method)
        views_per_query = len(strategy.views(config.tested_at, config.tested_at))
        views = views_per_query * len(test.queries) + len(test.database)
        self.images = len(test.database) + len(test.queries)
        self.area = prod(config.tested_at) / prod(config.image_size)  # pixels of an image, for each of one in training
        self.bytes_of_descriptors = 4 * views * strategy.width(config.whitened_dim or values_per_descriptor)
        self.whitened_from = min(LEARNED_ON, len(train.database)) if config.whitened_dim else 0  # images
        self.whitened_dim = widest(values_per_descriptor, self.whitened_from) if self.whitened_from else 0  # at most
        passes = (1 + strategy.flip) * sum(scale**2 for scale in strategy.scales)  # through the network, for a view
        self.described = self.area * passes * views + self.whitened_from  # counted in images of the training's size


def _bytes_of_ram(config: Config, bytes_of_model: int, bytes_waiting: float) -> float:
    """Bytes of RAM that a training takes, even where its network lies on a GPU."""
    rows = ceil(config.train_batch_size / processes.size())
    images = rows * (config.task.images_per_row + config.task.adapts)
    return bytes_waiting * max(images, config.infer_batch_size) + LIBRARIES + 2 * bytes_of_model  # the best, its copy


def _bytes_of_network(cost: Cost, bytes_of_val: float) -> float:
    """Bytes that a training takes where its network lies, with those of val's descriptors."""
    bytes_to_mine = 4 * cost.images_described_per_round * cost.values_per_descriptor
    bytes_counted = cost.bytes_of_model + cost.bytes_beside_model + max(bytes_to_mine, bytes_of_val)
    return MARGIN * bytes_counted + sum(cost.bytes_cached) + max(cost.bytes_to_describe, cost.bytes_to_learn)


def _bytes_of_test(config: Config, cost: Cost, test: _Test, bytes_of_descriptors: float, bytes_waiting: float) -> float:
    """Bytes of memory that a test takes beside a training: its descriptors, larger images, a whitening."""
    bytes_of_batch = max(0, test.area - 1) * (cost.bytes_to_describe + bytes_waiting * config.infer_batch_size)
    bytes_to_whiten = 4 * test.whitened_from * cost.values_per_descriptor
    bytes_to_whiten += learning_bytes(test.whitened_from, cost.values_per_descriptor, test.whitened_dim)
    return MARGIN * bytes_of_descriptors + bytes_of_batch + (bytes_to_whiten if test.whitened_dim else 0)


def _bytes_of_files(cost: Cost, test: _Test, bytes_of_descriptors: float) -> float:
    """Bytes on disk of a state, a best model and a whitening, beside those they replace, and descriptors as float16."""
    bytes_of_whitening = 4 * cost.values_per_descriptor * test.whitened_dim
    bytes_of_state = 3 * cost.bytes_of_model + cost.bytes_beside_model + cost.bytes_resting
    return 2 * (bytes_of_state + bytes_of_whitening) + bytes_of_descriptors / 2


def _minutes(config: Config, cost: Cost, test: _Test, mapped: bool) -> dict[str, float]:
    """Minutes of what is done once, of a training's rounds and validations, and of the test; (2,): train and val."""
    rounds = config.epochs_num * config.queries_per_epoch // config.cache_refresh_rate
    described = np.array([rounds * cost.images_described_per_round, (1 + config.epochs_num) * cost.images[1]])  # (2,)
    learned = rounds * cost.images_learned_per_round
    seconds_each, seconds_whole = np.array(cost.seconds_to_describe[:2]), cost.seconds_to_describe[2]  # (2,)
    decoded_once = np.array(cost.bytes_cached) + mapped > 0  # (2,)
    seconds_frozen = np.maximum(0, seconds_whole - seconds_each)  # (2,): in layers whose output is cached
    seconds_once = np.dot(cost.images, cost.seconds_to_decode * decoded_once + seconds_frozen)
    seconds_decoding = cost.seconds_to_decode * np.dot(described + np.array([learned, 0]), ~decoded_once)
    seconds_training = seconds_decoding + described @ seconds_each + learned * cost.seconds_to_learn
    seconds_of_test = cost.seconds_to_decode * test.images + seconds_whole * test.described
    seconds = {"done once": seconds_once, "training": seconds_training, "test": seconds_of_test}
    return {part: float(some) / 60 for part, some in seconds.items()}


def _remedies(config: Config, cost: Cost, bytes_over: Mapping[str, float], network_in: str) -> dict[str, str]:
    """Ends of sentences: what to change where a resource is short, by ``bytes_over`` for the training alone."""
    fewer = f"train_batch_size, {config.task.row_option}, infer_batch_size or image_size"
    remedies = {RAM: f"; decoded batches wait there: lower {fewer}"}
    remedies[network_in] = _remedy_of_network(config, cost, bytes_over[network_in])
    of_test = "; its test: lower infer_batch_size, test_image_size or whitened_dim, or choose another test_method"
    remedies |= {resource: of_test for resource, nbytes in bytes_over.items() if nbytes <= 0}
    return remedies | {DISK: f" in {paths.cache_root()}; free some, or set VG_CACHE to a larger disk"}


def _remedy_of_network(config: Config, cost: Cost, bytes_over: float) -> str:
    size = config.train_batch_size
    rows_over = ceil(bytes_over / max(1, cost.bytes_to_learn_row))
    rows = ceil(size / (processes.size() * config.accumulate)) - rows_over  # that fit at a time
    fit = processes.size() * rows
    if 0 < fit < size and bytes_over <= cost.bytes_to_learn - cost.bytes_to_describe:
        return f"; train_batch_size={fit} instead of {size} would fit, or accumulate={ceil(size / fit)}"
    return f"; lower image_size, {config.task.row_option} or infer_batch_size, or freeze more layers"


def _free_disk() -> int:
    """Bytes free where the cache lies."""
    cache = paths.cache_root()
    cache.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache).free


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
