"""Structs in MATLAB's files (its format 5, as versions 5 to 7.2 save) read so that no file does harm.

SciPy's reader is compiled: one bit changed in a file may end the process, or ask for any amount of memory.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

MOST = 2**26  # bytes of a file, and of what it unpacks to: more than those of the largest set known
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8", 17: "u2"}
UTF8, MATRIX, COMPRESSED = 16, 14, 15  # kinds of elements, as are the keys of NUMBERS
CELL, STRUCT, TEXT, NUMERIC, COMPLEX = 1, 2, 4, range(6, 16), 0x0800  # classes and a flag of matrices


def read_fields(file, name: str, keys: Sequence[str]) -> list[list | str | np.ndarray]:
    """Fields of the struct of that name: texts, arrays of floats, and lists of what cells hold, column by column.

    Raises KeyError where there is none, and whatever else its lines make of a damaged file, in little memory.
    """
    with Path(file).open("rb") as opened:
        content = opened.read(MOST + 1)
    if len(content) > MOST or content[126:128] != b"IM":  # "MI" where the high byte comes first
        raise ValueError("saved in another format than -v7 or -v6, or too large")
    for kind, data in _elements(memoryview(content)[128:]):
        if kind == COMPRESSED:
            kind, data = next(_elements(memoryview(zlib.decompressobj().decompress(data, MOST))))
        flags, shape, title, parts = _matrix(data)
        if kind == MATRIX and title == name and (flags & 0xFF, math.prod(shape)) == (STRUCT, 1):
            width, titles = int.from_bytes(next(parts)[1], "little"), bytes(next(parts)[1])
            fields = [titles[at : at + width].split(b"\0")[0].decode() for at in range(0, len(titles), width)]
            values = {field: value for field, (_, value) in zip(fields, parts, strict=True)}
            return [_value(values[key]) for key in keys]
    raise KeyError(name)


def _elements(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(kind, content) of each element in the data; up to four bytes lie within the tag itself."""
    at = 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        start, end = at + 8, at + 8 + size
        if kind >> 16:
            kind, start, end = kind & 0xFFFF, at + 4, at + 4 + (kind >> 16)
        if end > len(data):
            raise ValueError("it is cut")
        yield kind, data[start:end]
        at = end if kind == COMPRESSED else end + -end % 8


def _matrix(data: memoryview) -> tuple[int, list[int], str, Iterator]:
    """(flags, shape, name, elements of the content) of a matrix."""
    parts = _elements(data)
    (flags, _), shape = (np.frombuffer(next(parts)[1], "<i4").tolist() for _ in range(2))
    return flags, shape, bytes(next(parts)[1]).decode(), parts


def _value(data: memoryview) -> list | str | np.ndarray:
    """The value of a matrix, see ``read_fields``."""
    flags, shape, _, parts = _matrix(data)
    kind, count = flags & 0xFF, math.prod(shape)
    if kind == CELL:
        values = [_value(one) for _, one in islice(parts, count)]
        if len(values) == count:
            return values
    if kind == TEXT and shape[0] <= 1:
        encoding, content = next(parts, (UTF8, b""))
        if encoding == UTF8:
            return bytes(content).decode(errors="replace")
        letters = np.frombuffer(content, f"<{NUMBERS[encoding]}").astype("<u4")
        return letters.tobytes().decode("utf-32-le", "replace")
    if kind in NUMERIC and not flags & COMPLEX:
        encoding, content = next(parts)
        return np.frombuffer(content, f"<{NUMBERS[encoding]}").astype(float).reshape(shape, order="F")
    raise ValueError(f"a matrix of class {kind} and shape {shape} is another than expected, or cut")
