"""Folders that variables of the environment name."""

import errno
from pathlib import Path

import pytest

from vg_core.__main__ import main
from vg_core.system import paths

FOLDERS = {"VG_DATA": paths.data_root, "VG_CACHE": paths.cache_root}
variables = pytest.mark.parametrize("variable", FOLDERS)


@variables
def test_an_empty_variable_is_as_good_as_none(monkeypatch, variable):
    monkeypatch.delenv(variable, raising=False)
    default = FOLDERS[variable]()
    monkeypatch.setenv(variable, "")
    assert FOLDERS[variable]() == default and default.parent == paths.ROOT


@variables
def test_a_folder_need_not_be_there_yet(monkeypatch, tmp_path, variable):
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    for folder in (tmp_path, tmp_path / "new" / "er", tmp_path / "link" / "new"):
        monkeypatch.setenv(variable, str(folder))
        assert FOLDERS[variable]() == folder
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(variable, "~/new")
    assert FOLDERS[variable]() == tmp_path / "new"


@variables
@pytest.mark.parametrize(
    "named", ["data", "./data", ".", "..", " ", "~nobody-of-that-name", "~nobody-of-that-name/data"]
)
def test_a_folder_that_depends_on_where_one_stands_is_a_sentence(monkeypatch, variable, named):
    monkeypatch.setenv(variable, named)
    with pytest.raises(ValueError, match=f"^{variable}={named} must be the whole path of a folder"):
        FOLDERS[variable]()


@variables
@pytest.mark.parametrize("named", ["file", "file/below", "broken", "broken/below", "loop"])
def test_a_file_in_place_of_a_folder_is_a_sentence(monkeypatch, tmp_path, variable, named):
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to(tmp_path / "gone")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv(variable, str(tmp_path / named))
    with pytest.raises(ValueError, match=f"^{variable}=.*{named} lies where a file is, or a link to nothing"):
        FOLDERS[variable]()


def test_the_command_line_says_so(monkeypatch, capsys):
    monkeypatch.setenv("VG_CACHE", "cache")
    assert main(["cache"]) == 1
    assert capsys.readouterr().err.startswith("error: VG_CACHE=cache must be the whole path of a folder")


def test_a_cache_that_cannot_be_written_is_a_sentence(street, capsys, monkeypatch, tmp_path):
    original = Path.mkdir

    def mkdir(self, *args, **options):
        if "locked" in self.parts:
            raise OSError(errno.EROFS, "Read-only file system", str(self))
        return original(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    monkeypatch.setenv("VG_CACHE", str(tmp_path / "locked"))
    assert main(["train", "--profile", "smoke", "--dataset", "street"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and str(tmp_path / "locked") in error
    assert "Read-only file system" in error and "choose another place or check its permissions" in error
