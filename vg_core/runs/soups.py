"""Soups of trained networks: written to a file, or tested beside the runs they are made of."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from vg_core.config import Config
from vg_core.datasets.places import PlaceSet, load_places
from vg_core.evaluation.ranks import Within
from vg_core.models import GeoModel, save_model
from vg_core.models.soup import greedy_soup, uniform_soup
from vg_core.retrieval.ranking import evaluate
from vg_core.runs.experiments import run
from vg_core.runs.making import examine
from vg_core.runs.record import tested_together
from vg_core.system import paths
from vg_core.system.devices import pick_device
from vg_core.system.files import scratch_folder


def write_soup(models: Sequence[Path], output: Path, val: str = "") -> list[str]:
    """Write the mean of several models of one kind; returns the lines that tell what is in it.

    ``val`` is a dataset on whose val split models are added as long as recall@1 rises (`greedy_soup`); without it all
    of them are in. Raises what `uniform_soup` raises.
    """
    if output.suffix != ".safetensors":
        raise ValueError(f"output={output} must end in .safetensors")
    if val:
        places = PlaceSet.load(val, "val")
        soup, chosen = greedy_soup(models, lambda model: _recall_1(model, places))
    else:
        soup, chosen = uniform_soup(models), models
    save_model(soup, output)
    return [f"{output}: the mean of {len(chosen)} of {len(models)} models", *map(str, chosen)]


def soup_ranks(
    soups: Mapping[str, Sequence[Config]], seeds: Iterable[int] = (0,), greedy: bool = False
) -> pd.DataFrame:
    """The ranks of soups of runs in one table like that of `sweep`; columns ``variant``, the soup's name, and ``seed``.

    Each is tested as the first of its configurations says; ``greedy`` chooses on val. Runs that are not finished are
    made; what was tested once is read back.
    """
    if not soups or not all(soups.values()):
        raise ValueError("there is nothing to average: name soups, and for each the configurations that it is made of")
    found = []
    for name, configs in soups.items():
        for seed in seeds:
            runs = [run(config.replace(seed=seed)) for config in configs]
            way = f"soups/{'greedy' if greedy else 'uniform'}"
            ranks = tested_together(runs, way, partial(_tested, runs, greedy))
            found.append(ranks.assign(variant=name, seed=seed))
    return pd.concat(found, ignore_index=True)


def _tested(runs: Sequence, greedy: bool) -> pd.DataFrame:
    config, models = runs[0].config, [one.checkpoint for one in runs]
    with scratch_folder(paths.cache_root()) as folder:
        file = Path(folder) / "soup.safetensors"
        write_soup(models, file, config.dataset if greedy else "")
        return examine(config, file, load_places(config, "test"))[0].ranks


def _recall_1(model: GeoModel, places: PlaceSet) -> float:
    """On the queries of a set, in percent."""
    config = model.config
    facts = config.image_size, Within(config.val_positives_dist_threshold), config.infer_batch_size
    ranks = evaluate(model.to(pick_device()), places, *facts).ranks
    return 100.0 * float((ranks["rank"] == 1).mean())
