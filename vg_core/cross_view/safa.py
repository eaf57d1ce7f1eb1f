"""SAFA: branches that pool their feature maps by learned maps of positions, or by the maximum (VGG_gp).

Source: Shi, Liu, Yu, Li, "Spatial-aware feature aggregation for cross-view image based geo-localization", NeurIPS 2019;
sizes and constants are those of the authors' code.
"""

from collections import OrderedDict
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vg_core.cross_view.branches import PIXELS, Sizes, TwoBranches
from vg_core.models.backbones import all_layers
from vg_core.models.network import Encoded
from vg_core.models.pooling import MaxPool
from vg_core.models.precision import at_least_float32
from vg_core.models.released import weights_file
from vg_core.models.tensor_files import read_tensors
from vg_core.models.weights import differences, recognised, sound
from vg_core.system.errors import ByName

DROPPED = 0.2  # share of values that dropout sets to zero, behind each of the last six convolutions
SPREAD, BIAS = 0.005, 0.1  # of the position embedding's weights and biases at the start
SMALL = (24, 48, 64, 96)  # channels of the small backbone, for rehearsals


class PositionEmbedding(nn.Module):
    """(B, M · C) sums of the locations of maps (B, C, H, W), weighted by M maps of positions (index m · C + channel).

    Each map follows from the mean (released code) or the maximum (paper) of the channels by two linear layers over all
    positions, with nothing between or behind them.
    """

    def __init__(self, positions: int, maps: int = 8, reduce: Literal["mean", "max"] = "mean"):
        super().__init__()
        self.positions, self.reduce, hidden = positions, reduce, positions // 2
        self.weight_1 = nn.Parameter(torch.empty(maps, positions, hidden))
        self.bias_1 = nn.Parameter(torch.full((maps, hidden), BIAS))
        self.weight_2 = nn.Parameter(torch.empty(maps, hidden, positions))
        self.bias_2 = nn.Parameter(torch.full((maps, positions), BIAS))
        for weight in (self.weight_1, self.weight_2):
            nn.init.trunc_normal_(weight, std=SPREAD, a=-2 * SPREAD, b=2 * SPREAD)

    def width(self, channels: int) -> int:
        return len(self.bias_1) * channels

    def position_maps(self, x: Tensor) -> Tensor:
        """(B, M, H, W) weights of the locations. ValueError for maps of another size than it was made for."""
        height, width = x.shape[2:]
        if height * width != self.positions:
            raise ValueError(
                f"feature maps have {height} x {width} locations, position maps {self.positions}: "
                "give images of the size that the network was built for"
            )
        locations = at_least_float32(x).flatten(2)  # (B, C, H · W)
        reduced = locations.mean(1) if self.reduce == "mean" else locations.amax(1)  # (B, H · W)
        with torch.autocast(x.device.type, enabled=False):
            hidden = torch.einsum("bp,mph->bmh", reduced, self.weight_1) + self.bias_1  # (B, M, H · W / 2)
            maps = torch.einsum("bmh,mhp->bmp", hidden, self.weight_2) + self.bias_2  # (B, M, H · W)
        return maps.unflatten(2, (height, width))

    def forward(self, x: Tensor) -> Tensor:
        maps = self.position_maps(x).flatten(2)  # (B, M, H · W)
        with torch.autocast(x.device.type, enabled=False):
            return (maps @ at_least_float32(x).flatten(2).transpose(1, 2)).flatten(1)  # (B, M · C)


class Branch(nn.Module):
    """One side of SAFA: backbone, pooling, unit length. ``channels`` are those of the backbone's maps."""

    def __init__(self, backbone: nn.Sequential, pooling: nn.Module, channels: int, pixels: str):
        super().__init__()
        self.backbone, self.pooling, self.pixels = backbone, pooling, PIXELS[pixels]
        self.dim = pooling.width(channels)

    def feature_maps(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) of uint8 images."""
        return at_least_float32(self.backbone(self.pixels(images)))

    def position_maps(self, images: Tensor) -> Tensor:
        """(B, M, H, W) weights of the locations of images, to be shown as heat maps."""
        return self.pooling.position_maps(self.feature_maps(images))

    def encode(self, images: Tensor) -> Encoded:
        maps = self.feature_maps(images)  # (B, C, H, W)
        return Encoded(F.normalize(self.pooling(maps), dim=1), maps)


def safa(
    sizes: Sizes,
    backbone: str = "vgg16",
    maps: int = 8,
    reduce: Literal["mean", "max"] = "mean",
    weights: str = "imagenet",
    pixels: str = "torchvision",
    seed: int = 0,
) -> TwoBranches:
    """SAFA for images of such ``sizes``, of the sides "aerial" and "ground", with so many position ``maps``; with none,
    VGG_gp, which takes the maximum over all locations.

    ``weights`` start both backbones: "imagenet" (torchvision's), "none" (random ones, which follow from ``seed``), or a
    file. The authors' own are of Caffe: a file of those needs ``pixels="caffe"``. KeyError for an unknown backbone,
    ValueError for a file that does not fit.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.default_generator.manual_seed(seed)
        sides = [_branch(backbone, sizes[side], maps, reduce, pixels) for side in ("aerial", "ground")]
    if weights != "none":
        _start_from(weights, backbone, [side.backbone for side in sides])
    return TwoBranches(*sides)


def vgg16() -> nn.Sequential:
    """VGG-16 up to a fifth pooling, with dropout as SAFA trains it.

    Maps are halved rounding up, as TensorFlow does: 112 x 616 pixels become 4 x 20 locations, rounding down 3 x 19.
    """
    layers = OrderedDict()
    for name, layer in all_layers("vgg16").items():
        layers[name] = nn.MaxPool2d(2, ceil_mode=True) if name.startswith("pool") else layer
        if name.startswith(("relu4", "relu5")):
            layers[name.replace("relu", "dropout")] = nn.Dropout(DROPPED)
    return nn.Sequential(layers)


def small() -> nn.Sequential:
    """Four convolutions and as many poolings, with batch norms, without which it learns little from random weights."""
    layers = []
    for before, after in pairwise((3, *SMALL)):
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2, ceil_mode=True)]
    return nn.Sequential(*layers)


BACKBONES = ByName("backbone of SAFA", {"vgg16": vgg16, "small": small})


def _branch(backbone: str, size: tuple[int, int], maps: int, reduce: str, pixels: str) -> Branch:
    with torch.device("meta"):  # shapes alone
        channels, height, width = BACKBONES[backbone]()(torch.empty(1, 3, *size)).shape[1:]
    pooling = PositionEmbedding(height * width, maps, reduce) if maps else MaxPool()
    return Branch(BACKBONES[backbone](), pooling, channels, pixels)


def _start_from(weights: str, backbone: str, backbones: list[nn.Sequential]) -> None:
    """Give all the backbones the weights of a file; ValueError where it does not fit."""
    if backbone != "vgg16":
        raise ValueError(f"there are no weights for the backbone {backbone!r}: weights='none' starts from random ones")
    file = weights_file(weights, backbone)
    found = recognised(read_tensors(file)[1], file).parts["backbone"]
    if faults := differences(backbones[0].state_dict(), found):
        raise ValueError(f"{file} does not fit the {backbone} of SAFA; tensors {faults}")
    for one in backbones:
        one.load_state_dict(sound(found, file))
