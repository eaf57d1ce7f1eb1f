"""Datasets as the authors of NetVLAD specify them, in a MATLAB file of names and positions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from vg_core.places.dataset import image_files


def read_specification(file, times: Sequence[str] = ()) -> tuple[list[list[str]], list[np.ndarray], list[np.ndarray]]:
    """Names of images, positions (N, 2) in metres and time stamps (N,), each of the database and of the queries.

    ``file`` is one of the NetVLAD authors' specifications of a dataset. Of its ``dbStruct`` it reads dbImageFns,
    qImageFns, utmDb (2, N), utmQ (2, Q) and ``times``. Raises FileNotFoundError and ValueError.
    """
    if not Path(file).is_file():
        raise FileNotFoundError(f"{file}: there is no such file; it is part of NetVLAD's dataset specifications")
    try:
        struct = loadmat(file, simplify_cells=True)["dbStruct"]
        names = [[str(name) for name in np.atleast_1d(struct[key])] for key in ("dbImageFns", "qImageFns")]
        places = [np.reshape(struct[key], (2, -1)).T.astype(float) for key in ("utmDb", "utmQ")]
        stamps = [np.ravel(struct[key]) for key in times]
    except (KeyError, IndexError, TypeError, ValueError, NotImplementedError) as error:
        raise ValueError(f"{file}: not NetVLAD's specification of a dataset ({error}); fetch it again") from error
    counts = [[len(column) for column in columns] for columns in (names, places, stamps) if columns]
    if any(count != counts[0] for count in counts):
        raise ValueError(f"{file}: numbers of images, positions and time stamps differ ({counts}); fetch it again")
    return names, places, stamps


def resolved(names: list[str], folder, file) -> list[str]:
    """Paths below a folder of the images that ``file`` names, whatever their extensions."""
    there = {Path(path).relative_to(folder).with_suffix(""): path for path in image_files(folder)}
    found = [there.get(Path(name).with_suffix("")) for name in names]
    if None in found:
        raise FileNotFoundError(f"{file} names {names[found.index(None)]}, which is not in {folder}; unpack all images")
    return found
