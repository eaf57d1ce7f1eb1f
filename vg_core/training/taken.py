"""What a run took, set beside what was expected before it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import torch

from vg_core.system import own_files
from vg_core.system.devices import pick_device

FILE = "estimate.json"  # beside the tables of a run
RAM, GPU = "RAM", "GPU memory"  # what the network lies in


def after_training(folder: Path, history: pd.DataFrame, validation: pd.DataFrame) -> None:
    """Add the minutes and the memory that a training took to the estimate in its folder, if one is there."""
    if own_files.is_intact(folder / FILE):
        minutes = history.seconds_decode.sum() / 60, (history.seconds.sum() + validation.seconds.sum()) / 60
        resource, peak_bytes = memory_of(pick_device()), history.peak_bytes.max()
        _set_beside(folder, of_training(int(validation.epoch.max()), *minutes, resource, peak_bytes))


def after_test(folder: Path, test: str, seconds: float, filled: Sequence[Path]) -> None:
    """Add the time of a test, and the bytes of the files that were written since its training began to the folders
    ``filled``, to the estimate in the run's folder, if one is there and for this test.
    """
    if own_files.is_intact(folder / FILE):
        began = own_files.read(folder / FILE)["began"]  # seconds since 1970
        found = [file.stat() for place in filled for file in place.rglob("*") if file.is_file()]
        bytes_filled = sum(one.st_size for one in found if one.st_mtime >= began)
        _set_beside(folder, of_test(test, seconds / 60, bytes_filled))


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


def of_training(epochs: int, minutes_once: float, minutes: float, resource: str, nbytes: float) -> dict[str, float]:
    done = {"epochs": epochs, "minutes done once": minutes_once, "minutes of training": minutes}
    return done | {f"GB of {resource} in training": nbytes / 1e9}


def of_test(test: str, minutes: float, bytes_of_disk: float) -> dict[str, float]:
    """Quantities of a test by names that contain its own, since one training may have several tests."""
    return {f"minutes of test {test}": minutes, f"GB of disk with test {test}": bytes_of_disk / 1e9}


def memory_of(device: torch.device) -> str:
    return GPU if device.type == "cuda" else RAM
