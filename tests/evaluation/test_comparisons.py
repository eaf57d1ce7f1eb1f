"""Recall tables, paired gains and verdicts; paired tests against references, and the corners of small samples."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from vg_core import figures
from vg_core.evaluation.comparisons import compare_all, holm, mcnemar, paired_gain, recall_table, verdict


def ranks_of(hits: dict, places, seeds=None) -> pd.DataFrame:
    """Ranks table of {variant: hits (seeds, Q)}; a hit has rank 1 and 3 m, a miss no rank and 60 m."""
    parts = []
    for variant, rows in hits.items():
        for number, row in enumerate(np.atleast_2d(rows)):
            metres = np.where(row, 3.0, 60.0)
            part = {"query": [f"q{i}" for i in range(len(row))], "place": places, "rank": np.where(row, 1, 0)}
            within = {f"within_{n}": metres for n in (1, 5, 10, 20)}
            seed = number if seeds is None else seeds[number]
            parts.append(pd.DataFrame({"variant": variant, "seed": seed, **part, **within, "threshold": 25.0}))
    return pd.concat(parts, ignore_index=True)


def test_recall_table_shows_both_sources_of_variance():
    places = np.repeat([f"p{i}" for i in range(30)], 4)
    rng = np.random.default_rng(0)
    hits = rng.random((3, 120)) < 0.7
    ranks = ranks_of({"GeM": hits, "NetVLAD": hits[:1]}, places)
    table = recall_table(ranks)
    counts = ["seeds", "queries", "places", "unit", "units"]
    assert list(table) == ["variant", "n", "recall", "low", "high", "seed_std", *counts]
    assert table["n"].tolist() == [1, 5, 10, 20] * 2
    first = table.iloc[0]
    assert first["recall"] == pytest.approx(100 * hits.mean())
    assert first["seed_std"] == pytest.approx((100 * hits.mean(axis=1)).std(ddof=1))
    assert first[counts].tolist() == [3, 120, 30, "places", pytest.approx(30)]
    assert np.isnan(table["seed_std"].iloc[4]) and table["seeds"].iloc[4] == 1
    assert (table["low"] < table["recall"]).all() and (table["recall"] < table["high"]).all()
    pd.testing.assert_frame_equal(table, recall_table(ranks.sample(frac=1, random_state=1).sort_values("variant")))
    near = recall_table(ranks, at=[1], threshold=25)
    assert near["recall"].tolist() == table["recall"][table["n"] == 1].tolist()
    assert recall_table(ranks, at=[1], threshold=2)["recall"].tolist() == [0, 0]
    with pytest.raises(KeyError, match="no column within_3"):
        recall_table(ranks, at=[3], threshold=25)


def test_ends_of_intervals_keep_the_order_of_n_and_of_metres():
    """Hits at 1 differ within places, those at 20 between them: by itself each would have an interval of its own."""
    rng, places = np.random.default_rng(0), np.repeat(np.arange(20), 6)
    first, late = rng.random(120) < 0.9, (rng.random(20) < 0.95)[places] | (rng.random(120) < 0.5)
    ranks = ranks_of({"a": first}, places)
    ranks["rank"] = np.where(first, 1, np.where(late, 20, 0))
    metres = 30 * rng.random(20)[places] * rng.random(120) ** 0.3
    for n, nearer in ((1, 1.0), (5, 0.8), (10, 0.6), (20, 0.5)):
        ranks[f"within_{n}"] = nearer * metres
    by_metres = recall_table(ranks, threshold=[2, 5, 10, 25]).sort_values(["threshold", "n"])
    assert by_metres.groupby("threshold").size().tolist() == [4] * 4
    for table in (recall_table(ranks), *(rows for _, rows in by_metres.groupby("n"))):
        assert table["recall"].is_monotonic_increasing and np.ptp(table["recall"]) > 5
        assert table["low"].is_monotonic_increasing and table["high"].is_monotonic_increasing


@pytest.mark.parametrize(
    ("database", "kept"),
    [(21, [1, 5, 10, 20]), (20, [1, 5, 10]), (10, [1, 5]), (6, [1, 5]), (5, [1]), (2, [1]), (np.nan, [1, 5, 10, 20])],
)
def test_a_recall_that_retrieves_the_whole_database_is_left_out(database, kept):
    ranks = ranks_of({"small": np.ones((2, 12)), "large": np.ones((2, 12))}, np.arange(12) % 4)
    ranks["database"] = np.where(ranks["variant"] == "small", database, 400)
    table = recall_table(ranks)
    assert table["n"].tolist() == [*kept, 1, 5, 10, 20]
    assert recall_table(ranks, threshold=25)["n"].tolist() == table["n"].tolist()
    for figure in (figures.recall_curves(table), figures.recall_bars(table, 20), figures.recall_bars(table)):
        figure.canvas.draw()


def test_no_recall_at_all_is_a_sentence():
    ranks = ranks_of({"a": np.ones((1, 4)), "b": np.zeros((1, 4))}, list("xxyy")).assign(database=10)
    sentence = r"recall@{} of 'a' says nothing: its database has {} images"
    for at in ([10], [20, 10]):
        with pytest.raises(ValueError, match=sentence.format(10, 10)):
            recall_table(ranks, at)
    with pytest.raises(ValueError, match=sentence.format(1, 1)):
        recall_table(ranks.assign(database=1))
    for n in (10, 20):
        with pytest.raises(ValueError, match=sentence.format(n, 10)):
            compare_all(ranks, "a", n)
        with pytest.raises(ValueError, match=sentence.format(n, 10)):
            paired_gain(ranks, "a", "b", n, threshold=25)
    assert paired_gain(ranks, "a", "b", 5)["gain"] == 100
    assert recall_table(ranks, at=(20, 1))["n"].tolist() == [1, 1]


def test_intervals_widen_when_queries_of_a_place_agree():
    hits = np.random.default_rng(0).permutation(np.arange(200) < 120)
    mixed, apart = (ranks_of({"a": h}, np.repeat(np.arange(40), 5).astype(str)) for h in (hits, np.sort(hits)))
    width = [(t["high"] - t["low"])[0] for t in (recall_table(mixed), recall_table(apart))]
    assert width[1] > 1.5 * width[0]


@pytest.mark.parametrize("count", [1, 2, 30])
def test_all_hits_leave_room_for_misses_elsewhere(count):
    """Wilson's interval for one query a place: with z for t, the familiar n / (n + z²)."""
    ranks = ranks_of({"all": np.ones((1, 60)), "none": np.zeros((1, 60))}, np.arange(60) % count)
    table = recall_table(ranks, at=[1])
    quantile = stats.t.ppf(0.975, max(count - 1, 1))
    assert table["low"][0] == pytest.approx(100 * count / (count + quantile**2))
    assert table["high"][0] == pytest.approx(100) and table["low"][1] == pytest.approx(0)
    assert table["high"][1] == pytest.approx(100 - table["low"][0])
    gain = paired_gain(ranks, "all", "none")
    assert gain["gain"] == 100 and gain["high"] == 100
    assert (gain["p"] < 0.05) == (gain["low"] > 0) == (count == 30)
    same = paired_gain(ranks.assign(rank=1), "all", "none")
    assert same["gain"] == 0 and same["p"] == 1 and same["low"] == pytest.approx(-same["high"]) and same["high"] > 1


def test_paired_gain_knows_a_difference_from_none():
    rng = np.random.default_rng(0)
    places = np.repeat(np.arange(60), 5).astype(str)
    base = rng.random((3, 300)) < 0.6
    better = base | (rng.random((3, 300)) < 0.3)
    ranks = ranks_of({"base": base, "better": better, "twin": rng.permuted(base, axis=0)}, places)
    gain = paired_gain(ranks, "better", "base")
    assert gain["gain"] == pytest.approx(100 * (better.mean() - base.mean()))
    assert 0 < gain["low"] < gain["gain"] < gain["high"] and gain["p"] < 0.002
    assert (gain["queries"], gain["places"], gain["seeds"]) == (300, 60, 3)
    back = paired_gain(ranks, "base", "better")
    assert back["gain"] == -gain["gain"] and back["high"] < 0
    assert gain == paired_gain(ranks, "better", "base")
    table = compare_all(ranks, "base")
    assert table["variant"].tolist() == ["better", "twin"]
    assert table["verdict"].tolist() == ["better", "undecided"]
    assert (table["p_holm"] >= table["p"]).all()
    assert compare_all(ranks, "better")["verdict"].tolist() == ["worse", "worse"]


def test_equals_are_told_from_what_is_not_known():
    """The same margin, stated beforehand: four hundred places show that there is no difference, forty do not."""
    rng = np.random.default_rng(1)
    for places, words in ((400, "no difference of more than 5"), (40, "undecided")):
        base = rng.random(2 * places) < 0.6
        twin = base ^ (rng.random(2 * places) < 0.1)
        ranks = ranks_of({"base": base, "twin": twin}, np.repeat(np.arange(places), 2))
        assert compare_all(ranks, "base", margin=5.0)["verdict"].tolist() == [words]
        assert compare_all(ranks, "base")["verdict"].tolist() == ["undecided"]


def test_a_run_without_seed_and_equal_names_in_two_folders():
    ranks = ranks_of({"a": np.eye(1, 6), "b": np.ones((1, 6))}, list("xxyyzz"), seeds=[np.nan])
    ranks["query"] = ranks["query"].replace({"q5": "q4"})
    table = recall_table(ranks, at=[1])
    assert table["queries"].tolist() == [6, 6] and table["recall"].tolist() == [pytest.approx(100 / 6), 100]
    assert paired_gain(ranks, "b", "a")["gain"] == pytest.approx(500 / 6)


def test_what_cannot_be_compared_is_refused():
    ranks = ranks_of({"a": np.ones((2, 4)), "b": np.ones((2, 4))}, list("xxyy"))
    with pytest.raises(ValueError, match="'a' and 'b' were tested on different queries"):
        paired_gain(ranks[(ranks["variant"] == "a") | (ranks["query"] != "q0")], "a", "b")
    with pytest.raises(ValueError, match="seeds of variant 'a' were tested on different queries"):
        recall_table(ranks[(ranks["seed"] == 1) | (ranks["query"] != "q0")])
    other = ranks.assign(threshold=np.where(ranks["variant"] == "b", 10.0, 25.0))
    with pytest.raises(ValueError, match="within 25 m and 10 m: give one threshold"):
        paired_gain(other, "a", "b")
    assert paired_gain(other, "a", "b", threshold=25)["gain"] == 0
    with pytest.raises(KeyError, match="no variant 'c' in these ranks; there are: a, b"):
        paired_gain(ranks, "a", "c")
    with pytest.raises(ValueError, match="no variant to compare with the baseline 'a'"):
        compare_all(ranks[ranks["variant"] == "a"], "a")


@pytest.mark.parametrize(
    ("low", "high", "answers"),
    [
        (0.5, 3, ["confirmed", "refuted", "confirmed", "undecided", "undecided"]),
        (1.5, 3, ["confirmed", "refuted", "confirmed", "refuted", "refuted"]),
        (-0.5, 0.8, ["no difference of more than 1"] * 2 + ["confirmed"] * 3),
        (-4, -2, ["refuted", "confirmed", "refuted", "confirmed", "refuted"]),
        (-4, 5, ["undecided"] * 5),
    ],
)
def test_verdicts(low, high, answers):
    expectations = ["better", "worse", "no worse", "no better", "same"]
    assert [verdict({"low": low, "high": high}, expected) for expected in expectations] == answers
    with pytest.raises(ValueError, match="choose one of: better"):
        verdict({"low": low, "high": high}, "great")


@settings(deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_mcnemar_is_the_binomial_test_of_the_queries_that_differ(pairs):
    a, b = np.array(pairs, dtype=bool).reshape(-1, 2).T
    only_a, only_b = (a & ~b).sum(), (b & ~a).sum()
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar(a, b) == mcnemar(b, a) == pytest.approx(expected)


def test_mcnemar_closed_form():
    assert mcnemar(np.ones(5, dtype=bool), np.zeros(5, dtype=bool)) == pytest.approx(2 * 0.5**5)


def test_holm_worked_example():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.001, 0.999))
def test_holm_rejects_what_the_step_down_procedure_rejects(p, level):
    adjusted = holm(p)
    rejected = set()
    for step, index in enumerate(np.argsort(p, kind="stable")):
        if p[index] * (len(p) - step) > level:
            break
        rejected.add(index)
    assert set(np.flatnonzero(adjusted <= level)) == rejected
    with pytest.raises(ValueError, match="must lie in 0…1, got 2"):
        holm([*p, 2.0])
