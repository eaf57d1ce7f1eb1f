"""The contract of an objective, what a training learns from.

An objective draws rows of image numbers (database images first, N of them, queries behind) and computes their loss.
Rows of all objectives hold as many images unless options say otherwise: every loss then sees as many per step, per
round and per epoch.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from vg_core.augmentation.by_name import Augment
from vg_core.config import Config
from vg_core.losses.by_name import WHOLE_BATCH
from vg_core.mining.rounds import Describe
from vg_core.models.network import Encoded
from vg_core.system import processes
from vg_core.system.bounds import LARGEST

Encode = Callable[[Tensor], Encoded]  # pixels (M, 3, H, W), or the frozen layers' maps of them -> what the network says


class RoundKey(NamedTuple):
    """Which round of a training: both numbers are counted from 1."""

    epoch: int
    number: int  # in its epoch


class Objective(nn.Module):
    """What a training learns from: the images of each round, and their loss.

    Tensors of an objective (a classifier, the negatives of the last visit) belong to the training, never to the saved
    model. Parameters that take no part in a step keep their values and the optimizer's moments.
    """

    images_per_row: int
    rows_per_round: int
    most_rows = LARGEST  # that a batch may have
    augmented = ((slice(None), 0.5),)  # which images of a row, and how many of them an augmentation may make night
    needs_pixels = False  # of images that are not augmented, too, where the frozen layers' output is at hand
    mines = True  # does it ask for descriptors?
    rests = False  # is there a step in which some of its parameters take no part?

    def parameter_groups(self) -> list[dict]:
        """The optimizer's groups of its own parameters; a group without "lr" learns as fast as the network."""
        own = list(self.parameters())
        return [{"params": own}] if own else []

    def draw(self, key: RoundKey, rng: np.random.Generator, describe: Describe) -> tuple[np.ndarray, dict]:
        """The rows of one round, (rows_per_round, images_per_row) image numbers, and facts for the history."""
        raise NotImplementedError

    def augment(self, augmentation: Augment, pixels: Tensor, rows: np.ndarray) -> np.ndarray:
        """Change pixels (B x P, 3, H, W) of the images of rows (B, P) in place; returns the rows for ``loss``."""
        images, by_night = pixels.unflatten(0, rows.shape), np.zeros(rows.shape, dtype=bool)  # (B, P, 3, H, W), (B, P)
        for which, share in self.augmented:
            some = images[:, which].clone()  # (B, p, 3, H, W); what is not changed must not be copied to itself
            images[:, which] = augmentation(some.flatten(0, 1), share).unflatten(0, some.shape[:2])
            by_night[:, which] = augmentation.by_night.unflatten(0, some.shape[:2]).numpy()
        return self.marked(rows, by_night)

    def marked(self, rows: np.ndarray, _by_night: np.ndarray) -> np.ndarray:
        """Rows (B, P) as ``loss`` takes them, when augmentation has made these (B, P) of their images night."""
        return rows

    def seen(self) -> dict:
        """Facts for the history about the steps since it was last asked."""
        return {}

    def loss(self, encode: Encode, pixels: Tensor, rows: np.ndarray) -> Tensor:
        """Mean loss, a scalar, of some of the rows (B, P), from the pixels of their B x P images."""
        raise NotImplementedError


def check_whole_batch(config: Config, name: str) -> None:
    """Raises ValueError, in a sentence, for a loss of whole batches where these would be cut."""
    if config.task.loss in WHOLE_BATCH and (config.accumulate > 1 or processes.size() > 1):
        raise ValueError(
            f"{name}: the loss {config.task.loss} is one of a whole batch, which accumulate={config.accumulate} and "
            f"{processes.size()} processes would cut; take 1 of both"
        )
