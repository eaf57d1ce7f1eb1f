"""What a training costs, measured: its real trainer describes and learns from a few images, and is thrown away."""

import io
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
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
from vg_core.retrieval.descriptors import describe_photographs
from vg_core.retrieval.feature_cache import DeviceCache, StemCache
from vg_core.system import processes
from vg_core.system.devices import free_memory, peak_of
from vg_core.training.trainer import FIRST, Trainer

FEW = 3  # images that memory is measured on first, then twice as many: a batch without room could end the process
SHOWN = 12  # photographs that are decoded, and timed on a CPU; batches of any size repeat them
MARGIN = 1.3  # on bytes that follow from those of few images, or are counted: memory lies in pieces


class Cost:
    """What a training on the sets train and val costs: bytes of the memory that the network lies in, seconds per image
    of all processes together.

    Nothing stays of it, no file and no random number. Raises torch.OutOfMemoryError where a GPU does not hold
    a few images.
    """

    def __init__(self, config: Config, sets: Sequence[PlaceSet], device: torch.device):
        def undecoded(places: PlaceSet, size: tuple[int, int]) -> Photographs:
            return Photographs([*places.database.path, *places.queries.path], size)

        self.device = device
        with redirect_stdout(io.StringIO()), torch.random.fork_rng([device] if device.type == "cuda" else []):
            config = config.replace(compile=False)  # silent: what the trainer says, the training says again
            self.trainer = trainer = Trainer(config.replace(accumulate=1), Path(), *sets, undecoded)
            self.dim = trainer.model.dim  # values of a descriptor
            self.images = len(trainer.images), len(trainer.val_images)
            self.rows, self.mined = self._draw()  # (R, P) images of a round; how many it describes to choose them
            sources = trainer.sources[0].source, trainer.sources[1]
            # bytes of train and val in memory: frozen layers' output, or pixels on a GPU
            self.cached = [source.nbytes if isinstance(source, DeviceCache) else 0 for source in sources]
            self._measure(config, [source if isinstance(source, StemCache) else None for source in sources])
            moments = [moment for state in trainer.optimizer.state.values() for moment in state.values()]
            gradients = [p for group in trainer.optimizer.param_groups for p in group["params"]]
            beside = [*gradients, *moments, *trainer.objective.state_dict().values()]
            self.model = sum(one.nbytes for one in trainer.model.state_dict().values())
            self.beside = sum(one.nbytes for one in beside)  # bytes that only a training needs

    def _draw(self) -> tuple[np.ndarray, int]:
        """(R, P) rows of a round, and how many images are described for it once its queries have previous negatives."""
        described = [0]

        def describe(wanted: np.ndarray) -> Tensor:
            described.append(len(wanted))
            return torch.randn(len(wanted), 8, device=self.device)  # (M, 8)

        for _ in range(2):
            rows, _ = self.trainer.objective.draw(FIRST, np.random.default_rng(self.trainer.config.seed), describe)
        return rows, described[-1]

    def _measure(self, config: Config, stems: Sequence[StemCache | None]) -> None:
        some, started = [[image] for image in self.rows.ravel()[:SHOWN]], time.monotonic()
        pixels = torch.cat(list(self.trainer.images.batches(some)))  # (SHOWN, 3, H, W)
        self.decode = (time.monotonic() - started) / len(some)  # seconds, by all threads
        cache = stems[0] or stems[1]
        maps = cache.make(pixels) if cache else pixels  # (SHOWN, C, h, w)
        described = min(config.infer_batch_size, self.images[0])
        self.describing, _, whole = self._spent(partial(self._describe, pixels), described)  # bytes, of a batch
        rest = self._spent(partial(self._describe, maps), described)[2] if cache else whole
        self.describe = np.array([*(rest if stem else whole for stem in stems), whole])  # seconds: mining, val, test
        rows, width = len(self.trainer.batches(self.rows)[0]), self.rows.shape[1]
        learned = ceil(rows / processes.size() / config.accumulate) * width
        self.learning, each, self.learn = self._spent(partial(self._learn, maps if stems[0] else pixels), learned)
        self.row = each * width  # bytes that a row takes of those of a step

    def _describe(self, images: Tensor, count: int) -> None:
        """Describe ``count`` images in each process."""
        source = SimpleNamespace(batches=lambda parts: (_repeated(images, len(part)) for part in parts))
        describe_photographs(self.trainer.model, source, count, np.arange(count * processes.size()))

    def _learn(self, images: Tensor, count: int) -> None:
        """Take a training step with ``count`` images in each process, in rows of FEW images."""
        rows = self.rows[:, :FEW]  # (R, FEW)
        rows = np.resize(rows, (processes.size() * max(1, count // rows.shape[1]), rows.shape[1]))
        self.trainer.model.train()
        self.trainer.step(_repeated(images, rows.size // processes.size()), rows)

    def _spent(self, work: Callable[[int], None], count: int) -> tuple[float, float, float]:
        """(bytes that ``work`` on ``count`` images takes, bytes per image, seconds per image)."""
        work(FEW)  # libraries, gradients and moments are there afterwards
        less, more = (peak_of(partial(work, few), self.device) for few in (FEW, 2 * FEW))
        each = MARGIN * max(0, more - less) / FEW
        taken, cuda = less + each * (count - FEW), self.device.type == "cuda"
        fits = processes.agreed(taken < free_memory(self.device))
        timed = min(count, count if cuda else SHOWN) if fits else 2 * FEW  # a GPU is hardly slower with many images
        for _ in range(1 + cuda):  # the first time of so many on a GPU chooses algorithms
            started = time.monotonic()
            work(timed)
            if cuda:
                torch.cuda.synchronize(self.device)
        return taken, each, (time.monotonic() - started) / timed / processes.size()


def _repeated(images: Tensor, count: int) -> Tensor:
    """(count, C, H, W): the given images again and again."""
    return images[torch.arange(count) % len(images)].contiguous(memory_format=torch.channels_last)
