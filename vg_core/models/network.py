"""The whole network, a list that can be read aloud: backbone, then [attention, L2 of locations, pool, linear, L2,
whitening].
"""

from collections.abc import Callable, Iterable
from copy import deepcopy
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vg_core.attention import ATTENTIONS, make_attention
from vg_core.attention.masks import Mask
from vg_core.config import Config
from vg_core.models.aggregators import ClassToken
from vg_core.models.backbones import NAMED, Backbone, build_backbone
from vg_core.models.pooling import NetVLAD, Pooling
from vg_core.models.pooling_by_name import make_pooling
from vg_core.models.precision import at_least_float32
from vg_core.models.released import weights_file
from vg_core.models.weights import start_from
from vg_core.models.whitening import Whitening


class Encoded(NamedTuple):
    """Descriptors of images, and the feature maps that they were pooled from; float32."""

    descriptors: Tensor  # (B, D)
    maps: Tensor | None  # (B, C, H, W); None of both sides of pairs, whose maps differ in size


class L2(nn.Module):
    """Unit vectors: of the locations of maps (B, C, H, W), or of descriptors (B, D)."""

    def forward(self, x: Tensor) -> Tensor:
        return F.normalize(x, dim=1)


class Linear(nn.Linear):
    """Linear layer that calculates in float32, whatever autocast says."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x)


class Head(nn.Sequential):
    """Layers from feature maps (B, C, H, W) and, where there is one, a class token (B, C) to descriptors (B, D)."""

    def forward(self, x: Tensor, token: Tensor | None = None) -> Tensor:
        for layer in self:
            x = layer(x, token) if token is not None and getattr(layer, "takes_token", False) else layer(x)
        return x


class GeoModel(nn.Module):
    """float32 descriptors (B, D) of ImageNet-normalised images (B, 3, H, W); ``dim`` is D.

    ``backbone`` makes feature maps of so many ``channels``, ``head`` descriptors of them. ``ready`` is False as long as
    NetVLAD has random clusters; ``origin`` says what comes from a file of weights.
    """

    def __init__(self, config: Config, backbone: Backbone, pooling: Pooling, channels: int):
        super().__init__()
        self.config, self.backbone, self.channels = config, backbone, channels
        self.head = build_head(config, pooling, channels)
        self.pooled_dim = config.fc_output_dim or pooling.width(channels)  # before any whitening
        self.ready, self.origin = not isinstance(pooling, NetVLAD), ""

    @property
    def frozen_layers(self) -> nn.Sequential:
        return self.backbone.frozen_layers

    @property
    def pooling(self) -> Pooling:
        return self.head.pool

    @property
    def whitening(self) -> Whitening | None:
        return getattr(self.head, "whitening", None)

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
        self.head.whitening = whitening

    def stem(self, images: Tensor) -> Tensor:
        """Output of the frozen layers (B, C, h, w): a constant of each image, which may be cached."""
        return self.backbone.stem(images)

    def encode(self, stems: Tensor) -> Encoded:
        """Descriptors (B, D) and feature maps (B, C, H, W) from what ``stem`` made."""
        maps, token = self.backbone.split(at_least_float32(self.backbone.tail(stems)))  # (B, C, H, W), (B, C) or None
        return Encoded(self.head(maps, token), maps)  # (B, D), (B, C, H, W)

    def attention_weights(self, images: Tensor) -> Tensor:
        """float32 (B, h, w): how much the attention of the network makes of each location of images (B, 3, H, W)."""
        return self.head.attention.weights(at_least_float32(self.backbone(images))).float()

    def forward(self, images: Tensor) -> Tensor:
        return self.encode(self.stem(images)).descriptors


def build_head(config: Config, pooling: Pooling, channels: int) -> Head:
    """Layers from feature maps (B, C, H, W) to descriptors (B, D): [attention?, L2 of locations?, pool, linear?, L2?].

    ``config.l2`` says where lengths are made one: of locations ("before_pool", the skeleton of the brief), descriptors
    ("after_pool"), or "both". NetVLAD, MixVPR, BoQ and SALAD give unit vectors by themselves; behind a linear layer
    these are normalised again.
    A mask normalises locations before it weighs them.
    """
    head, projected, unit = Head(), config.fc_output_dim, pooling.normalised
    if config.attention != "none":
        head.add_module("attention", make_attention(config.attention, channels, unit or config.l2 != "after_pool"))
    if config.l2 != "after_pool" and not unit and not masked(config) and not isinstance(pooling, ClassToken):
        head.add_module("l2_locations", L2())
    head.add_module("pool", pooling)
    if projected:
        head.add_module("linear", Linear(pooling.width(channels), projected))
    if projected if unit else config.l2 != "before_pool":
        head.add_module("l2", L2())
    return head


def masked(config: Config) -> bool:
    """Does an attention say how much locations count, by their lengths?"""
    return config.attention != "none" and issubclass(ATTENTIONS[config.attention], Mask)


def build_model(config: Config) -> GeoModel:
    """A network as configured, on the CPU; what is random in it follows from ``config.seed`` alone.

    ``config.weights`` is "imagenet" (torchvision's IMAGENET1K_V1), "dinov2", "places365", "streets" (ours, of a
    rendered city), "none" (random), a finished run (run:ID), a released model (cosplace:ResNet18_512, megaloc) or the
    path of a file of weights, of ours or of others: its backbone is taken, and its pooling and linear layer if they
    fit. ValueError for an unknown layer or a file that does not fit, FileNotFoundError. One that is not ``ready`` needs
    ``pooling.initialise``. The network of pairs has two branches (``vg_core.cross_view``).
    """
    if config.task.kind == "pairs":
        from vg_core.cross_view.building import build_branches  # which needs this room

        return build_branches(config)
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.default_generator.manual_seed(config.seed)
        backbone, channels = build_backbone(config.backbone, config.layer, config.freeze)
        pooling = make_pooling(config, backbone, channels, masked(config))
        model = GeoModel(config, backbone, pooling, channels)
    if file := weights_file(config.weights, config.backbone):
        start_from(model, file)
        model.origin = "" if config.weights in NAMED else model.origin
    return model


def inference_copy(network: nn.Module, left_out: Iterable[nn.Module] = ()) -> nn.Module:
    """A faster copy for inference: batch norms are folded into convolutions, and weights lie channels last. Layers that
    are ``left_out`` do nothing in it.
    """
    copy = deepcopy(network, {id(layer): nn.Identity() for layer in left_out}).eval().requires_grad_(False)
    for parent in copy.modules():
        for (name, convolution), (behind, norm) in pairwise(list(parent.named_children())):  # in the order of use
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats:
                setattr(parent, name, fuse_conv_bn_eval(convolution, norm))
                setattr(parent, behind, nn.Identity())
    return copy.to(memory_format=torch.channels_last)


def frozen_stem(model: GeoModel) -> Callable[[Tensor], Tensor]:
    """Function that does what ``model.stem`` does, faster. It holds copies: make it when the weights are in place."""
    layers = inference_copy(model.frozen_layers)

    def stem(images: Tensor) -> Tensor:
        with torch.no_grad():  # as a decorator it is new code for the compiler each time
            return layers(images)

    return stem
