"""Scripts run from a notebook say what they say in a terminal, and fail in a sentence."""

import pytest

from vg_core.system.scripts import run_script


def test_what_a_script_says_is_printed(capsys):
    run_script("doctor", "--help")
    assert "usage: doctor.py" in capsys.readouterr().out


def test_one_that_fails_is_a_sentence_unless_it_need_not_be_checked(capsys):
    with pytest.raises(OSError, match=r"data_scripts/doctor\.py failed: see above"):
        run_script("doctor", "gone")
    run_script("doctor", "gone", check=False)
    assert capsys.readouterr().out.count("there is no such folder") == 2
