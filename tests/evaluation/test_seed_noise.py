"""What seeds add to a gain when many variants share them: the two-way layout, its corners, and its coverage."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from tests.evaluation.test_comparisons import ranks_of
from vg_core.evaluation.comparisons import compare_all, judge_predictions, mcnemar, paired_gain, seed_noise, verdict
from vg_core.evaluation.intervals import gain_samples
from vg_core.report import findings


def test_two_variants_have_the_noise_of_their_paired_differences():
    recalls = np.random.default_rng(0).random((2, 5))
    variance, freedom = seed_noise(recalls)
    assert freedom == 4
    assert variance == pytest.approx((recalls[0] - recalls[1]).var(ddof=1) / 5)


def test_a_seed_that_is_lucky_for_all_adds_no_noise():
    recalls = np.array([[0.5], [0.6], [0.3]]) + np.array([0.0, 0.1, -0.05])
    assert seed_noise(recalls)[0] == pytest.approx(0, abs=1e-16)
    assert seed_noise(recalls[:, :1]) is None


def test_many_variants_pool_what_two_seeds_cannot_tell():
    """Expected value of the pooled variance: 2 sigma² / S, whatever the variants' and the seeds' own effects."""
    rng = np.random.default_rng(1)
    effects = rng.normal(size=(400, 9, 1)) + rng.normal(size=(400, 1, 2))
    found = [seed_noise(e + 0.1 * rng.normal(size=(9, 2))) for e in effects]
    assert {freedom for _, freedom in found} == {8}
    assert np.mean([variance for variance, _ in found]) == pytest.approx(0.1**2, rel=0.06)


def test_gains_of_eight_variants_with_two_seeds_cover_95_percent():
    """2,000 datasets: nine variants, two seeds, noise of the seed on top of queries that agree within a place."""
    rng, places, seeds, covered = np.random.default_rng(2), 60, 2, 0
    deviation = np.sqrt(3 + 0.2**2)  # P(hit) = P(1 + shift + N(0, 2) + seed's luck > probit of luck), in closed form
    truth = stats.norm.cdf(1.4 / np.hypot(deviation, 0.3)) - stats.norm.cdf(1 / deviation)
    for number in range(2000):
        sizes = rng.integers(2, 11, places)
        place = np.repeat(np.arange(places), sizes)
        ease = 1 + rng.normal(size=places)[place] + rng.normal(size=len(place))
        luck = rng.random(len(place))  # the same query fails for the same reason in every run
        shift = np.stack([0.0 * place, 0.4 + 0.3 * rng.normal(size=places)[place]])
        mean = stats.norm.cdf(ease + shift[:, None] + 0.2 * rng.normal(size=(2, seeds, 1))) > luck  # (2, seeds, Q)
        others = stats.norm.cdf(ease + 0.2 * rng.normal(size=(7, seeds, 1))) > luck
        noise = seed_noise(np.concatenate([mean, others]).mean(axis=2))
        gain = (mean[1].mean(axis=0) - mean[0].mean(axis=0)).astype(float)
        samples = gain_samples(np.bincount(place, gain)[:, None], sizes.astype(float), [noise], 400, number)[1]
        low, high = np.quantile(samples, [0.025, 0.975])
        covered += low <= truth <= high
    # two errors, each with its own Student's t, are joined on the wide side (Cochran and Cox)
    assert 0.93 <= covered / 2000 <= 0.98, covered / 2000


@pytest.fixture
def four_variants():
    rng = np.random.default_rng(3)
    ease, places = rng.normal(size=120), np.repeat(np.arange(30), 4)
    hits = {
        name: ease + 0.3 * rng.normal(size=(2, 120)) > -shift
        for name, shift in zip("abcd", (0, 0.9, 0, 0.1), strict=True)
    }
    return ranks_of(hits, places), hits


def test_comparing_many_narrows_the_interval_of_two_seeds(four_variants):
    ranks, hits = four_variants
    table = compare_all(ranks, "a").set_index("variant")
    alone = paired_gain(ranks, "b", "a")
    assert table.gain["b"] == pytest.approx(alone["gain"])
    assert table.high["b"] - table.low["b"] < alone["high"] - alone["low"]
    assert table.p_mcnemar["b"] == mcnemar(hits["b"][0], hits["a"][0])
    assert table.verdict["b"] == "better" and table.verdict["c"] == "undecided"


def test_a_variant_that_lost_a_seed_is_judged_by_itself(four_variants):
    ranks, _ = four_variants
    fewer = ranks[~((ranks.variant == "c") & (ranks.seed == 0))]
    table = compare_all(fewer, "a").set_index("variant")
    assert table.seeds["c"] == 1 and table.seeds["b"] == 2
    assert table.loc["c", ["gain", "low", "high"]].tolist() == pytest.approx(
        [paired_gain(fewer, "c", "a")[key] for key in ("gain", "low", "high")]
    )
    without = compare_all(fewer[fewer.variant != "c"], "a").set_index("variant")
    pd.testing.assert_series_equal(table.loc["b", ["low", "high"]], without.loc["b", ["low", "high"]])


def test_predictions_are_judged_by_their_intervals(four_variants):
    gains = compare_all(four_variants[0], "a")
    table = judge_predictions(gains, {"b": "better", "c": "worse", "lost": "worse"}, tolerance=1.0)
    assert table.variant.tolist() == ["b", "c", "lost"]
    assert table.verdict.tolist()[0] == "confirmed" and table.verdict.tolist()[2] == "no result"
    assert table.verdict[1] == verdict(gains.set_index("variant").loc["c"], "worse")
    text = findings(table).splitlines()
    assert text[0].startswith("b, expected better: **confirmed**; +") and "120 queries, 2 seeds" in text[0]
    assert text[2].rstrip() == "lost, expected worse: **no result**; –, every run failed"
