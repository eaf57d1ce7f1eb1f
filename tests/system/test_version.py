"""The commit that results come from says so when what made them differs from it."""

import subprocess

import pytest

from vg_core.system import paths
from vg_core.system.version import commit, edited


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A project with one commit, in which notebooks and tables lie."""
    monkeypatch.setattr(paths, "ROOT", tmp_path / "project")
    for name in ("vg_core/code.py", "notebooks/10_one.ipynb", "reports/published.csv", "reports/assets/recall.csv"):
        (paths.ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.ROOT / name).write_text("one")
    person = ("-c", "user.name=one", "-c", "user.email=one@example.org")
    for words in (["init", "--quiet"], ["add", "."], [*person, "commit", "--quiet", "--message", "one"]):
        subprocess.run(["git", *words], cwd=paths.ROOT, check=True)
    return paths.ROOT


@pytest.mark.parametrize(
    "name", ["vg_core/code.py", "vg_core/new.py", "notebooks/10_one.ipynb", "reports/published.csv"]
)
def test_a_source_that_differs_marks_the_commit(checkout, name):
    assert len(commit()) == 40 and commit(changed=True) == f"{commit()}+"
    (checkout / name).write_text("another")
    assert commit().endswith("+")


def test_results_are_no_source(checkout):
    (checkout / "reports" / "assets" / "recall.csv").write_text("another")
    assert len(commit()) == 40


def test_edited_files_are_those_that_differ(checkout):
    assert edited(checkout / "notebooks") == set()
    (checkout / "notebooks" / "10_one.ipynb").write_text("another")
    (checkout / "vg_core" / "code.py").write_text("another")
    assert edited(checkout / "notebooks") == {checkout / "notebooks" / "10_one.ipynb"}


def test_outside_of_a_checkout_nothing_is_known(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert commit(changed=True) == "unknown" and edited(tmp_path) == set()
