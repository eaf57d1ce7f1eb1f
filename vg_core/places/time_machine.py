"""Tokyo Time Machine: queries and database are of the same panoramas, so only images of another time count."""

from dataclasses import dataclass

import numpy as np

from vg_core.evaluation import first_hits
from vg_core.places.dataset import neighbours
from vg_core.places.specifications import read_specification, resolved

RETRIEVED = 1000  # by the authors for each query, of which those of its own time are dropped


@dataclass(frozen=True)
class TimeMachine:
    """What queries should find, and when each photograph was taken."""

    database: list[str]  # paths
    queries: list[str]  # paths
    positives: list[np.ndarray]  # database indices within 25 m and of another time
    database_times: np.ndarray  # (N,) time stamps
    query_times: np.ndarray  # (Q,)
    positions: np.ndarray  # (Q, 2) easting and northing of the queries in metres


def read_tokyo_tm(file, images) -> TimeMachine:
    """Tokyo Time Machine from the NetVLAD authors' ``tokyoTM_val.mat``; all its names start below one folder.

    Besides what Tokyo 24/7 has, its ``dbStruct`` has dbTimeStamp (N,) and qTimeStamp (Q,), numbers. Raises
    FileNotFoundError and ValueError. Source: Arandjelović et al., CVPR 2016, whose code asks for another time stamp
    and for no distance in time.
    """
    names, places, times = read_specification(file, ("dbTimeStamp", "qTimeStamp"))
    paths = resolved([*names[0], *names[1]], images, file)
    near = neighbours(*places, radius_m=25.0)
    positives = [found[times[0][found] != own] for found, own in zip(near, times[1], strict=True)]
    return TimeMachine(paths[: len(names[0])], paths[len(names[0]) :], positives, *times, places[1])


def ranks_at_other_times(indices: np.ndarray, truth: TimeMachine, k: int) -> np.ndarray:
    """(Q,) 1-based rank of the first right one among the k nearest images of another time than the query's; 0 for none.

    ``indices`` (Q, K), K ``RETRIEVED`` as the authors take them. A query that keeps fewer than k has no others.
    """
    kept = truth.database_times[indices] != truth.query_times[:, None]
    order = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    nearest = np.take_along_axis(np.where(kept, indices, -1), order, axis=1)
    return first_hits(nearest, truth.positives)
