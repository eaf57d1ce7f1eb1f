"""OriCNN: two branches of seven convolutions that are told where each pixel looks.

Source: Liu, Li, "Lending orientation to neural networks for cross-view geo-localization", CVPR 2019; constants are
those of the authors' code.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vg_core.cross_view.branches import Sizes, TwoBranches, signed
from vg_core.cross_view.orientation import Augmentation, aerial_map, any_heading, any_turn, ground_map
from vg_core.models.network import Encoded
from vg_core.models.pooling import GeM
from vg_core.models.precision import at_least_float32

CHANNELS = (64, 128, 256, 512, 512, 512, 512)
SMALL = (24, 48, 64, 96, 96)  # for rehearsals
SPREAD = 0.02  # of weights at the start
SCALES = 3  # of the last convolutions, whose maps are pooled together
MAPS = {"aerial": aerial_map, "ground": ground_map}
AUGMENTATIONS = {"aerial": any_turn, "ground": any_heading}


class SameConvolution(nn.Conv2d):
    """4 x 4 convolution that halves the size rounding up, padded as TensorFlow does: one pixel before, and behind one
    or, where the size is odd, two.
    """

    def __init__(self, before: int, after: int):
        super().__init__(before, after, kernel_size=4, stride=2)
        nn.init.normal_(self.weight, std=SPREAD)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 1 + x.shape[3] % 2, 1, 1 + x.shape[2] % 2)))


class Encoder(nn.ModuleList):
    """(B, C, H, W): maps of the last three convolutions side by side, brought to the size of the last.

    Location i of the last map, of A, lies at i p + (p - 1) / 2 on a map of F, with p = F / A.
    """

    def __init__(self, channels: Sequence[int], batch_statistics: bool):
        first, *others = pairwise(channels)
        super().__init__([SameConvolution(*first), *(self._block(*pair, batch_statistics) for pair in others)])

    @staticmethod
    def _block(before: int, after: int, batch_statistics: bool) -> nn.Sequential:
        norm = nn.BatchNorm2d(after, track_running_stats=not batch_statistics)
        nn.init.normal_(norm.weight, mean=1.0, std=SPREAD)
        return nn.Sequential(nn.LeakyReLU(0.2), SameConvolution(before, after), norm)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for layer in self:
            x = layer(x)
            maps.append(x)
        return torch.cat([F.interpolate(one, x.shape[2:], mode="bilinear") for one in maps[-SCALES:]], dim=1)


class OrientedBranch(nn.Module):
    """One side of OriCNN: encoder of images and, if ``oriented``, their orientation maps; GeM; unit length.

    In training images are changed by ``augment``, if any, with their maps.
    """

    def __init__(self, encoder: Encoder, dim: int, maps: Tensor, oriented: bool, augment: Augmentation | None):
        super().__init__()
        self.encoder, self.dim, self.oriented, self.augment = encoder, dim, oriented, augment
        self.pooling = GeM(3.0).requires_grad_(False)
        self.register_buffer("maps", maps)  # (2, H, W), where north is as usual

    def encode(self, images: Tensor, maps: Tensor | None = None) -> Encoded:
        """Descriptors (B, D) and feature maps (B, C, H, W) of images, whose orientation maps (B, 2, H, W) are not the
        usual ones where they are given; such images are not augmented.
        """
        if images.shape[2:] != self.maps.shape[1:]:
            found, wanted = (f"{height} x {width}" for height, width in (images.shape[2:], self.maps.shape[1:]))
            raise ValueError(f"images have {found} pixels, orientation maps {wanted}: give images of that size")
        if maps is None:
            maps = self.maps.expand(len(images), -1, -1, -1)  # (B, 2, H, W)
            if self.training and self.augment:
                images, maps = self.augment(images, maps)
        pixels = signed(images)  # (B, 3, H, W)
        features = self.encoder(torch.cat([pixels, maps], dim=1) if self.oriented else pixels)  # (B, C, h, w)
        features = at_least_float32(features)
        return Encoded(F.normalize(self.pooling(features), dim=1), features)


def oricnn(
    sizes: Sizes,
    oriented: bool = True,
    augment: bool = True,
    batch_statistics: bool = False,
    channels: Sequence[int] = CHANNELS,
    seed: int = 0,
) -> TwoBranches:
    """OriCNN for images of such ``sizes``, of the sides "aerial" and "ground", with random weights.

    ``oriented`` gives it orientation maps. As published, batch norms take the statistics of the batch in tests, too, so
    that a descriptor depends on what else is described; ``batch_statistics`` does so, by default they keep running
    ones. Fewer ``channels`` are for rehearsals.
    """
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
        torch.default_generator.manual_seed(seed)
        branches = [
            OrientedBranch(
                Encoder((5 if oriented else 3, *channels), batch_statistics),
                sum(channels[-SCALES:]),
                MAPS[side](*sizes[side]),
                oriented,
                AUGMENTATIONS[side] if augment else None,
            )
            for side in MAPS
        ]
    return TwoBranches(*branches)
