"""Shares of attention beside shares of the area: means, intervals over places, and how often these hold the truth."""

import numpy as np
import pandas as pd
import pytest

from vg_core.evaluation.comparisons import judge_predictions
from vg_core.evaluation.shares import share_table


def shares_of(rng, excess=0.0, places=40, seeds=3, variant="CRN"):
    """Two queries of each place, which agree, seen by several seeds, which differ a little."""
    area, own = rng.uniform(0.01, 0.2, 2 * places), rng.normal(0, 0.02, places).repeat(2)
    rows = []
    for seed in range(seeds):
        share = area + excess + own + rng.normal(0, 0.004)
        where = {"query": np.arange(2 * places), "place": np.arange(places).repeat(2)}
        rows.append(pd.DataFrame({"variant": variant, "seed": seed, "area": area, "share": share} | where))
    return pd.concat(rows, ignore_index=True)


def test_means_are_those_of_queries_and_seeds():
    table = shares_of(np.random.default_rng(0), -0.03)
    blank = table.iloc[:1].assign(area=0.0, share=0.0, query=999)  # nothing there to be left out
    (found,) = share_table(pd.concat([table, blank])).to_dict("records")
    assert found["area"] == pytest.approx(100 * table.area.mean())
    assert found["gain"] == pytest.approx(100 * (table.share - table.area).mean())
    assert found["low"] < found["gain"] < found["high"] < 0
    assert (found["queries"], found["places"], found["seeds"]) == (80, 40, 3)
    assert judge_predictions(pd.DataFrame([found]), {"CRN": "worse"}).verdict.item() == "confirmed"


def test_variants_keep_their_order_and_one_seed_is_enough():
    rng = np.random.default_rng(0)
    table = pd.concat([shares_of(rng, variant=name, seeds=1) for name in ("soa", "cbam")])
    assert list(share_table(table).variant) == ["soa", "cbam"]
    nothing = share_table(table[:0])
    assert nothing.empty and list(nothing) == list(share_table(table))


def test_an_attention_that_is_everywhere_the_same_gains_nothing_for_sure():
    table = shares_of(np.random.default_rng(0))
    (found,) = share_table(table.assign(share=table.area)).to_dict("records")
    assert found["gain"] == found["low"] == found["high"] == 0


def test_intervals_cover_95_percent():
    rng = np.random.default_rng(1)
    tables = [share_table(shares_of(rng, 0.01)) for _ in range(150)]
    covered = np.mean([one.low.item() <= 1.0 <= one.high.item() for one in tables])
    assert covered > 0.9 and np.mean([one.high.item() - one.low.item() for one in tables]) < 3  # points
