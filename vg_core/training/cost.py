"""What a training costs, measured: its real trainer describes one batch, learns from one, and is thrown away."""

import io
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from vg_core.config import Config
from vg_core.datasets.photographs import Photographs
from vg_core.datasets.places import PlaceSet
from vg_core.models.precision import mixed_precision
from vg_core.retrieval.descriptors import describe_photographs
from vg_core.retrieval.feature_cache import Kept, StemCache, descriptors_of
from vg_core.system import processes
from vg_core.system.devices import forget_peak, free_memory, peak_of, used_memory
from vg_core.training.trainer import FIRST, Trainer

FEW = 2  # images that memory is measured on first, then twice as many: a batch without room could end the process
SHOWN = 12  # photographs that are decoded; batches of any size repeat them
MARGIN = 1.3  # on bytes that follow from those of few images, or are counted: memory lies in pieces
QUICK = 0.1  # seconds; such work is done twice, since the first time finds its memory and its algorithms


@dataclass(frozen=True)
class Cost:
    """Bytes of the memory that the network lies in; seconds of one image, by all processes together."""

    dim: int  # values of a descriptor
    model: int  # bytes of its file
    state: int  # bytes of the file that an interrupted training goes on from
    steady: float  # bytes of weights, gradients and moments
    images: tuple[int, int]  # of train and of val
    learned: int  # images that a round learns from
    mined: int  # images that it describes to choose them
    kept: tuple[int, int]  # bytes kept of train and val in place of photographs: frozen layers' output, pixels
    passing: float  # bytes beyond ``steady`` when a batch is described
    step: float  # bytes beyond it when a batch is learned from
    row: float  # bytes of these that one row takes
    decode: float  # seconds, by all threads
    stem: float  # seconds in frozen layers whose output is kept
    describe: tuple[float, float, float]  # seconds in mining, in validation and in the test
    learn: float  # seconds of a step


def measure(config: Config, sets: Sequence[PlaceSet], device: torch.device) -> Cost:
    """Cost of a training on the sets train and val; seconds are those of FEW images where its batches have no room.

    Nothing stays of it, no file and no random number. Raises torch.OutOfMemoryError where a GPU does not hold a few.
    """
    with redirect_stdout(io.StringIO()), torch.random.fork_rng([device] if device.type == "cuda" else []):
        trial = Trial(config, sets, device)  # what it says, the training says again
        batch = trial.trainer.batches(trial.rows)[0]
        described, rows = min(config.infer_batch_size, len(trial.trainer.images)), len(batch) / processes.size()
        at_once = ceil(rows / config.accumulate) * batch.shape[1]  # images of a step in memory
        few, each = zip(*(trial.growth(work) for work in (trial.describe, trial.learn)), strict=True)
        passing, step = np.add(few, MARGIN * np.multiply(each, (described - FEW, at_once - FEW))).tolist()
        fits = processes.agreed(passing + step <= free_memory(device))
        at = forget_peak(device)
        seconds = trial.seconds_to_describe(described if fits else FEW)
        if fits:
            passing = used_memory(device)[1] - at
            shown = repeated(trial.fed[0], batch[processes.share(len(batch))].size)
            learn = timed(lambda: trial.trainer.step(shown, batch), device)[1] / batch.size
            step = used_memory(device)[1] - at  # in RAM, what describing has freed lies in pieces
            each = each[0], max(0, step - few[1]) / max(1, at_once - FEW)
        else:
            learn = timed(lambda: trial.learn(FEW), device)[1] / FEW / processes.size()
        return Cost(
            *trial.sizes(),
            *(passing, step, each[1] * batch.shape[1]),
            *(trial.decode, trial.stem / processes.size(), seconds, learn),
        )


class Trial:
    """A trainer that is thrown away, and a few photographs that its batches repeat."""

    def __init__(self, config: Config, sets: Sequence[PlaceSet], device: torch.device):
        self.trainer = trainer = Trainer(config.replace(compile=False), Path(), *sets, decode=_undecoded)
        self.device, self.sources = device, (trainer.sources[0].source, trainer.sources[1])
        self.rows, self.mined = self.draw()
        some = [[image] for image in self.rows.ravel()[:SHOWN]]
        self.pixels, seconds = timed(lambda: torch.cat(list(trainer.images.batches(some))), device)
        self.decode, cache = seconds / len(some), next((s for s in self.sources if isinstance(s, StemCache)), None)
        self.maps, seconds = timed(lambda: cache.make(self.pixels), device) if cache else (self.pixels, 0.0)
        self.stem = seconds / len(some)
        self.fed = [self.maps if isinstance(source, StemCache) else self.pixels for source in self.sources]

    def draw(self) -> tuple[np.ndarray, int]:
        """(R, P) images of a round, and how many are described for it, when each of its queries has come up before."""
        described = [0]

        def describe(wanted: np.ndarray) -> Tensor:
            described.append(len(wanted))
            values = np.random.default_rng(len(wanted)).standard_normal((len(wanted), 8), dtype=np.float32)
            return torch.from_numpy(values).to(self.device)

        for _ in range(2):
            rng = np.random.default_rng(self.trainer.config.seed)
            rows, _ = self.trainer.objective.draw(FIRST, rng, describe)
        return rows, described[-1]

    def growth(self, work: Callable[[int], None]) -> tuple[int, float]:
        """Bytes that work on FEW images takes, and that each further image adds."""
        work(FEW)  # libraries, gradients and moments are there afterwards
        less, more = (peak_of(partial(work, count), self.device) for count in (FEW, 2 * FEW))
        return less, max(0, more - less) / FEW

    def describe(self, count: int, images: Tensor | None = None) -> None:
        """Describe so many images, of each process."""
        shown = self.pixels if images is None else images
        source = SimpleNamespace(batches=lambda parts: (repeated(shown, len(part)) for part in parts))
        describe_photographs(self.trainer.model, source, count, np.arange(count * processes.size()))

    def seconds_to_describe(self, count: int) -> tuple[float, float, float]:
        """Seconds of an image in mining, in validation and in the test."""
        described = {}
        for images in (*self.fed, self.pixels):
            if id(images) not in described:
                seconds = timed(partial(self.describe, count, images), self.device)[1]
                described[id(images)] = seconds / count / processes.size()
        return tuple(described[id(images)] for images in (*self.fed, self.pixels))

    def learn(self, count: int) -> None:
        """Go forth and back with so many images, and follow the gradients."""
        self.trainer.model.train()
        self.trainer.optimizer.zero_grad(set_to_none=True)
        with mixed_precision(self.device):
            found = descriptors_of(self.trainer.model, repeated(self.fed[0], count).to(self.device))
        if found.requires_grad:
            found.float().sum().backward()
        self.trainer.optimizer.step()

    def sizes(self) -> tuple:
        """What a Cost begins with."""
        trainer, kept = self.trainer, tuple(s.nbytes if isinstance(s, Kept) else 0 for s in self.sources)
        moments = [moment for state in trainer.optimizer.state.values() for moment in state.values()]
        gradients = [p for group in trainer.optimizer.param_groups for p in group["params"]]
        model, others = trainer.model.state_dict().values(), [*trainer.objective.state_dict().values(), *moments]
        model, others, gradients = (sum(tensor.nbytes for tensor in some) for some in (model, others, gradients))
        steady, images = MARGIN * (model + others + gradients), (len(trainer.images), len(trainer.val_images))
        return trainer.model.dim, model, 2 * model + others, steady, images, self.rows.size, self.mined, kept


def _undecoded(places: PlaceSet, size: tuple[int, int]) -> Photographs:
    return Photographs([*places.database.path, *places.queries.path], size)  # decoded when they are asked for


def repeated(images: Tensor, count: int) -> Tensor:
    """So many images, the given ones again and again."""
    return images[torch.arange(count) % len(images)].contiguous(memory_format=torch.channels_last)


def timed(work: Callable[[], object], device: torch.device) -> tuple[object, float]:
    """What work gives, and its seconds."""
    for _ in range(2):
        started = time.monotonic()
        found = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.monotonic() - started
        if seconds > QUICK:
            break
    return found, seconds
