"""The learning-rate range test on problems whose limits are known."""

import math

import numpy as np
import pandas as pd
import pytest

from vg_core.training.lr_range import range_test, steepest


class Quadratic:
    """Gradient descent on curvature / 2 x²: it converges below a learning rate of 2 / curvature and diverges above."""

    def __init__(self, curvature):
        self.curvature, self.x = curvature, 1.0

    def step(self, lr):
        loss = self.curvature / 2 * self.x**2
        self.x -= lr * self.curvature * self.x
        return loss


def test_learning_rates_grow_by_one_factor():
    rates = range_test(lambda lr: 1.0, 1e-6, 1, 7).lr
    np.testing.assert_allclose(rates, [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1])


@pytest.mark.parametrize(("low", "high", "steps"), [(0, 1, 5), (1, 1, 5), (2, 1, 5), (1e-5, 1, 1), (1, math.inf, 5)])
def test_impossible_ranges_are_refused(low, high, steps):
    with pytest.raises(ValueError, match="need 0 < low < high"):
        range_test(lambda lr: 1.0, low, high, steps)


@pytest.mark.parametrize("curvature", [0.1, 1.0, 50.0])
def test_a_quadratic_diverges_above_its_limit_and_falls_steepest_below(curvature):
    limit = 2 / curvature
    curve = range_test(Quadratic(curvature).step, 1e-4 * limit, 1e3 * limit, 140)
    assert list(curve.columns) == ["lr", "loss", "smoothed", "diverged"]
    assert curve.diverged.tolist() == [False] * (len(curve) - 1) + [True]
    assert curve.lr.iloc[-1] > limit
    assert len(curve) < 140
    assert 1e-3 * limit < steepest(curve) < limit


def test_the_running_mean_has_no_memory_of_its_start():
    constant = range_test(lambda lr: 3.0, 1e-3, 1, 20)
    np.testing.assert_allclose(constant.smoothed, 3.0)
    assert not constant.diverged.any()
    first_two = range_test(lambda lr: 1.0 if lr < 0.01 else 2.0, 1e-3, 1, 2).smoothed
    np.testing.assert_allclose(first_two, [1, (0.9 * 1 + 2) / 1.9])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_ends_the_test(bad):
    losses = iter([1.0, 0.9, 0.5, bad, 0.1])
    curve = range_test(lambda lr: next(losses), 1e-3, 1, 5)
    assert curve.diverged.tolist() == [False, False, False, True]
    assert steepest(curve) < curve.lr.iloc[3]


def test_a_hinge_at_zero_is_no_divergence():
    losses = iter([0.0, 0.0, 0.1, 0.0])
    assert not range_test(lambda lr: next(losses), 1e-3, 1, 4).diverged.any()


def test_the_steepest_fall_is_found_on_a_curve_drawn_by_hand():
    lr = np.geomspace(1e-5, 1e-1, 5)
    smoothed = [1.0, 0.8, 0.4, 0.35, 2.0]
    curve = pd.DataFrame({"lr": lr, "loss": smoothed, "smoothed": smoothed, "diverged": [False] * 4 + [True]})
    # slopes a decade, central differences inside: -0.2, -0.3, -0.225, -0.05
    assert steepest(curve) == pytest.approx(1e-4)


def test_a_loss_that_never_falls_has_no_steepest_fall():
    rising = range_test(lambda lr: lr, 1e-3, 1, 30)
    assert math.isnan(steepest(rising))
    nothing = range_test(lambda lr: math.nan, 1e-3, 1, 5)
    assert math.isnan(steepest(nothing))
