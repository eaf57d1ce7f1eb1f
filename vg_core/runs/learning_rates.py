"""A learning rate per variant, chosen on val: losses differ in scale and slope, and one rate for all favours some."""

import math
from collections.abc import Mapping, Sequence
from itertools import product

import pandas as pd

from vg_core.config import Config
from vg_core.runs.experiments import histories, sweep


def choose_rates(
    variants: Mapping[str, Config], rates: Sequence[float], seed: int = 0, cluster: str = "auto", option: str = "lr"
) -> tuple[dict[str, Config], pd.DataFrame]:
    """The variants, each at the rate with which it reached the highest recall on val; and a table of what was tried.

    ``rates`` are multiples of a variant's own learning rate, or of another ``option``, such as attention_lr; each is
    trained whole with ``seed``, and the smaller one wins a tie. Test queries play no part. Recall is that of the
    variant's ``selected_by``. The table has a row per variant and rate: ``variant``, ``rate``, ``val`` (the best recall
    of its epochs, in percent; NaN where the training failed) and ``chosen``. A variant whose trainings all failed is in
    the table alone. ``cluster``: see ``sweep``.
    """
    trials = {(name, rate): _times(variants[name], option, rate) for name, rate in product(variants, sorted(rates))}
    tried = {f"{name}, × {rate:g}": config for (name, rate), config in trials.items()}
    sweep(tried, [seed], cluster)
    validation = histories(tried, [seed])[1]
    best = validation[validation.epoch > 0].groupby("variant").max()
    table = pd.DataFrame(list(trials), columns=["variant", "rate"])
    table["val"] = [best[config.selected_by].get(name, math.nan) for name, config in tried.items()]
    taken = table.dropna().groupby("variant", sort=False).val.idxmax()
    table["chosen"] = table.index.isin(taken)
    own = {name: trials[name, rate] for name, rate in table.loc[taken, ["variant", "rate"]].itertuples(index=False)}
    return own, table


def _times(config: Config, option: str, rate: float) -> Config:
    return config.replace(**{option: rate * getattr(config, option)})


def at_end(tried: pd.DataFrame) -> int:
    """How many of the choices of ``choose_rates`` lie at an end of its rates, beyond which a better one may be; 0 where
    a single rate left no choice.
    """
    rates = tried.rate.unique()
    ends = [rates.min(), rates.max()] if len(rates) > 1 else []
    return int(tried[tried.chosen].rate.isin(ends).sum())
