"""Short looks at a training that save no weights: which learning rates it bears, and what mining hands to it."""

from collections.abc import Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd

from vg_core.config import Config
from vg_core.datasets.photographs import Photographs
from vg_core.datasets.places import load_places
from vg_core.datasets.walls import shared_walls
from vg_core.evaluation.ranks import positions
from vg_core.mining import nearest_positives
from vg_core.mining.rounds import Round, mine_round
from vg_core.models import GeoModel
from vg_core.retrieval.descriptors import describe_photographs
from vg_core.runs.record import Job
from vg_core.system import own_files, paths
from vg_core.training.classes import classes_of
from vg_core.training.lr_range import range_test
from vg_core.training.objectives import hard_positives
from vg_core.training.trainer import Trainer


def learning_rate_range(config: Config, low: float = 1e-6, high: float = 1.0, steps: int = 60) -> pd.DataFrame:
    """Loss at each learning rate of a short training in which it grows at every step; columns of ``range_test``.

    Tuples are mined once, with the untrained network. The curve is saved, no weights are: asked again, it is read back.
    """
    job = Job.open(config)
    file = paths.cache_root() / "ranges" / f"{job.id}-{low:g}-{high:g}-{steps}.csv"
    return own_files.read_or_make(file, lambda: _range_curve(job, low, high, steps))


def _range_curve(job: Job, low: float, high: float, steps: int) -> pd.DataFrame:
    trainer, config = Trainer(job.config, Path(), job.train, job.val), job.config
    trainer.start()
    tuples, _ = trainer.mine(np.random.default_rng(config.seed))
    batches = cycle(trainer.batches(tuples))
    trainer.model.train()

    def step(lr: float) -> float:
        for group in trainer.optimizer.param_groups:
            group["lr"] = lr * (group["initial_lr"] / config.lr)
        batch = next(batches)
        images = next(trainer.sources.learned.batches([batch.ravel()]))
        return float(trainer.step(images, batch))

    return range_test(step, low, high, steps)


def mined_positives(model: GeoModel, config: Config) -> pd.DataFrame:
    """One row per training query, with what mining by this model picks: query, positive (paths), metres, distance.

    It is the nearest by descriptor within ``train_positives_dist_threshold``; ``distance`` is between descriptors. A
    query without an image that near has an empty path and NaN: it cannot be trained on.
    """
    places = load_places(config, "train")
    hard = hard_positives(config, places)  # Q lists
    rows = np.flatnonzero([len(near) for near in hard])  # (R,) queries that have one
    table = pd.DataFrame({"query": places.queries.path, "positive": "", "metres": np.nan, "distance": np.nan})
    if not len(rows):
        return table
    images = Photographs([*places.database.path, *places.queries.path[rows]], config.image_size, mapped=True)
    found = describe_photographs(model, images, config.infer_batch_size)  # (N + R, D)
    database, queries = found[: len(places.database)], found[len(places.database) :]  # (N, D), (R, D)
    chosen = nearest_positives(queries, database, [hard[row] for row in rows]).numpy()  # (R,)
    here, there = (t[["easting", "northing"]].to_numpy() for t in (places.queries.iloc[rows], places.database))
    table.loc[rows, "positive"] = places.database.path.to_numpy()[chosen]
    table.loc[rows, "metres"] = np.linalg.norm(here - there[chosen], axis=1)
    table.loc[rows, "distance"] = (queries - database[chosen]).norm(dim=1).cpu().numpy()
    return table


def mined_negatives(model: GeoModel, config: Config) -> pd.DataFrame:
    """One row per training query and negative that mining by this model picks: query, negative (paths), metres, turn
    (degrees between their headings, NaN if unknown), shared (how much both show the same walls, 0 to 1; NaN where
    nobody knows, as of photographs that were not generated).

    Mining is the configured one, with pools drawn by the seed, and queries have no negatives of an earlier visit.
    """
    places, task = load_places(config, "train"), config.task
    hard, soft = hard_positives(config, places), places.neighbours(config.val_positives_dist_threshold)
    rows, size = np.flatnonzero([len(near) for near in hard]), len(places.database)  # (R,)
    images = Photographs([*places.database.path, *places.queries.path], config.image_size, mapped=True)
    none = np.full((len(rows), task.negs_num_per_query), -1)
    start = Round(size, size, rows, [hard[row] for row in rows], [soft[row] for row in rows], none)
    describe = partial(describe_photographs, model, images, config.infer_batch_size)
    rng = np.random.default_rng(config.seed)
    _, negatives, _ = mine_round(start, task.pool, task.neg_samples_num, task.margin, describe, rng)  # (R, count)
    here = places.queries.iloc[np.repeat(rows, negatives.shape[1])]  # (R x count,)
    there = places.database.iloc[negatives.flatten().numpy()]
    table = pd.DataFrame({"query": here.path.to_numpy(), "negative": there.path.to_numpy()})
    table["metres"] = np.linalg.norm(positions(here) - positions(there), axis=1)
    table["turn"] = np.abs((here.heading.to_numpy() - there.heading.to_numpy() + 180) % 360 - 180)
    return table.assign(shared=shared_walls(table["query"], table.negative))


def photograph_classes(config: Config) -> pd.DataFrame:
    """One row per training photograph, with the class and the group that a loss of classes in groups gives it: path,
    easting, northing, heading, class (-1 is none), group (0 is none).

    Groups are counted from 1 in the order in which they take turns, also beyond ``groups_num``. A group of a single
    class takes no turn: there is nothing to tell apart.
    """
    places = load_places(config, "train")
    found = classes_of(config, places)
    learned = found.sizes > 1  # (G,)
    groups = np.repeat(learned.cumsum() * learned, found.sizes)  # (C,)
    table = pd.concat([places.database, places.queries], ignore_index=True)[["path", "easting", "northing", "heading"]]
    return table.assign(**{"class": found.of_images, "group": np.append(groups, 0)[found.of_images]})


def positives_lost(config: Config, thresholds: Sequence[float]) -> pd.DataFrame:
    """One row per threshold (metres) on training positives: threshold, queries, lost (%), positives (mean of the rest).

    ``lost`` are the training queries without any database image that near: they are left out of the training.
    """
    places, rows = load_places(config, "train"), []
    for threshold in thresholds:
        counts = np.array([len(near) for near in places.neighbours(threshold)])  # (Q,)
        found = counts[counts > 0]
        mean = found.mean() if len(found) else 0.0
        lost = 100 * np.mean(counts == 0)
        rows.append({"threshold": threshold, "queries": len(counts), "lost": lost, "positives": mean})
    return pd.DataFrame(rows)
