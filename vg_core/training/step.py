"""One training step: the loss of a batch as one module, its gradients slice by slice, optimizer and learning rate."""

import os
import shutil

import numpy as np
import torch
from torch import Tensor, nn

from vg_core.config import Config
from vg_core.models import GeoModel
from vg_core.models.network import Encoded, frozen_stem
from vg_core.models.precision import mixed_precision
from vg_core.retrieval.feature_cache import encoded
from vg_core.system import processes
from vg_core.system.clock import Clock
from vg_core.training.objective import Objective


class Learner(nn.Module):
    """Network and objective as one function: rows (B, P) and the pixels (B x P, 3, H, W) of their images, or the frozen
    layers' maps of them, to the loss.

    It is one module because DistributedDataParallel averages the gradients of one. The model must have its weights
    before: its frozen layers are copied.
    """

    def __init__(self, model: GeoModel, objective: Objective):
        super().__init__()
        self.model, self.objective, self.stem = model, objective, frozen_stem(model)

    def encode(self, pixels: Tensor) -> Encoded:
        with mixed_precision(pixels.device):
            return encoded(self.model, pixels, self.stem)

    def forward(self, pixels: Tensor, rows: np.ndarray) -> Tensor:
        return self.objective.loss(self.encode, pixels, rows)


def add_gradients(
    learner: nn.Module, pixels: Tensor, rows: np.ndarray, parts: int, weight: float, clock: Clock
) -> Tensor:
    """Gradient accumulation: forward and backward over ``parts`` slices of the rows (B, P), so that only one slice at a
    time takes memory. Returns the sum of their losses, each times its number of rows times ``weight``.
    """
    slices, losses = np.array_split(rows, parts), []  # (b, P) each
    for part, images in zip(slices, pixels.split([part.size for part in slices]), strict=True):
        with clock.phase("forward"):
            loss = learner(images, part) * (weight * len(part))  # ()
        with clock.phase("backward"):
            loss.backward()
        losses.append(loss.detach())
    return torch.stack(losses).sum()  # of (parts,)


def make_optimizer(config: Config, model: nn.Module, objective: Objective) -> torch.optim.Optimizer:
    """The configured optimizer: the network's trained parameters first, then attention's, if these have a rate of their
    own, then the objective's groups. Each group has the learning rate that it starts with in "initial_lr".
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    own = [trained.pop(name) for name in [*trained] if config.attention_lr and name.startswith("head.attention.")]
    groups = [{"params": [*trained.values()]}, *([{"params": own, "lr": config.attention_lr}] if own else [])]
    groups += objective.parameter_groups()
    groups = [{"lr": config.lr} | group for group in groups]
    groups = [{"initial_lr": group["lr"]} | group for group in groups]
    if config.epochs_num and not any(group["params"] for group in groups):
        raise ValueError(f"freeze={config.freeze!r} leaves nothing to train; freeze fewer layers, or epochs_num=0")
    options = {"weight_decay": config.weight_decay, "fused": True}
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, momentum=config.momentum, **options)
    return {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.optimizer](groups, **options)


def follow_schedule(optimizer: torch.optim.Optimizer, config: Config, epoch: int) -> float:
    """Set the learning rate of each group for an epoch, counted from 1; returns that of the network."""
    halvings = (epoch - 1) // config.lr_halving_epochs if config.lr_halving_epochs else 0
    for group in optimizer.param_groups:
        group["lr"] = group["initial_lr"] * 0.5**halvings
    return optimizer.param_groups[0]["lr"]


def move_moments(optimizer: torch.optim.Optimizer) -> None:
    """Bring the moments of each weight to where the weight lies: one that rests, or rested, may have moved."""
    for weight, state in optimizer.state.items():
        state |= {name: value.to(weight.device) for name, value in state.items()}


def can_compile() -> bool:
    """True where there is the C++ compiler that torch.compile needs."""
    return any(map(shutil.which, (os.environ.get("CXX", ""), "g++", "clang++")))


def check_resources(config: Config, rows: int) -> None:
    """Raises ValueError where a batch has fewer ``rows`` than it is cut into parts, or nothing can be compiled."""
    if config.compile and processes.size() > 1:
        raise ValueError("compile=True does not go with several processes; leave it out")
    if config.compile and not can_compile():
        raise ValueError("compile=True needs a C++ compiler, and neither g++ nor clang++ is there; install one of them")
    if config.epochs_num and rows < processes.size() * config.accumulate:
        raise ValueError(
            f"batches of {rows} rows (the least of train_batch_size, cache_refresh_rate and, of tuples, the queries "
            f"with a positive, or else the classes of a group) cannot be cut for accumulate={config.accumulate} and "
            f"{processes.size()} processes; lower these"
        )
