"""What a training learns from: mined tuples and a loss over them, or photographs and the cells of the map they lie in.

Images are numbered database first (N of them), queries behind. A task hands them out in rows of P, the size of a tuple,
and gives the loss of rows: every loss sees as many images in a step, in a round and in an epoch as any other.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vg_core import processes
from vg_core.config import Config
from vg_core.losses import LOSSES, make_loss
from vg_core.losses.classification import GeoHead, geo_classes
from vg_core.losses.tuples import split_tuples
from vg_core.mining import TooFew
from vg_core.places.dataset import PlaceSet
from vg_core.registry import ByName
from vg_core.rounds import Round, mine_round

Describe = Callable[[np.ndarray], Tensor]  # image numbers (M,) -> descriptors (M, D)


class Task(nn.Module):
    """What a training needs to know of that which it learns from: the images of a round, and their loss.

    Tensors of a task (a classifier, the negatives of the last visit) belong to the training, never to the saved model.
    """

    augmented: slice  # which images of rows laid end to end
    rows: int  # of one round

    def draw(self, rng: np.random.Generator, describe: Describe) -> tuple[np.ndarray, dict]:
        """(R, P) image numbers, the rows of one round, and facts about them for the history."""
        raise NotImplementedError

    def forward(self, descriptors: Tensor, rows: np.ndarray) -> Tensor:
        """Loss, a scalar, of descriptors (B, P, D) of some of the rows (B, P)."""
        raise NotImplementedError


class Tuples(Task):
    """Rows of a query, its positive and its negatives, mined with the network as it is. Only queries are augmented."""

    def __init__(self, config: Config, places: PlaceSet, _dim: int):
        super().__init__()
        self.config, self.name, self.database = config, f"{places.name} train", len(places.database)
        self.loss = make_loss(config.task.loss, config.task.margin, config.task.joint_normaliser)
        self.augmented = slice(None, None, config.task.images_per_row)
        self.hard, self.soft = hard_positives(config, places), places.neighbours(config.val_positives_dist_threshold)
        self.trainable = np.flatnonzero([len(positives) for positives in self.hard])
        if config.epochs_num and not len(self.trainable):
            least = config.task.train_positives_min_dist
            least = f"more than {least:g} m and " if least else ""
            raise ValueError(
                f"{self.name}: no query has a database image {least}within "
                f"{config.task.train_positives_dist_threshold:g} m; raise train_positives_dist_threshold"
            )
        self.rows, self.photographs = min(config.cache_refresh_rate, len(self.trainable)), places.queries.path
        for query in self.trainable if config.epochs_num else ():
            if self.database - len(self.soft[query]) < config.task.negs_num_per_query:
                raise ValueError(self._too_few(query, f"a database of {self.database}"))
        # negatives of each query's last visit, -1 where there is none
        self.register_buffer("kept", torch.full((len(places.queries), config.task.negs_num_per_query), -1))

    def draw(self, rng: np.random.Generator, describe: Describe) -> tuple[np.ndarray, dict]:
        """Tuples of queries drawn at random, and how hard they are."""
        chosen = rng.permutation(self.trainable)[: self.config.cache_refresh_rate]
        hard, soft = ([lists[q] for q in chosen] for lists in (self.hard, self.soft))
        start = Round(self.config, self.database, chosen, hard, soft, self.kept[chosen].cpu().numpy())
        try:
            positives, negatives, facts = mine_round(start, describe, rng)
        except TooFew as error:
            query = chosen[processes.share(len(chosen))][error.row]
            remedy = f"raise neg_samples_num, to {self.database} at most, or "
            drawn = f"neg_samples_num={self.config.task.neg_samples_num}"
            raise ValueError(self._too_few(query, drawn, remedy)) from error
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        self.kept[chosen] = negatives.to(self.kept.device)
        return np.column_stack([self.database + chosen, positives, negatives]), facts

    def forward(self, descriptors: Tensor, _rows: np.ndarray) -> Tensor:
        return self.loss(*split_tuples(descriptors))

    def _too_few(self, query: int, drawn: str, remedy: str = "") -> str:
        far, asked = self.config.val_positives_dist_threshold, self.config.task.negs_num_per_query
        return (
            f"{self.name}: {drawn} leaves fewer than negs_num_per_query={asked} images farther than {far:g} m from "
            f"{Path(self.photographs[query]).name}; {remedy}lower negs_num_per_query"
        )


class GeoClassification(Task):
    """Rows of images drawn at random, told apart by the cell of 25 m they lie in; all of them are augmented.

    Classes are the cells that hold a database image. Queries in these cells are learned from like database images, as
    tuples have both (the paper, SARE appendix B, does not say); others belong to no class and are left out. The linear
    classifier starts from the configured seed, whatever the network.
    """

    augmented = slice(None)

    def __init__(self, config: Config, places: PlaceSet, dim: int):
        super().__init__()
        self.rows, self.per_row = config.cache_refresh_rate, config.task.images_per_row
        self.images, labels, classes = _classes(places)
        if config.epochs_num and classes < 2:
            raise ValueError(f"{places.name} train: all database images lie in one cell of 25 m, nothing to tell apart")
        self.register_buffer("labels", torch.from_numpy(labels), persistent=False)  # of all images, -1 is no class
        self.head = GeoHead(dim, classes, torch.Generator().manual_seed(config.seed))

    def draw(self, rng: np.random.Generator, _describe: Describe) -> tuple[np.ndarray, dict]:
        """Images in random order, none twice before all have been drawn."""
        count = self.rows * self.per_row
        orders = [rng.permutation(self.images) for _ in range(-(-count // len(self.images)))]
        return np.concatenate(orders)[:count].reshape(self.rows, self.per_row), {}

    def forward(self, descriptors: Tensor, rows: np.ndarray) -> Tensor:
        return self.head.loss(descriptors.flatten(0, 1), self.labels[rows.ravel()])


TASKS: dict[str, Callable[[Config, PlaceSet, int], Task]] = ByName(
    "loss", dict.fromkeys(LOSSES, Tuples) | {"geo_classification": GeoClassification}
)


def make_task(config: Config, places: PlaceSet, dim: int) -> Task:
    """The task of a configuration on its training split, for descriptors of ``dim`` values; on the CPU.

    KeyError for an unknown loss, listing those there are. ValueError, in a sentence, for an option that does nothing to
    the loss, and for photographs that it cannot learn from.
    """
    return TASKS[config.task.loss](config, places, dim)


def hard_positives(config: Config, places: PlaceSet) -> list[np.ndarray]:
    """For each query the sorted database images that it may be pulled to: no farther and, if asked for, no nearer."""
    near, least = places.neighbours(config.task.train_positives_dist_threshold), config.task.train_positives_min_dist
    if not least:
        return near
    return [np.setdiff1d(some, same) for some, same in zip(near, places.neighbours(least), strict=True)]


def _classes(places: PlaceSet) -> tuple[np.ndarray, np.ndarray, int]:
    """(images that have a class, class of every image or -1, number of classes)."""
    tables = places.database, places.queries
    easting, northing = (np.concatenate([table[axis] for table in tables]) for axis in ("easting", "northing"))
    cells, _ = geo_classes(easting, northing)
    held = np.unique(cells[: len(places.database)])
    labels = np.where(np.isin(cells, held), np.searchsorted(held, cells), -1)
    return np.flatnonzero(labels >= 0), labels, len(held)
