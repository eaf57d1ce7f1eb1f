"""Do all rungs of the ladder mine the same tuples and come to the same loss? Asked on a few photographs."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.ladder import make_runner
from benchmarks.measure import Disagreement
from vg_core.config import Config
from vg_core.datasets.places import PlaceSet
from vg_core.system.devices import pick_device

QUERIES = 2  # batches of them: the second step shows what the first has learned
IMAGES = 64  # of the database, beside all positives of the queries
LR = 1e-3  # high enough for a wrong gradient to show in the second step
SAME_TUPLES = {"cpu": 0.99, "cuda": 0.8}  # at least; TF32 and bfloat16 change the order of near neighbours
# At most, relative to the reference: Adam's first step takes only the sign of a gradient, which rounding decides here
# and there (2e-4); bfloat16 adds 1e-2
LOSS_APART = {"cpu": 1e-3, "cuda": 5e-2}


def compare(rungs: Sequence[str], config: Config, places: PlaceSet) -> dict[str, dict[str, float]]:
    """Of each rung: the share of images that it mines as the reference does, and how far its mean loss of two steps on
    the reference's tuples lies from the reference's. Raises Disagreement at the first rung beyond the tolerances.

    All start from the same weights. In the tuples of these steps the positive and the nearest negative have changed
    places, so that none is too easy to have a loss. That of "augmented" is of other images and is not judged.
    """
    count = QUERIES * config.train_batch_size
    small = few(places, count, config.task.train_positives_dist_threshold)
    config = config.replace(queries_per_epoch=count, cache_refresh_rate=count, lr=LR)
    found: dict[str, dict[str, float]] = {}
    with TemporaryDirectory(prefix="vg_epoch_") as folder:
        first = make_runner("reference", config, Path(folder), small, small)
        first.start()
        weights = deepcopy(first.model.state_dict())
        rows, _ = first.mine(np.random.default_rng(0))
        wrong = rows[:, [0, 2, 1, *range(3, rows.shape[1])]]
        loss = first.fit(wrong)
        for rung in rungs:
            runner = make_runner(rung, config, Path(folder), small, small)
            runner.model.load_state_dict(weights)
            mined, _ = runner.mine(np.random.default_rng(0))
            apart = abs(runner.fit(wrong) - loss) / loss
            found[rung] = {"same_tuples": float((mined == rows).mean()), "loss_apart": apart}
            judge(rung, **found[rung])
    return found


def few(places: PlaceSet, queries: int, radius_m: float) -> PlaceSet:
    """The first queries that have positives, these, and some other database images."""
    near = places.neighbours(radius_m)
    chosen = np.flatnonzero([len(some) for some in near])[:queries]
    shown = np.unique(np.concatenate([*(near[q] for q in chosen), np.arange(min(IMAGES, len(places.database)))]))
    database, asked = places.database.iloc[shown], places.queries.iloc[chosen]
    return replace(places, database=database.reset_index(drop=True), queries=asked.reset_index(drop=True))


def judge(rung: str, same_tuples: float, loss_apart: float) -> None:
    """Raises Disagreement, in a sentence."""
    least, most = SAME_TUPLES[pick_device().type], LOSS_APART[pick_device().type]
    if same_tuples >= least and (rung == "augmented" or loss_apart <= most):
        return
    raise Disagreement(
        f"{rung} mines {same_tuples:.1%} of the reference's images, {least:.0%} is the least, and its loss lies "
        f"{loss_apart:.2g} of the reference's away, {most:.2g} is the most. Nothing was timed"
    )
