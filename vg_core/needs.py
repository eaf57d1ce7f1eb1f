"""Bytes that a run takes at most of memory and disk, from what one batch shows and the sizes of its sets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import torch

from vg_core import processes
from vg_core.batch_cost import ALIVE, MARGIN, Batch, step_bytes
from vg_core.config import Config
from vg_core.dimensions import widest
from vg_core.engines.exact import MEMORY_BYTES
from vg_core.models.whitening import learning_bytes
from vg_core.places.dataset import PlaceSet
from vg_core.places.photographs import MAPPED_SHARE_OF_DISK, ahead
from vg_core.retrieval import STORED_AT_ONCE
from vg_core.room import MEMORY_SHARE
from vg_core.stem_cache import STEMS_SHARE, pixels_fit
from vg_core.tasks import Task, make_task
from vg_core.workload import enlargement, mined, seen, shown, whitened

MOMENTS = 3  # gradient and the two moments of Adam, for each trained weight
LIBRARIES = 3 * 10**7  # bytes of RAM that PyTorch and oneDNN keep once they have trained: code, buffers of threads


@dataclass(frozen=True)
class Needs:
    """Of a configuration on a device, which has ``free`` bytes of RAM, disk and ``memory``, its own.

    What has no room in memory goes to disk, or is computed again, as the run itself decides.
    """

    config: Config
    batch: Batch
    sets: Sequence[PlaceSet]  # train, val, test
    device: torch.device
    free: Mapping[str, float]

    @property
    def memory(self) -> str:
        """Name of the resource that the network lies in."""
        return memory_of(self.device)

    @property
    def by_resource(self) -> dict[str, float]:
        """Bytes of RAM, disk and memory: of the latter the larger of what training and test take."""
        # every checkpoint is written beside the one that it replaces; the state carries the best model, too
        best, head = self.batch.weights, self._head
        state = 2 * best + head + (MOMENTS - 1) * (self.batch.trained + head)
        disk = self.pixels + 2 * (best + state) + self._whitening + max(self._validated[1], self._tested[1])
        training, testing = self._while_training, self.testing
        return {name: max(training[name], testing[name]) for name in testing} | {"disk": disk}

    def remedy(self, short: str) -> str:
        """What to change in the configuration when the memory of that name is short."""
        fit, size = self.fitting, self.config.train_batch_size
        if self._while_training[short] <= self.free[short]:
            return "its test: lower infer_batch_size, test_image_size or whitened_dim, or choose another test_method"
        if short != self.memory:
            return (
                "decoded batches wait there: lower train_batch_size, negs_num_per_query, infer_batch_size or image_size"
            )
        if 0 < fit < size:
            return f"train_batch_size={fit} instead of {size} would fit, or accumulate={-(-size // fit)}"
        return "lower image_size, negs_num_per_query or infer_batch_size, or freeze more layers"

    @property
    def training(self) -> float:
        """Bytes of the device's memory: what lies there all the time, and a pass or a step."""
        own = -(-self.config.train_batch_size // (processes.size() * self.config.accumulate))  # tuples at a time
        return self._between_steps + max(self._passing, own * self._tuple + self._freed)

    @property
    def testing(self) -> dict[str, float]:
        """Bytes of RAM and of the device's memory; a whitening is learned first, in RAM."""
        larger = enlargement(self.config)
        network = MARGIN * (self.batch.weights + self._whitening) + larger * self._passing
        waiting = larger * self._queued(self.config.infer_batch_size)
        there, elsewhere = (self._tested[0], 0) if self._plainly_tested else (0, self._tested[0])
        in_ram = waiting + max(MARGIN * elsewhere, self._learning)
        if self.memory == "RAM":
            return {"RAM": network + waiting + max(MARGIN * self._tested[0], self._learning)}
        return {"RAM": in_ram, self.memory: network + MARGIN * max(there, self._whitened)}

    @property
    def fitting(self) -> int:
        """The largest train_batch_size that has room beside everything else, or 0."""
        left = self.free[self.memory] - self._between_steps - self._freed
        return processes.size() * int(left // self._tuple) if left >= max(self._tuple, self._passing) else 0

    @cached_property
    def task(self) -> Task:
        """What is learned from, with weights that have sizes but no memory; to find positives takes a search."""
        with torch.device("meta"):
            return make_task(self.config, self.sets[0], self.batch.dim)

    @cached_property
    def mined(self) -> tuple[int, int]:
        """Images described in one mining round, at most and usually."""
        return mined(self.task)

    @cached_property
    def pixels(self) -> int:
        """Bytes of decoded pixels on disk; 0 when it has no room for them."""
        train, val, test = seen(self.config, self.sets)
        wanted = 3 * ((train + val) * prod(self.config.image_size) + test * prod(self.config.tested_at))
        return wanted if wanted <= MAPPED_SHARE_OF_DISK * self.free["disk"] else 0

    @property
    def mapped(self) -> int:
        """Bytes of decoded photographs that training maps from disk. The system counts them to the RAM that is taken,
        and takes them back when it is short: nobody needs RAM for them.
        """
        train, val, _ = seen(self.config, self.sets)
        return 3 * (train + val) * prod(self.config.image_size) * (self.pixels > 0)

    @cached_property
    def stems(self) -> tuple[int, int]:
        """Bytes of the frozen layers' output that are kept of train and of val, or 0 of each."""
        train, val, _ = seen(self.config, self.sets)
        budget = STEMS_SHARE * self.free[self.memory]
        of_train = train * self.batch.stem if self.config.augmentation == "none" else 0
        of_train *= of_train <= budget
        of_val = val * self.batch.stem
        return of_train, of_val * (of_val <= budget - of_train)

    @property
    def _while_training(self) -> dict[str, float]:
        """Bytes of RAM and of the device's memory."""
        return {"RAM": self._waiting} | {self.memory: self.training}

    @property
    def _head(self) -> int:
        """Bytes of the task's own weights, such as a classifier's; all of them are trained."""
        return sum(p.nbytes for p in self.task.parameters())

    @property
    def _waiting(self) -> int:
        """Decoded batches that wait to be used by the training, in RAM."""
        tuples = -(-self.config.train_batch_size // processes.size())
        return self._queued(max(tuples * self.config.task.images_per_row, self.config.infer_batch_size))

    def _queued(self, images: int) -> int:
        """Decoded batches of so many images that wait to be used, in RAM."""
        return (ahead(mapped=self.pixels > 0) + 2) * images * 3 * prod(self.config.image_size)

    @cached_property
    def _resident(self) -> float:
        """What lies in the device's memory as long as training lasts."""
        pixels = 0 if self.stems[0] else 3 * seen(self.config, self.sets)[0] * prod(self.config.image_size)
        pixels *= pixels_fit(pixels, self.device, self.free[self.memory])
        best = 2 * self.batch.weights  # the file of the best model, and its copy in the state that is saved
        waiting = self._waiting + LIBRARIES + best if self.memory == "RAM" else 0
        weights = self.batch.weights + self._head + MOMENTS * (self.batch.trained + self._head)
        return MARGIN * weights + sum(self.stems) + pixels + waiting

    @property
    def _between_steps(self) -> float:
        """What lies in the device's memory, with the descriptors of a mining round or of a validation."""
        mining = 4 * self.mined[0] * self.batch.dim
        return self._resident + MARGIN * max(mining, self._validated[0])

    @property
    def _passing(self) -> float:
        """A batch on its way through the network."""
        return MARGIN * self.config.infer_batch_size * ALIVE * self.batch.largest

    @property
    def _freed(self) -> float:
        """What a pass has freed and a step cannot use: in RAM, pieces that stay with the C library."""
        return self._passing if self.memory == "RAM" else 0

    @property
    def _tuple(self) -> float:
        """A tuple on its way forth and back."""
        return self.config.task.images_per_row * step_bytes(self.batch.kept, self.batch.largest)

    @property
    def _validated(self) -> tuple[float, float]:
        """Descriptors of val, in memory and on disk."""
        database = len(self.sets[1].database)
        queries = seen(self.config, self.sets)[1] - database
        return self._plainly(queries, database, self.batch.dim, self.free[self.memory] - self._resident)

    @property
    def _plainly_tested(self) -> bool:
        """Descriptors of the test are where the network is; those of views are NumPy's, in RAM."""
        return self.config.test_method == "hard_resize"

    @property
    def _tested(self) -> tuple[float, float]:
        """Descriptors of the test, in memory and on disk."""
        strategy, views = shown(self.config)
        width = strategy.width(self.config.whitened_dim or self.batch.dim)
        queries, database = len(self.sets[2].queries), len(self.sets[2].database)
        if self._plainly_tested:
            return self._plainly(queries, database, width, self.free[self.memory])
        fits = 4 * database * width <= MEMORY_SHARE * self.free["RAM"]  # queries are kept whatever their size
        return 4 * (views * queries + database * fits) * width, 2 * database * width * (not fits)

    def _plainly(self, queries: int, database: int, width: int, free: float) -> tuple[float, float]:
        """Descriptors of an evaluation that shows each image once, in memory and on disk, as `evaluate` has them."""
        every = 4 * (queries + database) * width
        if every <= MEMORY_SHARE * min(free, self.free["RAM"]):
            return every, 0
        return 4 * (queries + min(database, STORED_AT_ONCE)) * width + MEMORY_BYTES, 2 * database * width

    @property
    def _whitened(self) -> int:
        """Descriptors that a whitening is learned on."""
        return 4 * whitened(self.config, self.sets[0]) * self.batch.dim

    @property
    def _whitening(self) -> int:
        """Weights of a whitening."""
        longest = widest(self.batch.dim, len(self.sets[0].database)) if self.config.whitened_dim else 0
        return 4 * self.batch.dim * longest

    @property
    def _learning(self) -> float:
        """RAM in which a whitening is learned, with what it is learned on."""
        if not self.config.whitened_dim:
            return 0
        images, values = whitened(self.config, self.sets[0]), self.batch.dim
        return self._whitened + learning_bytes(images, values, self._whitening // (4 * values))


def memory_of(device: torch.device) -> str:
    """What a device's memory is called."""
    return "GPU memory" if device.type == "cuda" else "RAM"
