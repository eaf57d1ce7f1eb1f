"""What lies below a folder of photographs: links, loops, what is hidden or no photograph, and what cannot be listed."""

import os
import socket
import sys

import pytest

from vg_core.datasets.folders import image_files, listed
from vg_core.retrieval.published.layouts import read_benchmark


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder ``place`` with photographs a.jpg and in/b.PNG; other files are named from where it lies."""
    (tmp_path / "place" / "in").mkdir(parents=True)
    (tmp_path / "place" / "a.jpg").write_bytes(b"a")
    (tmp_path / "place" / "in" / "b.PNG").write_bytes(b"b")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "place"


def found(folder) -> list[str]:
    return [os.path.relpath(path, folder) for path in image_files(folder)]


def test_all_photographs_sorted_by_path_and_nothing_is_said(folder, capsys):
    for name in ("z.jpeg", "in/A.webp", "in-between.JPG"):
        (folder / name).write_bytes(b"x")
    assert image_files(folder) == sorted(image_files(str(folder))) == sorted(map(str, folder.rglob("*.*")))
    assert capsys.readouterr().out == ""


def test_links_to_folders_and_photographs_are_followed(folder, tmp_path):
    (tmp_path / "far" / "deep").mkdir(parents=True)
    (tmp_path / "far" / "deep" / "c.jpg").write_bytes(b"c")
    (folder / "linked").symlink_to(tmp_path / "far")
    (folder / "d.jpg").symlink_to(tmp_path / "far" / "deep" / "c.jpg")
    assert found(folder) == ["a.jpg", "d.jpg", "in/b.PNG", "linked/deep/c.jpg"]
    (tmp_path / "all").symlink_to(folder)
    assert found(tmp_path / "all") == found(folder)


@pytest.mark.parametrize(
    "links",
    [
        {"place/in/up": ".."},
        {"place/self": "."},
        {"place/0": "in", "place/1": "in"},
        {"place/in/x": "../other", "place/other/y": "../in", "place/other/z": ".."},
        {"place/up": "../data", "data/down": "../place"},
    ],
)
def test_loops_end_and_no_photograph_comes_twice(folder, links):
    (folder / "other").mkdir()
    (folder.parent / "data").mkdir()
    for link, target in links.items():
        (folder.parent / link).symlink_to(target)
    assert found(folder) == ["a.jpg", "in/b.PNG"]
    assert {kind for kind, _ in listed(folder).left_out} <= {"repeated folder", "broken link"}
    assert listed(folder).left_out


def test_folders_all_linked_to_one_another_end(tmp_path):
    """Ways through them, of which each one ends, are as many as orders of them."""
    for name in range(20):
        (tmp_path / "net" / str(name)).mkdir(parents=True)
        for other in range(20):
            (tmp_path / "net" / str(name) / f"to{other}").symlink_to(tmp_path / "net" / str(other))
    assert [kind for kind, _ in listed(tmp_path / "net").left_out] == ["repeated folder"] * 400


def _socket(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


def _checkpoint(path):
    (path.parent / ".ipynb_checkpoints").mkdir()
    (path.parent / ".ipynb_checkpoints" / "a-checkpoint.jpg").write_bytes(b"x")


def _beside(name):
    return lambda path: path.with_name(name).write_bytes(b"x")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and links in folders are of POSIX")
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "1 pipe or device (c.jpg)"),
        (_socket, "1 pipe or device (c.jpg)"),
        (lambda path: path.symlink_to("/dev/zero"), "1 pipe or device (c.jpg)"),
        (lambda path: path.symlink_to("/nowhere/x.jpg"), "1 broken link (c.jpg)"),
        (lambda path: path.symlink_to(path), "1 broken link (c.jpg)"),
        (_beside("c.HEIC"), "1 .heic (convert them to JPEG)"),
        (_beside("notes.txt"), "1 .txt (notes.txt)"),
        (_beside("IMG_0001"), "1 other file (IMG_0001)"),
        (_beside("c.jpg.{{7*7}}"), "1 other file (c.jpg.{{7*7}})"),
        (_checkpoint, "1 hidden folder (.ipynb_checkpoints)"),
        (_beside("._a.jpg"), "1 hidden photograph (._a.jpg)"),
    ],
)
def test_what_is_no_photograph_is_named_and_not_read(folder, monkeypatch, capsys, make, said):
    monkeypatch.chdir(folder)  # names of sockets are short
    make(folder / "c.jpg")
    assert found(folder) == ["a.jpg", "in/b.PNG"]
    assert capsys.readouterr().out == f"{folder}: 2 photographs; left out: {said}\n"


def test_one_line_however_many_kinds(folder):
    for number in range(40):
        (folder / f"{number}.k{number}").write_bytes(b"x")
        (folder / f"{number}.heic").write_bytes(b"x")
    (folder / ".DS_Store").write_bytes(b"x")
    line = str(listed(folder))
    assert "left out: 40 .heic (convert them to JPEG), 1 .k" in line and line.endswith("), 36 others")


def test_names_that_are_no_utf_8(folder):
    """They are read, and what is said about them can be printed."""
    for name in (b"\xff\xfe.jpg", b"\xff.txt", b"dir\xe9"):
        path = os.fsencode(folder) + b"/" + name
        os.mkdir(path) if name.startswith(b"dir") else open(path, "wb").close()
    open(os.fsencode(folder) + b"/dir\xe9/c.jpg", "wb").close()
    both = image_files(folder)
    assert len(both) == 4 and all(os.path.exists(path) for path in both)
    assert "1 .txt (\ufffd.txt)" in str(listed(folder)).encode().decode()


def test_a_folder_that_cannot_be_listed_stops_the_reading(folder, monkeypatch):
    def refuse(path):
        if str(path).endswith("in"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(OSError, match=r"place/in cannot be listed \(Permission denied\)"):
        image_files(folder)


def test_what_is_no_folder_is_said(folder):
    with pytest.raises(FileNotFoundError, match=r"absent: no images there: there is no such folder"):
        listed(folder / "absent")
    with pytest.raises(OSError, match=r"a\.jpg cannot be listed \(Not a directory\)"):
        listed(folder / "a.jpg")


def test_benchmarks_follow_links_and_leave_hidden_lists_alone(tmp_path, capsys):
    (tmp_path / "oxford" / "groundtruth").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    for name in ("a.jpg", "b.jpg", "c.heic"):
        (tmp_path / "far" / name).write_bytes(b"x")
    (tmp_path / "oxford" / "images").symlink_to(tmp_path / "far")
    for name, text in {"q_query": "oxc1_a 0 0 9 9", "q_good": "b", "q_ok": "", "q_junk": "", "._q_query": "\0"}.items():
        (tmp_path / "oxford" / "groundtruth" / f"{name}.txt").write_text(text)
    found, card = read_benchmark("oxford5k", tmp_path / "oxford")
    assert [os.path.basename(path) for path in found.database] == ["a.jpg", "b.jpg"] and card["queries"] == 1
    assert card["images_left_out"] == 0
    assert "images: 2 photographs; left out: 1 .heic (convert them to JPEG)\n" in capsys.readouterr().out
