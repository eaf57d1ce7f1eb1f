"""What the networks have in common: a branch for each side of a pair, and pixels as published weights want them."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from vg_core.models.network import Encoded
from vg_core.models.precision import normalise
from vg_core.system.errors import ByName

Sizes = Mapping[str, tuple[int, int]]  # (height, width) of the images of each side
CAFFE_MEAN = (103.939, 116.779, 123.6)  # of blue, green and red, as in SAFA's code: the last is 123.68 elsewhere


class TwoBranches(nn.Module):
    """float32 unit descriptors (B, D) of uint8 images (B, 3, H, W) of one side, "aerial" or "ground"; ``dim`` is D.

    No weight is shared. What comes behind the side goes to its branch: OriCNN takes orientation maps of the images.
    """

    def __init__(self, aerial: nn.Module, ground: nn.Module):
        super().__init__()
        self.aerial, self.ground = aerial, ground

    @property
    def dim(self) -> int:
        return self.ground.dim

    def encode(self, images: Tensor, side: str, *others: Tensor) -> Encoded:
        """Descriptors (B, D) and the feature maps (B, C, H, W) that they were pooled from."""
        return self.get_submodule(side).encode(images, *others)

    def forward(self, images: Tensor, side: str, *others: Tensor) -> Tensor:
        return self.encode(images, side, *others).descriptors


def caffe(images: Tensor) -> Tensor:
    """Blue, green, red in 0…255 less their means: the pixels that VGG-16 in Caffe was trained on, and SAFA with it."""
    return images.flip(1).float() - torch.tensor(CAFFE_MEAN, device=images.device).view(1, 3, 1, 1)


def signed(images: Tensor) -> Tensor:
    """Blue, green, red in -1…1, as OriCNN takes them."""
    return images.flip(1).float() / 127.5 - 1


# torchvision's weights were trained on red, green, blue in 0…1, less their means, over their standard deviations; the
# pixels of Caffe are 60 times as large and in the other order, so each kind of weights needs its own
PIXELS: dict[str, Callable[[Tensor], Tensor]] = ByName("kind of pixels", {"torchvision": normalise, "caffe": caffe})
