"""Ground truth as the field's evaluation code carries it: lists of GSV-Cities' family, positions of Patch-NetVLAD.

Lists of lists in NumPy files are pickles, which may run any code; they are read so that none does.
"""

import io
import pickle
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vg_core.datasets.nearest import neighbours
from vg_core.evaluation.ranks import cells
from vg_core.retrieval.published.ground_truth import Benchmark, by_rank, lines
from vg_core.retrieval.published.matlab import MOST
from vg_core.retrieval.published.tokyo import resolved


class _Inert:
    """What stands in for every object of a pickle: it keeps what it is given, and does nothing."""

    def __init__(self, *parts):
        self.parts = parts

    def __setstate__(self, state):
        self.state = state


class _Reader(pickle._Unpickler):  # the one in Python: that in C takes any amount of memory if a file asks for it
    def find_class(self, _module, _name):
        return _Inert


def read_lists(database, queries, truth, images) -> Benchmark:
    """Names of database images and queries below ``images``, and right database indices per query, in three .npy files.

    Where ``…_qIdx.npy`` lies beside the queries, as for val of MSLS, it says which of them are asked. Queries with the
    same first right image are of one place. Source: Ali-bey et al., GSV-Cities (2022), and code that follows it.
    """
    names = [_array(file) for file in (database, queries)]
    chosen = Path(queries).with_name(Path(queries).name.replace("qImages", "qIdx"))
    if chosen != Path(queries) and chosen.is_file():
        asked = np.asarray(_array(chosen))
        if asked.dtype.kind not in "iu" or not _within(asked, len(names[1])):
            raise ValueError(f"{chosen}: not numbers of the {len(names[1])} queries in {queries}; fetch it again")
        names[1] = np.asarray(names[1])[asked]
    for file, found in zip((database, queries), names, strict=True):
        if not len(found) or not all(isinstance(name, str) for name in found):
            raise ValueError(f"{file}: not a list of names of images; fetch it again")
    positives = [np.unique(np.asarray(right, dtype=np.int64)) for right in _checked(truth, names)]
    places = [f"image {right[0]}" if len(right) else f"query {row}" for row, right in enumerate(positives)]
    paths = [resolved([*map(str, found)], images, file) for found, file in zip(names, (database, queries), strict=True)]
    return by_rank(*paths, positives, places)


def read_positions(truth, database, queries, images) -> Benchmark:
    """Positions of database images (utmDb) and queries (utmQ), and how near is right (posDistThr), in an .npz file;
    their names below ``images``, a line each, in two lists. Source: Hausler et al., Patch-NetVLAD, CVPR 2021.
    """
    names = [[name for _, name in lines(file)] for file in (database, queries)]
    try:
        with zipfile.ZipFile(truth) as archive:
            if sum(member.file_size for member in archive.infolist()) > MOST:
                raise ValueError("it unpacks to more than any set has")
        with np.load(truth, allow_pickle=False) as arrays:
            places = [np.asarray(arrays[key], dtype=float).reshape(-1, 2) for key in ("utmDb", "utmQ")]
            metres = float(arrays["posDistThr"])
        if not np.isfinite([*places[0].ravel(), *places[1].ravel(), metres]).all():
            raise ValueError("positions that are no numbers")
    except Exception as error:  # whatever a damaged file makes of its reader
        raise ValueError(f"{truth}: not a ground truth of Patch-NetVLAD ({error}); fetch it again") from error
    if (counts := [*map(len, names)]) != (there := [*map(len, places)]):
        raise ValueError(f"{truth}: {there} positions for {counts} images and queries; take lists and truth of one set")
    paths = [resolved(found, images, file) for found, file in zip(names, (database, queries), strict=True)]
    return by_rank(*paths, neighbours(*places, metres), cells(places[1]))


def _checked(file, names: Sequence) -> Sequence:
    """The right images of each query, all of which there are; ValueError."""
    found, (images, queries) = _array(file), map(len, names)
    try:
        right = [np.atleast_1d(np.asarray(some, dtype=np.int64)) for some in found]
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{file}: not lists of numbers of images; fetch it again") from error
    if len(right) != queries or not all(some.ndim == 1 and _within(some, images) for some in right):
        raise ValueError(f"{file}: not numbers of {images} database images for {queries} queries; fetch it again")
    return right


def _within(numbers: np.ndarray, count: int) -> bool:
    return not numbers.size or (numbers.min() >= 0 and numbers.max() < count)


def _array(file) -> np.ndarray | list:
    """The array of an .npy file; one of objects as a list of texts, numbers and arrays."""
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: there is no such file; correct the path")
    try:
        with Path(file).open("rb") as opened:
            content = opened.read(MOST + 1)
        if len(content) > MOST:
            raise ValueError("it is larger than any list of images")
        opened = io.BytesIO(content)
        version = np.lib.format.read_magic(opened)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        if not header(opened)[2].hasobject:
            return np.load(io.BytesIO(content), allow_pickle=False)
        return _values(_Reader(opened).load())
    except Exception as error:  # whatever a damaged file makes of its reader
        raise ValueError(f"{file}: not a NumPy file of texts or numbers ({error}); fetch it again") from error


def _values(held) -> np.ndarray | list:
    """What a pickled array holds: numbers as they are, objects as a list."""
    if not isinstance(held, _Inert):
        return held
    _, shape, kind, _, data = held.state
    if kind.parts[0] == "O8":
        return [_values(one) for one in data]
    if kind.parts[0] not in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"):
        raise ValueError("values of another kind than whole numbers")
    return np.frombuffer(data, f"{kind.state[1]}{kind.parts[0]}").reshape(shape)
