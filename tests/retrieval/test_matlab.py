"""Our reader of MATLAB's files: what SciPy's makes of whole ones, and a sentence about every other, at once."""

import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from vg_core.retrieval.published import matlab
from vg_core.retrieval.published.matlab import read_fields
from vg_core.retrieval.published.tokyo import read_specification

KEYS = ("dbImageFns", "qImageFns", "utmDb", "utmQ", "dbTimeStamp", "posDistThr", "whichSet")


def column(names):
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = names
    return cells


def save(file, compress: bool, **entries):
    names = [f"03814/pano_{number:03}_ß東.jpg" for number in range(20)]
    whole = {"whichSet": "val", "dbImageFns": column(names), "utmDb": np.arange(40.0).reshape(2, 20) * 0.37}
    whole |= {"qImageFns": column(names[:3]), "utmQ": np.float32([[1.5, 2, 3], [4, 5, 6]]), "posDistThr": 25.0}
    whole |= {"dbTimeStamp": np.full((1, 20), 200907, np.int32), "other": np.array([1 + 2j]), "more": [1, "a", [2]]}
    savemat(file, {"earlier": "text", "dbStruct": whole | entries, "later": 3}, do_compression=compress)
    return file


@pytest.mark.parametrize("compress", [False, True])
def test_whole_files_are_read_as_scipy_reads_them(tmp_path, compress):
    file = save(tmp_path / "a.mat", compress)
    expected = loadmat(file, simplify_cells=True)["dbStruct"]
    for key, found in zip(KEYS, read_fields(file, "dbStruct", KEYS), strict=True):
        assert np.array_equal(np.squeeze(found), expected[key])
    names, places, stamps = read_specification(file)
    assert names[0] == expected["dbImageFns"].tolist() and np.array_equal(places[1], expected["utmQ"].T) and not stamps


def element(kind: int, content: bytes) -> bytes:
    if 0 < len(content) <= 4:  # as MATLAB does
        return struct.pack("<I", len(content) << 16 | kind) + content.ljust(4, b"\0")
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(kind: int, shape: tuple, *content: tuple[int, bytes], name: str = "") -> tuple[int, bytes]:
    head = [(6, struct.pack("<II", kind, 0)), (5, struct.pack(f"<{len(shape)}i", *shape))]
    return 14, b"".join(element(*part) for part in (*head, (1, name.encode()), *content))


def test_files_as_matlab_writes_them(tmp_path):
    """Texts of 16 bits, small whole numbers as bytes, empty ones; the order of bytes of all machines sold today."""
    text = matrix(4, (1, 5), (4, "a.jpg".encode("utf-16-le")))
    cell, empty = matrix(1, (2, 1), text, matrix(4, (0, 0))), matrix(1, (0, 0))
    few, many = matrix(6, (2, 1), (2, b"\3\4")), matrix(6, (2, 2), (9, struct.pack("<4d", *range(4))))
    titles = b"".join(title.ljust(8, b"\0") for title in (b"cell", b"empty", b"few", b"many"))
    parts = (5, struct.pack("<i", 8)), (1, titles), cell, empty, few, many
    content = element(*matrix(2, (1, 1), *parts, name="s"))
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\1\0MI" + content)
    with pytest.raises(ValueError, match="another format than -v7 or -v6"):
        read_fields(tmp_path / "a.mat", "s", ("cell",))
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\0\1IM" + content)
    cell, empty, few, many = read_fields(tmp_path / "a.mat", "s", ("cell", "empty", "few", "many"))
    assert (cell, empty, few.tolist(), many.tolist()) == (["a.jpg", ""], [], [[3], [4]], [[0, 2], [1, 3]])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("compress", [False, True])
def test_no_damage_does_harm(tmp_path, compress):
    whole, file, rng = save(tmp_path / "a.mat", compress).read_bytes(), tmp_path / "b.mat", np.random.default_rng(0)
    outcomes = {"read": 0, "refused": 0}
    for turn in range(300):
        content = bytearray(whole)
        for place in rng.integers(0, len(content), 1 + turn % 3):
            content[place] ^= 1 << rng.integers(8)
        file.write_bytes(content[: len(content) if turn % 5 else rng.integers(len(content))])
        try:
            read_specification(file)
            outcomes["read"] += 1
        except ValueError as error:
            assert str(error).startswith(f"{file}: ")
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 10 or compress  # a checksum finds nearly everything


@pytest.mark.parametrize(
    "entries",
    [
        {"utmDb": np.full((2, 20), np.nan)},
        {"utmQ": np.full((2, 3), np.inf)},
        {"utmQ": "text"},
        {"utmQ": np.array([[1j, 2, 3]] * 2)},
        {"dbImageFns": "abcdefghijklmnopqrst"},
        {"qImageFns": column([1, 2, 3])},
        {"qImageFns": np.zeros(3)},
    ],
    ids=lambda entries: "-".join(entries),
)
def test_fields_that_mean_nothing_are_a_sentence(tmp_path, entries):
    with pytest.raises(ValueError, match=r"a\.mat: not NetVLAD's specification of a dataset \(\w.*\); fetch it again"):
        read_specification(save(tmp_path / "a.mat", False, **entries))


def nested(depth: int) -> bytes:
    """A struct that holds a cell within a cell within a cell …"""
    value = matrix(1, (0, 0))
    for _ in range(depth):
        value = matrix(1, (1, 1), value)
    return element(*matrix(2, (1, 1), (5, b"\x0b\0\0\0"), (1, b"dbImageFns\0"), value, name="dbStruct"))


@pytest.mark.parametrize(
    "content",
    [
        element(15, zlib.compress(bytes(2**24))),
        element(*matrix(2, (2**31 - 1, 2**31 - 1), name="dbStruct")),
        nested(2000),
        bytes(2**22 + 1),
        struct.pack("<II", 14, 2**32 - 1),
        struct.pack("<II", 14 | 0xFFFF << 16, 14),
    ],
    ids=["bomb", "shape", "nested", "size", "long", "short"],
)
def test_no_file_takes_much_memory(tmp_path, monkeypatch, content):
    monkeypatch.setattr(matlab, "MOST", 2**22)
    (tmp_path / "a.mat").write_bytes(bytes(124) + b"\0\1IM" + content)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.mat: not NetVLAD's specification"):
        read_specification(tmp_path / "a.mat")
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**22
    tracemalloc.stop()
