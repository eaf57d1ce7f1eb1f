"""Backbones cut at a named layer and frozen up to a named layer.

torchvision's models are imported late: that takes seconds, and reading finished runs back needs none.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

NAMED = ("imagenet", "streets", "none")  # weights that are no file of the user's
STREETS = Path(__file__).with_name("streets.safetensors")  # weights of data_scripts/pretrain.py, of ResNet-18
RESNETS = ("resnet18", "resnet50", "resnet101", "resnet152")
BACKBONES = (*RESNETS, "vgg16", *(f"efficientnet_b{size}" for size in range(8)))
HEADS = ("avgpool", "fc", "classifier")  # torchvision's layers behind the features


class Backbone(nn.Sequential):
    """Feature maps (B, C, H, W) of images; its first ``frozen`` layers are constants: no gradient, eval mode always."""

    def __init__(self, layers: Mapping[str, nn.Module], frozen: int):
        super().__init__(OrderedDict(layers))
        self.frozen = frozen
        self.frozen_layers.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode for the trained layers only: frozen batch norms keep their statistics."""
        super().train(mode)
        self.frozen_layers.eval()
        return self

    @property
    def frozen_layers(self) -> nn.Sequential:
        """The layers that are not trained, the first ones; empty when all are trained."""
        return nn.Sequential(*list(self)[: self.frozen])

    @torch.no_grad()
    def stem(self, images: Tensor) -> Tensor:
        """Output of the frozen layers: a constant of each image, the same in training and evaluation."""
        return self.frozen_layers(images)

    def tail(self, maps: Tensor) -> Tensor:
        """Output of the trained layers on what ``stem`` made."""
        for layer in list(self)[self.frozen :]:
            maps = layer(maps)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        return self.tail(self.stem(images))


def build_backbone(name: str, layer: str, freeze: str) -> tuple[Backbone, int]:
    """(backbone that ends with ``layer``, with random weights; its number of channels).

    ``freeze`` names the last frozen layer, or is "none". ValueError for an unknown layer lists those there are.
    """
    layers = all_layers(name)
    end = _up_to(layer, [*layers], f"layer={layer!r} is no layer of {name}")
    kept = dict([*layers.items()][:end])
    fault = f"freeze={freeze!r} is neither 'none' nor a layer kept of {name}"
    backbone = Backbone(kept, 0 if freeze == "none" else _up_to(freeze, [*kept], fault))
    return backbone, [module.out_channels for module in backbone.modules() if isinstance(module, nn.Conv2d)][-1]


def all_layers(name: str) -> dict[str, nn.Module]:
    """All layers of a backbone by name, with torchvision's random initialisation."""
    from torchvision import models

    if name in RESNETS:
        children = models.get_model(name, weights=None).named_children()
        return {child: module for child, module in children if child not in HEADS}
    if name != "vgg16":
        return {f"block{number}": module for number, module in enumerate(models.get_model(name, weights=None).features)}
    # torchvision's constructor would also draw the 120 million weights of the classifier
    features = models.vgg.make_layers(models.vgg.cfgs["D"])
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return dict(zip(_vgg_names(), features, strict=True))


@cache
def layers_of(name: str) -> Mapping[str, nn.Module]:
    """All layers of a backbone by name, with shapes but without memory."""
    with torch.device("meta"):
        return all_layers(name)


def _vgg_names() -> Iterator[str]:
    """conv1_1, relu1_1, conv1_2, …, pool5: the names of the literature, in order."""
    for block, convolutions in enumerate((2, 2, 3, 3, 3), start=1):
        for number in range(1, convolutions + 1):
            yield from (f"conv{block}_{number}", f"relu{block}_{number}")
        yield f"pool{block}"


def _up_to(wanted: str, names: list[str], fault: str) -> int:
    """How many names there are up to the one wanted."""
    if wanted not in names:
        raise ValueError(f"{fault}; choose one of: {', '.join(names)}")
    return names.index(wanted) + 1
