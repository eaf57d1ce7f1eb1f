"""The whole network, a list that can be read aloud: backbone, normalise locations, pool, normalise descriptors."""

import os
from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vg_core.config import Config
from vg_core.models.backbones import Backbone, build_backbone, imagenet_file
from vg_core.models.pooling import AveragePool, GeM, MaxPool, NetVLAD, Pooling, full_precision
from vg_core.models.weights import (
    POOLING,
    architecture,
    differences,
    layers_of,
    read_tensors,
    recognised,
    shortened,
    sound,
)
from vg_core.models.whitening import Whitening

Network = TypeVar("Network", bound=nn.Module)


class GeoModel(nn.Module):
    """float32 descriptors (B, D) of ImageNet-normalised images (B, 3, H, W); ``dim`` is D.

    ``config.l2`` says where lengths are made one: each location before the pooling ("before_pool", the skeleton of the
    brief), each descriptor after it ("after_pool"), or "both". NetVLAD always does both by itself.

    ``ready`` is False as long as NetVLAD has random clusters; ``origin`` says what comes from a file of weights.
    """

    def __init__(self, config: Config, backbone: Backbone, pooling: Pooling, channels: int):
        super().__init__()
        self.config, self.backbone, self.pooling = config, backbone, pooling
        self.pooled_dim = pooling.width(channels)
        self.whitening: Whitening | None = None
        self.ready, self.origin = not isinstance(pooling, NetVLAD), ""
        self.l2_locations = config.l2 != "after_pool" and not pooling.normalised
        self.l2_descriptors = config.l2 != "before_pool" and not pooling.normalised

    @property
    def dim(self) -> int:
        return self.pooled_dim if self.whitening is None else self.whitening.dim

    def whiten(self, whitening: Whitening) -> None:
        """Whiten descriptors from now on, in place of any whitening before; ValueError if learned on another width."""
        if whitening.in_dim != self.pooled_dim:
            raise ValueError(
                f"a whitening of {whitening.in_dim} values cannot follow a network that pools {self.pooled_dim}; "
                "learn it on descriptors of this network"
            )
        self.whitening = whitening

    def stem(self, images: Tensor) -> Tensor:
        """Output of the frozen layers, a constant of each image that may be kept."""
        return self.backbone.stem(images)

    def tail(self, maps: Tensor) -> Tensor:
        """Descriptors (B, D) from what ``stem`` made."""
        maps = full_precision(self.backbone.tail(maps))
        if self.l2_locations:
            maps = F.normalize(maps, dim=1)
        descriptors = self.pooling(maps)
        if self.l2_descriptors:
            descriptors = F.normalize(descriptors, dim=1)
        return descriptors if self.whitening is None else self.whitening(descriptors)

    def forward(self, images: Tensor) -> Tensor:
        return self.tail(self.stem(images))


def build_model(config: Config) -> GeoModel:
    """A network as configured, on the CPU; what is random in it follows from ``config.seed`` alone.

    ``config.weights`` is "imagenet" (torchvision's IMAGENET1K_V1), "none" (random) or the path of a file of weights, of
    ours or of others: its backbone is taken, and its pooling if it fits. Raises what ``build_backbone`` raises,
    FileNotFoundError, and ValueError for a file that does not fit. A network that is not ``ready`` needs
    ``pooling.initialise``.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.default_generator.manual_seed(config.seed)
        backbone, channels = build_backbone(config.backbone, config.layer, config.freeze)
        model = GeoModel(config, backbone, _pooling(config, channels), channels)
    if config.weights == "imagenet":
        _start(model, imagenet_file(config.backbone))
        model.origin = ""
    elif config.weights != "none":
        _start(model, Path(os.path.expanduser(config.weights)))  # of ~nobody, the other one raises a RuntimeError
    return model


def inference_copy(network: Network) -> Network:
    """A frozen copy in eval mode that gives the same results sooner: batch norms are folded into the convolutions
    before them, and weights lie channels last. It describes; it is neither trained nor saved.
    """
    copy = deepcopy(network).eval().requires_grad_(False)
    for parent in copy.modules():
        _fold(parent)
    return copy.to(memory_format=torch.channels_last)


def frozen_stem(model: GeoModel) -> Callable[[Tensor], Tensor]:
    """Function that does what ``model.stem`` does, sooner. It holds copies: make it when the weights are in place."""
    layers = inference_copy(model.backbone.frozen_layers)

    def stem(images: Tensor) -> Tensor:
        with torch.no_grad():  # as a decorator it is new code for the compiler each time
            return layers(images)

    return stem


def _fold(parent: nn.Module) -> None:
    """Merge each batch norm with its convolution: in torchvision's ResNets it is registered right behind it."""
    for (name, convolution), (after, norm) in pairwise(list(parent.named_children())):
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
            setattr(parent, after, nn.Identity())


def _pooling(config: Config, channels: int) -> Pooling:
    if config.pooling == "netvlad":
        return NetVLAD(channels, config.clusters)
    return {"average": AveragePool, "max": MaxPool, "gem": GeM}[config.pooling]()


def _start(model: GeoModel, file: Path) -> None:
    """Take a file's backbone up to the model's last layer, and its pooling if it fits and follows that very layer."""
    config, weights = model.config, recognised(read_tensors(file)[1], file)
    cut = layers_of(config.backbone).keys() - dict(model.backbone.named_children()).keys()
    behind = sorted({key.partition(".")[0] for key in weights.backbone} & cut)
    kept = {key: value for key, value in weights.backbone.items() if key.partition(".")[0] not in behind}
    faults = differences(model.backbone.state_dict(), kept)
    if faults:
        known = architecture(weights.backbone)
        found = f"it is {weights.kind}, {known[0]} up to {known[1]}" if known else f"tensors {faults}"
        raise ValueError(f"{file} does not fit {config.backbone} up to {config.layer}; {found}")
    misfit = "of another layer" if behind else differences(model.pooling.state_dict(), weights.pooling)
    parts = {"backbone": kept} | ({"pooling": weights.pooling} if weights.pooling and not misfit else {})
    for part, tensors in parts.items():
        model.get_submodule(part).load_state_dict(sound(tensors, file))
    model.ready |= "pooling" in parts
    left = [*behind, *(key for key in weights.heads if misfit or not POOLING.fullmatch(key))]
    model.origin = f"{file} is {weights.kind}; taken: {' and '.join(parts)}; left aside: {shortened(left) or 'nothing'}"
    if weights.pooling and misfit:
        model.origin += f" (the pooling is {misfit})"
