"""How many images a run decodes, describes and learns from."""

from collections.abc import Sequence
from math import ceil, prod

import numpy as np

from vg_core.config import Config
from vg_core.models.whitening import LEARNED_ON
from vg_core.places.dataset import PlaceSet
from vg_core.strategies import Strategy, make_strategy
from vg_core.tasks import Task, Tuples


def seen(config: Config, sets: Sequence[PlaceSet]) -> list[int]:
    """Images of train, val and test; val has some of its queries only where the configuration says so."""
    train, val, test = ([len(places.database), len(places.queries)] for places in sets)
    val[1] = min(val[1], config.val_queries or val[1])
    return [sum(train), sum(val), sum(test)]


def rounds(config: Config) -> int:
    """Rounds of the whole training, each with images drawn anew."""
    return config.epochs_num * config.queries_per_epoch // config.cache_refresh_rate


def mined(task: Task) -> tuple[int, int]:
    """Images described in one mining round: at most, and where its queries have as many positives as on average."""
    if not isinstance(task, Tuples):
        return 0, 0
    positives = np.sort([len(task.hard[query]) for query in task.trainable])[::-1]  # no other query is drawn
    most, usual = positives[: task.rows].sum(), task.rows * positives.sum() / max(1, len(positives))
    return _described(task, most), _described(task, usual)


def _described(task: Tuples, positives: float) -> int:
    """Images of a round whose queries have so many positives together."""
    config = task.config
    drawn = {"full": task.database, "partial": config.task.neg_samples_num, "random": 0}[config.task.mining]
    wanted = drawn + ceil(positives) + task.rows * config.task.negs_num_per_query
    return min(task.database, wanted) + task.rows


def learned(config: Config, task: Task) -> int:
    """Images that all training steps together see."""
    return rounds(config) * task.rows * config.task.images_per_row


def whitened(config: Config, train: PlaceSet) -> int:
    """Images that a whitening is learned on."""
    return min(LEARNED_ON, len(train.database)) if config.whitened_dim else 0


def shown(config: Config) -> tuple[Strategy, int]:
    """How queries are shown in the test, and the views of each."""
    strategy = make_strategy(config.test_method)
    return strategy, len(strategy.views(config.tested_at, config.tested_at))


def enlargement(config: Config) -> float:
    """Area of an image in the test over that in the training."""
    return prod(config.tested_at) / prod(config.image_size)


def pictures(config: Config, test: PlaceSet) -> float:
    """Images of the training with the area of all that the network sees in the test: views, scales, mirrored images."""
    strategy, views = shown(config)
    each = (1 + strategy.flip) * sum(scale**2 for scale in strategy.scales)
    return enlargement(config) * each * (len(test.database) + views * len(test.queries))
