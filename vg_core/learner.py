"""What is learned in a step: the function of a batch that is differentiated, and the optimiser that follows it."""

import os
import shutil
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from vg_core import processes
from vg_core.clock import Clock
from vg_core.config import Config
from vg_core.devices import fast
from vg_core.models import GeoModel
from vg_core.models.network import frozen_stem
from vg_core.stem_cache import descriptors_of
from vg_core.tasks import Task


class Learner(nn.Module):
    """Loss of rows (B, P) of images from their pixels (B x P, 3, H, W) or frozen layers' maps: network and task as one.

    DistributedDataParallel averages the gradients of what is called in a step, so that has to be one module. The model
    has its weights before: its frozen layers are copied.
    """

    def __init__(self, model: GeoModel, task: Task):
        super().__init__()
        self.model, self.task, self.stem = model, task, frozen_stem(model)

    def forward(self, pixels: Tensor, rows: np.ndarray) -> Tensor:
        with fast(pixels.device):
            descriptors = descriptors_of(self.model, pixels, self.stem)
        return self.task(descriptors.float().view(*rows.shape, -1), rows)


def add_gradients(
    learner: nn.Module, pixels: Tensor, rows: np.ndarray, parts: int, weight: float, clock: Clock
) -> Tensor:
    """Sum of the losses of ``parts`` of the rows (B, P), each the mean of its rows times their number times ``weight``;
    its gradients are added to those of the learner. Only one part at a time takes memory.
    """
    rows_of = np.array_split(rows, parts)
    losses = []
    for part, images in zip(rows_of, pixels.split([part.size for part in rows_of]), strict=True):
        with clock.phase("forward"):
            losses.append(learner(images, part) * (weight * len(part)))
        with clock.phase("backward"):
            losses[-1].backward()
        losses[-1] = losses[-1].detach()
    return torch.stack(losses).sum()


def learning_rate(config: Config, epoch: int) -> float:
    """Of an epoch, counted from 1."""
    return config.lr * 0.5 ** ((epoch - 1) // config.lr_halving_epochs if config.lr_halving_epochs else 0)


def make_optimizer(config: Config, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The configured optimiser over everything that is not frozen."""
    trained = [p for p in parameters if p.requires_grad]
    common = {"lr": config.lr, "weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(trained, momentum=config.momentum, **common)
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer]
    return kind(trained, **common)


def can_compile() -> bool:
    """Is there the C++ compiler that torch.compile needs?"""
    return any(map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++")))


def check_resources(config: Config, rows: int) -> None:
    """Nothing, or a ValueError: a batch has fewer ``rows`` than parts, or compiling is not possible."""
    if config.compile and processes.size() > 1:
        raise ValueError("compile=True does not go with several processes; leave it out")
    if config.compile and not can_compile():
        raise ValueError("compile=True needs a C++ compiler, and neither g++ nor clang++ is there; install one of them")
    if config.epochs_num and rows < processes.size() * config.accumulate:
        raise ValueError(
            f"batches of {rows} tuples (the least of train_batch_size, cache_refresh_rate and the queries with a "
            f"positive) cannot be cut for accumulate={config.accumulate} and {processes.size()} processes; lower these"
        )
