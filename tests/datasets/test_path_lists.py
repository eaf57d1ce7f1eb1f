"""Lists of photographs beside a folder: read in its place, what is wrong with one is a sentence."""

import os

import pytest

from vg_core.datasets import label_tables, path_lists
from vg_core.datasets.folders import read_folder
from vg_core.datasets.places import PlaceSet
from vg_core.system import paths


@pytest.fixture
def folder(tmp_path):
    """Folder ``train`` of empty photographs in folders of their own."""
    for number in range(6):
        inner = tmp_path / "train" / f"37.{number % 3}"
        inner.mkdir(parents=True, exist_ok=True)
        (inner / f"@{545000 + number}.00@4180000.00@10@S@@@p{number}@@{60 * number}@@@@@@.jpg").touch()
    return tmp_path / "train"


@pytest.fixture
def names(folder):
    return sorted(os.path.relpath(path, folder) for path in folder.rglob("*.jpg"))


def write_list(folder, lines, end="\n"):
    folder.with_name("train_images_paths.txt").write_text(end.join(lines), newline="")


def test_it_is_the_table_of_the_folder(folder, names, monkeypatch):
    searched = read_folder(folder)
    monkeypatch.setattr(os, "scandir", lambda path: pytest.fail(f"{path} is searched"))
    for lines, end in ((names, "\n"), (names[::-1], "\r\n"), (["", *names, "", ""], "\n")):
        write_list(folder, lines, end)
        for place in (folder, f"{folder}/"):
            assert read_folder(place).equals(searched)


def test_only_what_is_listed_is_read_and_the_rest_is_said(folder, names, capsys):
    write_list(folder, [*names[2:4], "notes.txt", '37.0/a b, "c".HEIC'])
    table = read_folder(folder)
    assert [os.path.relpath(path, folder) for path in table.path] == names[2:4]
    assert table.attrs["left_out"] == 2
    assert capsys.readouterr().out == f"{folder}_images_paths.txt: left out: 2 lines that name no photograph\n"


def test_each_folder_of_a_split_may_have_one(street):
    database = street / "images" / "test" / "database"
    some = sorted(os.listdir(database))[:5]
    database.with_name("database_images_paths.txt").write_text("\n".join(some))
    places = PlaceSet.load("street", "test")
    assert [os.path.basename(path) for path in places.database.path] == some and len(places.queries) == 16


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([], r"train_images_paths\.txt lists nothing; correct it, or remove it and the folder is searched"),
        (["a.txt"], r"train_images_paths\.txt lists no photograph"),
        (["37.0/@545000@4180000@.jpg"], r"4180000@\.jpg is not there, but .*train_images_paths\.txt lists it"),
        (["37.0/x.jpg"], "no coordinates in the name"),
        (["a\1b.jpg"], "is no list of paths in UTF-8"),
    ],
)
def test_what_is_wrong_is_a_sentence(folder, lines, sentence):
    write_list(folder, lines)
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        read_folder(folder)


def test_a_photograph_that_is_listed_twice_and_bytes_that_are_no_text(folder, names):
    write_list(folder, [*names, names[3]])
    with pytest.raises(ValueError, match=rf"lists {folder}/{names[3]} twice"):
        read_folder(folder)
    folder.with_name("train_images_paths.txt").write_bytes(b"\xff.jpg\n")
    with pytest.raises(ValueError, match="is no list of paths in UTF-8"):
        read_folder(folder)


def test_of_many_some_are_looked_for_the_last_one_too(folder, names, monkeypatch):
    monkeypatch.setattr(path_lists, "LOOKED_FOR", 2)
    write_list(folder, names)
    (folder / names[2]).unlink()
    read_folder(folder)
    (folder / names[-1]).unlink()
    with pytest.raises(FileNotFoundError, match=f"{folder}/{names[-1]} is not there"):
        read_folder(folder)


def test_a_large_table_of_names_that_are_no_utf_8_is_not_kept(folder, names, monkeypatch):
    monkeypatch.setattr(label_tables, "LARGE", 1)
    (folder / names[0]).rename(folder / names[0].replace("@p0@", "@\udcff@"))
    for _ in range(2):
        assert "\udcff" in [*read_folder(folder).pano_id]
    assert not list((paths.cache_root() / "labels").glob("*"))


@pytest.mark.parametrize("listed", [True, False])
def test_a_large_table_is_read_once_and_anew_when_names_change(folder, names, monkeypatch, listed, capsys):
    monkeypatch.setattr(label_tables, "LARGE", 1)
    (folder / names[0]).rename(folder / names[0].replace("@S@", "@?@"))
    names = sorted(os.path.relpath(path, folder) for path in folder.rglob("*.jpg"))
    if listed:
        write_list(folder, names)
    parsed, parse = [], label_tables._parsed
    monkeypatch.setattr(label_tables, "_parsed", lambda *arguments: parsed.append(1) or parse(*arguments))
    first, said = read_folder(folder), capsys.readouterr().out
    assert read_folder(folder).equals(first) and len(parsed) == 1
    assert capsys.readouterr().out == said and "zone letter of 1 names ('?')" in said
    (table,) = (paths.cache_root() / "labels").glob("*.feather")
    table.write_bytes(table.read_bytes()[:-9])
    assert read_folder(folder).equals(first) and len(parsed) == 2
    assert "is damaged: it does not hold what was written; it is made again" in capsys.readouterr().out
    (folder / names[0]).unlink()
    if listed:
        write_list(folder, names[1:])
    assert len(read_folder(folder)) == 5 and len(parsed) == 3
