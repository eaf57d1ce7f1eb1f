"""Backbones cut at a named layer and frozen up to a named layer, and where their ImageNet weights lie."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

RESNETS = ("resnet18", "resnet50", "resnet101")
BACKBONES = (*RESNETS, "vgg16")
HEADS = ("avgpool", "fc", "classifier")  # torchvision's layers behind the features


class Backbone(nn.Sequential):
    """Feature maps (B, C, H, W) of images; its first ``frozen`` layers are constants: no gradient, eval mode always."""

    def __init__(self, layers: Mapping[str, nn.Module], frozen: int):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.frozen = list(layers)[:frozen]
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "Backbone":
        """Training mode for the trained layers only: frozen batch norms keep their statistics."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    @property
    def frozen_layers(self) -> nn.Sequential:
        """The first layers; empty when all are trained."""
        return nn.Sequential(*list(self)[: len(self.frozen)])

    @torch.no_grad()
    def stem(self, images: Tensor) -> Tensor:
        """Output of the frozen layers: a constant of each image, the same in training and evaluation."""
        return self.frozen_layers(images)

    def tail(self, maps: Tensor) -> Tensor:
        """Output of the trained layers on what ``stem`` made."""
        for layer in list(self)[len(self.frozen) :]:
            maps = layer(maps)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        return self.tail(self.stem(images))


def build_backbone(name: str, layer: str, freeze: str) -> tuple[Backbone, int]:
    """(backbone that ends with ``layer``, with random weights; its number of channels).

    ``freeze`` names the last frozen layer, or is "none". Raises ValueError for an unknown backbone or layer, listing
    those there are.
    """
    layers = all_layers(name)
    end = 1 + _position(layer, list(layers), f"layer={layer!r} is no layer of {name}")
    kept = dict(list(layers.items())[:end])
    frozen = 0
    if freeze != "none":
        frozen = 1 + _position(freeze, list(kept), f"freeze={freeze!r} is neither 'none' nor a layer kept of {name}")
    backbone = Backbone(kept, frozen)
    convolutions = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    return backbone, convolutions[-1].out_channels


def imagenet_file(name: str) -> Path:
    """File with torchvision's ImageNet weights (V1, as in the literature), fetched into PyTorch's cache if need be."""
    url = _torchvision().get_model_weights(name).IMAGENET1K_V1.url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            digest = file.stem.rpartition("-")[2]  # torchvision's names end with the start of the SHA-256
            torch.hub.download_url_to_file(url, str(file), hash_prefix=digest)
        except (OSError, RuntimeError) as error:
            raise OSError(
                f"the ImageNet weights of {name} could not be fetched ({error}). Fetch {url} elsewhere and place it at "
                f"{file}, or say where you have it: weights=PATH; weights='none' starts from random ones"
            ) from error
    return file


def all_layers(name: str) -> dict[str, nn.Module]:
    """All layers of a backbone by name, with torchvision's random initialisation."""
    if name == "vgg16":
        # torchvision's constructor would also draw the 120 million weights of the classifier
        vgg = _torchvision().vgg
        features = vgg.make_layers(vgg.cfgs["D"])
        for module in features:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
        return dict(zip(_vgg_names(features), features, strict=True))
    if name in RESNETS:
        children = _torchvision().get_model(name, weights=None).named_children()
        return {child: module for child, module in children if child not in HEADS}
    raise ValueError(f"backbone {name!r} is unknown; choose one of: {', '.join(BACKBONES)}")


def _torchvision() -> ModuleType:
    """Its models; to import them takes seconds, and reading finished runs back needs none."""
    from torchvision import models

    return models


def _vgg_names(features: Iterable[nn.Module]) -> list[str]:
    """conv1_1, relu1_1, conv1_2, …, pool5: the names of the literature, in order."""
    names, block, number = [], 1, 0
    for module in features:
        if isinstance(module, nn.MaxPool2d):
            names.append(f"pool{block}")
            block, number = block + 1, 0
        else:
            number += isinstance(module, nn.Conv2d)
            names.append(f"{'conv' if isinstance(module, nn.Conv2d) else 'relu'}{block}_{number}")
    return names


def _position(wanted: str, names: list[str], fault: str) -> int:
    if wanted not in names:
        raise ValueError(f"{fault}; choose one of: {', '.join(names)}")
    return names.index(wanted)
