"""How long the rest of a sweep takes: as long for its work as what is done took for its own."""

import time
from collections.abc import Mapping
from math import prod

from vg_core.config import TupleOptions
from vg_core.datasets.places import PlaceSet
from vg_core.retrieval.strategies import make_strategy
from vg_core.runs.record import Job

LEARNING = 3  # passes forward and backward, counted in passes forward
TELLING = 0.05  # share of the work that must be done, or the start of worker processes is taken for it


class TimeLeft:
    """Seconds until all of some jobs are done. The one that is the first to need a network trains it."""

    def __init__(self, jobs: Mapping):
        self.started, self.done, trained = time.monotonic(), 0.0, set()
        self.work = {}
        for member, job in jobs.items():
            begins = job.id not in trained and not job.is_trained()
            trained.add(job.id)
            self.work[member] = _of_test(job) + (_of_training(job) if begins else 0)

    def after(self, member) -> float:
        """Seconds left now that this one is done, too; 0 while too little is done to tell."""
        self.done += self.work.pop(member)
        left = sum(self.work.values())
        if self.done < TELLING * (self.done + left):
            return 0.0
        return (time.monotonic() - self.started) * left / max(self.done, 1)


def _of_training(job: Job) -> int:
    """Pixels that pass through the network in a training, forward."""
    config = job.config
    learned = LEARNING * config.queries_per_epoch * config.task.images_per_row
    rounds = config.queries_per_epoch // config.cache_refresh_rate if isinstance(config.task, TupleOptions) else 0
    mined = rounds * _images(job.train)  # of classes, nothing is
    validated = (1 + config.epochs_num) * _images(job.val)
    return prod(config.image_size) * (config.epochs_num * (learned + mined) + validated)


def _of_test(job: Job) -> int:
    """Pixels that pass through it in the test."""
    size, strategy = job.config.tested_at, make_strategy(job.config.test_method)
    scales = (1 + strategy.flip) * sum(scale**2 for scale in strategy.scales)
    views = len(job.test.database) + len(job.test.queries) * len(strategy.views(size, size))
    return int(prod(size) * scales * views)


def _images(places: PlaceSet) -> int:
    return len(places.database) + len(places.queries)
