"""Transformers as backbones of layers that take and give maps: a location for each patch, and above them one row that
holds the class token, where there is one.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from timm.layers import Attention, LayerNorm2d
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from vg_core.models.backbones import whole_patches

LayerNorm = partial(nn.LayerNorm, eps=1e-6)
OFFSET = 0.1  # added to the number of patches where positions are enlarged, as DINOv2 was trained


class ViT(NamedTuple):
    """Sizes of a vision transformer (Dosovitskiy et al., ICLR 2021)."""

    depth: int  # blocks
    dim: int
    heads: int
    patch: int  # pixels
    grid: int  # positions along each side of the images that it was trained on
    scale: float | None = None  # that layers' scales start from, in DINOv2


class CCT(NamedTuple):
    """Sizes of a compact convolutional transformer (Hassani et al., 2021): convolutions make the tokens."""

    depth: int
    dim: int
    heads: int
    ratio: int  # of the hidden layer's width in a block, to dim
    kernel: int
    convolutions: int
    grid: int


SIZES: dict[str, ViT | CCT] = {
    "vit_b_16": ViT(12, 768, 12, 16, 14),
    "vit_b_32": ViT(12, 768, 12, 32, 7),
    "vit_l_16": ViT(24, 1024, 16, 16, 14),
    "dinov2_vits14": ViT(12, 384, 6, 14, 37, 1e-5),
    "dinov2_vitb14": ViT(12, 768, 12, 14, 37, 1e-5),
    "dinov2_vitl14": ViT(24, 1024, 16, 14, 37, 1e-5),
    "cct_2_3x2": CCT(2, 128, 2, 1, 3, 2, 8),
    "cct_7_3x1": CCT(7, 256, 4, 2, 3, 1, 16),
    "cct_14_7x2": CCT(14, 384, 6, 3, 7, 2, 24),
}


def transformer_layers(name: str, last: str = "") -> Iterator[tuple[str, nn.Module]]:
    """patches, block0, block1, … to the ``last`` or all, and norm, which ends the network wherever it is cut; with
    random weights.
    """
    size = SIZES[name]
    if isinstance(size, ViT):
        patches, block = Patches(size.dim, size.patch, size.grid), ViTBlock
        options = {"dim": size.dim, "num_heads": size.heads, "qkv_bias": True, "init_values": size.scale}
        options["norm_layer"] = LayerNorm
    else:
        patches, block = ConvolvedPatches(size), CCTBlock
        options = {"dim": size.dim, "heads": size.heads, "hidden": size.ratio * size.dim}
    yield "patches", patches
    for number in range(size.depth):
        yield f"block{number}", _drawn(block(**options))
        if last == f"block{number}":
            break
    yield "norm", LayerNorm2d(size.dim, eps=1e-6 if isinstance(size, ViT) else 1e-5)


def _drawn(block: nn.Module) -> nn.Module:
    """The block, its linear layers drawn anew: normal of 0.02, biases 0."""
    for layer in block.modules():
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return block


class Patches(nn.Module):
    """Maps (B, C, 1 + h, w) of images (B, 3, H, W): the class token, then a linear function of each patch, and their
    positions. Images are resized to whole patches.
    """

    class_token = True

    def __init__(self, dim: int, patch: int, grid: int):
        super().__init__()
        self.proj = nn.Conv2d(3, dim, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.empty(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.empty(1, 1 + grid**2, dim))
        for drawn in (self.proj.weight, self.cls_token, self.pos_embed):
            nn.init.normal_(drawn, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        size = whole_patches(images.shape[2:], self.proj.stride[0])
        if size != tuple(images.shape[2:]):
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        maps = self.proj(images)  # (B, C, h, w)
        maps = maps + positions(self.pos_embed[:, 1:], maps.shape[2:])
        first = (self.cls_token + self.pos_embed[:, :1]).transpose(1, 2)[..., None]  # (1, C, 1, 1)
        return torch.cat([first.expand(len(maps), -1, 1, maps.shape[3]), maps], dim=2)  # (B, C, 1 + h, w)


class ConvolvedPatches(nn.Module):
    """Maps (B, C, h, w) of images of any size: convolution, ReLU and maximum, once or twice, and positions."""

    def __init__(self, size: CCT):
        super().__init__()
        channels = [3, *[64] * (size.convolutions - 1), size.dim]
        step, edge = max(1, size.kernel // 2 - 1), size.kernel // 2
        options = {"kernel_size": size.kernel, "stride": step, "padding": edge, "bias": False}
        self.convolutions = nn.ModuleList(nn.Conv2d(*sides, **options) for sides in pairwise(channels))
        self.pos_embed = nn.Parameter(torch.empty(1, size.grid**2, size.dim))
        nn.init.normal_(self.pos_embed, std=0.2)
        for convolution in self.convolutions:
            nn.init.kaiming_normal_(convolution.weight)

    def forward(self, images: Tensor) -> Tensor:
        for convolution in self.convolutions:
            images = F.max_pool2d(convolution(images).relu(), 3, stride=2, padding=1)
        return images + positions(self.pos_embed, images.shape[2:])  # (B, C, h, w)


class ViTBlock(Block):
    """Pre-norm block of tokens (timm's), of maps (B, C, 1 + h, w)."""

    def forward(self, maps: Tensor) -> Tensor:
        width = maps.shape[3]
        tokens = maps.flatten(2).transpose(1, 2)  # (B, (1 + h) · w, C)
        tokens = super().forward(torch.cat([tokens[:, :1], tokens[:, width:]], dim=1))  # (B, 1 + h · w, C)
        row = tokens[:, :1].expand(-1, width, -1)  # (B, w, C): the class token, as often as a row is wide
        return _maps(torch.cat([row, tokens[:, 1:]], dim=1), width)


class CCTBlock(nn.Module):
    """Block of maps (B, C, h, w) as the authors release it: its second norm is of the sum that goes on, too.

    Other than there, nothing is dropped in training.
    """

    def __init__(self, dim: int, heads: int, hidden: int):
        super().__init__()
        self.pre_norm, self.norm1 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.self_attn = Attention(dim, num_heads=heads)
        self.linear1, self.linear2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = maps.flatten(2).transpose(1, 2)  # (B, h · w, C)
        tokens = self.norm1(tokens + self.self_attn(self.pre_norm(tokens)))
        return _maps(tokens + self.linear2(F.gelu(self.linear1(tokens))), maps.shape[3])


def _maps(tokens: Tensor, width: int) -> Tensor:
    """(B, C, h, w), channels last, of tokens (B, h · w, C)."""
    return tokens.transpose(1, 2).unflatten(2, (-1, width))


def positions(learned: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, C, h, w) embeddings of positions from those learned on a square grid (1, N, C): bicubic.

    Two products with constants, since the gradient of PyTorch's own interpolation differs from run to run on a GPU; in
    float64, which autocast leaves alone.
    """
    side = round(learned.shape[1] ** 0.5)
    grid = learned.transpose(1, 2).unflatten(2, (side, side))  # (1, C, side, side)
    if tuple(size) == (side, side):
        return grid
    down, across = (_bicubic(side, count, learned.device) for count in size)  # (h, side), (w, side)
    return (down @ grid.double() @ across.T).to(learned.dtype)


def _bicubic(before: int, after: int, device: torch.device) -> Tensor:
    """float64 (after, before) weights that interpolate so many values at so many places."""
    unit = torch.eye(before, dtype=torch.float64, device=device)[None, None]
    return F.interpolate(unit, scale_factor=((after + OFFSET) / before, 1.0), mode="bicubic")[0, 0]
