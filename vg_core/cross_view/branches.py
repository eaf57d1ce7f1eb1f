"""What the networks have in common: a branch for each side of a pair, and pixels as published weights want them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vg_core.config import Config
from vg_core.models.network import Encoded
from vg_core.models.precision import normalise
from vg_core.system.errors import ByName

Sizes = Mapping[str, tuple[int, int]]  # (height, width) of the images of each side
UNKNOWN_SIDE = (
    "a network of pairs has to know which images are aerial and which are panoramas: it can be tested on pairs, and "
    "locate a panorama among aerial images"
)
CAFFE_MEAN = (103.939, 116.779, 123.6)  # of blue, green and red, as in SAFA's code: the last is 123.68 elsewhere


@dataclass(frozen=True)
class Sides:
    """A batch of images of both sides, each in its own size: first all of the one, then all of the other."""

    images: Mapping[str, Tensor]  # uint8 (B, 3, H, W) by side, "aerial" or "ground"
    dtype = None  # it is not normalised before it is encoded, as uint8 pixels of one size are

    def __len__(self) -> int:
        return sum(map(len, self.images.values()))

    @property
    def device(self) -> torch.device:
        return next(iter(self.images.values())).device

    def to(self, device: torch.device, non_blocking: bool = False) -> "Sides":
        return Sides({side: images.to(device, non_blocking=non_blocking) for side, images in self.images.items()})

    def split(self, _sizes: list[int]) -> list["Sides"]:
        """The batch in one part, as all of its pairs are compared."""
        return [self]


class TwoBranches(nn.Module):
    """float32 unit descriptors (B, D) of uint8 images (B, 3, H, W) of one side, "aerial" or "ground"; ``dim`` is D.

    No weight is shared. What comes behind the side goes to its branch: OriCNN takes orientation maps of the images.
    Trainings and tests see it as any other network, which encodes batches of `Sides` and has no frozen layers.
    """

    ready, origin, whitening = True, "", None
    config: Config

    def __init__(self, aerial: nn.Module, ground: nn.Module):
        super().__init__()
        self.aerial, self.ground = aerial, ground

    @property
    def frozen_layers(self) -> nn.Sequential:
        return nn.Sequential()

    @property
    def backbone(self) -> nn.Module:
        raise ValueError(UNKNOWN_SIDE)

    def stem(self, images: Tensor) -> Tensor:
        return images

    @property
    def dim(self) -> int:
        return self.ground.dim

    def encode(self, batch: Sides) -> Encoded:
        """Descriptors (B, D) of a batch, in its order; ValueError for images of which the side is not known."""
        if not isinstance(batch, Sides):
            raise ValueError(UNKNOWN_SIDE)
        found = [self(images, side) for side, images in batch.images.items() if len(images)]
        return Encoded(torch.cat(found), None)

    def forward(self, images: Tensor, side: str, *others: Tensor) -> Tensor:
        return self.get_submodule(side).encode(images, *others).descriptors


def caffe(images: Tensor) -> Tensor:
    """Blue, green, red in 0…255 less their means: the pixels that VGG-16 in Caffe was trained on, and SAFA with it."""
    return images.flip(1).float() - torch.tensor(CAFFE_MEAN, device=images.device).view(1, 3, 1, 1)


def signed(images: Tensor) -> Tensor:
    """Blue, green, red in -1…1, as OriCNN takes them."""
    return images.flip(1).float() / 127.5 - 1


# torchvision's weights were trained on red, green, blue in 0…1, less their means, over their standard deviations; the
# pixels of Caffe are 60 times as large and in the other order, so each kind of weights needs its own
PIXELS: dict[str, Callable[[Tensor], Tensor]] = ByName("kind of pixels", {"torchvision": normalise, "caffe": caffe})
