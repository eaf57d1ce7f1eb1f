"""Percentages that no count of hits gives, and the cells of published tables that hold one."""

import numpy as np
import pandas as pd
import pytest

from vg_core.evaluation.divisibility import divisible, impossible_cells
from vg_core.system import paths

NIGHT = {"sf_xs_r": 1000, "tokyo_xs_r": 315, "tokyo_night_r": 105}


@pytest.mark.parametrize("queries", [1, 7, 16, 80, 105, 315, 1000])
@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_what_is_divisible_is_what_the_shares_round_to(queries, decimals):
    scale = 10**decimals
    twice = 200 * scale * np.arange(queries + 1)  # twice the shares, times the queries: whole numbers
    printed = {*(twice + queries) // (2 * queries), *-((queries - twice) // (2 * queries))}  # halves up, and down
    every = np.arange(100 * scale + 1)
    assert set(every[divisible(every / scale, queries, decimals)]) == printed


def test_more_than_all_queries_is_no_share():
    assert divisible([0.0, 100.0, 101.0, -1.0], 105).tolist() == [True, True, False, False]


def test_the_night_study_has_the_cells_that_cannot_be_right():
    table = pd.read_csv(paths.REPORTS / "published_night.csv")
    found = impossible_cells(table, NIGHT)
    rows = table.loc[found.row]
    cells = set(zip(rows.source, rows.method, found.column, found.percentage, strict=True))
    assert cells == {
        ("README", "FDA+PP+DA (alpha = 1)", "tokyo_night_r1", 68.3),
        ("README", "FDA+PP+DA (alpha = 1)", "tokyo_night_r10", 87.3),
        ("paper table 2", "FDA", "tokyo_night_r5", 67.2),
        ("paper table 4", "FDA+PP+AE (m = 0.5, gamma = 0.2)", "tokyo_night_r10", 84.4),
    }
    swapped = table.loc[[found.row[0]], ["tokyo_xs_r1", "tokyo_xs_r5", "tokyo_xs_r10"]]
    assert impossible_cells(swapped, {"tokyo_xs_r": 105}).empty  # the row's other column may be the night's


def test_the_night_study_has_its_rows():
    table = pd.read_csv(paths.REPORTS / "published_night.csv")
    assert list(table)[:2] == ["method", "source"] and (table.source == "README").sum() == 22
    assert not table.duplicated(["method", "source"]).any()
    for start in NIGHT:
        recalls = table[[f"{start}{n}" for n in (1, 5, 10)]].dropna()
        assert (recalls.diff(axis=1).iloc[:, 1:] > 0).all(axis=None)


def test_other_published_tables_have_none():
    """Of more than a thousand queries all percentages with one decimal are possible, so these say nothing."""
    table = pd.read_csv(paths.REPORTS / "published_cosplace.csv")
    assert impossible_cells(table, {"tokyo247": 315, "msls_val": 740, "sf_xl_v2": 598}).empty


def test_recalls_published_with_sare_have_none():
    table = pd.read_csv(paths.REPORTS / "published_sare.csv")
    for dataset, queries in (("tokyotm_val", 7186), ("pitts250k_test", 8280)):
        assert impossible_cells(table[table.dataset == dataset], {"value": queries}, decimals=2).empty
    tokyo = table[table.dataset == "tokyo247"]
    found = impossible_cells(tokyo, {"value": 315}, decimals=2)
    assert len(found) == 2 and impossible_cells(tokyo.loc[found.row], {"value": 315}).empty  # written with one decimal


def test_a_table_without_the_column_or_a_set_without_queries():
    table = pd.DataFrame({"method": ["a"], "night_r1": [50.0]})
    with pytest.raises(KeyError, match="no column starts with 'day_r'; there are: method, night_r1"):
        impossible_cells(table, {"day_r": 10})
    with pytest.raises(ValueError, match="'night_r': percentages of 0 queries mean nothing"):
        impossible_cells(table, {"night_r": 0})
