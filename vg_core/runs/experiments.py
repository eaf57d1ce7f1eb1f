"""One run, and a sweep of runs: what is finished is read back, what was interrupted goes on, what is new is started."""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, redirect_stdout
from functools import partial
from typing import TextIO

import pandas as pd
import torch

from vg_core.config import Config
from vg_core.evaluation.comparisons import recall_table
from vg_core.runs.lookup import Member, attempt, checked, checked_all, look_up, read_back, say_what_is_odd
from vg_core.runs.making import make
from vg_core.runs.record import Job, Opened, Run
from vg_core.runs.time_left import TimeLeft
from vg_core.runs.workers import workers
from vg_core.system.bounds import check_cluster
from vg_core.system.devices import cores
from vg_core.system.progress_bar import bar, watched
from vg_core.system.text import printable, spoken
from vg_core.training.taken import comparison

__all__ = ["Run", "histories", "recall_table", "run", "sweep", "with_untrained"]


def run(config: Config) -> Run:
    """The run of this configuration: read back when finished, gone on with when interrupted, started when new."""
    found = checked(config, {})
    if isinstance(found, Run):
        return found
    say_what_is_odd([found])
    return make(found)


def _run(config: Config, opened: Opened, screen: TextIO | None = None) -> Run:
    job, finished = look_up(config, opened)
    return finished or make(job, screen)


def compared(config: Config) -> pd.DataFrame:
    """What the run of this configuration was ``expected`` to take and what was ``taken``; see `estimate.comparison`."""
    return comparison(Job.open(config).tables)


def sweep(variants: Mapping[str, Config], seeds: Iterable[int] = (0,), cluster: str = "auto") -> pd.DataFrame:
    """The ranks of every variant and seed in one table: one row per query, with columns ``variant`` and ``seed``.

    ``cluster`` says where missing runs are made: "here" one by one, "local" by one worker process for each core, or by
    the workers of a Dask scheduler (Slurm, Kubernetes, …) at this address, which must see the same folders. "auto" is
    "here" with a GPU or a single core, "local" without. A worker that dies is replaced; its run goes on from its last
    mining round.

    A variant that fails does not stop the others: it is reported, and listed in ``attrs["failed"]`` as (variant, seed,
    sentence); what would stop them all is a ValueError. ``attrs["origin"]`` names the runs and datasets, for
    ``Page.close``.
    """
    check_cluster(cluster)
    members, opened = _members(variants, seeds), {}
    outcomes = checked_all(members, opened)
    missing = {member: members[member] for member, outcome in outcomes.items() if isinstance(outcome, Job)}
    say_what_is_odd(outcomes[member] for member in missing)
    if cluster == "auto":
        alone = torch.cuda.is_available() or cores() == 1 or len(missing) < 2
        cluster = "here" if alone else "local"
    here = cluster == "here" or not missing
    made = _one_by_one(missing, opened) if here else _by_workers(missing, cluster)
    left = TimeLeft({member: outcomes[member] for member in missing})
    with closing(made):  # an interrupt ends the workers at once
        for number, (member, outcome) in enumerate(bar(made, total=len(missing), desc="runs"), 1):
            outcomes[member] = outcome
            seconds = left.after(member)
            if not watched():
                print(printable(f"{number}/{len(missing)} {_told(member, outcome, seconds)}"), flush=True)
    failed = [(*member, outcome) for member, outcome in outcomes.items() if isinstance(outcome, str)]
    for variant, seed, why in failed:
        print(printable(f"{variant}, seed {seed}, failed: {why}"), file=sys.stderr, flush=True)
    done = [(*member, outcome) for member, outcome in outcomes.items() if isinstance(outcome, Run)]
    if not done:
        raise ValueError(f"every variant failed; the first: {failed[0][2]}")
    ranks = pd.concat([r.ranks.assign(variant=variant, seed=seed) for variant, seed, r in done], ignore_index=True)
    datasets = {r.card["dataset"]: r.card["fingerprint"] for _, _, r in done}
    ranks.attrs |= {"failed": failed, "origin": {"runs": [r.id for _, _, r in done], "datasets": datasets}}
    return ranks


def _told(member: Member, outcome: Run | str, seconds: float) -> str:
    """'GeM, seed 0: R@1 23.4, about 40 s left'."""
    found = f"R@1 {100 * (outcome.ranks['rank'] == 1).mean():.1f}" if isinstance(outcome, Run) else "failed"
    return f"{member[0]}, seed {member[1]}: {found}" + (f", about {spoken(seconds)} left" if seconds else "")


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


def _one_by_one(missing: Mapping[Member, Config], opened: Opened) -> Iterator[tuple[Member, Run | str]]:
    for member, config in missing.items():
        yield member, *_logged([config], opened, sys.stdout)


def _by_workers(missing: Mapping[Member, Config], cluster: str) -> Iterator[tuple[Member, Run | str]]:
    """(member, outcome) pairs as workers finish them.

    Tests of one trained network go to one worker: on several, each would train it.
    """
    from distributed import as_completed  # takes a second that reading runs back shall not pay

    same: dict[Config, list[Member]] = {}
    for member, config in missing.items():
        same.setdefault(config.training(), []).append(member)
    with workers(cluster, min(cores(), len(same))) as client:
        print("each run's own lines go to log.txt beside its checkpoints", flush=True)
        todo = {client.submit(_logged, [missing[m] for m in group], pure=False): group for group in same.values()}
        for future in as_completed(todo):
            lost = f"the workers that ran it died: {future.exception()}" if future.status == "error" else ""
            outcomes = [lost] * len(todo[future]) if lost else future.result()
            yield from zip(todo[future], outcomes, strict=True)


def _logged(configs: Sequence[Config], opened: Opened | None = None, screen: TextIO | None = None) -> list[Run | str]:
    """Outcomes of runs of one trained network. What they print goes to ``log.txt`` beside its checkpoints, since there
    are many of them, or several at once; a few lines reach the ``screen``.
    """
    opened = {} if opened is None else opened
    folder = Job.open(configs[0], opened).checkpoints
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("a") as log, redirect_stdout(log):
        return [attempt(partial(_run, screen=screen), config, opened) for config in configs]
