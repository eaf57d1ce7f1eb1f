"""The loop: rounds of mined tuples, a validation after each epoch, early stop, and exact resume from the last round."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from vg_core.config import Config
from vg_core.files import replacing
from vg_core.losses import make_loss
from vg_core.mining import draw_pool, excluded, hardness, mine, nearest_positives, random_negatives
from vg_core.models import GeoModel, build_model, save_model
from vg_core.models.pooling import NetVLAD
from vg_core.places.dataset import PlaceSet
from vg_core.places.images import Photographs, normalise
from vg_core.progress import Progress
from vg_core.retrieval import describe_photographs, evaluate, fast_dtype, pick_device, split_evenly

NETVLAD_IMAGES = 500  # photographs that the clusters are learned from, and locations of each (Arandjelovic et al.)
NETVLAD_LOCATIONS = 100


class Diverged(FloatingPointError):
    """The loss is not finite any more; the message names the batch."""


@dataclass
class State:
    """What an interrupted run needs, beside weights and optimiser, to go on exactly where it stopped.

    Randomness needs no state: every round draws from a generator seeded by (seed, epoch, round).
    """

    kept: torch.Tensor  # (Q, negatives) negatives of each query's last visit, -1 where there is none
    epoch: int = 0  # epochs validated; 0 is the untrained network
    round: int = 0  # mining rounds done in the epoch under way
    best_recall_5: float = -1.0
    best_epoch: int = 0
    not_improved: int = 0
    finished: bool = False
    history: list[dict] = field(default_factory=list)  # one row a mining round
    validation: list[dict] = field(default_factory=list)  # one row an epoch


def train(config: Config, folder: Path, train_set: PlaceSet, val_set: PlaceSet) -> State:
    """State of the finished run, whose best model lies at ``folder/best.safetensors``.

    A run that was stopped at any moment goes on from its last mining round, with the same numbers as if it had never
    stopped. Raises Diverged for a loss that is not finite and KeyboardInterrupt, in a sentence, when interrupted.
    """
    trainer = Trainer(config, Path(folder), train_set, val_set)
    trainer.resume()
    state = trainer.state
    rounds = config.queries_per_epoch // config.cache_refresh_rate
    done = state.epoch * rounds + state.round
    trainer.progress = Progress(trainer.name, config.epochs_num * rounds, done)
    try:
        trainer.run(rounds)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{trainer.name} stopped in epoch {state.epoch + 1} after {state.round} of {rounds} mining rounds; "
            "the same cell or command goes on from there"
        ) from None
    finally:
        trainer.progress.close()
    return state


class Trainer:
    """One training run in the making."""

    progress: Progress

    def __init__(self, config: Config, folder: Path, train_set: PlaceSet, val_set: PlaceSet):
        self.config, self.folder, self.val_set = config, folder, val_set
        self.name = f"{train_set.name} {config.pooling} {config.loss} seed {config.seed}"
        self.device = pick_device()
        self.images = Photographs([*train_set.database.path, *train_set.queries.path], config.image_size, mapped=True)
        self.database_count = len(train_set.database)
        self.query_paths = list(train_set.queries.path)
        self.hard_positives = train_set.neighbours(config.train_positives_dist_threshold)
        self.soft_positives = train_set.neighbours(config.val_positives_dist_threshold)
        self.trainable = np.flatnonzero([len(positives) for positives in self.hard_positives])
        if config.epochs_num and not len(self.trainable):
            raise ValueError(
                f"{train_set.name} train: no query has a database image within "
                f"{config.train_positives_dist_threshold:g} m; raise train_positives_dist_threshold"
            )
        self.model = build_model(config).to(self.device, memory_format=torch.channels_last)
        self.optimizer = _optimizer(config, self.model)
        self.loss = make_loss(config.loss, config.margin)
        self.state = State(torch.full((len(train_set.queries), config.negs_num_per_query), -1))
        self.seconds: dict[str, float] = {}  # of the round under way, by phase

    def resume(self) -> None:
        """Go back to the last mining round on disk, or start: initialise the clusters."""
        file = self.folder / "state.pt"
        if file.exists():
            saved = torch.load(file, map_location="cpu", weights_only=True)
            self.model.load_state_dict(saved.pop("model"))
            self.optimizer.load_state_dict(saved.pop("optimizer"))
            self.state = State(**saved)
        elif isinstance(self.model.pooling, NetVLAD):
            initialise_clusters(self.model, self.images, self.config)

    def run(self, rounds: int) -> None:
        """Everything that is left to do."""
        state = self.state
        if not state.validation:
            self.validate()
        while not state.finished:
            while state.round < rounds:
                self.mining_round()
            state.epoch, state.round = state.epoch + 1, 0
            self.validate()

    def mining_round(self) -> None:
        """Mine one set of tuples with the present model, train on each of them once, save."""
        state, self.seconds = self.state, {}
        epoch, number = state.epoch + 1, state.round + 1
        rng = np.random.default_rng([self.config.seed, epoch, number])
        torch.manual_seed(int(rng.integers(2**62)))
        started = time.monotonic()
        chosen = rng.permutation(self.trainable)[: self.config.cache_refresh_rate]
        positives, negatives, facts = self.mine(chosen, rng)
        state.kept[chosen] = negatives
        loss = self.fit(chosen, positives, negatives)
        row = {"epoch": epoch, "round": number, "loss": loss, **facts, "seconds": time.monotonic() - started}
        state.history.append(row | {f"seconds_{phase}": spent for phase, spent in self.seconds.items()})
        state.round = number
        self.save()
        self.progress.round(state.history, state.validation)

    def mine(self, chosen: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor, dict]:
        """Positives (Q,), negatives (Q, count) as database indices, and how hard they are, for the chosen queries."""
        config, kept = self.config, self.state.kept[chosen].numpy()
        hard = [self.hard_positives[q] for q in chosen]
        soft = [self.soft_positives[q] for q in chosen]
        if config.mining == "random":
            negatives = random_negatives(soft, self.database_count, config.negs_num_per_query, rng)
            needed, dropped = np.unique(np.concatenate([*hard, negatives.ravel()])), 0
        else:
            pool = draw_pool(config.mining, len(chosen), self.database_count, config.neg_samples_num, rng)
            dropped = excluded(soft, pool, kept)
            shared = np.unique(np.concatenate([pool.ravel(), *hard, kept[kept >= 0]]))
            needed = np.arange(self.database_count) if config.mining == "full" else shared
        with self.clock("extraction"):
            wanted = np.concatenate([needed, self.database_count + chosen])
            found = describe_photographs(self.model, self.images, config.infer_batch_size, wanted)
        with self.clock("selection"):
            # descriptors are numbered by their place in ``needed`` here, by database index outside
            queries, database = found[len(needed) :], found[: len(needed)]
            hard, soft = _places_in(needed, hard), _places_in(needed, soft)
            if config.mining == "random":
                positives = nearest_positives(queries, database, hard)
                negatives = torch.from_numpy(np.searchsorted(needed, negatives))
            else:
                pool = np.searchsorted(needed, pool)
                kept = np.where(kept >= 0, np.searchsorted(needed, kept), -1)
                positives, negatives = mine(queries, database, hard, soft, pool, config.negs_num_per_query, kept)
            facts = hardness(queries, database, positives, negatives, config.margin) | {"excluded": dropped}
        numbers = torch.from_numpy(needed)
        return numbers[positives], numbers[negatives], facts

    def fit(self, chosen: np.ndarray, positives: torch.Tensor, negatives: torch.Tensor) -> float:
        """Mean loss of one pass over the tuples, in their order; an incomplete last batch is dropped."""
        tuples = torch.cat([self.database_count + torch.from_numpy(chosen)[:, None], positives[:, None], negatives], 1)
        size = min(self.config.train_batch_size, len(tuples))
        batches = list(split_evenly(tuples.numpy(), size))[: len(tuples) // size]
        losses = []
        with self.clock("training"):
            self.model.train()
            images = self.images.batches([batch.ravel() for batch in batches])
            for number, (batch, pixels) in enumerate(zip(batches, images, strict=True)):
                loss = self.step(pixels, len(batch))
                if not torch.isfinite(loss):
                    raise Diverged(self.divergence(number, batch))
                losses.append(loss)
        return float(torch.stack(losses).mean())

    def step(self, pixels: torch.Tensor, tuples: int) -> torch.Tensor:
        """Loss of one optimiser step on the images of ``tuples`` tuples."""
        images = normalise(pixels.to(self.device, non_blocking=True))
        reduced = fast_dtype(self.device) is torch.bfloat16
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=reduced):
            descriptors = self.model(images)
        descriptors = descriptors.float().view(tuples, -1, self.model.dim)  # (B, 2 + negatives, D)
        loss = self.loss(descriptors[:, 0], descriptors[:, 1], descriptors[:, 2:])
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def validate(self) -> None:
        """Recall on val; keep the model if its recall@5 is the best so far, stop if it has not been for long enough."""
        state, config = self.state, self.config
        started = time.monotonic()
        self.model.eval()
        threshold = config.val_positives_dist_threshold
        ranks = evaluate(self.model, self.val_set, config.image_size, threshold, config.infer_batch_size).ranks
        recalls = {f"recall_{n}": 100.0 * float(ranks["rank"].between(1, n).mean()) for n in (1, 5, 10, 20)}
        state.validation.append({"epoch": state.epoch, **recalls, "seconds": time.monotonic() - started})
        # the untrained network is shown but never chosen, as in the brief's skeleton, unless nothing is trained at all
        if state.epoch or not config.epochs_num:
            improved = recalls["recall_5"] > state.best_recall_5
            state.not_improved = 0 if improved else state.not_improved + 1
            if improved:
                state.best_recall_5, state.best_epoch = recalls["recall_5"], state.epoch
                save_model(self.model, self.folder / "best.safetensors", **recalls, epoch=state.epoch)
        state.finished = state.epoch >= config.epochs_num or state.not_improved >= config.patience
        self.save()
        self.progress.epoch(state.validation)

    def save(self) -> None:
        with replacing(self.folder / "state.pt") as file:
            weights = {"model": self.model.state_dict(), "optimizer": self.optimizer.state_dict()}
            torch.save(weights | asdict(self.state), file)

    @contextmanager
    def clock(self, phase: str) -> Iterator[None]:
        """Adds the time of the block to this round's ``seconds_<phase>``."""
        started = time.monotonic()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - started

    def divergence(self, number: int, batch: np.ndarray) -> str:
        """Sentence for a loss that is not finite."""
        first = [Path(self.query_paths[q - self.database_count]).name for q in batch[:, 0]]
        return (
            f"{self.name}: the loss is not finite in epoch {self.state.epoch + 1}, round {self.state.round + 1}, "
            f"batch {number + 1} (queries {', '.join(first)}); a lower lr than {self.config.lr:g} usually helps"
        )


@torch.inference_mode()
def initialise_clusters(model: GeoModel, images: Photographs, config: Config) -> None:
    """Learn NetVLAD's clusters from locations of random photographs as the untrained backbone sees them."""
    rng = np.random.default_rng([config.seed, 0])
    chosen = rng.choice(len(images), min(NETVLAD_IMAGES, len(images)), replace=False)
    device = next(model.parameters()).device
    model.eval()
    found = []
    for pixels in images.batches(split_evenly(chosen, config.infer_batch_size)):
        maps = model.backbone(normalise(pixels.to(device)))
        locations = maps.flatten(2).transpose(1, 2).cpu()  # (B, M, C)
        kept = min(NETVLAD_LOCATIONS, locations.shape[1])
        found += [one[torch.from_numpy(rng.permutation(len(one))[:kept])] for one in locations]
    model.pooling.initialise(torch.cat(found), config.seed)


def _places_in(needed: np.ndarray, lists: list[np.ndarray]) -> list[np.ndarray]:
    """Each list's entries that occur in the sorted ``needed``, as their places there."""
    return [np.searchsorted(needed, one[np.isin(one, needed)]) for one in lists]


def _optimizer(config: Config, model: GeoModel) -> torch.optim.Optimizer:
    """The configured optimiser over everything that is not frozen."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    common = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(parameters, momentum=config.momentum, **common)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    return kind(parameters, **common)
