"""Examples to look at: queries as several trained networks see them, and one tuple in the plane that can be moved."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from vg_core.augmentation.by_name import make_augmentation
from vg_core.config import Config
from vg_core.datasets.photographs import Photographs
from vg_core.datasets.places import load_places
from vg_core.figures import explorer
from vg_core.losses.gradients import tuple_forces
from vg_core.models.saliency import gradient_map
from vg_core.retrieval.descriptors import describe
from vg_core.runs.record import Run
from vg_core.system.devices import pick_device

SHOWN = {
    "triplet, squared": "triplet_squared",
    "Gaussian, Ind.": "sare_gaussian_ind",
    "Cauchy, Ind.": "sare_cauchy_ind",
    "exponential, Ind.": "sare_exponential_ind",
    "contrastive": "contrastive",
    "Gaussian, Joint": "sare_gaussian_joint",
    "Cauchy, Joint": "sare_cauchy_joint",
    "exponential, Joint": "sare_exponential_joint",
}
QUERY, POSITIVE = (0.0, 0.0), (0.8, -0.6)  # 1 apart
TOWARDS = np.array([0.6, 0.8])  # where the moving negative lies, seen from the query
OTHERS = ((-1.2, 0.5), (-1.2, -1.6))  # the other negatives: 1.3 and 2 from the query
DISTANCES = np.arange(1, 41) / 20  # of the moving negative, up to 2: unit vectors are no farther apart
START = 15  # 0.8: harder than the positive


def force_explorer() -> Figure | explorer.VBox:
    """Arrows and values of eight losses for a query, its positive and three negatives, one of which can be moved.

    In JupyterLab a slider and a play button set that negative's distance to the query. Headless the figure at one
    distance, at which the negative is nearer than the positive.
    """
    return explorer.force_explorer(toy_forces, DISTANCES, START)


def toy_forces(distance: float) -> pd.DataFrame:
    """Table of ``figures.force_field`` with the moving negative at this distance from the query."""
    return tuple_forces(SHOWN, QUERY, POSITIVE, [distance * TOWARDS, *OTHERS])


def augmented_query(config: Config, count: int = 3, share: float = 0.5) -> np.ndarray:
    """The first training query (photograph, where there are none) as the training may see it, ``count`` draws of its
    size: uint8 (count, H, W, 3). A ``share`` of them is made night, where the augmentation does that.
    """
    places = load_places(config, "train")
    first = (places.database if places.queries.empty else places.queries).path.iloc[0]
    photographs = Photographs([first, *places.unlabelled], config.image_size)
    styles = (photographs.batch([number])[0] for number in range(1, len(photographs)))
    augment = make_augmentation(config.augmentation, styles, config.fda_beta)
    torch.manual_seed(0)
    return augment(photographs.batch([0] * count), share).permute(0, 2, 3, 1).numpy()


def compare_heat(
    runs: Mapping[str, Run], count: int = 4, method: Callable[..., np.ndarray] = gradient_map
) -> list[dict]:
    """Rows for ``heat_gallery``: ``count`` test queries as the named runs see them, by a method of ``saliency``.

    Queries are drawn in turn from all kinds of outcome at the first image (right for some runs and wrong for others,
    right for all, wrong for all), so that no run is favoured. A row has query (path) and models, for each run a dict of
    name, heat (H, W), and of the first image retrieved path, metres and correct. Heat is about the similarity of the
    two whole images, resized as in the test. Raises ValueError when the runs were tested on different photographs.
    """
    if len({run.card["fingerprint"] for run in runs.values()}) > 1:
        raise ValueError(f"{', '.join(runs)} were tested on different photographs: compare them on one test set")
    chosen = _in_turn(pd.DataFrame({name: run.ranks["rank"] == 1 for name, run in runs.items()}), count)  # (count,)
    queries = load_places(next(iter(runs.values())).config, "test").queries.path[chosen]
    models = zip(*(_seen_by(name, run, chosen, method) for name, run in runs.items()), strict=True)
    return [{"query": query, "models": list(seen)} for query, seen in zip(queries, models, strict=True)]


def _in_turn(right: pd.DataFrame, count: int) -> np.ndarray:
    """Numbers of ``count`` queries, one of each kind of outcome in turn, those with different outcomes first."""
    drawn = right.sample(frac=1, random_state=0)
    agree = drawn.all(axis=1) | ~drawn.any(axis=1)
    turns = pd.DataFrame({"turn": drawn.groupby(list(right)).cumcount(), "agree": agree})
    return turns.sort_values(["turn", "agree"], kind="stable").index[:count].to_numpy()


def _seen_by(name: str, run: Run, chosen: np.ndarray, method: Callable[..., np.ndarray]) -> Iterator[dict]:
    """What one run makes of each of the chosen queries."""
    places, size = load_places(run.config, "test"), run.config.tested_at
    best = list(places.database.path[run.retrieved()[chosen, 0]])
    model = run.model().to(pick_device())
    references = describe(model, best, size, progress=False)  # (count, D)
    images = Photographs(places.queries.path[chosen], size).batch(range(len(chosen)))
    for query, image, reference, path in zip(chosen, images, references, best, strict=True):
        row = run.ranks.iloc[query]
        heat = method(model, image, reference)
        yield {"name": name, "heat": heat, "path": path, "metres": row["metres"], "correct": row["rank"] == 1}
