"""The training loop: rounds of images to learn from, validation after each epoch, early stop, exact resume."""

import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn

from vg_core.augmentation.by_name import Augment, check_augmentation, make_augmentation
from vg_core.config import Config
from vg_core.datasets.photographs import Photographs, in_parts
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.models import build_model
from vg_core.models.checkpoint import model_bytes
from vg_core.models.norms import share_batch_norms
from vg_core.retrieval.descriptors import Source, describe_photographs, local_descriptors, photographs_of
from vg_core.retrieval.feature_cache import Sources, keep
from vg_core.retrieval.ranking import evaluate
from vg_core.system import own_files, processes
from vg_core.system.clock import Clock, Timed
from vg_core.system.devices import forget_peak, pick_device, used_memory
from vg_core.system.errors import stopped
from vg_core.training.adaptation import with_adaptation
from vg_core.training.objective import RoundKey
from vg_core.training.objectives import make_objective
from vg_core.training.state import State
from vg_core.training.step import Learner, add_gradients, check_resources, follow_schedule, make_optimizer, move_moments

FIRST = RoundKey(epoch=1, number=1)
VAL_SEED = 43  # of the subset to validate on: the authors of SARE draw theirs with it


class Diverged(FloatingPointError):
    """The loss is not finite any more; the message names the batch."""


def train(config: Config, folder: Path, train_set: PlaceSet, val_set: PlaceSet, progress: Callable) -> State:
    """Train, and return the state of the finished run, whose best model lies at ``folder/best.safetensors``.

    A run that was stopped at any moment goes on from its last round, with the same numbers as if it had never stopped.
    Several processes (``processes``) share out describing, mining and the rows of each batch: they learn from the same
    tuples as one does, and up to rounding the same; only augmentation draws other numbers.
    ``progress(name, epochs, rounds of each, rounds done)`` gives what is told of them, such as `progress.Progress`.
    Raises Diverged for a loss that is not finite and KeyboardInterrupt, in a sentence, when interrupted.
    """
    trainer = Trainer(config, Path(folder), train_set, val_set)
    trainer.resume()
    state = trainer.state
    rounds = config.queries_per_epoch // config.cache_refresh_rate
    trainer.progress = progress(trainer.name, config.epochs_num, rounds, state.epoch * rounds + state.round)
    try:
        trainer.run(rounds)
    except BaseException as error:
        if not stopped(error):
            raise
        raise KeyboardInterrupt(
            f"{trainer.name} stopped in epoch {state.epoch + 1} after {state.round} of {rounds} rounds; "
            "the same cell or command goes on from there"
        ) from None
    finally:
        trainer.progress.close()
    return state


class Trainer:
    """One training under way, which tells its ``progress``. Images are numbered database first, queries behind."""

    def __init__(self, config: Config, folder: Path, train_set: PlaceSet, val_set: PlaceSet, decode=photographs_of):
        self.config, self.folder = config, folder
        self.val_set = val_set = val_set.some_queries(config.val_queries, VAL_SEED)
        self.name = f"{train_set.name} {config.architecture[-1]} {config.task.loss} seed {config.seed}"
        self.device = pick_device()
        self.before = forget_peak(self.device)  # bytes; what the training takes is beside them
        self.model = build_model(config).to(self.device, memory_format=torch.channels_last)
        objective = make_objective(config, train_set, self.model.dim)
        self.objective = with_adaptation(objective, config, train_set, self.model).to(self.device)
        if processes.size() > 1:
            share_batch_norms(self.model)
        check_resources(config, min(config.train_batch_size, self.objective.rows_per_round, self.objective.most_rows))
        self.optimizer = make_optimizer(config, self.model, self.objective)
        check_augmentation(config.augmentation, config.image_size, config.fda_beta)
        self.labelled = len(train_set.paths) - len(train_set.unlabelled)  # photographs, whose numbers come first
        self.state, self.clock = State(), Clock(self.device)  # the clock: since the last round ended
        self.parts = {"model": self.model, "objective": self.objective, "optimizer": self.optimizer}  # saved by name
        with self.clock.phase("decode"):  # it comes last: it takes long, and every fault above is found at once
            self.images, self.val_images = (decode(s, config.image_size, config.task) for s in (train_set, val_set))

    @cached_property
    def sources(self) -> Sources:
        """The images of training and validation: photographs, or what the frozen layers made of them."""
        shows_pixels = self.config.augmentation != "none" or self.objective.needs_pixels
        with self.clock.phase("decode"):
            return keep(self.model, (self.images, self.val_images), shows_pixels, self.config.infer_batch_size)

    @cached_property
    def augment(self) -> Augment:
        """What each batch is changed by."""
        styles = (self.images.batch([image])[0] for image in range(self.labelled, len(self.images)))
        return make_augmentation(self.config.augmentation, styles, self.config.fda_beta)

    def fill(self, source: Source) -> None:
        """Load now what one of the ``sources`` holds in memory; else the phase that asks for its first batch would."""
        with self.clock.phase("decode"):
            list(source.batches([]))

    @cached_property
    def learner(self) -> nn.Module:
        """Network and objective as one function, (pixels, rows) to loss; gradients are averaged over the processes."""
        return processes.averaging(Learner(self.model, self.objective), self.objective.rests)

    def start(self) -> None:
        """Make the untrained network ready: NetVLAD learns its clusters from random locations of random images, unless
        they came with the weights.
        """
        if self.model.origin:
            print(self.model.origin, flush=True)
        with self.clock.phase("decode"):
            if not self.model.ready:
                paths, images = self.images.paths[: self.labelled], self.images
                images = images if len(images) == len(paths) else Photographs(paths, self.config.image_size)
                found = local_descriptors(self.model, images, self.config.seed, self.config.infer_batch_size)
                self.model.pooling.initialise(found, self.config.seed)
            processes.same(self.model)  # k-means on unlike machines need not agree to the last digit

    def resume(self) -> None:
        """Go back to the last round on disk, or start."""
        file = self.folder / "state.pt"
        if file.exists():
            self.state = State.load(file, self.parts)
        else:
            self.start()

    def save(self) -> None:
        self.state.save(self.folder / "state.pt", self.parts)

    def run(self, rounds: int) -> None:
        """Train and validate until the last epoch, or until none was better for ``patience`` epochs."""
        state = self.state
        if not state.finished:
            self.fill(self.sources.validated)
        if not state.validation:
            self.validate()
        if not state.finished:
            self.fill(self.sources.learned)
            if self.objective.mines:
                self.fill(self.sources.mined)
        while not state.finished:
            while state.round < rounds:
                self.training_round()
            state.epoch, state.round = state.epoch + 1, 0
            self.validate()

    def training_round(self) -> None:
        """Draw rows with the network as it is, train on each of them once, save."""
        state = self.state
        key = RoundKey(state.epoch + 1, state.round + 1)
        rng = np.random.default_rng([self.config.seed, *key])
        torch.manual_seed(int(rng.integers(2**62)) + processes.rank())  # for augmentation, of other images on each rank
        lr = follow_schedule(self.optimizer, self.config, key.epoch)
        started = time.monotonic()
        rows, facts = self.mine(rng, key)
        mined = time.monotonic()
        loss = self.fit(rows, self.progress.batch)
        ended = time.monotonic()
        spent = {"seconds": ended - started, "seconds_training": ended - mined}
        facts |= self.objective.seen()
        spent |= self.clock.take() | {"peak_bytes": used_memory(self.device)[1] - self.before}
        state.history.append({"epoch": key.epoch, "round": key.number, "lr": lr, "loss": loss, **facts, **spent})
        state.round = key.number
        self.save()
        self.progress.round(state.history, state.validation)

    def mine(self, rng: np.random.Generator, key: RoundKey = FIRST) -> tuple[np.ndarray, dict]:
        """(R, P) images of one round as the objective draws them, and facts, such as how hard tuples are."""
        with self.clock.phase("mining"):
            drawn = self.objective.draw(key, rng, self.describe)
        move_moments(self.optimizer)
        return drawn

    def describe(self, wanted: np.ndarray) -> torch.Tensor:
        """(M, D) descriptors of images, by the network as it is."""
        with self.clock.phase("extraction"):
            source = Timed(self.sources.mined, self.clock)
            return describe_photographs(self.model, source, self.config.infer_batch_size, wanted)

    def batches(self, rows: np.ndarray) -> list[np.ndarray]:
        """The rows cut into batches, in their order; an incomplete last batch is dropped."""
        size = min(self.config.train_batch_size, self.objective.most_rows, len(rows))
        return list(in_parts(rows, size))[: len(rows) // size]

    def fit(self, rows: np.ndarray, tell: Callable[[int, int], object] = lambda done, total: None) -> float:
        """Train once on each batch of the rows, and ``tell`` how many of how many are done; returns their mean loss."""
        batches = self.batches(rows)
        self.model.train()
        shares = [batch[processes.share(len(batch))].ravel() for batch in batches]  # (b x P,) each
        images = Timed(self.sources.learned, self.clock).batches(shares)
        losses = []
        for batch, pixels in zip(batches, images, strict=True):
            losses.append(self.step(pixels, batch))
            tell(len(losses), len(batches))
        losses = torch.stack(losses)
        bad = (~losses.isfinite()).nonzero()[:, 0].tolist()  # asked once a round: an answer waits for the GPU
        if bad:
            first = [Path(self.images.paths[image]).name for image in batches[bad[0]][:, 0]]
            raise Diverged(
                f"{self.name}: the loss is not finite in epoch {self.state.epoch + 1}, round {self.state.round + 1}, "
                f"batch {bad[0] + 1} (with {', '.join(first)}); a lower lr than {self.config.lr:g} usually helps"
            )
        return float(losses.mean())

    def step(self, pixels: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        """Take one optimizer step on rows (B, P) and return their loss. ``pixels`` (b x P, 3, H, W), or the frozen
        layers' maps of them, are those of this process's share b of the rows.
        """
        own = rows[processes.share(len(rows))]  # (b, P)
        with self.clock.phase("forward"):
            self.optimizer.zero_grad(set_to_none=True)
            pixels = pixels.to(self.device, non_blocking=True)
            if self.config.augmentation != "none":
                own = self.objective.augment(self.augment, pixels, own)
        weight = processes.size() / len(rows)  # gradients are averaged over processes, as if each had as many rows
        loss = add_gradients(self.learner, pixels, own, self.config.accumulate, weight, self.clock)
        with self.clock.phase("backward"):
            self.optimizer.step()
        return processes.mean(loss)

    def validate(self) -> None:
        """Compute recalls on val, save the best model so far by ``selected_by``, stop when none was better for long."""
        state, config, started = self.state, self.config, time.monotonic()
        self.model.eval()
        facts = config.image_size, Within(config.val_positives_dist_threshold), config.infer_batch_size
        found = evaluate(self.model, self.val_set, *facts, photographs=self.sources.validated)
        needed = 5, int(config.selected_by.removeprefix("recall_"))  # others only below all of the database
        at = [n for n in (1, 5, 10, 20) if n in needed or n < len(self.val_set.database)]
        shares = {f"recall_{n}": found.ranks["rank"].between(1, n).mean() for n in at}
        recalls = processes.agreed({name: 100.0 * float(share) for name, share in shares.items()})
        spent = {f"seconds_{part}": seconds for part, seconds in found.seconds.items()}
        state.validation.append({"epoch": state.epoch, **recalls, "seconds": time.monotonic() - started, **spent})
        # the untrained network is shown but never chosen, as in the brief's skeleton, unless nothing is trained at all
        eligible = state.epoch or not config.epochs_num
        if eligible and state.improves(recalls[config.selected_by]) and processes.first():
            state.best_model = model_bytes(self.model, **recalls, epoch=state.epoch)
            own_files.write(self.folder / "best.safetensors", state.best_model)
        state.finished = state.epoch >= config.epochs_num or state.not_improved >= config.patience
        self.save()
        self.progress.epoch(state.validation)
