"""What trainings had cost by the end of each epoch, beside what they had reached."""

from collections.abc import Iterable, Mapping

import pandas as pd

from vg_core.config import Config
from vg_core.runs.experiments import histories


def effort(variants: Mapping[str, Config], seeds: Iterable[int] = (0,)) -> pd.DataFrame:
    """One row per run and epoch, of those that are finished: variant, seed, epoch, what was reached, recall_1 and
    recall_5 (%, on val), and what it took so far, learned and described (images) and minutes.

    Minutes are those of mining and training, without validation. An image that is learned from passes through the
    network once and its gradient comes back; one that is described for mining passes once.
    """
    history, validation = histories(variants, seeds)
    learned = {name: c.cache_refresh_rate * c.task.images_per_row for name, c in variants.items()}  # in a round
    described = history.get("described", pd.Series(0.0, history.index)).fillna(0)  # where nothing is mined: none
    rounds = history.assign(learned=history.variant.map(learned), described=described, minutes=history.seconds / 60)
    run, spent = ["variant", "seed"], ["learned", "described", "minutes"]
    sums = rounds.groupby([*run, "epoch"], sort=False)[spent].sum().groupby(run).cumsum().reset_index()
    found = validation[[*run, "epoch", "recall_1", "recall_5"]].merge(sums, how="left")
    return found.fillna(dict.fromkeys(spent, 0))  # the untrained network
