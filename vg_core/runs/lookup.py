"""Before any run is made: which are finished, what would stop the others, and what is odd about their photographs."""

import traceback
from collections.abc import Callable, Iterable, Mapping

from vg_core.config import Config
from vg_core.datasets.checks import check_recall, check_targets, oddities
from vg_core.models.backbones import said_of_size
from vg_core.retrieval.strategies import make_strategy
from vg_core.retrieval.whitened import check_whitened_dim
from vg_core.runs.record import Job, Opened, Run, read_tables
from vg_core.system.errors import has_sentence, sentence

Member = tuple[str, int]  # variant and seed


def look_up(config: Config, opened: Opened | None = None) -> tuple[Job | None, Run | None]:
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


def read_back(config: Config, opened: Opened | None = None) -> Run | None:
    """The run of this configuration if it is finished."""
    return look_up(config, opened)[1]


def checked(config: Config, opened: Opened) -> Job | Run:
    """The run of this configuration if it is finished, else its job; raises what would stop that from being made."""
    job, finished = look_up(config, opened)
    if finished:
        return finished
    check_whitened_dim(config, job.train)
    if not config.transductive:
        check_targets(job.train, job.test)
    check_recall([job.val, job.test], config.val_positives_dist_threshold)
    return job


def checked_all(members: Mapping[Member, Config], opened: Opened) -> dict[Member, Job | Run | str]:
    """For each member what is ``checked``, or the sentence about what would stop it. ValueError, once, for what would
    stop them all, such as a dataset that there is not.
    """
    found = {member: attempt(checked, config, opened) for member, config in members.items()}
    faults = {outcome if isinstance(outcome, str) else None for outcome in found.values()}
    if not found:
        raise ValueError("there is nothing to run: no variants or no seeds were given")
    if len(faults) == 1 and faults != {None}:
        raise ValueError(*faults)
    return found


def say_what_is_odd(jobs: Iterable[Job]) -> None:
    """Say what is odd about the photographs of runs that are to be made, each thing once."""
    said = []
    for job in jobs:
        said += oddities([job.train, job.val, job.test], job.config.image_size)
        said += said_of_size(job.config.backbone, job.config.image_size)
    for odd in dict.fromkeys(said):
        print(odd, flush=True)


def attempt(work: Callable, config: Config, opened: Opened) -> Job | Run | str:
    """What ``work`` returns, or the sentence it failed with: one bad variant must not lose a night of others."""
    try:
        return work(config, opened)
    except Exception as error:
        if has_sentence(error):
            return sentence(error)
        traceback.print_exc()
        return f"{type(error).__name__}: {error}"
