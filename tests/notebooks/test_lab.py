"""JupyterLab opens copies: what a student edits there is kept, and no source changes."""

import json
import os
import sys

import pytest

from tests.notebooks.written import write
from vg_core.system import paths

sys.path.insert(0, str(paths.REPORTS))
import lab


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with a notebook, and a README that shows a picture."""
    root = tmp_path / "project"
    for name, folder in {"ROOT": root, "NOTEBOOKS": root / "notebooks", "REPORTS": root / "reports"}.items():
        monkeypatch.setattr(paths, name, folder)
        folder.mkdir()
    write(paths.NOTEBOOKS, "10_one", "print(1)")
    (paths.REPORTS / "map.png").write_bytes(b"a picture")
    (root / "README.md").write_text('![map](reports/map.png) <img src="reports/map.png"> [x](https://x.org) [x](gone)')
    return root


def edited(file, source="print(2)", outputs=()):
    """The notebook with another last cell, saved as JupyterLab saves it."""
    notebook = json.loads(file.read_text())
    notebook["cells"][-1] |= {"source": source.splitlines(keepends=True), "outputs": list(outputs)}
    file.write_text(json.dumps(notebook, indent=1) + "\n")


def test_copies_of_notebooks_and_readme_with_its_pictures_and_the_pdf(project):
    folder = paths.cache_root() / "lab"
    (paths.REPORTS / "draft.pdf").write_bytes(b"%PDF")
    assert lab.prepare(folder) == []
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert files == {".copied.json", "README.md", "draft.pdf", "notebooks/10_one.ipynb", "reports/map.png"}
    assert (folder / "draft.pdf").read_bytes() == b"%PDF" and lab.prepare(folder) == []


def test_an_edited_copy_is_kept_and_takes_another_name_when_its_source_changes(project):
    folder = paths.cache_root() / "lab"
    source, copy = paths.NOTEBOOKS / "10_one.ipynb", folder / "notebooks" / "10_one.ipynb"
    lab.prepare(folder)
    for number in (1, 2):
        edited(copy, "mine")
        before = copy.read_bytes()
        assert lab.prepare(folder) == [] and copy.read_bytes() == before
        edited(source, f"print({number})  # as it is now")
        mine = f"10_one_mine{number}.ipynb"
        assert lab.prepare(folder) == [
            f"notebooks/10_one.ipynb has changed since you edited your copy, which is {mine} now"
        ]
        assert copy.with_name(mine).read_bytes() == before and copy.read_bytes() == source.read_bytes()


def test_outputs_are_no_edit_and_stay_until_the_source_changes(project):
    folder = paths.cache_root() / "lab"
    source, copy = paths.NOTEBOOKS / "10_one.ipynb", folder / "notebooks" / "10_one.ipynb"
    lab.prepare(folder)
    edited(copy, "print(1)", [{"output_type": "stream", "name": "stdout", "text": "1"}])
    before = copy.read_bytes()
    assert lab.prepare(folder) == [] and copy.read_bytes() == before
    edited(source)
    assert lab.prepare(folder) == [] and copy.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_copy_that_is_damaged_is_kept_too(project, content):
    folder = paths.cache_root() / "lab"
    lab.prepare(folder)
    copy = folder / "notebooks" / "10_one.ipynb"
    copy.write_text(content)
    edited(paths.NOTEBOOKS / "10_one.ipynb")
    assert len(lab.prepare(folder)) == 1 and copy.with_name("10_one_mine1.ipynb").read_text() == content


@pytest.mark.parametrize(("user", "options"), [(0, ["--allow-root"]), (1000, [])])
def test_jupyter_opens_the_copies_and_root_may_start_it(project, monkeypatch, user, options):
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(os, "execv", lambda _program, words: started.append(words))
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", "mine")
    started = []
    lab.main(["--no-browser", "--port", "9999"])
    (words,) = started
    assert words[1:4] == ["-m", "jupyterlab", str(paths.cache_root() / "lab")]
    assert words[5:] == [*options, "--no-browser", "--port", "9999"]
    assert os.environ["JUPYTER_CONFIG_PATH"] == f"{lab.SETTINGS}{os.pathsep}mine"


def test_without_jupyter_there_is_a_sentence(project, monkeypatch):
    monkeypatch.setattr(lab, "find_spec", lambda _name: None)
    with pytest.raises(SystemExit, match=r"JupyterLab is missing: .* -m pip install"):
        lab.main([])
