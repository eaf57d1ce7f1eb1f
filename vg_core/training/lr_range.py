"""The learning-rate range test: a short training whose learning rate grows at every step (Smith, WACV 2017)."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

MEMORY = 0.9  # of the running mean of the loss: about the last ten steps count


def range_test(
    step: Callable[[float], float], low: float, high: float, steps: int, stop_factor: float = 4.0
) -> pd.DataFrame:
    """One row per training step: lr, loss, smoothed (running mean of the loss), diverged (true in the last row alone).

    ``step`` trains one batch at a learning rate and returns its loss; weights go on changing from step to step. Each
    rate is the same multiple of the one before. The test ends early, as diverged, when a loss is not finite or the
    running mean exceeds ``stop_factor`` times its lowest value so far.
    """
    if not 0 < low < high or not math.isfinite(high) or steps < 2:
        raise ValueError(f"learning rates from {low} to {high} in {steps} steps: need 0 < low < high, 2 steps or more")
    rows, mean, lowest = [], 0.0, math.inf
    for number, lr in enumerate(np.geomspace(low, high, steps).tolist(), start=1):
        loss = float(step(lr))
        mean = MEMORY * mean + (1 - MEMORY) * loss
        smoothed = mean / (1 - MEMORY**number)  # the mean starts at zero, which is no loss
        # a hinge that has been zero throughout cannot be exceeded by a factor
        diverged = not math.isfinite(loss) or 0 < stop_factor * lowest < smoothed
        lowest = min(lowest, smoothed)
        rows.append({"lr": lr, "loss": loss, "smoothed": smoothed, "diverged": diverged})
        if diverged:
            break
    return pd.DataFrame(rows)


def steepest(curve: pd.DataFrame) -> float:
    """Learning rate at which the running mean of ``range_test`` falls fastest per decade, before its lowest point;
    NaN when it falls nowhere, because the test began at too high a rate or was too short.
    """
    steady = curve[~curve.diverged]
    falling = steady.iloc[: int(steady.smoothed.to_numpy().argmin()) + 1] if len(steady) else steady
    if len(falling) < 2:
        return math.nan
    slope = np.gradient(falling.smoothed, np.log10(falling.lr))
    return float(falling.lr.iloc[slope.argmin()])
