"""Published retrieval benchmarks, each under its authors' protocol: a folder and a model in, one row per query out.

Images are described as they are stored, at their own size and not turned by EXIF data, as the authors of NetVLAD do
(Arandjelović et al., CVPR 2016), whose evaluation the authors of SARE follow (Liu, Li, Dai, ICCV 2019).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from torch import nn

from vg_core.datasets.images import read_image
from vg_core.evaluation.intervals import recall_interval
from vg_core.evaluation.units import effective_number, independent
from vg_core.models.network import GeoModel
from vg_core.retrieval.descriptors import describe_views
from vg_core.retrieval.published.ground_truth import AT, Region, crop
from vg_core.retrieval.published.layouts import LAYOUTS, read_benchmark
from vg_core.retrieval.ranking import search
from vg_core.retrieval.strategies import STRATEGIES
from vg_core.system.devices import pick_device

USUAL_SIZE = (768, 1024)  # (height, width) in pixels; ``batch_size`` counts photographs of this size


def benchmark(
    name: str, folder, model: GeoModel, dims: Sequence[int] = (), batch_size: int = 4, progress: bool = True
) -> pd.DataFrame:
    """One row per query, part and descriptor width; `scores` sums them up.

    Columns dataset, part, dim, query, place (queries of one place are not independent), positives, and either
    "average_precision" (0…1) or "rank", the 1-based one of the first right image, 0 if it is not among the first 10.
    ``part`` is how much of the query is shown ("full", "crop") or when it was taken ("day", "sunset", "night").

    ``name`` is a key of LAYOUTS, which tells what ``folder`` holds. ``dims`` cuts descriptors of a model with whitening
    to their first values, normalised again; () leaves them whole. ``attrs["card"]`` is the protocol. Raises KeyError,
    ValueError, FileNotFoundError and UnreadableImage, each in a sentence.
    """
    if dims and model.whitening is None:
        raise ValueError("dims cuts whitened descriptors and this model has no whitening: learn one, or leave dims out")
    if not all(0 < dim <= model.dim for dim in dims):
        raise ValueError(f"dims={list(dims)}: descriptors of this model can be cut to 1…{model.dim} values")
    widths = list(dims) or [model.dim]
    field = receptive_field(model.backbone)
    asked, card = read_benchmark(name, folder)
    strategy = replace(STRATEGIES["own_size"], views=LAYOUTS[name].views, read=partial(read_shown, field=field))
    options = {"image_size": USUAL_SIZE, "strategy": strategy, "batch_size": batch_size, "progress": progress}
    describe = partial(describe_views, model.to(pick_device()), **options)
    database = describe(asked.database)[:, 0]
    shown = [(part, database[q] if isinstance(q, np.ndarray) else describe(q)[:, 0]) for part, q in asked.shown]
    tables = []
    for dim in widths:
        images = _cut(database, dim)  # (N, dim)
        for part, queries in shown:
            _, indices = search(_cut(queries, dim), images, asked.retrieved)
            found = {"dataset": name, "part": part, "dim": dim, asked.column: asked.score(indices)}
            tables.append(asked.queries.assign(**found))
    columns = ["dataset", "part", "dim", "query", "place", "positives", asked.column]
    table = pd.concat(tables, ignore_index=True)[columns]
    table.attrs["card"] = card | {"receptive_field": field, "descriptor_dim": widths}
    return table


def scores(table: pd.DataFrame) -> pd.DataFrame:
    """One row per descriptor width, part and metric of what `benchmark` returned.

    Columns dataset, part, dim, measure (a metric: "mAP" or "R@1" …), value, low, high (%), queries, places, as in
    ``reports/published_sare.csv``, and unit, units, those of `recall_table`. Part "all" is the queries of all times.
    The 95 % intervals are those of `recall_interval` over independent places (11 landmarks of Oxford, and of Paris);
    they hold for mAP too, since values in 0…1 vary no more than hits with the same mean.
    """
    rows = []
    for dim, shown in table.groupby("dim", sort=False):
        parts = dict(list(shown.groupby("part", sort=False)))
        if "rank" in table:  # average precisions of two ways to show the same queries are not joined
            parts = {"all": shown} | parts
        for part, some in parts.items():
            hits = {f"R@{n}": some["rank"].between(1, n) for n in AT} if "rank" in some else None
            values = pd.DataFrame(hits or {"mAP": some["average_precision"]})  # (Q, metrics), 0…1
            codes, unit = independent(values.to_numpy(float), some["place"])
            low, high = 100.0 * recall_interval(values.to_numpy(float), codes)
            names = {"dataset": some["dataset"].iloc[0], "part": part, "dim": dim, "measure": values.columns}
            columns = {"value": 100.0 * values.mean().to_numpy(), "low": low, "high": high}
            counts = {"queries": len(some), "places": some["place"].nunique()}
            counts |= {"unit": unit, "units": effective_number(codes)}
            rows.append(pd.DataFrame({**names, **columns, **counts}))
    return pd.concat(rows, ignore_index=True)


def read_shown(photo: str | Region, field: int) -> np.ndarray:
    """uint8 (H, W, 3) pixels of a photograph as stored, or of the part around an object (see `crop`)."""
    if not isinstance(photo, Region):
        return read_image(photo, upright=False)
    pixels = read_image(photo.path, upright=False)
    left, top, right, bottom = crop(photo.roi, pixels.shape[:2], field)
    if left >= right or top >= bottom:
        raise ValueError(
            f"{photo.path}: its object at {photo.roi} lies outside of the {pixels.shape[1]}x{pixels.shape[0]} pixels; "
            "unpack photographs and ground truth again"
        )
    return pixels[top:bottom, left:right]


def receptive_field(backbone: nn.Module) -> int:
    """Side in pixels of the square that one location of the feature maps sees: 196 for VGG-16 up to conv5_3.

    Layers count in the order they are registered in, but for the convolutions of shortcuts: the main path is longer.
    """
    field = step = 1
    for name, layer in backbone.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.MaxPool2d)) and "downsample" not in name:
            side, stride, dilation = (int(np.ravel(x)[0]) for x in (layer.kernel_size, layer.stride, layer.dilation))
            field += step * dilation * (side - 1)
            step *= stride
    return field


def _cut(descriptors: np.ndarray, dim: int) -> np.ndarray:
    """The first ``dim`` values, of length one: what the whitening cut to ``dim`` would give."""
    if dim == descriptors.shape[1]:
        return descriptors
    values = descriptors[:, :dim]  # (any, dim)
    return values / np.linalg.norm(values, axis=1, keepdims=True).clip(min=1e-12)
