"""In which precision networks compute. It decides numbers, so it counts among what names a trained run."""

import torch
from torch import Tensor


def network_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a GPU that has it; float32 elsewhere, where reduced precision is emulated and slower."""
    has_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if has_it else torch.float32


def mixed_precision(device: torch.device) -> torch.autocast:
    """Context in which a network computes in ``network_dtype``, and what needs float32 in that."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=network_dtype(device) is torch.bfloat16)


def at_least_float32(x: Tensor) -> Tensor:
    """The same tensor in float32 or, if it is that already, float64: pooling and lengths need the digits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
