"""ResNet-18 cut at conv4: descriptors of photographs and a training step, from pixels and from stems that were kept;
and a transformer's descriptors from stems.

Both sides start from normalised images, but for training steps and the compiled network of ours, which normalise them.
"""

from copy import deepcopy
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import reference
from benchmarks.device import floor_of
from benchmarks.measure import Case, difference
from benchmarks.rows.photographs import write_photographs
from benchmarks.rows.registry import row
from vg_core.config import Config
from vg_core.datasets.photographs import Photographs
from vg_core.datasets.places import PlaceSet
from vg_core.models import GeoModel, build_model
from vg_core.models.network import inference_copy
from vg_core.models.precision import mixed_precision, normalise
from vg_core.retrieval.feature_cache import StemCache, descriptors_of
from vg_core.training.step import check_resources
from vg_core.training.trainer import Trainer

CONFIG = Config(weights="none", profile="smoke")  # time does not depend on the weights
IMAGES = {"images": 8, "height": 480, "width": 640}, {"images": 2, "height": 64, "width": 64}
TUPLE = (
    {"tuples": 1, "negatives": 10, "height": 480, "width": 640},
    {"tuples": 1, "negatives": 3, "height": 64, "width": 64},
)
TOKENS = {"images": 8, "height": 224, "width": 224}, {"images": 2, "height": 28, "width": 28}
EXTRACTED = {"floor_bar": 1.5, "tolerance": 1e-4, "gpu_tolerance": 5e-2}  # floor: as many operations
TRAINED = {"floor_bar": 1.4, "tolerance": 1e-2, "gpu_tolerance": 2e-1}
STEP_RIVAL = "eager float32, NCHW, NetVLAD as a loop over clusters"


@row("extraction, ResNet-18 conv4", "eager float32, NCHW", *IMAGES, bar=0.62, **EXTRACTED)
def extraction(device: torch.device, images: int, height: int, width: int) -> Case:
    return _extraction(device, images, (height, width))


@row("extraction, compiled", "eager float32, NCHW", *IMAGES, bar=0.52, **EXTRACTED)
def extraction_compiled(device: torch.device, images: int, height: int, width: int) -> Case:
    check_resources(CONFIG.replace(compile=True), images)
    return _extraction(device, images, (height, width), compiled=True)


@row("extraction from kept stems", "eager float32, NCHW", *IMAGES, bar=0.17, **EXTRACTED)
def extraction_from_stems(device: torch.device, images: int, height: int, width: int) -> Case:
    return _extraction(device, images, (height, width), stems=True)


@row("extraction from kept stems, DINOv2", "its first 8 of 12 blocks, frozen, again", *TOKENS, bar=0.4, **EXTRACTED)
def extraction_from_blocks(device: torch.device, images: int, height: int, width: int) -> Case:
    model = build_model(CONFIG.replace(backbone="dinov2_vits14", layer="block11", freeze="block7")).to(device).eval()
    photographs, rows = Photographs(write_photographs(images, (height, width)), (height, width)), [np.arange(images)]
    pixels, cache = normalise(photographs.batch(range(images)).to(device)), StemCache(model, photographs, images)
    network = inference_copy(model, model.frozen_layers)

    @torch.inference_mode()
    def again() -> Tensor:
        with mixed_precision(device):
            return model(pixels)

    @torch.inference_mode()
    def ours() -> Tensor:
        with mixed_precision(device):
            return descriptors_of(network, next(cache.batches(rows)))

    return Case(again, ours, floor_of(ours, device))


@row("training step, layer3 and NetVLAD", STEP_RIVAL, *TUPLE, bar=0.5, **TRAINED)
def training_step(device: torch.device, tuples: int, negatives: int, height: int, width: int) -> Case:
    return _training_step(tuples, negatives, (height, width), stems=False)


@row("training step from kept stems", STEP_RIVAL, *TUPLE, bar=0.3, **TRAINED)
def training_step_from_stems(device: torch.device, tuples: int, negatives: int, height: int, width: int) -> Case:
    return _training_step(tuples, negatives, (height, width), stems=True)


def _extraction(
    device: torch.device, images: int, size: tuple[int, int], stems: bool = False, compiled: bool = False
) -> Case:
    model = _with_statistics(build_model(CONFIG.replace(compile=compiled))).to(device).eval()
    network, plain = inference_copy(model), _plain(model)
    photographs = Photographs(write_photographs(images, size), size)
    decoded = photographs.batch(range(images)).to(device)
    pixels = normalise(decoded)
    cache, rows, nchw = StemCache(model, photographs, images), [np.arange(images)], pixels.contiguous()

    @torch.inference_mode()
    def eager() -> Tensor:
        return F.normalize(reference.gem(F.normalize(plain(nchw), dim=1), model.pooling.p), dim=1)

    @torch.inference_mode()
    def ours() -> Tensor:
        with mixed_precision(device):
            if compiled or stems:
                return descriptors_of(network, next(cache.batches(rows)) if stems else decoded)
            return network(pixels)

    return Case(eager, ours, floor_of(partial(network, pixels) if compiled else ours, device))


def _training_step(tuples: int, negatives: int, size: tuple[int, int], stems: bool) -> Case:
    """The reference's frozen batch norms keep their statistics, as ours do: with those of each batch, as some code has
    them, it is a little slower and no result can be compared.
    """
    config = CONFIG.replace(pooling="netvlad", image_size=size, negs_num_per_query=negatives)
    rows = np.arange(tuples * (2 + negatives)).reshape(tuples, -1)
    trainer = Trainer(config, Path(), *[_places(write_photographs(rows.size, size), tuples)] * 2)
    trainer.model.train()
    pixels = trainer.images.batch(rows.ravel()).to(trainer.device)
    cache = StemCache(trainer.model, trainer.images, rows.size)
    plain, pooling = _plain(trainer.model), deepcopy(trainer.model.pooling)
    trained = [p for p in (*plain.parameters(), *pooling.parameters()) if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=config.lr)
    images = normalise(pixels).contiguous()

    def loop() -> list:
        loss = reference.training_step(plain, pooling, optimizer, images, negatives)
        return [loss, *(p.grad for p in trained)]

    def batch() -> Tensor:
        return next(cache.batches([rows.ravel()])) if stems else pixels

    def ours() -> list:
        loss = trainer.step(batch(), rows)
        return [loss, *(p.grad for p in trainer.model.parameters() if p.requires_grad)]

    # counted without a step: both sides start from the same weights
    floor = floor_of(lambda: trainer.learner(batch(), rows).backward(), trainer.device)
    return Case(loop, ours, floor, compare=_step_difference)


def _step_difference(expected: list, found: list) -> float:
    """Relative difference of the losses, or of all gradients as one vector: single values behind a batch norm are small
    differences of large sums.
    """
    a, b = (torch.cat([gradient.double().flatten() for gradient in result[1:]]) for result in (expected, found))
    return max(difference(expected[0], found[0]), float((a - b).norm() / a.norm()))


def _plain(model: GeoModel) -> nn.Sequential:
    """A copy of the backbone as torchvision made it: NCHW, batch norms apart, each in the mode it has in the model."""
    return nn.Sequential(*deepcopy(model.backbone)).to(memory_format=torch.contiguous_format)


def _with_statistics(model: GeoModel) -> GeoModel:
    """The model with batch norms that do something."""
    torch.manual_seed(0)
    for norm in model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    return model


def _places(paths: list[str], queries: int) -> PlaceSet:
    """A set of photographs: the queries and the first database image show one place, all others another."""
    table = pd.DataFrame({"path": paths, "easting": 0.0, "northing": 0.0})
    table.loc[queries + 1 :, "easting"] = 1000.0
    return PlaceSet("photographs", "train", table[queries:].reset_index(drop=True), table[:queries])
