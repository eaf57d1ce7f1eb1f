"""What a training costs, measured: its real trainer describes and learns from a few images, and is thrown away."""

import io
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vg_core.config import Config
from vg_core.config.tasks import Task
from vg_core.datasets.photographs import Photographs
from vg_core.datasets.places import PlaceSet
from vg_core.retrieval.descriptors import describe_photographs
from vg_core.retrieval.feature_cache import DeviceCache, StemCache
from vg_core.system import processes
from vg_core.system.devices import free_memory, peak_of
from vg_core.training.trainer import FIRST, Trainer

# images that memory is measured on first, then twice as many: a batch without room could end the process; as many as
# the shortest row of hphn_quadruplet has
FEW = 4
SHOWN = 12  # photographs that are decoded, and timed on a CPU; batches of any size repeat them
MARGIN = 1.3  # on bytes that follow from those of few images, or are counted: memory lies in pieces


@dataclass(frozen=True)
class Cost:
    """What a training costs: bytes of the memory that the network lies in, seconds per image of all processes."""

    values_per_descriptor: int
    images: tuple[int, int]  # of train and val
    images_described_per_round: int  # to choose those that the round learns from
    images_learned_per_round: int
    bytes_of_model: int
    bytes_beside_model: int  # that only a training needs: gradients, moments, the objective's weights
    bytes_resting: int  # of weights that took no part, and of their moments once they have
    bytes_cached: tuple[int, int]  # of train and val: the frozen layers' output, or pixels on a GPU
    bytes_to_describe: float  # a batch
    bytes_to_learn: float  # from as much of a batch as is in memory at a time
    bytes_to_learn_row: float
    seconds_to_decode: float
    seconds_to_describe: tuple[float, float, float]  # train, val and test: frozen layers only where they are not cached
    seconds_to_learn: float


def measure_cost(config: Config, sets: Sequence[PlaceSet], device: torch.device) -> Cost:
    """Cost of a training on the sets train and val. Measuring it leaves no file, and the random numbers as they were.

    Raises torch.OutOfMemoryError where a GPU does not hold a few images.
    """

    def undecoded(places: PlaceSet, size: tuple[int, int], _task: Task) -> Photographs:
        return Photographs(places.paths, size)

    silent = redirect_stdout(io.StringIO())  # what the trainer says, the training says again
    with silent, torch.random.fork_rng([device] if device.type == "cuda" else []):
        trainer = Trainer(config.replace(compile=False, accumulate=1), Path(), *sets, undecoded)
        return _measure(trainer, config, device)


def _measure(trainer: Trainer, config: Config, device: torch.device) -> Cost:
    rows, images_described = _draw(trainer, device)  # (R, P)
    learned, mined, validated = trainer.sources
    images = len(trainer.images), len(trainer.val_images)
    stems = [source for source in (mined, validated) if isinstance(source, StemCache)]
    few, started = [[image] for image in rows.ravel()[:SHOWN]], time.monotonic()
    pixels = torch.cat(list(trainer.images.batches(few)))  # (SHOWN, 3, H, W)
    seconds_to_decode = (time.monotonic() - started) / len(few)
    maps = stems[0].make(pixels) if stems else pixels  # (SHOWN, C, h, w)
    batch = min(config.infer_batch_size, images[0])
    bytes_to_describe, _, seconds_whole = _spent(partial(_describe, trainer, pixels), batch, device)
    seconds_rest = _spent(partial(_describe, trainer, maps), batch, device)[2] if stems else seconds_whole
    rest_of = {True: seconds_rest, False: seconds_whole}  # by whether the frozen layers' output is there
    at_once = ceil(len(trainer.batches(rows)[0]) / processes.size() / config.accumulate) * rows.shape[1]  # images
    learn = partial(_learn, trainer, maps if learned in stems else pixels, rows)
    bytes_to_learn, bytes_to_learn_image, seconds_to_learn = _spent(learn, at_once, device)
    weights = [weight for group in trainer.optimizer.param_groups for weight in group["params"]]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    bytes_idle = sum(weight.nbytes for weight in weights if weight.grad is None)
    moments = [moment for state in trainer.optimizer.state.values() for moment in state.values()]
    beside_model = [*gradients, *moments, *trainer.objective.state_dict().values()]
    return Cost(
        values_per_descriptor=trainer.model.dim,
        images=images,
        images_described_per_round=images_described,
        images_learned_per_round=rows.size,
        bytes_of_model=sum(tensor.nbytes for tensor in trainer.model.state_dict().values()),
        bytes_beside_model=sum(tensor.nbytes for tensor in beside_model) - bytes_idle,
        bytes_resting=3 * bytes_idle,  # as with Adam's two moments
        bytes_cached=tuple(
            sum(source.nbytes for source in some if isinstance(source, DeviceCache))
            for some in ({learned, mined}, {validated})
        ),
        bytes_to_describe=bytes_to_describe,
        bytes_to_learn=bytes_to_learn,
        bytes_to_learn_row=bytes_to_learn_image * rows.shape[1],
        seconds_to_decode=seconds_to_decode,
        seconds_to_describe=(*(rest_of[one in stems] for one in (mined, validated)), seconds_whole),
        seconds_to_learn=seconds_to_learn,
    )


def _draw(trainer: Trainer, device: torch.device) -> tuple[np.ndarray, int]:
    """(R, P) rows of a round, and how many images are described for it once its queries have previous negatives."""
    counts = [0]

    def describe(wanted: np.ndarray) -> Tensor:
        counts.append(len(wanted))
        return torch.randn(len(wanted), 8, device=device)  # (M, 8)

    for _ in range(2):
        rows, _ = trainer.objective.draw(FIRST, np.random.default_rng(trainer.config.seed), describe)
    return rows, counts[-1]


@dataclass
class _Repeated:
    """A source of batches of any size, in which the same images (N, C, H, W) come again and again."""

    images: Tensor

    def batches(self, indices: Iterable[np.ndarray]) -> Iterator[Tensor]:
        for wanted in indices:
            yield self.images[torch.from_numpy(wanted) % len(self.images)].contiguous(memory_format=torch.channels_last)


def _describe(trainer: Trainer, images: Tensor, count: int) -> None:
    """Describe ``count`` images in each process."""
    describe_photographs(trainer.model, _Repeated(images), count, np.arange(count * processes.size()))


def _learn(trainer: Trainer, images: Tensor, rows: np.ndarray, count: int) -> None:
    """Take a training step with ``count`` images in each process, in rows of FEW images."""
    rows = rows[:, :FEW]  # (R, FEW)
    rows = np.resize(rows, (processes.size() * max(1, count // rows.shape[1]), rows.shape[1]))
    trainer.model.train()
    trainer.step(next(_Repeated(images).batches([np.arange(rows.size // processes.size())])), rows)


def _spent(work: Callable[[int], None], count: int, device: torch.device) -> tuple[float, float, float]:
    """(bytes that ``work`` on ``count`` images takes, bytes per image, seconds per image)."""
    work(FEW)  # libraries, gradients and moments are there afterwards
    less, more = (peak_of(partial(work, few), device) for few in (FEW, 2 * FEW))  # bytes
    bytes_per_image = MARGIN * max(0, more - less) / FEW
    bytes_of_all, cuda = less + bytes_per_image * (count - FEW), device.type == "cuda"
    fits = processes.agreed(bytes_of_all < free_memory(device))
    timed = min(count, count if cuda else SHOWN) if fits else 2 * FEW  # a GPU is hardly slower with many images
    for _ in range(1 + cuda):  # the first time of so many on a GPU chooses algorithms
        started = time.monotonic()
        work(timed)
        if cuda:
            torch.cuda.synchronize(device)
    return bytes_of_all, bytes_per_image, (time.monotonic() - started) / timed / processes.size()
