"""Datasets as the authors of NetVLAD specify them, in a MATLAB file of names and positions."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vg_core.places.listing import image_files
from vg_core.places.matlab import read_fields
from vg_core.text import printable


def read_specification(file, times: Sequence[str] = ()) -> tuple[list[list[str]], list[np.ndarray], list[np.ndarray]]:
    """Names of images, positions (N, 2) in metres and time stamps (N,), each of the database and of the queries.

    ``file`` is one of the NetVLAD authors' specifications of a dataset. Of its ``dbStruct`` it reads dbImageFns,
    qImageFns, utmDb (2, N), utmQ (2, Q) and ``times``. Raises FileNotFoundError and ValueError.
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
    there = {_stem(os.path.relpath(path, folder)): path for path in image_files(folder)}
    found = [there.get(_stem(name)) for name in names]
    if None in found:
        lost = printable(names[found.index(None)][:80])
        raise FileNotFoundError(f"{file} names {lost}, which is not in {folder}; unpack all images")
    return found


def _stem(name: str) -> str:
    return os.path.splitext(os.path.normpath(name))[0]
