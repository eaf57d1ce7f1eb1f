"""Where the attention of trained networks lies: over photographs, and on cars and people, which cities know of."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vg_core.attention import share_on
from vg_core.config import Config
from vg_core.datasets.photographs import Photographs, in_parts
from vg_core.datasets.places import load_places
from vg_core.datasets.traffic import traffic_pixels
from vg_core.figures.galleries import over_grey
from vg_core.models.network import inference_copy
from vg_core.models.precision import normalise
from vg_core.runs.experiments import run
from vg_core.runs.record import Run, spread
from vg_core.system.devices import pick_device


def attention_shares(variants: Mapping[str, Config], seeds: Iterable[int] = (0,)) -> pd.DataFrame:
    """For `share_table`: how much of the attention of each run lies on the cars and people of each test query.

    Columns: variant, seed, query, place, area (share of the query's pixels that show them) and share (of attention on
    them). Empty where nobody knows where they are, as of photographs that were not generated.
    """
    found = []
    for name, config in variants.items():
        queries = load_places(config, "test").queries.path
        if (pixels := traffic_pixels(queries)) is None:
            return pd.DataFrame(columns=["variant", "seed", "query", "place", "area", "share"])
        masks = torch.from_numpy(np.stack(pixels))  # (Q, H, W)
        images = Photographs(queries, config.tested_at, mapped=True)  # decoded once for all runs
        for seed in seeds:
            one = run(config.replace(seed=seed))
            weights = attention_of(one, images).cpu()  # (Q, h, w)
            told = {"area": share_on(torch.ones_like(weights), masks), "share": share_on(weights, masks)}  # (Q,) each
            rows = one.ranks[["query", "place"]].assign(variant=name, seed=seed)
            found.append(rows.assign(**{column: values.numpy() for column, values in told.items()}))
    return pd.concat(found, ignore_index=True)


def attention_pictures(runs: Mapping[str, Run], count: int = 6) -> dict[str, list[np.ndarray]]:
    """For ``picture_columns``: test queries, evenly spread, with cars and people where these are known, and the
    attention of each run over them, from none of it to twice the mean and more; uint8 (H, W, 3).
    """
    config = next(iter(runs.values())).config
    queries = load_places(config, "test").queries.path
    chosen = queries.iloc[spread(np.arange(len(queries)), count)]
    photographs = Photographs(chosen, config.tested_at).batch(range(len(chosen))).permute(0, 2, 3, 1).numpy()
    columns = {"query": list(photographs)}
    if pixels := traffic_pixels(chosen):
        columns["cars and people"] = [over_grey(*pair) for pair in zip(photographs, pixels, strict=True)]
    for name, one in runs.items():
        weights = attention_of(one, Photographs(chosen, one.config.tested_at))
        scaled = (weights / weights.mean((1, 2), keepdim=True).clamp_min(1e-12) / 2).cpu().numpy()  # (count, h, w)
        columns[name] = [over_grey(*pair) for pair in zip(photographs, scaled, strict=True)]
    return columns


@torch.inference_mode()
def attention_of(one: Run, images: Photographs) -> Tensor:
    """(N, h, w) weights of the locations of photographs, on the model's device; ValueError without an attention."""
    if one.config.attention == "none":
        raise ValueError(f"{one.id} has no attention to be shown; train one with --attention")
    model = inference_copy(one.model().to(pick_device()))
    device = next(model.parameters()).device
    parts = images.batches(in_parts(np.arange(len(images)), one.config.infer_batch_size))  # (B, 3, H, W) each
    return torch.cat([model.attention_weights(normalise(part.to(device))) for part in parts])
