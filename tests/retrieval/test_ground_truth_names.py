"""Ground truth of strangers: numbers that are none, bytes that are no text, lines of any length: a sentence, always."""

import numpy as np
import pytest

from tests.retrieval.test_ground_truth import PCI, san_francisco  # noqa: F401
from tests.retrieval.test_landmarks import oxford, touch, write_query  # noqa: F401 (fixture)
from vg_core.retrieval.published.ground_truth import read_holidays, read_landmarks, read_san_francisco

LONG = "9" * 400
NO_NUMBERS = ["１２", "1_0", LONG, "nan", "inf", "1e9", "0x10", "", "-", "\0", "9" * 10**7]


@pytest.mark.parametrize("number", NO_NUMBERS)
def test_regions_are_plain_numbers(oxford, number):  # noqa: F811
    write_query(oxford[0], "a_1", f"a_01 1 2 {number} 40\n")
    with pytest.raises(
        ValueError, match=r"a_1_query\.txt, line 1: expected image, left, top, right, bottom"
    ) as refused:
        read_landmarks(*oxford)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("number", [n for n in NO_NUMBERS if n])
def test_buildings_are_plain_numbers(san_francisco, number):  # noqa: F811
    san_francisco[0].write_text(f"0000 671172717\n0001 {number}\n")
    with pytest.raises(
        ValueError, match=r"groundTruth\.txt, line 2: expected a query and numbers, not '0001"
    ) as refused:
        read_san_francisco(*san_francisco)
    assert len(str(refused.value)) < 400 and "\0" not in str(refused.value)


@pytest.mark.parametrize("number", ["１２", LONG[:30], "1_0"])
def test_buildings_in_names_are_plain_numbers(san_francisco, number):  # noqa: F811
    touch(san_francisco[1], PCI.format(9, number))
    with pytest.raises(ValueError, match=r"PCI_.*: expected a name PCI_sp_… of ten parts, the eighth of them"):
        read_san_francisco(*san_francisco)


@pytest.mark.parametrize("stem", ["１００１００", LONG[:30], "100_100", "-100100", "²"])
def test_names_of_holidays_are_plain_numbers(tmp_path, stem):
    touch(tmp_path, "100000.jpg", "100001.jpg", f"{stem}.jpg")
    with pytest.raises(ValueError, match=r"\.jpg: images of Holidays have numbers for names"):
        read_holidays(tmp_path)


GARBAGE = np.random.default_rng(0).bytes(10_000)


@pytest.mark.parametrize("content", [GARBAGE, b"\0" * 100, b"a" * 10**7, b"\xff\xfea\0", b"\x1b[31mred"])
def test_bytes_that_are_no_list_are_a_sentence(oxford, san_francisco, content):  # noqa: F811
    (oxford[0] / "a_1_ok.txt").write_bytes(content)
    san_francisco[0].write_bytes(content)
    for read, place in (
        (lambda: read_landmarks(*oxford), "a_1_ok"),
        (lambda: read_san_francisco(*san_francisco), "truth"),
    ):
        with pytest.raises(ValueError, match=rf"(?i){place}\.txt, line \d+: ") as refused:
            read()
        assert len(str(refused.value)) < 400 and not set(str(refused.value)) & {"\0", "\x1b"}


@pytest.mark.parametrize("content", ["", "\n \n"])
def test_a_list_without_a_query_is_a_sentence(san_francisco, content):  # noqa: F811
    san_francisco[0].write_text(content)
    with pytest.raises(ValueError, match=r"groundTruth\.txt: no query in it; unpack the ground truth again"):
        read_san_francisco(*san_francisco)
