"""Attention by masks: each location of a map is multiplied by its weight.

NetVLAD and an L2 normalisation of locations make vectors of any length one, and with it cancel what multiplies them.
Masks therefore take the place of that normalisation: behind them a location is as long as its weight, and poolings
count it by its length.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IMAGENET_CLASSES = 1000
NEVER = -1e4  # bias of a class that is never the likeliest


class Mask(nn.Module):
    """Maps (B, C, H, W) whose locations, made unit vectors if ``unit``, are multiplied by the weights of ``weigh``."""

    def __init__(self, unit: bool):
        super().__init__()
        self.unit = unit

    def weigh(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The maps (B, C, H, W), refined where an attention does that, and weights (B, 1, H, W), 0 or more."""
        raise NotImplementedError

    def weights(self, maps: Tensor) -> Tensor:
        """(B, H, W) weights of the locations, to be shown as heat maps."""
        return self.weigh(maps)[1][:, 0]

    def forward(self, maps: Tensor) -> Tensor:
        maps, weights = self.weigh(maps)
        return (F.normalize(maps, dim=1) if self.unit else maps) * weights


class ContextualReweighting(Mask):
    """CRN: convolutions of three sizes over unit locations at half the resolution, their responses added up.

    Source: Kim, Dunn, Frahm, "Learned contextual feature reweighting for image geo-localization", CVPR 2017; sizes and
    the fixed sum are those of DVGL. Other than there, maps may have odd sides.
    """

    def __init__(self, channels: int, unit: bool = True):
        super().__init__(unit)
        sizes = {3: 32, 5: 32, 7: 20}  # kernel: filters
        self.contexts = nn.ModuleList(nn.Conv2d(channels, n, k, padding=k // 2) for k, n in sizes.items())
        for convolution in self.contexts:
            nn.init.xavier_normal_(convolution.weight)
            nn.init.zeros_(convolution.bias)

    def weigh(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        small = self.response(F.normalize(maps, dim=1))  # (B, 1, h, w)
        return maps, F.interpolate(small, maps.shape[2:], mode="bilinear", align_corners=False)

    def response(self, locations: Tensor) -> Tensor:
        """(B, 1, ⌈H / 2⌉, ⌈W / 2⌉) or one less, before it is enlarged."""
        kernel = [min(3, side) for side in locations.shape[2:]]  # a single row has no 3 x 3 window
        coarse = F.avg_pool2d(locations, kernel, stride=2, ceil_mode=True)  # (B, C, h, w)
        return torch.cat([convolution(coarse) for convolution in self.contexts], dim=1).relu().sum(1, keepdim=True)


class CBAM(Mask):
    """Convolutional block attention: channels are weighted first, by their means and maxima, then locations.

    Source: Woo, Park, Lee, Kweon, "CBAM", ECCV 2018. Each location's gate is 0.5 at the start. Other than in the
    authors' code, the batch norm's statistics move by 0.1 a step: our trainings are short.
    """

    def __init__(self, channels: int, unit: bool = False):
        super().__init__(unit)
        hidden = max(1, channels // 16)
        self.channels = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.locations = nn.Sequential(nn.Conv2d(2, 1, 7, padding=3, bias=False), nn.BatchNorm2d(1))
        nn.init.zeros_(self.locations[1].weight)

    def weigh(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        gates = torch.sigmoid(self.channels(maps.mean((2, 3))) + self.channels(maps.amax((2, 3))))  # (B, C)
        maps = maps * gates[:, :, None, None]
        summary = torch.stack([maps.amax(1), maps.mean(1)], dim=1)  # (B, 2, H, W)
        return maps, torch.sigmoid(self.locations(summary))


class AdaptiveAttention(Mask):
    """AdAGeo: softmax over the locations of the class activation map of the likeliest class, times their number.

    Source: Berton, Paolicelli, Masone, Caputo, "Adaptive-attentive geolocalization from few queries", WACV 2021. The
    classes are those of the file of weights, if the network ends where it classifies (ResNets, layer4), else random.
    Other than there, the mask multiplies the map that it comes of, not one before the last batch norm and ReLU.
    """

    def __init__(self, channels: int, unit: bool = False):
        super().__init__(unit)
        self.classifier = nn.Linear(channels, IMAGENET_CLASSES)

    @torch.no_grad()
    def take(self, weight: Tensor, bias: Tensor) -> None:
        """Start from the classes (K, C) of another network, at most IMAGENET_CLASSES of them; others never win."""
        missing = IMAGENET_CLASSES - len(weight)
        self.classifier.weight.copy_(F.pad(weight, (0, 0, 0, missing)))
        self.classifier.bias.copy_(F.pad(bias, (0, missing), value=NEVER))

    def weigh(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        likeliest = self.classifier(maps.mean((2, 3))).argmax(1)  # (B,)
        activations = (maps * self.classifier.weight[likeliest][:, :, None, None]).sum(1, keepdim=True)  # (B, 1, H, W)
        shares = activations.flatten(2).softmax(2)  # (B, 1, H · W)
        return maps, (shares * shares.shape[2]).view_as(activations)
