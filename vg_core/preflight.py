"""What a training will need, said before it starts: memory, disk and minutes, from one batch and the sets' sizes."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import torch

from vg_core import paths, processes
from vg_core.batch_cost import Batch, measure
from vg_core.config import Config
from vg_core.devices import free_memory, pick_device
from vg_core.files import replacing
from vg_core.needs import Needs, memory_of
from vg_core.records import load_places, run_id
from vg_core.workload import learned, pictures, seen, whitened


@dataclass(frozen=True)
class Estimate:
    """Bytes needed and free of each resource, minutes of each part of a run."""

    needs: Needs
    needed: dict[str, float]
    minutes: dict[str, float]

    @property
    def free(self) -> Mapping[str, float]:
        return self.needs.free

    def __str__(self) -> str:
        parts = ", ".join(f"{part} {minutes:.1f}" for part, minutes in self.minutes.items())
        needs = [f"{name} {_gb(self.needed[name])} of {_gb(self.free[name])} free" for name in self.needed]
        return f"expected minutes, if no early stop: {parts}\nexpected need: {', '.join(needs)}"

    def beside(self, history: pd.DataFrame, validation: pd.DataFrame) -> str:
        """The minutes, the memory and the disk that training took, with those expected of the run."""
        taken = (history.seconds.sum() if len(history) else 0.0) + validation.seconds.sum()
        epochs = f"{validation.epoch.max()} of {self.needs.config.epochs_num} epochs"
        said = f"minutes of training: {taken / 60:.1f} in {epochs}, {self.minutes['training']:.1f} expected for all"
        if not len(history):
            return said
        memory = self.needs.memory
        disk = max(0, self.free["disk"] - _free_disk())  # others may write and remove, too
        return (
            f"{said}\n{memory}: {_gb(history.peak_bytes.max())} at most, {_gb(self.needed[memory])} expected\n"
            f"disk: {_gb(disk)} less free than before, {_gb(self.needed['disk'])} expected at most"
        )

    def check(self) -> None:
        """Nothing, or a ValueError that says what is short and what would fit."""
        short = [name for name in self.needed if self.needed[name] > self.free[name]]
        if not short:
            return
        sentence = f"{short[0]} is short: {_gb(self.needed[short[0]])} needed, {_gb(self.free[short[0]])} free"
        if short[0] == "disk":
            raise ValueError(f"{sentence} in {paths.cache_root()}; free some, or set VG_CACHE to a larger disk")
        raise ValueError(f"{sentence}; {self.needs.remedy()}")


def preflight(config: Config, batch: Batch | None = None, free: dict[str, float] | None = None) -> Estimate:
    """Estimate for a whole run of this configuration, on this machine as it is.

    Minutes count decoding, describing and training; choosing tuples, searching, what PyTorch itself takes and what
    several processes send each other are left out; every photograph counts as not decoded yet. ``batch`` is measured,
    and ``free`` asked for, unless given.
    """
    sets, device = [load_places(config, split) for split in ("train", "val", "test")], pick_device()
    needs = Needs(config, batch or measure(config, sets[0], device), sets, device, free or _free(device))
    return Estimate(needs, needs.by_resource, _minutes(needs))


def expected_minutes(config: Config) -> dict[str, float]:
    """Minutes of ``preflight`` as they were estimated when first asked for, which the cache keeps."""
    file = paths.cache_root() / "estimates" / f"{run_id(config)}.json"
    if not file.exists():
        text = json.dumps(preflight(config).minutes)  # its faults are not those of writing
        with replacing(file) as unfinished:
            unfinished.write_text(text)
    return json.loads(file.read_text())


def _minutes(needs: Needs) -> dict[str, float]:
    """Minutes of decoding, training (with validations) and test (with whitening)."""
    config, batch, sets = needs.config, needs.batch, needs.sets
    decoded, stemmed, described = _images(needs)
    steps = learned(config)
    training = described * batch.tail_seconds + steps * batch.train_seconds + stemmed * batch.stem_seconds
    # several processes share out what each image is shown once for; views are the first one's
    shared = processes.size() if config.test_method == "hard_resize" else 1
    tested = pictures(config, sets[2]) / shared + whitened(config, sets[0]) / processes.size()
    seconds = {"decoding": decoded * batch.decode_seconds, "training": training / processes.size()}
    seconds["test"] = tested * (batch.stem_seconds + batch.tail_seconds)
    return {part: spent / 60 for part, spent in seconds.items()}


def _images(needs: Needs) -> tuple[float, float, float]:
    """How often images are decoded, go through the frozen layers and are described, until training ends; those of the
    test are decoded, too.
    """
    config, (of_train, of_val) = needs.config, needs.stems
    train, val, test = seen(config, needs.sets)
    rounds = config.epochs_num * config.queries_per_epoch // config.cache_refresh_rate
    mining, validated = rounds * needs.mined, (1 + config.epochs_num) * val
    stemmed = (train if of_train else mining + learned(config)) + (val if of_val else validated)
    return (train + val + test if needs.pixels else stemmed + test), stemmed, mining + validated


def _free(device: torch.device) -> dict[str, float]:
    """Bytes free now, for each process of this machine: of RAM, of disk, and of the memory of its device."""
    free = {"RAM": free_memory(torch.device("cpu")), "disk": _free_disk()}
    return free | {memory_of(device): free_memory(device)}


def _free_disk() -> int:
    """Bytes free where the cache lies."""
    cache = paths.cache_root()
    cache.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(cache).free


def _gb(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
