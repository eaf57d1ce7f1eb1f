"""Intervals of a share of hits, and the error of a gain, in closed form from units that succeed or fail together."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from vg_core.evaluation.units import effective_number, unit_sums

LEVEL = 0.05  # 95 % intervals
MISSED = 0.2  # a design decides a gain that it does not miss more often: 80 % power


@dataclass(frozen=True)
class Error:
    """What a difference of means may be off by: independent variances, each with its degrees of freedom.

    Each has its own Student's t, weighted by its share of the variance (Cochran and Cox, Experimental Designs, 1957).
    """

    terms: tuple[tuple[float, float], ...]

    @property
    def deviation(self) -> float:
        return float(np.sqrt(sum(variance for variance, _ in self.terms)))

    def quantile(self, p: float) -> float:
        """How many standard deviations are exceeded, on either side, with probability p; 0 where nothing varies."""
        if self.deviation == 0:
            return 0.0
        weighted = sum(variance * special.stdtrit(freedom, 1 - p / 2) for variance, freedom in self.terms)
        return float(weighted) / self.deviation**2

    def half(self) -> float:
        """Half of the 95 % interval."""
        return self.quantile(LEVEL) * self.deviation

    def p(self, difference: float) -> float:
        """Two-sided p of a difference, if there were none in truth."""
        least = 1e-12  # quantiles of smaller ones are no longer exact
        beyond = abs(difference) / self.deviation
        if beyond >= self.quantile(least):
            return least
        return optimize.brentq(lambda p: self.quantile(p) - beyond, least, 1.0)

    def decidable(self) -> float:
        """The smallest true difference that is found with 80 % power: by p < 5 %."""
        return self.half() + self.quantile(2 * MISSED) * self.deviation


def mean_variance(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(n,) variances of the means of values (Q, n) whose units, numbered in ``codes`` (Q,), are independent.

    From the sums of units, corrected for what the mean took from each (Bell and McCaffrey, Survey Methodology 2002).
    """
    shares = np.bincount(codes) / len(codes)  # (units,)
    sums = unit_sums(values - values.mean(axis=0), codes) / len(codes)  # (units, n)
    return (np.square(sums) / (1 - 2 * shares + shares @ shares)[:, None]).sum(axis=0)


def _mean_variance_if_alike(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """`mean_variance` if queries agree alike in large and small units: from the variance between and within these."""
    sizes, queries = np.bincount(codes), len(codes)  # (units,), count
    residuals = values - values.mean(axis=0)  # (Q, n)
    total = np.square(residuals).sum(axis=0)  # (n,) sums of squares
    between = (np.square(unit_sums(residuals, codes)) / sizes[:, None]).sum(axis=0)
    inside = (total - between) / max(queries - len(sizes), 1)  # (n,) mean squares
    evenness = np.square(sizes / queries).sum()  # 1 / effective number
    of_units = (between - (len(sizes) - 1) * inside) / (queries * (1 - evenness))
    return np.where(of_units > 0, of_units * evenness + inside / queries, total / (queries - 1) / queries)


def recall_interval(values: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """(2, n) ends of the 95 % intervals of the means of values (Q, n) in 0…1, whose units are numbered in ``codes``.

    Wilson's interval (JASA 1927) for as many independent queries as would have the variance of all columns together
    (Korn and Graubard, Survey Methodology 1998), and at least the effective number of units, which holds however
    strongly their queries agree; with Student's t for that number. Of two estimates of the variance the larger counts:
    sums of units tell too little where a few of them hold most queries. One number for all columns puts the ends in
    the order of the means: a recall@N never ends below that of a smaller N, nor of fewer metres.
    """
    shares, units = values.mean(axis=0), effective_number(codes)
    count = units
    if np.ptp(values, axis=0).any() and codes.any():  # several units, and not all of them alike
        variances = np.maximum(mean_variance(values, codes), _mean_variance_if_alike(values, codes))
        count = max(units, (shares * (1 - shares)).sum() / variances.sum())
    weight = special.stdtrit(max(units - 1, 1), 1 - LEVEL / 2) ** 2 / count
    half = np.sqrt(weight * shares * (1 - shares) + weight**2 / 4)  # (n,)
    return np.stack([shares + weight / 2 - half, shares + weight / 2 + half]) / (1 + weight)
