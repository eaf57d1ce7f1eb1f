"""One run, and a sweep of runs: what is finished is read back, what was interrupted goes on, what is new is started."""

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vg_core.config import Config
from vg_core.datasets.checks import look_at
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.comparisons import recall_table
from vg_core.evaluation.ranks import Within
from vg_core.models import load_model
from vg_core.models.checkpoint import checkpoint_hash
from vg_core.retrieval.ranking import Evaluation, evaluate
from vg_core.retrieval.strategies import make_strategy
from vg_core.retrieval.whitened import check_whitened_dim, whiten
from vg_core.runs.identity import test_name
from vg_core.runs.record import Job, Opened, Run, read_run, read_tables
from vg_core.system import own_files, processes
from vg_core.system.devices import RAM, cores, free_memory, pick_device
from vg_core.system.errors import has_sentence, sentence
from vg_core.system.progress_bar import bar, watched
from vg_core.system.text import printable
from vg_core.training.estimate import after_test, after_training, comparison, expected
from vg_core.training.progress import Progress
from vg_core.training.trainer import train

__all__ = ["Run", "examine", "histories", "recall_table", "run", "sweep", "with_untrained"]

# One thread each, since threads of several processes fight for cores. And glibc keeps the memory it has: given back
# after every batch, as Dask would have it, it is mapped and zeroed anew, and a training step takes 1.6 times as long.
WORKER_SETTINGS = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "MALLOC_TRIM_THRESHOLD_": str(2**33),
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
}
Member = tuple[str, int]  # variant and seed


def run(config: Config) -> Run:
    """The run of this configuration: read back when finished, gone on with when interrupted, started when new."""
    return _run(config, {})


def _run(config: Config, opened: Opened) -> Run:
    job, finished = _look_up(config, opened)
    if finished:
        return finished
    check_whitened_dim(config, job.train)
    look_at([job.train, job.val, job.test], config.val_positives_dist_threshold, config.image_size)
    if not job.is_trained():
        _train(job)
    _test(job)
    processes.wait()  # for what the first process writes
    return read_run(config, job.test_tables)


def read_back(config: Config, opened: Opened | None = None) -> Run | None:
    """The run of this configuration if it is finished."""
    return _look_up(config, opened)[1]


def _look_up(config: Config, opened: Opened | None) -> tuple[Job | None, Run | None]:
    """(job of a configuration, its run if that is finished). On a machine without the photographs there is no job, and
    the tables of a run of this very configuration are enough.
    """
    make_strategy(config.test_method)  # a fault of the test must show before hours of training
    try:
        job = Job.open(config, opened)
    except FileNotFoundError:
        if found := read_tables(config):
            return None, found
        raise
    return job, job.finished()


def compared(config: Config) -> pd.DataFrame:
    """What the run of this configuration was ``expected`` to take and what was ``taken``; see `estimate.comparison`."""
    return comparison(Job.open(config).tables)


def sweep(variants: Mapping[str, Config], seeds: Iterable[int] = (0,), cluster: str = "auto") -> pd.DataFrame:
    """The ranks of every variant and seed in one table: one row per query, with columns ``variant`` and ``seed``.

    ``cluster`` says where missing runs are made: "here" one by one, "local" by one worker process for each core, or by
    the workers of a Dask scheduler (Slurm, Kubernetes, …) at this address, which must see the same folders. "auto" is
    "here" with a GPU and "local" without. A worker that dies is replaced; its run goes on from its last mining round.

    A variant that fails does not stop the others: it is reported, and listed in ``attrs["failed"]`` as (variant, seed,
    sentence). ``attrs["origin"]`` names the runs and datasets, for ``Page.close``.
    """
    members, opened = _members(variants, seeds), {}
    outcomes = {member: _attempt(read_back, config, opened) for member, config in members.items()}
    missing = {member: config for member, config in members.items() if outcomes[member] is None}
    if cluster == "auto":
        cluster = "here" if torch.cuda.is_available() or len(missing) < 2 else "local"
    here = cluster == "here" or not missing
    made = _one_by_one(missing, opened) if here else _by_workers(missing, cluster)
    started = time.monotonic()
    for number, (member, outcome) in enumerate(bar(made, total=len(missing), desc="runs"), 1):
        outcomes[member] = outcome
        if not watched():
            left = (time.monotonic() - started) / number * (len(missing) - number)
            line = f"{number} of {len(missing)} runs done: {member[0]}, seed {member[1]}; {left:.0f} s left"
            print(printable(line), flush=True)
    failed = [(*member, outcome) for member, outcome in outcomes.items() if isinstance(outcome, str)]
    for variant, seed, why in failed:
        print(printable(f"{variant}, seed {seed}, failed: {why}"), file=sys.stderr, flush=True)
    done = [(*member, outcome) for member, outcome in outcomes.items() if isinstance(outcome, Run)]
    if not done:
        raise RuntimeError(f"every variant failed; the first: {failed[0][2] if failed else 'no variants given'}")
    ranks = pd.concat([r.ranks.assign(variant=variant, seed=seed) for variant, seed, r in done], ignore_index=True)
    datasets = {r.card["dataset"]: r.card["fingerprint"] for _, _, r in done}
    ranks.attrs |= {"failed": failed, "origin": {"runs": [r.id for _, _, r in done], "datasets": datasets}}
    return ranks


def with_untrained(variants: Mapping[str, Config]) -> dict[str, Config]:
    """The variants, and each of them untrained (NetVLAD with its clusters) under its name with ", untrained"."""
    return {**variants} | {f"{name}, untrained": config.replace(epochs_num=0) for name, config in variants.items()}


def histories(variants: Mapping[str, Config], seeds: Iterable[int] = (0,)) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(history, validation) of the runs that are finished, with columns ``variant`` and ``seed``."""
    members, opened = _members(variants, seeds), {}
    runs = [(*member, found) for member, config in members.items() if (found := read_back(config, opened))]
    if not runs:
        raise ValueError(f"none of the variants {', '.join(variants)} has a finished run: make them first, with sweep")
    history = pd.concat([r.history.assign(variant=v, seed=s) for v, s, r in runs], ignore_index=True)
    validation = pd.concat([r.validation.assign(variant=v, seed=s) for v, s, r in runs], ignore_index=True)
    return history, validation


def _members(variants: Mapping[str, Config], seeds: Iterable[int]) -> dict[Member, Config]:
    """The configuration of every variant and seed, in the order given."""
    return {(name, seed): config.replace(seed=seed) for name, config in variants.items() for seed in seeds}


def _attempt(work: Callable[[Config, Opened], Run | None], config: Config, opened: Opened) -> Run | str | None:
    """What ``work`` returns, or the sentence it failed with: one bad variant must not lose a night of others."""
    try:
        return work(config, opened)
    except Exception as error:
        if has_sentence(error):
            return sentence(error)
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"


def _one_by_one(missing: Mapping[Member, Config], opened: Opened) -> Iterator[tuple[Member, Run | str]]:
    return ((member, _attempt(_run, config, opened)) for member, config in missing.items())


def _by_workers(missing: Mapping[Member, Config], cluster: str) -> Iterator[tuple[Member, Run | str]]:
    """(member, outcome) pairs as workers finish them; closing the client stops what still waits.

    Tests of one trained network go to one worker: on several, each would train it.
    """
    import dask  # takes a second that reading runs back shall not pay
    from distributed import Client, as_completed

    same: dict[Config, list[Member]] = {}
    for member, config in missing.items():
        same.setdefault(config.training(), []).append(member)
    settings = dask.config.set({"distributed.nanny.pre-spawn-environ": WORKER_SETTINGS})
    workers = min(cores(), len(same))
    share = {RAM: str(free_memory(torch.device("cpu")) // workers)}
    local = {"n_workers": workers, "threads_per_worker": 1, "memory_limit": 0, "env": share}
    with settings, Client(**local, dashboard_address=":0") if cluster == "local" else Client(cluster) as client:
        print("each run's own lines go to log.txt beside its checkpoints", flush=True)
        todo = {client.submit(_logged, [missing[m] for m in group], pure=False): group for group in same.values()}
        for future in as_completed(todo):
            lost = f"the workers that ran it died: {future.exception()}" if future.status == "error" else ""
            outcomes = [lost] * len(todo[future]) if lost else future.result()
            yield from zip(todo[future], outcomes, strict=True)


def _logged(configs: Sequence[Config]) -> list[Run | str | None]:
    """Outcomes of runs of one trained network, in a worker process; what they print goes to ``log.txt`` beside its
    checkpoints, since several networks are made at once.
    """
    opened: Opened = {}
    folder = Job.open(configs[0], opened).checkpoints
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a") as log, redirect_stdout(log):
        return [_attempt(_run, config, opened) for config in configs]


def _train(job: Job) -> None:
    """Train, then write the run's tables; config.json comes last and marks the training as finished."""
    config, tables = job.config, job.tables
    begins = config.epochs_num and not (job.checkpoints / "state.pt").exists()
    estimate = expected(config, [job.train, job.val, job.test]) if begins else None
    if estimate:  # what a training has no room for is said before it, not after hours
        print(estimate)
        estimate.check()
    if processes.first():
        (tables / "config.json").unlink(missing_ok=True)  # something was lost: it is unfinished again
        if estimate:
            estimate.save(tables, test_name(config))
    state = train(config.training(), job.checkpoints, job.train, job.val, Progress)
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
    threshold, strategy = config.val_positives_dist_threshold, make_strategy(config.test_method)
    width = strategy.width(model.dim)
    result = evaluate(model, places, config.tested_at, Within(threshold), config.infer_batch_size, strategy)
    return result, places.card(threshold) | {
        "image_size": list(config.tested_at),
        "test_method": config.test_method,
        "whitened": model.whitening is not None,
        "descriptor_dim": width,
        "bytes_per_image": 4 * width,
        "checkpoint": checkpoint_hash(checkpoint),
        "describe_ms_per_image": 1e3 * result.seconds["describe"] / (len(places.database) + len(places.queries)),
        "search_ms_per_query": 1e3 * result.seconds["search"] / len(places.queries),
    }


def _test(job: Job) -> None:
    """Evaluate the best model once; ranks.parquet comes last and marks the test as finished."""
    started = time.monotonic()
    result, card = examine(job.config, job.best, job.test)
    seconds = time.monotonic() - started
    if not processes.first():
        return
    own_files.write(job.retrieved, result.indices.astype(np.int32))
    own_files.write(job.test_tables / "card.json", card)
    after_test(job.tables, test_name(job.config), seconds)
    own_files.write(job.test_tables / "ranks.parquet", result.ranks)
