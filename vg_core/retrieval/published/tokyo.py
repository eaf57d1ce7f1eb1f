"""Tokyo 24/7 and Tokyo Time Machine, as the authors of NetVLAD specify them: MATLAB files of names and positions."""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vg_core.datasets.folders import listed
from vg_core.datasets.places import neighbours
from vg_core.evaluation.ranks import cells, first_hits, panorama_nms
from vg_core.retrieval.published.ground_truth import TOP, Benchmark, by_rank
from vg_core.retrieval.published.matlab import read_fields
from vg_core.system.text import printable

METRES = 25.0  # right is what lies as near
VIEWS = 12  # of each panorama of Tokyo 24/7, side by side in the database
TIMES = ("day", "sunset", "night")
RETRIEVED = 1000  # per query of the Time Machine by its authors, before those of its own time are dropped


def read_tokyo247(file, images, queries) -> Benchmark:
    """Tokyo 24/7 from ``tokyo247.mat``, whose order of images decides what belongs together.

    Twelve database images in a row are one panorama, which counts by its best view (Torii et al., CVPR 2015); three
    queries in a row are a viewpoint by day, at sunset, at night. Database images may be .png although it says .jpg.
    """
    names, places, _ = read_specification(file)
    for name, together in zip(names, (VIEWS, len(TIMES)), strict=True):
        if len(name) % together:
            raise ValueError(f"{file}: {len(name)} images, expected a multiple of {together}; fetch it again")
    paths = [resolved(found, folder, file) for found, folder in zip(names, (images, queries), strict=True)]
    times = np.array(TIMES)[np.arange(len(names[1])) % len(TIMES)]
    panoramas = np.arange(len(names[0])) // VIEWS  # (N,)

    def ranks(indices: np.ndarray, positives: Sequence) -> np.ndarray:
        return first_hits(panorama_nms(indices, panoramas, TOP), positives)

    return by_rank(*paths, neighbours(*places, METRES), cells(places[1]), times, VIEWS * TOP, ranks)


def read_tokyo_tm(file, images) -> Benchmark:
    """Tokyo Time Machine from ``tokyoTM_val.mat``, all of whose names start below one folder.

    Queries and database are of the same panoramas, so only images of another time stamp count, as in the code of
    Arandjelović et al., CVPR 2016.
    """
    names, places, (taken, asked) = read_specification(file, ("dbTimeStamp", "qTimeStamp"))
    paths, count = resolved([*names[0], *names[1]], images, file), len(names[0])
    near = neighbours(*places, METRES)
    positives = [found[taken[found] != own] for found, own in zip(near, asked, strict=True)]
    ranks = partial(ranks_at_other_times, taken=taken, asked=asked, k=TOP)
    return by_rank(paths[:count], paths[count:], positives, cells(places[1]), "all", RETRIEVED, ranks)


def ranks_at_other_times(indices, positives: Sequence, taken: np.ndarray, asked: np.ndarray, k: int) -> np.ndarray:
    """(Q,) 1-based rank of the first right one among the k nearest images of another time than the query's; 0 for none.

    ``indices`` (Q, K); time stamps ``taken`` (N,) of the database and ``asked`` (Q,).
    """
    other = taken[indices] != asked[:, None]  # (Q, K)
    order = np.argsort(~other, axis=1, kind="stable")[:, :k]
    return first_hits(np.take_along_axis(np.where(other, indices, -1), order, axis=1), positives)


def read_specification(file, times: Sequence[str] = ()) -> tuple[list[list[str]], list[np.ndarray], list[np.ndarray]]:
    """Names of images, positions (N, 2) in metres and time stamps (N,), each of the database and of the queries.

    They are the fields dbImageFns, qImageFns, utmDb (2, N), utmQ (2, Q) and ``times`` of the file's ``dbStruct``.
    Raises FileNotFoundError and ValueError.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: there is no such file; it is part of NetVLAD's dataset specifications")
    try:
        fields = read_fields(file, "dbStruct", ("dbImageFns", "qImageFns", "utmDb", "utmQ", *times))
        if any(type(names) is not list or {*map(type, names)} - {str} for names in fields[:2]):
            raise ValueError("names that are no texts")
        places = [np.reshape(field, (2, -1)).T for field in fields[2:4]]
        if not all(np.isfinite(positions).all() for positions in places):
            raise ValueError("positions that are no numbers")
        names, stamps = fields[:2], [np.ravel(field) for field in fields[4:]]
    except Exception as error:  # whatever a damaged file makes of its reader
        reason = str(error) or type(error).__name__
        raise ValueError(f"{file}: not NetVLAD's specification of a dataset ({reason}); fetch it again") from error
    counts = [[len(column) for column in columns] for columns in (names, places, stamps) if columns]
    if any(count != counts[0] for count in counts):
        raise ValueError(f"{file}: numbers of images, positions and time stamps differ ({counts}); fetch it again")
    return names, places, stamps


def resolved(names: list[str], folder, file) -> list[str]:
    """Paths below a folder of the images that ``file`` names, whatever their extensions."""
    there = {os.path.splitext(os.path.relpath(path, folder))[0]: path for path in listed(folder).paths}
    found = [there.get(os.path.splitext(os.path.normpath(name))[0]) for name in names]
    if None in found:
        lost = printable(names[found.index(None)][:80])
        raise FileNotFoundError(f"{file} names {lost}, which is not in {folder}; unpack all images")
    return found
