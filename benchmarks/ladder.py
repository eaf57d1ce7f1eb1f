"""One short training loop with a switch for each speed-up: all off it is the field's reference loop, all on our own.

Every loop draws the same queries and candidates in the same order as the ``Trainer``, of which it has the few methods
that a measurement calls. What it does not have: checkpoints, early stop, augmentation, kept stems.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import reference
from vg_core.config import Config
from vg_core.datasets.photographs import Photographs, in_parts
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import AT, recall
from vg_core.mining import draw_pool
from vg_core.models import GeoModel, build_model
from vg_core.models.network import Encoded, frozen_stem, inference_copy
from vg_core.models.precision import mixed_precision, normalise
from vg_core.retrieval.descriptors import local_descriptors
from vg_core.retrieval.feature_cache import DeviceCache, descriptors_of, keep_pixels
from vg_core.retrieval.ranking import nearest_on_device, search
from vg_core.system.clock import Clock
from vg_core.system.devices import WORKERS, pick_device
from vg_core.system.errors import ByName
from vg_core.training.objectives import RoundKey, Tuples
from vg_core.training.progress import Progress
from vg_core.training.trainer import FIRST, State, Trainer


@dataclass(frozen=True)
class Switches:
    """Speed-ups, in the order in which the ladder adds them; each is written beside what it replaces."""

    mining: bool = False  # all queries in one product on the device, validation too, instead of a Faiss index for each
    pixels: bool = False  # decoded once to uint8, normalised on the device, instead of Pillow and float32 each time
    netvlad: bool = False  # closed form, instead of a loop over clusters
    loss: bool = False  # all triplets at once, instead of a loop over negatives
    channels_last: bool = False  # instead of NCHW
    bf16: bool = False  # autocast where the device has it, instead of float32
    device_pixels: bool = False  # kept in a GPU's memory where it has room, instead of sent there for each batch
    fused: bool = False  # Adam in one kernel, instead of several for each operation
    folded: bool = False  # batch norms folded into convolutions, for descriptors and in the frozen layers
    compiled: bool = False  # the network by torch.compile, instead of one kernel after the other


SWITCHES = [field.name for field in fields(Switches)]
# name -> switches of a Loop, or the augmentation of the package's own Trainer, as it comes: it is not compiled, and it
# keeps stems when there is no augmentation
RUNGS: dict[str, Switches | str] = ByName(
    "rung",
    {
        "reference": Switches(),
        **{name: Switches(**dict.fromkeys(SWITCHES[:n], True)) for n, name in enumerate(SWITCHES, 1)},
        "augmented": "colour_jitter",
        "trainer": "none",
    },
)


class LoopedTuples(Tuples):
    """Tuples mined for one query after the other, from a list with a descriptor of each image."""

    def draw(self, _key: RoundKey, rng: np.random.Generator, describe) -> tuple[np.ndarray, dict]:
        config, images = self.config, np.arange(self.database)
        chosen = rng.permutation(self.trainable)[: config.cache_refresh_rate]
        pool = draw_pool(config.task.mining, len(chosen), self.database, config.task.neg_samples_num, rng)
        hard, soft = ([lists[q] for q in chosen] for lists in (self.hard, self.soft))
        previous = [old[old >= 0] for old in self.previous[chosen].cpu().numpy()]
        needed = images if config.task.mining == "full" else np.unique(np.concatenate([pool, *hard, *previous]))
        found = describe(np.concatenate([needed, self.database + chosen])).cpu().numpy()
        cache: list = [None] * self.database
        for image, descriptor in zip(needed, found[: len(needed)], strict=True):
            cache[image] = descriptor
        own = np.broadcast_to(pool, (len(chosen), pool.shape[-1]))
        pools = [np.union1d(some, old) for some, old in zip(own, previous, strict=True)]
        queries = found[len(needed) :]
        positives, negatives = reference.mine(cache, queries, hard, soft, pools, config.task.negs_num_per_query)
        self.previous[chosen] = torch.from_numpy(negatives).to(self.previous.device)
        return np.column_stack([self.database + chosen, positives, negatives]), {}


class Loop:
    """A training of NetVLAD by the triplet loss, as fast as its switches make it."""

    progress: Progress

    def __init__(self, switches: Switches, config: Config, train_set: PlaceSet, val_set: PlaceSet):
        config = config.replace(compile=switches.compiled)
        self.on, self.config, self.val_set = switches, config, val_set
        self.device = pick_device()
        self.layout = torch.channels_last if switches.channels_last else torch.contiguous_format
        self.model = build_model(config).to(self.device, memory_format=self.layout)
        objective = Tuples if switches.mining else LoopedTuples
        self.objective = objective(config, train_set, self.model.dim).to(self.device)
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=config.lr, fused=switches.fused or None)
        self.images, self.val_images = (self._photographs(places) for places in (train_set, val_set))
        self.state, self.clock = State(), Clock(self.device)

    def start(self) -> None:
        """NetVLAD learns its clusters, as for the Trainer; pixels that are kept on the device are sent there."""
        for source in (self.images, self.val_images):
            list(source.batches([[0]]))  # the first batch that is asked for makes all
        found = local_descriptors(self.model, self.images, self.config.seed, self.config.infer_batch_size)
        self.model.pooling.initialise(found, self.config.seed)

    def run(self, rounds: int) -> None:
        """So many rounds of an epoch, and its validation."""
        for _ in range(rounds):
            self.training_round()
        self.validate()

    def training_round(self) -> None:
        """Mine and train on what was mined; the history says how long that took."""
        started, number = time.monotonic(), self.state.round + 1
        rng = np.random.default_rng([self.config.seed, 1, number])
        rng.integers(2**62)  # the Trainer takes a number for its augmentation
        rows, facts = self.mine(rng)
        found = {"epoch": 1, "round": number, "loss": self.fit(rows), **facts, "seconds": time.monotonic() - started}
        self.state.history.append(found | self.clock.take())
        self.state.round = number
        self.progress.round(self.state.history, self.state.validation)

    def mine(self, rng: np.random.Generator) -> tuple[np.ndarray, dict]:
        """(R, 2 + N) images of query, positive and negatives, and facts about them."""
        with self.clock.phase("mining"):
            return self.objective.draw(FIRST, rng, self.describe)

    def describe(self, wanted: np.ndarray) -> Tensor:
        """(M, D) descriptors of images numbered database first, queries behind."""
        with self.clock.phase("extraction"):
            return self._describe(self.images, wanted)

    def fit(self, rows: np.ndarray) -> float:
        """Mean loss of one pass over the rows; an incomplete last batch is dropped."""
        size = min(self.config.train_batch_size, len(rows))
        batches = list(in_parts(rows, size))[: len(rows) // size]
        self.model.train()
        images = self._batches(self.images, [batch.ravel() for batch in batches])
        losses = [self.step(some, batch) for batch, some in zip(batches, images, strict=True)]
        return float(torch.stack(losses).mean())

    def step(self, images: Tensor, rows: np.ndarray) -> Tensor:
        """Loss of one optimiser step on the images of rows (B, P), as they were read."""
        with self.clock.phase("forward"):
            self.optimizer.zero_grad(set_to_none=True)
            descriptors = self._descriptors(self.model, images, self.stem)
            if self.on.loss:
                loss = self.objective.loss(lambda _images: Encoded(descriptors, None), images, rows)
            else:
                loss = reference.triplet(descriptors, rows.shape[1] - 2)
        with self.clock.phase("backward"):
            loss.backward()
            self.optimizer.step()
        return loss.detach()

    def validate(self) -> None:
        """Recall on val."""
        started, count = time.monotonic(), len(self.val_set.database)
        found = self._describe(self.val_images, np.arange(len(self.val_images)))
        positives = self.val_set.neighbours(self.config.val_positives_dist_threshold)
        judge = recall if self.on.mining else reference.recall
        recalls = judge(self._nearest(found[count:], found[:count]), positives, AT)
        named = {f"recall_{n}": value for n, value in recalls.items()}
        self.state.validation.append({"epoch": 1, **named, "seconds": time.monotonic() - started})
        self.progress.epoch(self.state.validation)

    def _nearest(self, queries: Tensor, database: Tensor) -> np.ndarray:
        """(Q, 20) database images, nearest first."""
        if self.on.mining and queries.is_cuda:
            return nearest_on_device(queries, database, max(AT))[1]
        find = search if self.on.mining else reference.search
        return find(queries.cpu().numpy(), database.cpu().numpy(), max(AT))[1]

    @torch.inference_mode()
    def _describe(self, photographs: Photographs | DeviceCache, wanted: np.ndarray) -> Tensor:
        network = inference_copy(self.model) if self.on.folded else self.model.eval()
        parts = list(in_parts(wanted, self.config.infer_batch_size))
        batches = self._batches(photographs, parts)
        return torch.cat([self._descriptors(network, images, network.stem) for images in batches])

    @cached_property
    def stem(self) -> Callable[[Tensor], Tensor]:
        """The frozen layers of a training step."""
        return frozen_stem(self.model) if self.on.folded else self.model.stem

    def _descriptors(self, network: GeoModel, images: Tensor, stem: Callable[[Tensor], Tensor]) -> Tensor:
        """float32 (B, D) of images as they were read."""
        images = images.to(self.device, non_blocking=True)
        with mixed_precision(self.device) if self.on.bf16 else nullcontext():
            if self.on.compiled:  # in one piece what the switches before it have made of the lines below
                return descriptors_of(network, images, stem)
            images = (normalise(images) if self.on.pixels else images).contiguous(memory_format=self.layout)
            maps = network.backbone.tail(stem(images))
            if self.on.netvlad:
                return network.pooling(maps)
            return reference.netvlad(maps, network.pooling.weight, network.pooling.centroids)

    def _batches(self, photographs: Photographs | DeviceCache, parts: list[np.ndarray]) -> Iterator[Tensor]:
        """Images of each part; the time until they are there counts as waiting."""
        if self.on.pixels:
            return self.clock.waits(photographs.batches(parts))
        return self.clock.waits(reference.batches(photographs.paths, np.concatenate(parts), len(parts[0]), WORKERS))

    def _photographs(self, places: PlaceSet) -> Photographs | DeviceCache:
        files = [*places.database.path, *places.queries.path]
        photographs = Photographs(files, self.config.image_size, mapped=self.on.pixels)
        if not self.on.device_pixels:
            return photographs
        source = keep_pixels(photographs, self.device, self.config.infer_batch_size)
        if source is photographs and self.device.type == "cuda":
            print(f"{places.name}: the GPU has no room for its pixels, they are sent there for each batch")
        return source


def make_runner(rung: str, config: Config, folder: Path, train_set: PlaceSet, val_set: PlaceSet) -> Loop | Trainer:
    """The loop of a rung, or the Trainer itself for the last ones; both are used in the same way."""
    kind = RUNGS[rung]
    if isinstance(kind, Switches):
        return Loop(kind, config, train_set, val_set)
    return Trainer(config.replace(augmentation=kind), folder, train_set, val_set)
