"""Objectives by name of their loss: those of classes, places and pairs, and that of mined tuples, which is here."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vg_core.config import Config
from vg_core.datasets.places import PlaceSet, neighbours
from vg_core.losses.by_name import LOSSES, make_loss
from vg_core.losses.margins import MARGINS
from vg_core.mining import TooFew, mine, random_negatives
from vg_core.mining.rounds import Describe, Round, mine_round
from vg_core.system import processes
from vg_core.system.errors import ByName
from vg_core.training.classes import GeoClassification, GroupClassification
from vg_core.training.objective import Encode, Objective, RoundKey, check_whole_batch
from vg_core.training.pairs import Pairs
from vg_core.training.places import Places


class Tuples(Objective):
    """Objective of mined tuples: rows of a query, its positive and its negatives. Only queries are augmented.

    Of a set without queries, such as SF-XL's train, every photograph is one, and no positive of itself.
    """

    def __init__(self, config: Config, places: PlaceSet, _dim: int):
        super().__init__()
        flat = places.queries.empty
        places = replace(places, queries=places.database) if flat else places
        self.first_query = 0 if flat else len(places.database)  # its number among the images
        self.config, self.name, self.database = config, f"{places.name} train", len(places.database)
        task = config.task
        self.loss_of = make_loss(task.loss, task.margin, task.joint_normaliser, task.sos_lambda)
        self.images_per_row, self.quadruplets = task.images_per_row, task.loss == "hphn_quadruplet"
        self.mined = task.negs_num_per_query - self.quadruplets  # negatives of each query; a quadruplet's n* is drawn
        self.augmented = ((slice(0, 1), 0.5),)
        self.hard, self.soft = hard_positives(config, places), places.neighbours(config.val_positives_dist_threshold)
        if flat:
            self.hard = [others[others != image] for image, others in enumerate(self.hard)]
        self.trainable = np.flatnonzero([len(positives) for positives in self.hard])
        self.rows_per_round = min(config.cache_refresh_rate, len(self.trainable))
        self.photographs = places.queries.path
        weighted = task.mining == "msls_weighted" and config.epochs_num
        self.chances = rarity(places.queries.note[self.trainable], self.name) if weighted else None  # (T,)
        if config.epochs_num:
            self._check()
        self.positions = places.database[["easting", "northing"]].to_numpy()  # (N, 2)
        previous = torch.full((len(places.queries), self.mined), -1)
        self.register_buffer("previous", previous)  # negatives of each query's last visit, -1 where there is none

    def draw(self, _key: RoundKey, rng: np.random.Generator, describe: Describe) -> tuple[np.ndarray, dict]:
        """(R, P) tuples of queries drawn at random, and facts that say how hard they are."""
        task, chosen = self.config.task, self._queries(rng)
        hard, soft = ([lists[q] for q in chosen] for lists in (self.hard, self.soft))
        previous = self.previous[chosen].cpu().numpy()  # (R, count)
        start = Round(self.database, self.first_query, chosen, hard, soft, previous)
        try:
            found = mine_round(start, task.pool, task.neg_samples_num, task.margin, describe, rng, shared_mine)
        except TooFew as error:
            remedy = f"raise neg_samples_num, to {self.database} at most, or "
            raise self._too_few(chosen[error.row], f"neg_samples_num={task.neg_samples_num}", remedy) from error
        except ValueError as error:
            raise ValueError(f"{self.name}: {error}") from error
        positives, negatives, facts = found  # (R,), (R, count), dict
        self.previous[chosen] = negatives.to(self.previous.device)
        others = [self._others(chosen, negatives.numpy(), soft, rng)] if self.quadruplets else []
        return np.column_stack([self.first_query + chosen, positives, negatives, *others]), facts  # (R, P)

    def loss(self, encode: Encode, pixels: Tensor, rows: np.ndarray) -> Tensor:
        return self.loss_of.whole(encode(pixels).descriptors.view(*rows.shape, -1))

    def _queries(self, rng: np.random.Generator) -> np.ndarray:
        """(R,) queries of a round, each once: drawn at random, rare ones more often with "msls_weighted" mining."""
        if self.chances is None:
            return rng.permutation(self.trainable)[: self.rows_per_round]
        return rng.choice(self.trainable, self.rows_per_round, replace=False, p=self.chances)

    def _others(self, queries: np.ndarray, negatives: np.ndarray, soft: list[np.ndarray], rng) -> np.ndarray:
        """(R, 1) n* of quadruplets: random database images near neither a query nor one of its negatives (R, count)."""
        images, which = np.unique(negatives, return_inverse=True)  # (M,)
        near = neighbours(self.positions, self.positions[images], self.config.val_positives_dist_threshold)  # M lists
        rows = zip(soft, which.reshape(negatives.shape), strict=True)
        try:
            return random_negatives(
                [np.concatenate([own, *(near[i] for i in row)]) for own, row in rows], self.database, 1, rng
            )
        except TooFew as error:
            query = Path(self.photographs[queries[error.row]]).name
            raise ValueError(
                f"{self.name}: every database image is near {query} or one of its negatives, which leaves no n* for "
                "hphn_quadruplet; lower negs_num_per_query"
            ) from error

    def _check(self) -> None:
        """Raises ValueError, in a sentence, for a batch that may not be cut, when there is no query to learn from, or
        one with too few negatives.
        """
        task = self.config.task
        check_whole_batch(self.config, self.name)
        if not self.mined:
            raise ValueError(
                f"{self.name}: of hphn_quadruplet one negative is n*; negs_num_per_query must be 2 or more"
            )
        if not len(self.trainable):
            least = f"more than {task.train_positives_min_dist:g} m and " if task.train_positives_min_dist else ""
            raise ValueError(
                f"{self.name}: no query has a database image {least}within {task.train_positives_dist_threshold:g} m; "
                "raise train_positives_dist_threshold"
            )
        for query in self.trainable:
            if self.database - len(self.soft[query]) < task.negs_num_per_query:
                raise self._too_few(query, f"a database of {self.database}")

    def _too_few(self, query: int, drawn: str, remedy: str = "") -> ValueError:
        far, asked = self.config.val_positives_dist_threshold, self.config.task.negs_num_per_query
        return ValueError(
            f"{self.name}: {drawn} leaves fewer than negs_num_per_query={asked} images farther than {far:g} m from "
            f"{Path(self.photographs[query]).name}; {remedy}lower negs_num_per_query"
        )


OBJECTIVES: dict[str, Callable[[Config, PlaceSet, int], Objective]] = ByName(
    "loss",
    dict.fromkeys(LOSSES, Tuples)
    | {"geo_classification": GeoClassification}
    | dict.fromkeys(MARGINS, GroupClassification)
    | {"multi_similarity_of_places": Places, "soft_margin": Pairs},
)


def make_objective(config: Config, places: PlaceSet, dim: int) -> Objective:
    """The objective of a configuration on its training split, for descriptors of ``dim`` values; on the CPU.

    KeyError for an unknown loss, listing those there are. ValueError, in a sentence, for an option that does nothing to
    the loss, and for photographs that it cannot learn from.
    """
    return OBJECTIVES[config.task.loss](config, places, dim)


def hard_positives(config: Config, places: PlaceSet) -> list[np.ndarray]:
    """For each query the sorted database images it may be pulled to: near enough and, if asked for, not too near."""
    near, least = places.neighbours(config.task.train_positives_dist_threshold), config.task.train_positives_min_dist
    if not least:
        return near
    return [np.setdiff1d(some, same) for some, same in zip(near, places.neighbours(least), strict=True)]


def rarity(notes: pd.Series, name: str) -> np.ndarray:
    """Chances (T,) of queries: 1, and as much again for all by night together as for all, and so for all that look
    sideways, divided by their sum. ``notes`` of their names tell, as day_forward or night_sideways do.

    ValueError, in a sentence, where no note tells. Source: Berton et al., CVPR 2022, whose name is msls_weighted.
    """
    words = notes.str.lower().str.split("_")
    weights = np.ones(len(notes))
    for rare in ("night", "sideways"):
        those = words.apply(lambda some, rare=rare: rare in some).to_numpy(bool)  # (T,)
        weights[those] += len(notes) / max(1, those.sum())
    if (weights == 1).all():
        raise ValueError(
            f"{name}: no query's name has a note of night or sideways, so none is rare; mining=partial is the same"
        )
    return weights / weights.sum()


def shared_mine(queries: Tensor, database: Tensor, hard, soft, pool: np.ndarray, count: int, previous: np.ndarray):
    """(positives, negatives) as from ``mine``: each process mines for its share of queries, all have all at the end."""
    own = processes.share(len(queries))
    pool = pool[own] if pool.ndim == 2 else pool  # "full" mining has one pool per query
    try:
        found = mine(queries[own], database, hard[own], soft[own], pool, count, previous[own])  # (q,), (q, count)
    except TooFew as error:
        raise TooFew(str(error), own.start + error.row) from error
    return tuple(processes.together(part, len(queries)) for part in found)
