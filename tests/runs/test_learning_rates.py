"""A learning rate for each variant: the one that reaches furthest on val, the smaller of two that reach as far."""

import pandas as pd
import pytest

from tests.tiny import TINY
from vg_core.runs import learning_rates as rates
from vg_core.runs.learning_rates import at_end, choose_rates


@pytest.fixture
def reached(monkeypatch):
    """Trainings that reach, epoch by epoch, the recall@5 given for each trial; one without any has failed."""

    def pretend(recalls):
        rows = [
            {"variant": trial, "epoch": epoch, "recall_5": recall}
            for trial, found in recalls.items()
            for epoch, recall in enumerate(found)
        ]
        monkeypatch.setattr(rates, "histories", lambda tried, seeds: (None, pd.DataFrame(rows)))
        asked = []
        monkeypatch.setattr(rates, "sweep", lambda tried, seeds, cluster: asked.append((tried, seeds, cluster)))
        return asked

    return pretend


def test_the_best_epoch_decides_and_the_smaller_rate_wins_a_tie(reached):
    asked = reached({"a, × 0.5": [90, 40], "a, × 2": [0, 20, 50, 10], "b, × 0.5": [0, 30], "b, × 2": [0, 30]})
    variants = {"a": TINY, "b": TINY.replace(pooling="max", lr=0.1)}
    own, table = choose_rates(variants, [2, 0.5], seed=7, cluster="here")
    assert own == {"a": TINY.replace(lr=2 * TINY.lr), "b": TINY.replace(pooling="max", lr=0.05)}
    assert table.val.tolist() == [40, 50, 30, 30] and table.chosen.tolist() == [False, True, True, False]
    ((tried, seeds, cluster),) = asked
    assert list(tried) == ["a, × 0.5", "a, × 2", "b, × 0.5", "b, × 2"] and (seeds, cluster) == ([7], "here")


def test_another_rate_than_the_networks_may_be_chosen(reached):
    reached({"a, × 1": [0, 10], "a, × 4": [0, 20]})
    own, _ = choose_rates({"a": TINY.replace(attention="crn", attention_lr=0.5)}, [1, 4], option="attention_lr")
    assert own == {"a": TINY.replace(attention="crn", attention_lr=2.0)}


@pytest.mark.parametrize(("rates_tried", "ends"), [([1, 2, 4], 1), ([1, 2], 2), ([2], 0)])
def test_choices_at_an_end_are_counted_where_there_is_a_choice(reached, rates_tried, ends):
    reached({"a, × 1": [0, 10], "a, × 2": [0, 20], "a, × 4": [0, 5], "b, × 1": [0, 9], "b, × 2": [0, 8]})
    assert at_end(choose_rates({"a": TINY, "b": TINY.replace(pooling="max")}, rates_tried)[1]) == ends


def test_what_failed_is_not_chosen(reached):
    reached({"a, × 2": [0, 10]})
    own, table = choose_rates({"a": TINY, "lost": TINY.replace(pooling="max")}, [1, 2])
    assert own == {"a": TINY.replace(lr=2 * TINY.lr)}
    assert table[table.chosen][["variant", "rate"]].to_numpy().tolist() == [["a", 2]]


def test_real_trainings(street):
    base = TINY.replace(epochs_num=1, queries_per_epoch=8)
    own, table = choose_rates({"triplet": base}, [1.0, 1e6], cluster="here")  # the second one cannot go well
    assert own["triplet"].lr == base.lr
    assert table.chosen.tolist() == [True, False] and 0 < table.val[0] <= 100
