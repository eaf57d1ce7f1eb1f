"""Objectives of classes: photographs told apart by where they were taken, all at once or in groups that take turns."""

import numpy as np
import torch
from torch import Tensor, nn

from vg_core.config import Config
from vg_core.datasets.cells import Classes, classes_and_groups, geo_classes
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import positions
from vg_core.losses.classification import GeoHead
from vg_core.losses.margins import MarginHead
from vg_core.mining.rounds import Describe
from vg_core.system import processes
from vg_core.system.text import count
from vg_core.training.objective import Encode, Objective, RoundKey

AUGMENTED = {  # by night_batches
    "merged": Objective.augmented,
    "separate": ((slice(0, 1), 0.0), (slice(1, 2), 1.0)),  # of two photographs in a row, the second is made night
}


class GeoClassification(Objective):
    """Objective of classes: random images, told apart by the cell of 25 m they lie in; all of them are augmented.

    Classes are the cells that hold a database image. Queries in these cells are learned from like database images, as
    tuples have both (the paper, SARE appendix B, does not say); others belong to no class and are left out. The linear
    classifier starts from the configured seed, whatever the network.
    """

    def __init__(self, config: Config, places: PlaceSet, dim: int):
        super().__init__()
        self.mines = False
        self.rows_per_round, self.images_per_row = config.cache_refresh_rate, config.task.images_per_row
        self.augmented = AUGMENTED[config.task.night_batches]
        tables = places.database, places.queries
        cells = geo_classes(*np.concatenate([positions(table) for table in tables]).T)
        classes = np.unique(cells[: len(places.database)])  # (C,)
        labels = np.where(np.isin(cells, classes), np.searchsorted(classes, cells), -1)  # (N + Q,)
        self.images = np.flatnonzero(labels >= 0)  # image numbers
        if config.epochs_num and len(classes) < 2:
            raise ValueError(f"{places.name} train: all database images lie in one cell of 25 m, nothing to tell apart")
        self.register_buffer("labels", torch.from_numpy(labels), persistent=False)  # of all images, -1 is no class
        self.head = GeoHead(dim, len(classes), torch.Generator().manual_seed(config.seed))

    def draw(self, _key: RoundKey, rng: np.random.Generator, _describe: Describe) -> tuple[np.ndarray, dict]:
        """(R, P) images in random order, none twice before all have been drawn; no facts."""
        many = self.rows_per_round * self.images_per_row
        return shuffled(self.images, many, rng).reshape(self.rows_per_round, self.images_per_row), {}

    def loss(self, encode: Encode, pixels: Tensor, rows: np.ndarray) -> Tensor:
        return self.head.loss(encode(pixels).descriptors, self.labels[rows.ravel()])


class GroupClassification(Objective):
    """Objective of CosPlace (Berton et al., CVPR 2022): random images of random classes; all of them are augmented.

    Classes are cells of the map and directions of view, and lie apart within a group. Epochs learn from one group
    after the other, each told apart by a classifier of its own, which learns at its own rate. Classes are made of
    database images and queries alike, as CosPlace reads all of the train folder. Classifiers that rest lie in RAM,
    unless there are several processes, which average the gradients of all; classifiers start from the configured seed,
    whatever the network.
    """

    mines, rests = False, True

    def __init__(self, config: Config, places: PlaceSet, dim: int):
        super().__init__()
        task, found = config.task, classes_of(config, places)
        self.rows_per_round, self.images_per_row = config.cache_refresh_rate, task.images_per_row
        self.augmented = AUGMENTED[task.night_batches]
        self.lr = task.classifiers_lr
        starts, sizes, class_of = found.starts, found.sizes, found.of_images  # (G,), (G,), (I,)
        usable = np.flatnonzero(sizes > 1)[: task.groups_num]  # one class alone is nothing to tell apart
        if config.epochs_num and len(usable) < task.groups_num:
            raise ValueError(
                f"{places.name} train: there are {len(usable)} groups of two classes or more, fewer than "
                f"groups_num={task.groups_num}; lower groups_num, or min_images_per_class"
            )
        self.starts, self.sizes = starts[usable], sizes[usable]
        self.images = np.argsort(class_of, kind="stable")[np.count_nonzero(class_of < 0) :]  # by class
        self.counts = np.bincount(class_of[class_of >= 0], minlength=len(found.corners))  # (C,) images of each class
        self.first = np.cumsum(self.counts) - self.counts  # (C,) where in ``images`` each class begins
        in_group = np.arange(len(found.corners)) - np.repeat(starts, sizes)  # (C,) number of each class in its group
        labels = torch.from_numpy(np.append(in_group, -1)[class_of])  # (I,) of all images, -1 is no class
        self.register_buffer("labels", labels, persistent=False)
        generator = torch.Generator().manual_seed(config.seed)
        options = task.logit_scale, task.logit_margin, task.margin_gradient, task.emms_weight
        heads = (MarginHead(task.loss, dim, int(size), generator, *options) for size in self.sizes)
        self.heads, self.group = nn.ModuleList(heads), 0
        self.most_rows = self._rows_of(min(self.sizes, default=1))

    def parameter_groups(self) -> list[dict]:
        return [{"params": list(self.heads.parameters()), "lr": self.lr}]

    def draw(self, key: RoundKey, rng: np.random.Generator, _describe: Describe) -> tuple[np.ndarray, dict]:
        """(R, P) random images of classes in random order, no class twice before all have been drawn; and which group
        learns, from 1, and how many classes it has.
        """
        self._wake((key.epoch - 1) % len(self.heads))
        size, many = int(self.sizes[self.group]), self.rows_per_round * self.images_per_row
        classes = self.starts[self.group] + shuffled(np.arange(size), many, rng)  # (R x P,)
        images = self.images[self.first[classes] + rng.integers(self.counts[classes])]  # (R x P,)
        rows = images.reshape(self.rows_per_round, self.images_per_row)
        return rows, {"group": self.group + 1, "classes": size}

    def loss(self, encode: Encode, pixels: Tensor, rows: np.ndarray) -> Tensor:
        return self.heads[self.group].loss(encode(pixels).descriptors, self.labels[rows.ravel()])

    def _wake(self, group: int) -> None:
        """Let a group learn from now on: its classifier comes to the device, the others lie in RAM."""
        self.group = group
        self.most_rows = self._rows_of(self.sizes[group])
        if processes.size() == 1:
            for number, head in enumerate(self.heads):
                head.to(self.labels.device if number == group else "cpu")

    def _rows_of(self, classes: int) -> int:
        """Rows with as many images as a group has classes, at least one: a batch has no more."""
        return max(1, int(classes) // self.images_per_row)


def classes_of(config: Config, places: PlaceSet, least: str = "min_images_per_class") -> Classes:
    """Classes of database images and queries; says how many there are. ``least`` is the option that says how many
    photographs a class has at least. ValueError, in a sentence, for a training that has none.
    """
    name, task, tables = f"{places.name} train", config.task, (places.database, places.queries)
    where = np.concatenate([np.column_stack([positions(table), table.heading]) for table in tables]).T  # (3, I)
    options = task.M, task.alpha, task.N, task.L
    fewest = getattr(task, least)
    found = classes_and_groups(*where, *options, fewest, task.groups_order)
    if not config.epochs_num:
        return found
    images, unknown = len(where[2]), int(np.isnan(where[2]).sum()) if task.alpha < 360 else 0
    if unknown == images:
        raise ValueError(
            f"{name}: none of {images} photographs has a heading in its name, so there are no classes; alpha=360 makes "
            "classes of cells alone"
        )
    if not len(found.corners):
        largest = np.bincount(classes_and_groups(*where, *options, 1).of_images + 1)[1:].max()
        raise ValueError(
            f"{name}: no class has {least}={fewest} photographs, the largest has "
            f"{largest}; lower it, or raise M or alpha"
        )
    members, said = np.count_nonzero(found.of_images >= 0), f", {unknown} have no heading" if unknown else ""
    made = f"{len(found.corners)} classes in {count(len(found.starts), 'group')}"
    print(f"{name}: {members} of {images} photographs make {made}{said}", flush=True)
    return found


def shuffled(things: np.ndarray, many: int, rng: np.random.Generator) -> np.ndarray:
    """So many of the things (M,) in random order, none twice before all have been drawn."""
    return np.concatenate([rng.permutation(things) for _ in range(-(-many // len(things)))])[:many]
