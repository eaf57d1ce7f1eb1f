"""What runs add to a gain when many variants share their seeds, and what a design can decide beforehand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.evaluation.test_comparisons import ranks_of
from vg_core.evaluation.comparisons import (
    Hits,
    compare_all,
    gain_of_hits,
    judge_predictions,
    mcnemar,
    paired_gain,
    verdict,
)
from vg_core.evaluation.designs import leeway, prospects, run_variance, smallest_decidable
from vg_core.report import findings

PLACES = np.repeat(np.arange(50), 4)


def runs(rng, variants: int, seeds: int, of_run: float, of_seed: float = 0.0, scales=1.0) -> np.ndarray:
    """Values (variants, Q, seeds) with luck of single queries and of places, of a run and of a seed."""
    scales = np.broadcast_to(scales, variants)[:, None, None]
    shape = (variants, len(PLACES), seeds)
    luck = rng.normal(size=shape) + rng.normal(size=(variants, 50, seeds))[:, PLACES]
    same = of_run * rng.normal(size=(variants, 1, seeds)) + of_seed * rng.normal(size=(1, 1, seeds))
    return luck + scales * same


EQUAL, UNEQUAL = [1.0] * 6, [1.0] * 4 + [0.3] * 2


@pytest.mark.parametrize(("paired", "of_seed"), [(True, 0.0), (True, 2.0), (False, 0.0)])
@pytest.mark.parametrize("scales", [EQUAL, UNEQUAL])
def test_what_runs_do_to_all_queries_is_told_from_luck(scales, paired, of_seed):
    """0.3² on average, whatever a seed does to all variants; luck alone would show as 1.06² / 7."""
    rng = np.random.default_rng(0)
    found = [run_variance(runs(rng, 6, 3, 0.3, of_seed, scales), scales, PLACES, paired) for _ in range(300)]
    assert np.mean([variance for variance, _ in found]) == pytest.approx(0.3**2, rel=0.1)
    (freedom,) = {freedom for _, freedom in found}
    assert freedom == pytest.approx(10 if paired else 12) if scales == EQUAL else 6 < freedom < 9
    few = [run_variance(runs(rng, 6, 3, 2.0, of_seed, scales), scales, PLACES // 10, paired)[0] for _ in range(300)]
    assert np.mean(few) == pytest.approx(2.0**2, rel=0.1)  # five units: pairs of queries in the same tell nothing
    without = [run_variance(runs(rng, 6, 3, 0.0, of_seed, scales), scales, PLACES, paired)[0] for _ in range(100)]
    assert min(without) == 0 and np.mean(without) < 0.01


def test_a_poor_recall_moves_less():
    assert [leeway(recall) for recall in (0.0, 0.5, 1.0)] == [0, 1, 0]
    moved = stats.norm.cdf(stats.norm.ppf([0.1, 0.5]) + 0.01) - [0.1, 0.5]
    assert leeway(0.1) == leeway(0.9) == pytest.approx(moved[0] / moved[1], rel=0.02)


def test_good_variants_are_not_judged_by_how_little_the_poor_ones_move():
    """Two equals at a recall of one half beside four at 3 %; as if all moved alike, 20 % were false claims."""
    rng, claims, index = np.random.default_rng(0), [], pd.MultiIndex.from_arrays([range(200), [0] * 200, PLACES])
    index.names, seeds = ("query", "copy", "place"), pd.RangeIndex(3)
    hard = stats.norm.ppf([0.5, 0.5, 0.97, 0.97, 0.97, 0.97])[:, None, None] * 1.2
    for _ in range(200):
        ease = rng.normal(size=(1, 200, 1)) + 0.6 * rng.normal(size=(6, 200, 3)) + 0.2 * rng.normal(size=(6, 1, 3))
        tested = {name: Hits(one[:, None], index, seeds) for name, one in enumerate((ease > hard).astype(float))}
        claims.append(gain_of_hits(tested, 0, 1)["p"] < 0.05)
    assert np.mean(claims) < 0.1


@pytest.fixture
def four_variants():
    rng = np.random.default_rng(3)
    ease, places = rng.normal(size=120), np.repeat(np.arange(30), 4)
    hits = {
        name: ease + 0.3 * rng.normal(size=(2, 120)) > -shift
        for name, shift in zip("abcd", (0, 0.9, 0, 0.1), strict=True)
    }
    return ranks_of(hits, places), hits


def test_all_variants_tell_what_runs_add():
    """Variants of which every run moves up or down widen the gain of two others."""
    rng, places = np.random.default_rng(0), np.repeat(np.arange(60), 5)
    base = rng.random(300) < 0.5
    calm = {name: base ^ (rng.random((3, 300)) < 0.02) for name in ("base", "calm")}
    shaky = np.stack([base | (rng.random(300) < share) for share in (0.0, 0.2, 0.4)])
    pools = [calm, calm | {"up": shaky, "down": shaky[::-1]}]
    ends = [paired_gain(ranks_of(pool, places), "calm", "base") for pool in pools]
    assert ends[1]["high"] - ends[1]["low"] > 2 * (ends[0]["high"] - ends[0]["low"])


def test_luck_of_single_queries_is_not_counted_twice():
    """The width of the gain is that of places alone, whose means hold the luck of each run."""
    rng = np.random.default_rng(0)
    ease = rng.normal(size=400)
    hits = {name: ease + rng.normal(size=(3, 400)) > 0 for name in "abcdef"}
    gain = paired_gain(ranks_of(hits, np.arange(400)), "a", "b")
    alone = 2 * 1.97 * 100 * np.std(hits["a"].mean(axis=0) - hits["b"].mean(axis=0)) / 20
    assert gain["high"] - gain["low"] == pytest.approx(alone, rel=0.15)


def test_comparing_many_names_the_winner(four_variants):
    ranks, hits = four_variants
    table = compare_all(ranks, "a").set_index("variant")
    assert table.gain["b"] == pytest.approx(paired_gain(ranks, "b", "a")["gain"])
    assert table.p_mcnemar["b"] == mcnemar(hits["b"][0], hits["a"][0])
    assert table.verdict["b"] == "better" and table.verdict["c"] == "undecided"
    assert (table.decidable > 0.6 * (table.high - table.low)).all()


def test_a_variant_that_lost_a_seed_is_judged_by_the_runs_of_the_others(four_variants):
    ranks, _ = four_variants
    fewer = ranks[~((ranks.variant == "c") & (ranks.seed == 0))]
    table = compare_all(fewer, "a").set_index("variant")
    assert table.seeds["c"] == 1 and table.seeds["b"] == 2
    alone = paired_gain(fewer[fewer.variant.isin(["a", "c"])], "c", "a")
    assert table.gain["c"] == alone["gain"] and table.low["c"] != alone["low"]


def test_what_does_not_move_adds_nothing():
    """Untrained networks are the same with every seed: their gain is as sure as that of one run."""
    rng, places = np.random.default_rng(0), np.arange(200) % 50
    hits = {name: np.tile(rng.random(200) < 0.5, (3, 1)) for name in ("old", "older")}
    ranks = ranks_of(hits | {"trained": rng.random((3, 200)) < np.array([[0.3], [0.5], [0.7]])}, places)
    gain, one = (paired_gain(part, "old", "older") for part in (ranks, ranks[ranks.seed == 0]))
    assert [gain[key] for key in ("low", "high", "p")] == pytest.approx([one[key] for key in ("low", "high", "p")])
    assert paired_gain(ranks, "trained", "old")["high"] - paired_gain(ranks, "trained", "old")["low"] > 40


def test_predictions_are_judged_by_their_intervals(four_variants):
    gains = compare_all(four_variants[0], "a")
    table = judge_predictions(gains, {"b": "better", "c": "worse", "lost": "worse"}, tolerance=1.0)
    assert table.variant.tolist() == ["b", "c", "lost"]
    assert table.verdict.tolist()[0] == "confirmed" and table.verdict.tolist()[2] == "no result"
    assert table.verdict[1] == verdict(gains.set_index("variant").loc["c"], "worse")
    text = findings(table).splitlines()
    assert text[0].startswith("b, expected better: **confirmed**; +") and "120 queries, 2 seeds" in text[0]
    assert text[2].rstrip() == "lost, expected worse: **no result**; –, every run failed"


def test_what_is_undecided_says_what_would_have_been_decided(four_variants):
    one_seed = four_variants[0][four_variants[0].seed == 0]
    gains = compare_all(one_seed, "a")
    lines = findings(judge_predictions(gains, {"b": "better", "d": "better"})).splitlines()
    assert "decidable" not in lines[0] and f"from {gains.decidable[2]:.1f} points on it would be decidable" in lines[1]
    assert all("says nothing of other trainings" in line for line in lines)


def test_a_design_decides_more_with_more_queries_places_and_seeds():
    points = [smallest_decidable(*design) for design in ((20, 200, 3), (60, 200, 3), (60, 600, 3), (60, 600, 5))]
    assert points == sorted(points, reverse=True) and 2 < points[-1] < points[0] < 15
    assert smallest_decidable(60, 600, 3, variants=8) < smallest_decidable(60, 600, 3, variants=2)
    assert smallest_decidable(60, 600, 3, discordant=0.4) > smallest_decidable(60, 600, 3)


def test_a_design_speaks_before_its_experiment():
    queries = pd.DataFrame({"easting": np.arange(120) // 4 * 30.0, "northing": 0.0})
    said = prospects(queries, [0, 1, 2], 6)
    assert said.startswith("120 queries at 30 places of equal weight, 3 seeds and 6 variants: ")
    assert f"{smallest_decidable(30, 120, 3, 6):.1f} points" in said and "one seed" not in said
    assert "says nothing of the next training" in prospects(queries, [0], 6)
    assert "at 120 places" in prospects(queries.assign(easting=np.nan), [0, 1], 2)  # unknown: each is one of its own
    apart = pd.concat([queries.assign(plane=plane) for plane in (0, 1)])
    assert "240 queries at 60 places" in prospects(apart, [0, 1, 2], 6)  # the same coordinates in two UTM zones


def test_a_design_of_few_runs_or_places_says_so():
    queries = pd.DataFrame({"easting": np.arange(120) // 4 * 30.0, "northing": 0.0})
    assert "with 4 degrees of freedom" in prospects(queries, [0, 1, 2], 2)
    assert not any(word in prospects(queries, [0, 1, 2], 6) for word in ("degrees", "trusted"))
    assert "no interval can be trusted" in prospects(queries[:36], [0, 1, 2], 6)


def test_gains_and_losses_that_cancel_in_every_place_are_no_certainty():
    """In each place one query is won and one is lost; variants that find the very same differ by less for sure."""
    hits = {"a": np.tile([[1, 0]], 20), "b": np.tile([[0, 1]], 20)}
    gain = paired_gain(ranks_of(hits, np.arange(40) // 2), "a", "b")
    same = paired_gain(ranks_of(hits | {"b": hits["a"]}, np.arange(40) // 2), "a", "b")
    assert (gain["gain"], gain["p"]) == (same["gain"], same["p"]) == (0, 1)
    assert gain["high"] == pytest.approx(100 * stats.t.ppf(0.975, 19) * 2**0.5 / 20)
    assert same["high"] == pytest.approx(100 * stats.t.ppf(0.975, 19) * 2**0.5 / 40 * 1.05)
    assert verdict(same, "same", tolerance=9.0) == "confirmed"


def test_two_ways_to_test_one_training_that_find_the_same_are_the_same():
    """What runs do to all of their queries moves both alike."""
    rng, places = np.random.default_rng(0), np.arange(200) % 50
    trained = rng.random((3, 200)) < np.array([[0.3], [0.5], [0.7]])
    ranks = ranks_of({"whole": trained, "crop": trained, "other": rng.random((3, 200)) < 0.5}, places)
    assert paired_gain(ranks, "whole", "crop")["high"] < 2 < 20 < paired_gain(ranks, "whole", "other")["high"]


@pytest.mark.parametrize(("variants", "freedom"), [(2, 4), (3, 4), (6, 10)])
def test_two_variants_keep_the_freedom_of_all_their_runs(variants, freedom):
    """What a seed does to all is taken out from three variants on: of two it would cost half of the freedom."""
    hits = {
        name: one.T > 0 for name, one in zip("abcdef", runs(np.random.default_rng(0), variants, 3, 1.0), strict=False)
    }
    gain = paired_gain(ranks_of(hits, PLACES), "a", "b")
    moved = 100 * np.stack([one.mean(axis=1) - one.mean() for one in hits.values()])  # (variants, seeds)
    if variants > 2:
        moved -= moved.mean(axis=0)
    of_runs = stats.t.ppf(0.975, freedom) * np.sqrt(2 / 3 * np.square(moved).sum() / freedom)
    assert (gain["high"] - gain["low"]) / 2 == pytest.approx(of_runs, rel=0.1)  # the rest hardly counts
