"""Labels of many names at once: what `parse_name` says of each, and large tables kept on disk."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.datasets.test_labels import NO_NUMBERS, PITTS, SF_XL, UNUSED
from vg_core.datasets import label_tables
from vg_core.datasets.label_tables import COLUMNS, NUMBERS, Doubts, kept, label_table
from vg_core.datasets.labels import parse_name
from vg_core.system import paths

SHORT = "@0545981.19@4184971.70@.jpg"
ODD = [
    "",
    "-0",
    "+5",
    "5.",
    ".5",
    "1e2",
    "-7",
    "91",
    "200",
    "361",
    "-360",
    "720.5",
    "0" * 21,
    "٣",
    "x",
    "S",
    "17.0",
    "ß",
    "\n",
]


def written(low: int, high: int, digits: int) -> st.SearchStrategy[str]:
    """Numbers of a field that may be empty."""
    return st.just("") | st.integers(low * 100, high * 100).map(lambda n: f"{n / 100:0{digits}.{digits % 3}f}")


word = st.text("abÜ_-. ", max_size=6)
sound = st.tuples(
    st.sampled_from(["", "a@b/c/", "é\n/night"]),
    *(written(low, high, 10).filter(bool) for low, high in ((100_000, 999_999), (3_600_000, 4_400_000))),
    st.sampled_from(["10", "", "7", "60"]),
    st.sampled_from(["S", "", "s", "N", "T"]),
    *(written(33, 38, 8), written(-180, 180, 8), word, word, written(-720, 720, 4)),
    *[word] * 5,
    st.sampled_from([".jpg", ".JPG", ".Png", ".webp"]),
)
anything = st.sampled_from([*ODD, *NO_NUMBERS, ".gif", "x.jpg", "a/b", "a\\b", "c@d"])


@st.composite
def a_name(draw):
    """A name of the usual form with up to two fields that hold anything."""
    words = list(draw(sound))
    for place in draw(st.lists(st.integers(0, len(words) - 1), max_size=2)):
        words[place] = draw(anything)
    return "@".join(words)


def one_by_one(names) -> pd.DataFrame:
    """The table as it would be without any haste."""
    found = [parse_name(name) for name in names]
    columns = {"path": names} | {column: [getattr(label, column) for label in found] for column in COLUMNS}
    return pd.DataFrame(columns).astype(dict.fromkeys([*NUMBERS, "zone_number"], float))


def same(names) -> None:
    """Compare values, doubts and refusals."""
    try:
        expected = one_by_one(names)
    except ValueError as error:
        with pytest.raises(ValueError) as caught:
            label_table(names)
        assert str(caught.value) == str(error)
        return
    found, doubts = label_table(names), Doubts()
    for name in names:
        doubts.add(parse_name(name).doubts)
    assert found.attrs["doubts"] == str(doubts)
    pd.testing.assert_frame_equal(found.astype({"zone_number": float}), expected, check_exact=True)


@given(st.lists(st.one_of(a_name(), st.sampled_from([SF_XL, PITTS, SHORT, "night" + SF_XL])), min_size=1, max_size=6))
def test_they_are_those_of_each_name(names):
    same(names)


@pytest.mark.parametrize("fields", [fields for fields, _, _ in UNUSED])
def test_fields_that_are_not_understood_are_not_understood(fields):
    odd = f"@0545981.19@4184971.70@{fields}".ljust(40, "@") + ".jpg"
    for name in (odd, f"@0545981.19@4184971.70@{fields}{'@' * (13 - fields.count('@'))}.jpg"):
        same([SF_XL, name, PITTS])


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize("place", [1, 2, 5, 6, 9])
def test_what_is_no_number(place, text):
    words = SF_XL.split("@")
    same(["@".join([*words[:place], text, *words[place + 1 :]])])


def test_rows_stay_in_order_across_parts_and_oddities(monkeypatch):
    monkeypatch.setattr(label_tables, "AT_A_TIME", 3)
    names = [f"@{500000 + n}.00@4184971.70@10@S@" + ("@.jpg" if n % 4 else "@@@@@@@@@@@.jpg") for n in range(11)]
    same(names)
    assert label_table(names).zone_number.dtype == np.int64


def test_names_that_are_no_utf_8_are_read_with_all_others():
    table = label_table([SF_XL, PITTS.replace("pitch1", "\udcff")])
    assert table.path[1] == PITTS.replace("pitch1", "\udcff") and table.easting[1] == 584291.21
    assert table.heading.dtype == float


def test_the_usual_names_are_read_all_at_once(monkeypatch):
    monkeypatch.setattr(label_tables, "parse_name", lambda name: pytest.fail(f"{name} is read alone"))
    night = "a/night" + SF_XL.replace("@174@", "@-360@").replace("@10@", "@5@")
    assert label_table([SF_XL, PITTS, night]).heading.tolist()[::2] == [174.0, 0.0]


# --- on disk -----------------------------------------------------------------------------------------------------
def test_only_a_large_table_is_kept_and_found_by_its_names(monkeypatch):
    made = []

    def make():
        made.append(1)
        return label_table([SF_XL, PITTS])

    monkeypatch.setattr(label_tables, "LARGE", 100)
    assert kept([b"a"], 99, make).equals(kept([b"a"], 99, make)) and len(made) == 2
    assert not (paths.cache_root() / "labels").exists()
    first = kept([b"a"], 100, make)
    assert kept([b"a"], 100, make).equals(first) and len(made) == 3
    kept([b"b"], 100, make)
    assert len(made) == 4
    monkeypatch.setattr(label_tables.labels, "__file__", __file__)
    kept([b"b"], 100, make)
    assert len(made) == 5, "other code may read other labels"
