"""Normalised pixels for networks, and the precision in which networks compute."""

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def network_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU that has it; float32 elsewhere, where reduced precision is emulated and slower."""
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_it else torch.float32


def mixed_precision(device: torch.device) -> torch.autocast:
    """Autocast context: a network computes in ``network_dtype``, and in float32 where that is needed."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=network_dtype(device) is torch.bfloat16)


def at_least_float32(x: Tensor) -> Tensor:
    """The same tensor in float32 or, if it is that already, float64: pooling and lengths need the digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def normalise(images: Tensor) -> Tensor:
    """float32 (B, 3, H, W) with ImageNet mean and standard deviation from uint8; keeps device and memory layout."""
    scale = 255.0 * torch.tensor(IMAGENET_STD, device=images.device).view(1, 3, 1, 1)  # (1, 3, 1, 1)
    shift = -torch.tensor(IMAGENET_MEAN, device=images.device).view(1, 3, 1, 1) * 255.0 / scale
    pixels = images.to(torch.float32, copy=True)  # (B, 3, H, W)
    return torch.addcmul(shift, pixels, 1.0 / scale, out=pixels)  # in place: fresh memory costs more than arithmetic
