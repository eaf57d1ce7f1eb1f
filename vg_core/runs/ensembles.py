"""Ensembles of trained networks beside the runs they are made of, and what ways to test cost."""

import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Literal

import numpy as np
import pandas as pd
import torch

from vg_core.config import Config
from vg_core.datasets.places import PlaceSet, load_places
from vg_core.evaluation.ranks import Within
from vg_core.models.whitening import Whitening
from vg_core.retrieval.descriptors import Strategy, describe_photographs, describe_views, photographs_of
from vg_core.retrieval.ensembles import best_weights, joined
from vg_core.retrieval.ranking import search
from vg_core.retrieval.strategies import RESTYLED, make_strategy
from vg_core.retrieval.whitened import learned_from
from vg_core.runs.experiments import run
from vg_core.runs.record import Run, tested_together
from vg_core.system.devices import pick_device
from vg_core.training.trainer import VAL_SEED

Members = Sequence[np.ndarray]  # descriptors (N, D_m) of each network m
TIMED, TIMES = 32, 8  # photographs that are described for a time, and how often; the fastest counts


def ensemble_ranks(
    ensembles: Mapping[str, Sequence[Config]],
    seeds: Iterable[int] = (0,),
    weights: Literal["equal", "val"] = "val",
    whitened_dim: int = 0,
) -> pd.DataFrame:
    """The ranks of ensembles of runs in one table like that of `sweep`, and the weights of their members in a text.

    A seed is added to each member's own: networks that differ in nothing else may be members, too. ``weights`` are
    equal, or those of `best_weights` by the ``selected_by`` of the first member. With a ``whitened_dim`` other than 0
    what was joined is whitened, as learned on database images of the first member's training split. Runs that are not
    finished are made; what was tested once is read back. ``attrs["origin"]`` is that of `sweep`. ValueError for members
    that were tested on different photographs, or on each zone by itself, and for test methods that show several views
    of a query.
    """
    if not ensembles or not all(ensembles.values()):
        raise ValueError("there is nothing to join: name ensembles, and for each the configurations of its members")
    found, origin = [], {"runs": [], "datasets": {}}
    for name, configs in ensembles.items():
        for seed in seeds:
            runs = [run(config.replace(seed=config.seed + seed)) for config in configs]
            way = f"ensembles/{weights}-{whitened_dim}"
            ranks = tested_together(runs, way, partial(_tested, runs, weights, whitened_dim))
            found.append(ranks.assign(variant=name, seed=seed))
            origin["runs"] += [one.id for one in runs]
            origin["datasets"] |= {one.card["dataset"]: one.card["fingerprint"] for one in runs}
    ranks = pd.concat(found, ignore_index=True)
    ranks.attrs["origin"] = origin
    return ranks


def describe_costs(
    variants: Mapping[str, Config | Sequence[Config]], whitened: Mapping[str, int] | None = None
) -> pd.DataFrame:
    """What it costs to describe a photograph: variant, describe_ms, descriptor_dim, bytes_per_image.

    A variant is a configuration or, for an ensemble, several, whose costs add up; ``whitened`` has the ``whitened_dim``
    of the ensembles that are. Milliseconds include decoding, for all alike, and are measured here and now, once for
    each configuration.
    """
    members = {name: [one] if isinstance(one, Config) else one for name, one in variants.items()}
    measured = {config: _cost(run(config)) for config in dict.fromkeys(chain.from_iterable(members.values()))}
    rows = []
    for name, configs in members.items():
        milliseconds, width = map(sum, zip(*(measured[config] for config in configs), strict=True))
        width = (whitened or {}).get(name, width)
        rows.append((name, milliseconds, width, 4 * width))
    return pd.DataFrame(rows, columns=["variant", "describe_ms", "descriptor_dim", "bytes_per_image"])


def _cost(one: Run) -> tuple[float, int]:
    """(milliseconds to describe a photograph, values of its descriptor)."""
    model, strategy = one.model().to(pick_device()), _strategy(one)
    photographs = load_places(one.config, "test").database.path[:TIMED]
    taken = []
    for _ in range(TIMES):
        started = time.monotonic()
        describe_views(model, photographs, one.config.tested_at, strategy, one.config.infer_batch_size)
        taken.append(time.monotonic() - started)
    return 1e3 * min(taken) / len(photographs), strategy.width(model.dim)


def _tested(runs: Sequence[Run], weights: str, whitened_dim: int) -> pd.DataFrame:
    config = runs[0].config
    places, protocol = load_places(config, "test"), Within(config.val_positives_dist_threshold)
    if len({(one.card["fingerprint"], one.card["threshold_m"]) for one in runs}) > 1:
        raise ValueError(f"{', '.join(one.id for one in runs)} were tested on different photographs, or by thresholds")
    if any(one.card.get("search") == "own_zone" for one in runs):  # which only sets of several zones tell
        raise ValueError("ensembles search all UTM zones in one: test their members with test_search=joint, too")
    shares = _on_val(runs) if weights == "val" else (1 / len(runs),) * len(runs)
    queries, database = (joined(members, shares) for members in _described(runs, places))  # (Q, D), (N, D)
    if whitened_dim:
        whitening = _whitening(runs, shares, whitened_dim)
        with torch.inference_mode():
            queries, database = (whitening(torch.from_numpy(part)).numpy() for part in (queries, database))
    indices = search(queries, database, protocol.how_many(len(database)))[1]  # (Q, K)
    ranks = protocol.ranks(places.queries, places.database, indices, places.positives(protocol))
    return ranks.assign(weights=" : ".join(f"{share:.2g}" for share in shares))


def _on_val(runs: Sequence[Run]) -> tuple[float, ...]:
    config = runs[0].config
    places = load_places(config, "val").some_queries(config.val_queries, VAL_SEED)
    right = places.neighbours(config.val_positives_dist_threshold)
    return best_weights(*_described(runs, places), right, int(config.selected_by.removeprefix("recall_")))


def _whitening(runs: Sequence[Run], shares: Sequence[float], dim: int) -> Whitening:
    """Learned as `whiten` does for one network."""
    places = load_places(runs[0].config, "train")
    chosen = learned_from(places, runs[0].config.seed)
    some = PlaceSet(places.name, places.split, places.database.iloc[chosen], places.database.iloc[:0])
    return Whitening.learn(joined(_described(runs, some)[1], shares), dim)


def _described(runs: Sequence[Run], places: PlaceSet) -> tuple[Members, Members]:
    """Descriptors (Q, D_m) of the queries and (N, D_m) of the database by each run's network, as it was tested."""
    queries, database = [], []
    for one in runs:
        model, strategy = one.model().to(pick_device()), _strategy(one)
        size, batch = one.config.tested_at, one.config.infer_batch_size
        if strategy.is_plain:
            both = describe_photographs(model, photographs_of(places, size), batch).cpu().numpy()  # (N + Q, D)
            found = both[len(places.database) :], both[: len(places.database)]
        else:
            found = tuple(
                describe_views(model, table.path, size, how, batch)[:, 0] if len(table) else np.empty((0, 1))
                for table, how in ((places.queries, strategy), (places.database, strategy.of_database()))
            )
        queries.append(found[0])
        database.append(found[1])
    return queries, database


def _strategy(one: Run) -> Strategy:
    """How a run was tested; ValueError where that shows more than one view, or restyles queries."""
    strategy, size = make_strategy(one.config.test_method), one.config.tested_at
    if len(strategy.views(size, size)) > 1 or RESTYLED in one.config.test_method.split("+"):
        raise ValueError(
            f"test_method={one.config.test_method} gives no single descriptor of a photograph as it is, which members "
            "of an ensemble need; choose hard_resize, with multi_scale or flip"
        )
    return strategy
