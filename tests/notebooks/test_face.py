"""The face of the package: every name stands for something, and nothing is imported before it is used."""

import subprocess
import sys

import pytest

import vg_core as vg


@pytest.mark.parametrize("name", dir(vg))
def test_every_name_of_the_face_is_there(name):
    assert getattr(vg, name) is not None


def test_an_unknown_name_is_a_sentence():
    with pytest.raises(AttributeError, match=r"vg_core has no recal; it has: Config, .*recall_table"):
        _ = vg.recal


@pytest.mark.parametrize(
    ("used", "slow"), [("vg", ("torch", "matplotlib", "pandas")), ("vg.Config, vg.OTHER_CITY, vg.Page", ("torch",))]
)
def test_what_takes_seconds_is_imported_when_it_is_needed(used, slow):
    code = f"import sys, vg_core as vg; {used}; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
