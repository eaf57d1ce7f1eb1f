"""What a training will need, said before it starts: memory, disk and minutes, from one batch and the sets' sizes."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch

from vg_core import own_files, paths, processes
from vg_core.batch_cost import Batch, measure
from vg_core.config import Config
from vg_core.devices import free_memory, pick_device
from vg_core.needs import Needs, memory_of
from vg_core.places.dataset import PlaceSet
from vg_core.records import load_places, run_id, test_name
from vg_core.workload import learned, pictures, rounds, seen, whitened

FILE = "estimate.json"  # beside the tables of a run


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

    def save(self, folder: Path) -> None:
        """Write it to the folder of a run's tables, where what the run takes will be set beside it."""
        needs, (test, disk) = self.needs, _of_test(self.needs.config)
        expected = {"epochs": needs.config.epochs_num, "minutes done once": self.minutes["done once"]}
        most = needs.training + (needs.mapped if needs.memory == "RAM" else 0)
        expected |= {"minutes of training": self.minutes["training"], _peak_of(needs.device): most / 1e9}
        expected |= {test: self.minutes["test"], disk: self.needed["disk"] / 1e9}
        own_files.write(folder / FILE, {"expected": expected, "taken": {}, "free_disk": self.free["disk"]})

    def check(self) -> None:
        """Nothing, or a ValueError that says what is short and what would fit."""
        short = [name for name in self.needed if self.needed[name] > self.free[name]]
        if not short:
            return
        sentence = f"{short[0]} is short: {_gb(self.needed[short[0]])} needed, {_gb(self.free[short[0]])} free"
        if short[0] == "disk":
            raise ValueError(f"{sentence} in {paths.cache_root()}; free some, or set VG_CACHE to a larger disk")
        raise ValueError(f"{sentence}; {self.needs.remedy(short[0])}")


def preflight(config: Config, batch: Batch | None = None, free: dict[str, float] | None = None) -> Estimate:
    """Estimate for a whole run of this configuration, on this machine as it is.

    Minutes count decoding, describing and training; choosing tuples, searching, NetVLAD's clusters, what PyTorch itself
    takes and what several processes send each other are left out; every photograph counts as not decoded yet.
    ``batch`` is measured, and ``free`` asked for, unless given. ValueError where there is no room to measure it.
    """
    sets, device = [load_places(config, split) for split in ("train", "val", "test")], pick_device()
    needs = Needs(config, batch or _measured(config, sets[0], device), sets, device, free or _free(device))
    return Estimate(needs, needs.by_resource, _minutes(needs))


def after_training(folder: Path, history: pd.DataFrame, validation: pd.DataFrame) -> None:
    """Set the minutes and the memory that a training took beside the estimate in its folder, if one is there."""
    if not own_files.whole(folder / FILE):
        return
    taken = {"epochs": int(validation.epoch.max()), "minutes done once": history.seconds_decode.sum() / 60}
    taken["minutes of training"] = (history.seconds.sum() + validation.seconds.sum()) / 60
    taken[_peak_of(pick_device())] = history.peak_bytes.max() / 1e9
    _set_beside(folder / FILE, own_files.read(folder / FILE), taken)


def after_test(folder: Path, config: Config, seconds: float) -> None:
    """Set the time of a test, and by how much less disk is free than before its training, beside the estimate in the
    run's folder, if one is there and for this test.
    """
    if not own_files.whole(folder / FILE):
        return
    record, (test, disk) = own_files.read(folder / FILE), _of_test(config)
    filled = max(0, record["free_disk"] - _free_disk())  # others may write and remove, too
    _set_beside(folder / FILE, record, {test: seconds / 60, disk: filled / 1e9})


def compared(config: Config) -> pd.DataFrame:
    """What the run of this configuration was ``expected`` to take and what was ``taken``, with a row for each thing.

    Damaged, in a sentence, for a run that has no estimate, such as one that trained nothing.
    """
    file = paths.runs_folder(config.profile) / run_id(config) / FILE
    record = own_files.read(file, f"an estimate is made when a training begins: delete {file.parent} to train again")
    return pd.DataFrame({column: record[column] for column in ("expected", "taken")})


def _set_beside(file: Path, record: dict, taken: Mapping[str, float]) -> None:
    """Say what was taken of that which the record of an estimate expects, and write it to its file."""
    known = {name: amount for name, amount in taken.items() if name in record["expected"]}
    for name, amount in known.items():
        print(f"{name}: {amount:.2f} taken, {record['expected'][name]:.2f} expected")
    own_files.write(file, record | {"taken": record["taken"] | known})


def _peak_of(device: torch.device) -> str:
    return f"GB of {memory_of(device)} in training"


def _of_test(config: Config) -> tuple[str, str]:
    """What its time, and the disk that a run with it takes, are called: one training may have several tests."""
    return f"minutes of test {test_name(config)}", f"GB of disk with test {test_name(config)}"


def _measured(config: Config, places: PlaceSet, device: torch.device) -> Batch:
    """Batch of the configuration, or a ValueError where the device has no room to measure one."""
    free = free_memory(device)
    try:
        return measure(config, places, device)
    except torch.OutOfMemoryError:
        raise ValueError(
            f"{memory_of(device)} is short: {_gb(free)} free do not hold the network and a few images; "
            "lower image_size or negs_num_per_query, or freeze more layers"
        ) from None


def _minutes(needs: Needs) -> dict[str, float]:
    """Minutes of what is done once (decoding, frozen layers' output that is kept), of a training's rounds and
    validations, and of the test, with its decoding and whitening.
    """
    config, batch, sets, size = needs.config, needs.batch, needs.sets, processes.size()
    train, val, test = seen(config, sets)
    once, again, described = _images(needs)
    decoded_once, decoded_again = (train + val, 0) if needs.pixels else (once, again)
    training = again * batch.stem_seconds + described * batch.tail_seconds
    training += learned(config, needs.task) * batch.train_seconds
    tested = (pictures(config, sets[2]) + whitened(config, sets[0])) / size
    seconds = {
        "done once": decoded_once * batch.decode_seconds + once * batch.stem_seconds / size,
        "training": decoded_again * batch.decode_seconds + training / size,
        "test": test * batch.decode_seconds + tested * (batch.stem_seconds + batch.tail_seconds),
    }
    return {part: spent / 60 for part, spent in seconds.items()}


def _images(needs: Needs) -> tuple[int, int, int]:
    """Images that go through the frozen layers once, since the outcome is kept; how often others do until training
    ends; and how often images are described.
    """
    config, (of_train, of_val) = needs.config, needs.stems
    train, val, _ = seen(config, needs.sets)
    mining, validated = rounds(config) * needs.mined[1], (1 + config.epochs_num) * val
    once = train * (of_train > 0) + val * (of_val > 0)
    again = (mining + learned(config, needs.task)) * (of_train == 0) + validated * (of_val == 0)
    return once, again, mining + validated


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
