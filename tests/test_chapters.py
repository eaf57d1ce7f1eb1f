"""What a summary reads back is what the chapters exported."""

import pandas as pd
import pytest

from vg_core.chapters import exported, origins
from vg_core.report import export


@pytest.fixture
def two_chapters():
    for number, (slug, runs) in enumerate({"20_one": ["b", "a"], "21_two": ["b"]}.items()):
        table = pd.DataFrame({"variant": [slug], "gain": [1.5 + number]})
        export(slug, datasets={"street": "f00", slug: "f01"}, runs=runs, tables={"predictions": table})


@pytest.mark.usefixtures("two_chapters")
def test_tables_are_laid_end_to_end_and_named_by_their_chapter():
    table = exported("predictions", ["21_two", "20_one"], "smoke")
    assert table.to_dict("list") == {
        "chapter": ["21_two", "20_one"],
        "variant": ["21_two", "20_one"],
        "gain": [2.5, 1.5],
    }


@pytest.mark.usefixtures("two_chapters")
def test_a_summary_stands_on_the_runs_of_all_its_chapters():
    found = origins(["20_one", "21_two"], "smoke")
    assert found == {"runs": ["a", "b"], "datasets": {"street": "f00", "20_one": "f01", "21_two": "f01"}}


@pytest.mark.usefixtures("two_chapters")
def test_a_chapter_that_was_not_run_is_named_with_its_command():
    with pytest.raises(FileNotFoundError, match=r"22_none has not exported predictions\.csv.*--profile smoke 22_none"):
        exported("predictions", ["20_one", "22_none"], "smoke")
    with pytest.raises(FileNotFoundError, match="21_two has not exported recall"):
        exported("recall", ["21_two"], "smoke")
