"""One run made: a network trained, or gone on with, and tested, by one process of this machine at a time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from vg_core.augmentation.restyle import Restyled
from vg_core.config import ANY_HEADING, Config
from vg_core.cross_view.ranking import one_percent_facts
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.models import load_model
from vg_core.models.checkpoint import checkpoint_hash
from vg_core.retrieval.descriptors import Strategy, photographs_of
from vg_core.retrieval.feature_cache import stems_if_shared
from vg_core.retrieval.ranking import Evaluation, evaluate
from vg_core.retrieval.strategies import RESTYLED, make_strategy
from vg_core.retrieval.whitened import whiten
from vg_core.runs.identity import test_name
from vg_core.runs.record import Job, Run, read_run
from vg_core.system import own_files, paths, processes
from vg_core.system.devices import pick_device
from vg_core.system.files import one_at_a_time
from vg_core.training.estimate import expected
from vg_core.training.progress import Progress
from vg_core.training.taken import after_test, after_training
from vg_core.training.trainer import train


def make(job: Job, screen: TextIO | None = None) -> Run:
    """The run of a job, which is trained unless it is already, then tested. A few of its lines reach the ``screen``.

    What another process of this machine is making is waited for.
    """
    with _alone(job):
        if not job.is_trained():
            _train(job, screen)
        if processes.size() > 1 or not job.finished():
            _test(job)
    processes.wait()  # for what the first process writes
    return read_run(job.config, job.test_tables)


@contextmanager
def _alone(job: Job) -> Iterator[None]:
    """Within the block no process makes a run of this network but those of one training."""
    if processes.first():
        with one_at_a_time(job.checkpoints / "lock", f"{job.id} is being made by another process: waiting for it"):
            processes.wait()
            yield
    else:
        processes.wait()
        yield


def _train(job: Job, screen: TextIO | None) -> None:
    """Train, then write the run's tables; config.json comes last and marks the training as finished."""
    config, tables = job.config, job.tables
    begins = config.epochs_num and not (job.checkpoints / "state.pt").exists()
    foreseen = begins and config.task.kind != "pairs"  # whose images have two sizes: nothing is measured of these
    estimate = expected(config, [job.train, job.val, job.test]) if foreseen else None
    if estimate:  # what a training has no room for is said before it, not after hours
        print(estimate)
        estimate.check()
    if processes.first():
        (tables / "config.json").unlink(missing_ok=True)  # something was lost: it is unfinished again
        if estimate:
            estimate.save(tables, test_name(config))
    progress = partial(Progress, screen=screen)
    state = train(config.training(), job.checkpoints, job.train, job.val, progress)
    processes.wait()  # for the best model
    if not processes.first():
        return
    history, validation = pd.DataFrame(state.history), pd.DataFrame(state.validation)
    after_training(tables, history, validation)
    own_files.write(tables / "history.csv", history)
    own_files.write(tables / "validation.csv", validation)
    own_files.write(tables / "config.json", config.training().options())


def examine(config: Config, checkpoint: Path, places: PlaceSet) -> tuple[Evaluation, dict]:
    """(evaluation of a checkpoint on a set as ``config`` says, card of the protocol that its numbers depend on)."""
    if config.whitened_dim:
        whiten(checkpoint)
    model = load_model(checkpoint, config.whitened_dim).to(pick_device())
    threshold, strategy = config.val_positives_dist_threshold, _strategy(config, model.config.dataset, places)
    width = strategy.width(model.dim)
    protocol, photographs = Within(threshold, search=config.test_search), None
    facts = config.tested_at, protocol, config.infer_batch_size, strategy
    if strategy.is_plain:
        photographs = photographs_of(places, config.tested_at, model.config.task, ANY_HEADING in config.test_method)
        photographs = stems_if_shared(model, photographs, config.infer_batch_size)
    result = evaluate(model, places, *facts, photographs)
    adapted = {"targets": model.config.targets, "transductive": model.config.transductive}
    rare = (adapted if model.config.uses_targets else {}) | ({"search": config.test_search} if places.zones > 1 else {})
    rare |= one_percent_facts(result.ranks) if config.task.kind == "pairs" else {}
    return result, places.card(threshold) | rare | {
        "image_size": list(config.tested_at),
        "test_method": config.test_method,
        "whitened": model.whitening is not None,
        "descriptor_dim": width,
        "bytes_per_image": 4 * width,
        "checkpoint": checkpoint_hash(checkpoint),
        "describe_ms_per_image": 1e3 * result.seconds["describe"] / (len(places.database) + len(places.queries)),
        "search_ms_per_query": 1e3 * result.seconds["search"] / len(places.queries),
    }


def _strategy(config: Config, trained_on: str, places: PlaceSet) -> Strategy:
    """How queries are shown; if restyled, then by the database of the photographs that were trained on."""
    strategy = make_strategy(config.test_method)
    if RESTYLED not in config.test_method.split("+"):
        return strategy
    styles = PlaceSet.load(trained_on, "train").database.path
    return replace(strategy, read=Restyled(places.queries.path, styles, config.fda_beta, config.image_size))


def _test(job: Job) -> None:
    """Evaluate the best model once; ranks.parquet comes last and marks the test as finished."""
    started = time.monotonic()
    result, card = examine(job.config, job.best, job.test)
    seconds = time.monotonic() - started
    if not processes.first():
        return
    own_files.write(job.retrieved, result.indices.astype(np.int32))
    own_files.write(job.test_tables / "card.json", card)
    after_test(job.tables, test_name(job.config), seconds, [job.tables, job.checkpoints, paths.pixels_folder()])
    own_files.write(job.test_tables / "ranks.parquet", result.ranks)
