"""Objective of batches of places: photographs of each place, whose pairs are mined within the batch and its memory."""

import numpy as np
import torch
from torch import Tensor

from vg_core.config import Config
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import positions
from vg_core.losses.multi_similarity import multi_similarity_of_pairs
from vg_core.losses.tuples import precise
from vg_core.mining.rounds import Describe
from vg_core.training.classes import classes_of, shuffled
from vg_core.training.objective import Encode, Objective, RoundKey, check_whole_batch


class Places(Objective):
    """Objective of batches of places (GSV-Cities, Ali-bey et al., Neurocomputing 2022): some photographs of each place.

    A place is a class: a cell of the map, and a direction of view in it. Two photographs of it are a positive pair, two
    that were taken farther apart than ``val_positives_dist_threshold`` a negative one, all others neither. With a
    memory, pairs are also those of a photograph and an earlier one, by its descriptor as it was then (cross-batch
    memory, Wang et al., CVPR 2020): it costs no pass through the network, and gets no gradient. The memory belongs to
    the state of the training. No photograph is a pair with itself. All of them are augmented.
    """

    mines = False

    def __init__(self, config: Config, places: PlaceSet, dim: int):
        super().__init__()
        task, tables = config.task, (places.database, places.queries)
        self.rows_per_round, self.images_per_row = config.cache_refresh_rate, task.images_per_row
        self.images_per_place, self.metres = task.images_per_place, config.val_positives_dist_threshold
        found = classes_of(config, places, least="images_per_place")
        if config.epochs_num:
            check_whole_batch(config, f"{places.name} train")
        groups = np.split(np.argsort(found.of_images, kind="stable"), np.bincount(found.of_images + 1).cumsum()[:-1])
        self.images = groups[1:]  # numbers of the photographs of each place; the first are those of none
        self.register_buffer("labels", torch.from_numpy(found.of_images), persistent=False)  # of all images, -1 is none
        where = np.concatenate([positions(table) for table in tables])  # (I, 2), metres
        self.register_buffer("positions", torch.from_numpy(where), persistent=False)
        self.register_buffer("memory", torch.zeros(task.memory_size, dim))  # the latest first
        self.register_buffer("remembered", torch.full((task.memory_size,), -1))  # their numbers, -1 is none yet

    def draw(self, _key: RoundKey, rng: np.random.Generator, _describe: Describe) -> tuple[np.ndarray, dict]:
        """(R, P) images of random places, none of which comes twice before all have; no facts."""
        many = self.rows_per_round * self.images_per_row // self.images_per_place
        chosen = shuffled(np.arange(len(self.images)), many, rng)  # places
        drawn = [rng.choice(self.images[place], self.images_per_place, replace=False) for place in chosen]
        return np.reshape(drawn, (self.rows_per_round, self.images_per_row)), {}

    def loss(self, encode: Encode, pixels: Tensor, rows: np.ndarray) -> Tensor:
        x = precise(encode(pixels).descriptors)  # (B, D)
        images = torch.from_numpy(rows.ravel()).to(self.labels.device)  # (B,)
        others, numbers = torch.cat([x, self.memory.to(x.dtype)]), torch.cat([images, self.remembered])  # C of them
        with torch.autocast(x.device.type, enabled=False):
            similarities = x @ others.T  # (B, C)
        size = len(self.memory)
        self.memory.copy_(others[:size].detach())  # ``others`` is a copy: its gradient does not need the old memory
        self.remembered.copy_(numbers[:size])
        return multi_similarity_of_pairs(similarities, *self._pairs(images, numbers))

    def _pairs(self, images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C) each: are images (B,) and others (C,), -1 for none, a positive pair, a negative one?"""
        same = self.labels[images, None] == self.labels[others]
        apart = torch.linalg.vector_norm(self.positions[images, None] - self.positions[others], dim=-1)  # metres
        there = others >= 0
        return same & there & (images[:, None] != others), ~same & there & (apart > self.metres)
