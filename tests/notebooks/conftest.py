"""Notebooks that tests of the runner share."""

import pytest

from tests.notebooks.written import write
from vg_core.system import paths


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    folder = tmp_path / "notebooks"
    folder.mkdir()
    monkeypatch.setattr(paths, "NOTEBOOKS", folder)
    write(folder, "00_look", "print('got', profile, seeds, rate, options)", "import os; print('in', os.getcwd())")
    write(folder, "10_fail", "number = 1 / 0")
    return folder
