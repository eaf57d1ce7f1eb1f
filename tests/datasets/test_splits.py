"""Splits of published datasets: where they lie, and a line when a set is not the published one."""

import shutil

import pytest

from vg_core.datasets.places import PlaceSet
from vg_core.datasets.splits import PUBLISHED, unlike_published


def test_san_francisco_lies_in_processed_and_has_queries_of_two_versions(street, tmp_path):
    root = tmp_path / "data" / "sf_xl"
    shutil.copytree(street / "images", root / "processed")
    for number in (1, 2):
        shutil.copytree(root / "processed" / "test" / "queries", root / "processed" / "test" / f"queries_v{number}")
    shutil.rmtree(root / "processed" / "test" / "queries")
    assert len(PlaceSet.load("sf_xl", "test", queries="queries_v2").queries) == 16
    with pytest.raises(
        FileNotFoundError, match="sf_xl test has no folder queries; test_queries may be one of queries_v1, q"
    ):
        PlaceSet.load("sf_xl", "test")


def test_a_set_that_is_not_the_published_one_is_said_and_read(street, tmp_path, capsys):
    street.rename(tmp_path / "data" / "SF-XS")
    assert len(PlaceSet.load("SF-XS", "val").database) == 16
    assert capsys.readouterr().out == (
        "SF-XS val: 16 database images and 16 queries are not the 8,015 database images and 7,993 queries as "
        "published; do not compare with published numbers\n"
    )


@pytest.mark.parametrize(("name", "split"), PUBLISHED)
def test_a_complete_set_is_not_spoken_of(name, split):
    database, folders = PUBLISHED[name, split]
    for folder, queries in folders.items():
        assert unlike_published(name, split, folder, (database, queries)) == ""
        assert f"{database:,} database images" in unlike_published(name, split, folder, (database - 1, queries))
        assert unlike_published(name, split, folder, (database, queries + 1))
        assert unlike_published(f"{name}_mine", split, folder, (1, 1)) == ""


def test_of_other_queries_only_the_database_counts():
    assert unlike_published("sf_xl", "test", "queries_v2", (2_805_815, 598)) == ""
    assert unlike_published("sf_xl", "test", "queries_v2", (2_805_814, 598)).endswith(
        "2,805,815 database images and 598 queries as published; do not compare with published numbers"
    )
