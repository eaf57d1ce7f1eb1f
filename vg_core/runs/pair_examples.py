"""Examples of pairs to look at: the pairs themselves, what a run finds for panoramas, what its position maps weigh."""

import numpy as np
import torch

from vg_core.config import Config
from vg_core.cross_view.photographs import of_side
from vg_core.cross_view.pictures import read_aerial, read_ground
from vg_core.cross_view.polar import PUBLISHED
from vg_core.datasets.places import load_places
from vg_core.runs.record import Run, spread


def pair_pictures(config: Config, count: int = 4) -> list[dict]:
    """Rows for ``pair_gallery``: ``count`` training pairs, evenly spread, polar images of the published size."""
    pairs = load_places(config, "train")
    aerial, ground = (table.path.iloc[spread(np.arange(len(table)), count)] for table in (pairs.aerial, pairs.ground))
    return [
        {"aerial": read_aerial(above), "ground": read_ground(street), "polar": read_aerial(above, PUBLISHED, True)}
        for above, street in zip(aerial, ground, strict=True)
    ]


def found_from_above(run: Run, count: int = 6, shown: int = 5) -> list[dict]:
    """Rows for ``aerial_gallery``: ``count`` panoramas of the test, half of them right and half wrong at the first
    image, with the rank of the right one.
    """
    pairs, indices = load_places(run.config, "test"), run.retrieved()[:, :shown]
    rights, ranks = pairs.positives(), run.ranks["rank"].to_numpy()
    groups = [np.flatnonzero((ranks == 1) == right) for right in (True, False)]
    chosen = np.concatenate([spread(group, count // 2) for group in groups])
    return [
        {
            "query": read_ground(pairs.ground.path[query]),
            "rank": int(ranks[query]),
            "retrieved": [read_aerial(pairs.aerial.path[one]) for one in indices[query]],
            "correct": list(np.isin(indices[query], rights[query])),
        }
        for query in chosen
    ]


@torch.inference_mode()
def position_weights(run: Run, number: int = 0) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What ``position_gallery`` draws of a test pair and a run with position maps: for each side its picture as the
    network sees it, uint8 (H, W, 3), and its weights (M, h, w).
    """
    pairs, model = load_places(run.config, "test"), run.model()
    pictures, maps = {}, {}
    for side, name in (("ground", "panorama"), ("aerial", "polar image" if run.config.task.polar else "aerial image")):
        path = getattr(pairs, side).path[number]
        images = of_side(side, [path], run.config.image_size, run.config.task).batch([0])  # (1, 3, H, W)
        pictures[name] = images[0].permute(1, 2, 0).numpy()
        maps[name] = model.get_submodule(side).position_maps(images)[0].numpy()
    return pictures, maps
