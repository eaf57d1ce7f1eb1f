"""Backbones cut at a named layer and frozen up to a named layer.

torchvision and timm are imported late: that takes seconds, and reading finished runs back needs neither.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn

NAMED = ("imagenet", "dinov2", "streets", "none")  # weights that are no file of the user's
STREETS = Path(__file__).with_name("streets.safetensors")  # weights of data_scripts/pretrain.py, of ResNet-18
RESNETS = ("resnet18", "resnet50", "resnet101", "resnet152")
PATCHES = {  # transformers by the pixels of a patch, whose multiples the sides of images are rounded to
    **{"vit_b_16": 16, "vit_b_32": 32, "vit_l_16": 16},
    **dict.fromkeys(("dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14"), 14),
    **dict.fromkeys(("cct_2_3x2", "cct_7_3x1", "cct_14_7x2"), 1),
}
BACKBONES = (*RESNETS, "vgg16", *(f"efficientnet_b{size}" for size in range(8)), *PATCHES)
ENDS = ("norm",)  # layers of transformers that stay behind the last one used, wherever that is
HEADS = ("avgpool", "fc", "classifier", "heads")  # torchvision's layers behind the features


class Backbone(nn.Sequential):
    """Feature maps (B, C, H, W) of images; its first ``frozen`` layers are constants: no gradient, eval mode always.

    Layers of a transformer with a class token carry it in a row above the others, which ``split`` takes off.
    """

    def __init__(self, layers: Mapping[str, nn.Module], frozen: int):
        super().__init__(OrderedDict(layers))
        self.frozen = frozen
        self.class_token = any(getattr(layer, "class_token", False) for layer in self)
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

    def split(self, maps: Tensor) -> tuple[Tensor, Tensor | None]:
        """(maps (B, C, H, W), class token (B, C) where there is one) of what ``tail`` made."""
        return (maps[:, :, 1:], maps[:, :, 0, 0]) if self.class_token else (maps, None)

    def forward(self, images: Tensor) -> Tensor:
        return self.split(self.tail(self.stem(images)))[0]


def build_backbone(name: str, layer: str, freeze: str) -> tuple[Backbone, int]:
    """(backbone that ends with ``layer``, of a transformer with its norm; with random weights; number of channels).

    ``freeze`` names the last frozen layer, or is "none". ValueError for an unknown layer lists those there are.
    """
    names = [one for one in layers_of(name) if one not in ENDS]
    end = _up_to(layer, names, f"layer={layer!r} is no layer of {name}")
    layers = all_layers(name, layer)
    kept = {one: layers[one] for one in (*names[:end], *ENDS) if one in layers}
    fault = f"freeze={freeze!r} is neither 'none' nor a layer kept of {name}"
    backbone = Backbone(kept, 0 if freeze == "none" else _up_to(freeze, [*kept], fault))
    return backbone, [module.out_channels for module in backbone.modules() if isinstance(module, nn.Conv2d)][-1]


def all_layers(name: str, last: str = "") -> dict[str, nn.Module]:
    """All layers of a backbone by name, with random weights; of a transformer no blocks behind the ``last``."""
    if name in PATCHES:
        from vg_core.models.transformers.layers import transformer_layers

        return dict(transformer_layers(name, last))
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


def whole_patches(size: tuple[int, int], patch: int) -> tuple[int, int]:
    """(height, width) in pixels, each rounded to whole patches, at least one."""
    return tuple(max(1, round(side / patch)) * patch for side in size)


def said_of_size(name: str, size: tuple[int, int]) -> list[str]:
    """A sentence if a backbone sees images of this (height, width) resized, else none."""
    patch = PATCHES.get(name, 1)
    seen = whole_patches(size, patch)
    words = f"{name} sees images of {size[0]} x {size[1]} pixels as {seen[0]} x {seen[1]}: whole patches of {patch}"
    return [words] if seen != tuple(size) else []


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
