"""The objective of pairs: aerial images and panoramas of the same spot, each against all others of a batch."""

import numpy as np
from torch import Tensor

from vg_core.config import Config
from vg_core.cross_view.pairs import PairSet
from vg_core.cross_view.soft_margin import near_pairs, soft_margin
from vg_core.mining.rounds import Describe
from vg_core.system import processes
from vg_core.training.objective import Encode, Objective, RoundKey


class Pairs(Objective):
    """Objective of cross-view retrieval: rows of an aerial image and its panorama, in random order.

    No pair comes twice in an epoch, unless the epoch is longer than the set. A network that augments its images does
    so itself, since orientation maps have to follow.
    """

    mines, images_per_row = False, 2

    def __init__(self, config: Config, pairs: PairSet, _dim: int):
        super().__init__()
        self.config, self.pairs = config, len(pairs.aerial)
        self.rows_per_round = min(config.cache_refresh_rate, self.pairs)
        self.positions = pairs.ground[["easting", "northing"]].to_numpy()  # (N, 2)
        if config.epochs_num:
            self._check(f"{pairs.name} train")

    def draw(self, key: RoundKey, _rng: np.random.Generator, _describe: Describe) -> tuple[np.ndarray, dict]:
        """(R, 2) numbers of aerial images and of their panoramas; no facts."""
        shuffled, part = divmod(key.number - 1, self.pairs // self.rows_per_round)
        order = np.random.default_rng([self.config.seed, key.epoch, 0, shuffled]).permutation(self.pairs)
        chosen = order[part * self.rows_per_round :][: self.rows_per_round]  # (R,)
        return np.column_stack([chosen, self.pairs + chosen]), {}

    def loss(self, encode: Encode, pixels: Tensor, rows: np.ndarray) -> Tensor:
        aerial, ground = encode(pixels).descriptors.chunk(2)  # (B, D) each
        task = self.config.task
        near = near_pairs(self.positions[rows[:, 0]], task.near_metres) if task.near_metres else None
        return soft_margin(ground, aerial, task.soft_margin_alpha, near, task.batch_hard_count)

    def _check(self, name: str) -> None:
        """Raises ValueError, in a sentence, for what cannot be learned from."""
        size, task = min(self.config.train_batch_size, self.rows_per_round), self.config.task
        if processes.size() > 1:
            raise ValueError(f"{name}: pairs are learned by one process, as all of a batch are compared; start one")
        if size < 2:
            raise ValueError(
                f"{name}: a batch of one pair has no wrong ones; train_batch_size, cache_refresh_rate and the pairs of "
                "the set must be 2 or more"
            )
        if task.batch_hard_count > size:
            raise ValueError(f"{name}: batch_hard_count={task.batch_hard_count} is above the {size} pairs of a batch")
        if task.near_metres and np.isnan(self.positions).any():
            raise ValueError(f"{name}: where pairs were taken is not known; leave near_metres={task.near_metres:g} out")
