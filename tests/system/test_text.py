"""A stranger's text is shown in one line that does nothing, and a table of such texts is no spreadsheet of formulas."""

import io
import unicodedata

import numpy as np
import pandas as pd
import pytest

from tests.hostile import NAMES
from vg_core.system.text import printable, safe_cells

FIELD = "@0400060.00@5000000.00@32@T@@@@@@@@@@@.jpg"


@pytest.mark.parametrize("name", NAMES)
def test_what_is_shown_is_one_line_of_characters(name):
    shown = printable(name)
    assert len(shown) == len(name) and shown.splitlines() == [shown]
    assert not {unicodedata.category(letter) for letter in shown} & {"Cc", "Cs", "Zl", "Zp"}
    assert not {unicodedata.bidirectional(letter) for letter in shown} & {"RLO", "LRO", "RLE", "LRE", "RLI", "LRI"}
    shown.encode()


@pytest.mark.parametrize("name", ["", FIELD, "naïve 漢字 😀.jpg", "שלום.jpg", "a\u200db.jpg", " <b>{{$_%\\'\"` "])
def test_what_can_be_shown_stays(name):
    assert printable(name) == name


FORMULAS = (
    "=HYPERLINK(1) | +1+cmd|' /C calc'!A0 | -2+3 | - | @SUM(A1) | ＝1+1 | ＋1 | －1 | ＠SUM | a;=1 | a; +b | =1;=2"
)


@pytest.mark.parametrize("text", [*FORMULAS.split(" | "), "\t=1", "\r=1", "\n=1", " =1"])
def test_a_formula_is_a_text_in_a_spreadsheet(text):
    table = safe_cells(pd.DataFrame({"query": [text, FIELD], text: [1.5, 2.5]}))
    for safe in (table["query"][0], table.columns[1]):
        assert all(part.strip()[0] not in "=+-@＝＋－＠\t\r" for part in safe.split(";"))
        assert safe.replace("'", "") == printable(text).replace("'", "")


@pytest.mark.parametrize("text", [FIELD, "night@0400060.00@5", "-1.5", "+3", "–", "GeM", "a=b", "1-2", "", "x;y"])
def test_what_is_no_formula_stays(text):
    assert safe_cells(pd.DataFrame({"variant": [text]})).variant[0] == text


def test_numbers_stay_as_they_are_and_any_name_can_be_written():
    table = pd.DataFrame(
        {"a": np.float32([-0.1, 2]), "b": [-1, 2], "c": [True, False], "d": pd.to_datetime(["2020", None])}
    )
    table["e"] = pd.Series(["caf\udce9", None], dtype=object)
    table["f"] = pd.Categorical(["=u", "v"])
    table.columns = [*"abcde", "e"]  # twice
    before = table.copy()
    safe = safe_cells(table)
    pd.testing.assert_frame_equal(table, before)
    pd.testing.assert_frame_equal(safe[[*"abcd"]], table[[*"abcd"]])
    file = io.BytesIO()
    safe.to_csv(file, index=False)
    assert "caf\ufffd,'=u" in file.getvalue().decode()
    assert safe_cells(pd.DataFrame()).empty
