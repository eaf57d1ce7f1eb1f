"""Ground truth of GSV-Cities' family and of Patch-NetVLAD: files made here as their code writes them."""

import os
import pickle

import numpy as np
import pytest

from vg_core.retrieval.published.layouts import read_benchmark

DATABASE = ["ref/0.jpg", "ref/1.jpg", "ref/2.jpg", "ref/3.jpg"]
QUERIES = ["query/a.jpg", "query/b.jpg", "query/c.jpg"]


@pytest.fixture
def folder(tmp_path):
    for name in (*DATABASE, *QUERIES):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"x")
    return tmp_path


def objects(*rows):
    """An array of arrays of different lengths, as np.save pickles it."""
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


def gsv_cities(folder, right, name="SPED_gt", **lists):
    arrays = {"SPED_dbImages": np.array(DATABASE), "SPED_qImages": np.array(QUERIES), name: right} | lists
    for stem, array in arrays.items():
        np.save(folder / f"{stem}.npy", array, allow_pickle=True)
    return read_benchmark("gsv_cities", folder)


@pytest.mark.parametrize("kind", ["<i8", "<i4", ">i4", "list"])
def test_lists_of_gsv_cities(folder, kind):
    rows = [2, 1], [0], []
    rows = rows if kind == "list" else [np.array(row, dtype=kind) for row in rows]
    found, card = gsv_cities(folder, objects(*rows))
    assert [os.path.basename(path) for path in found.database] == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert found.queries.positives.tolist() == [2, 1, 0] and found.queries.place.nunique() == 3
    retrieved = np.array([[3, 2, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3]])
    assert found.score(retrieved).tolist() == [2, 1, 0]
    assert (card["database"], card["queries"], card["complete"]) == (4, 3, True)


def test_a_table_is_a_list_too_and_msls_asks_some_of_its_queries(folder):
    found, _ = gsv_cities(folder, np.array([[0, 1], [2, 3]]), "SPED_pIdx", SPED_qIdx=np.array([2, 0]))
    assert found.queries["query"].tolist() == ["c", "a"] and found.queries.positives.tolist() == [2, 2]


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_no_code_of_a_list_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    for right in (objects(Evil(), [0], [1]), objects([0], [1], np.array([Evil()], dtype=object))):
        with pytest.raises(ValueError, match=r"SPED_gt.npy: not"):
            gsv_cities(folder, right)
    assert not (folder / "ran").exists()
    content = (folder / "SPED_gt.npy").read_bytes()
    header = content[: content.index(b"\n") + 1]
    for damage in (
        b"",
        b"\x80\x04r\xff\xff\xff\x7f.",
        b"\x80\x04cos\nsystem\nU\x02lsR.",
        pickle.dumps({}),
        content[-9:],
    ):
        (folder / "SPED_gt.npy").write_bytes(header + damage)
        with pytest.raises(ValueError, match=r"SPED_gt.npy: not"):
            read_benchmark("gsv_cities", folder)


@pytest.mark.parametrize(
    ("right", "lists"),
    [
        (objects([4], [0], [0]), {}),
        (objects([-1], [0], [0]), {}),
        (objects([0], [0]), {}),
        (objects(["a"], [0], [0]), {}),
        (np.array([[0.5], [1], [2]], dtype=object), {"SPED_qImages": np.arange(3)}),
        (objects([0], [0], [0]), {"SPED_qIdx": np.array([0, 1, 3])}),
    ],
)
def test_lists_that_do_not_fit_are_named(folder, right, lists):
    with pytest.raises(ValueError, match=r"SPED_\w+.npy: not .*fetch it again"):
        gsv_cities(folder, right, **lists)


def test_what_is_missing_is_named(folder):
    with pytest.raises(FileNotFoundError, match=r"\*_dbImages.npy is missing: put the list of database images there"):
        read_benchmark("gsv_cities", folder)
    (folder / "images/ref/3.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"SPED_dbImages.npy names ref/3.jpg"):
        gsv_cities(folder, objects([0], [0], [0]))
    np.save(folder / "Other_dbImages.npy", np.array(DATABASE))
    with pytest.raises(FileNotFoundError, match="there several times: keep"):
        read_benchmark("gsv_cities", folder)


def patch_netvlad(folder, **changes):
    (folder / "nordland_imageNames_index.txt").write_text("\n".join(DATABASE))
    (folder / "nordland_imageNames_query.txt").write_text("\n".join(QUERIES) + "\n")
    frames = {"utmDb": np.c_[[0, 10, 20, 30], [0] * 4], "utmQ": np.c_[[0, 21, 99], [0] * 3], "posDistThr": np.array(10)}
    np.savez(folder / "nordland.npz", **frames | changes)
    return read_benchmark("patch_netvlad", folder)


def test_positions_of_patch_netvlad(folder):
    found, _ = patch_netvlad(folder)
    assert found.queries.positives.tolist() == [2, 2, 0]
    assert found.score(np.array([[2, 1, 0, 3], [0, 2, 3, 1], [0, 1, 2, 3]])).tolist() == [2, 2, 0]
    with pytest.raises(ValueError, match=r"nordland.npz: \[4, 2\] positions for \[4, 3\] images and queries"):
        patch_netvlad(folder, utmQ=np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"nordland.npz: not a ground truth of Patch-NetVLAD"):
        patch_netvlad(folder, utmQ=objects([0], [Evil()]))
    with pytest.raises(ValueError, match="unpacks to more than any set has"):
        np.savez_compressed(folder / "nordland.npz", utmDb=np.zeros(2**24), utmQ=np.zeros(2), posDistThr=1)
        read_benchmark("patch_netvlad", folder)
