"""How much of an attention falls on given pixels, such as cars and people."""

from torch import Tensor
from torch.nn import functional as F


def share_on(weights: Tensor, pixels: Tensor) -> Tensor:
    """(B,) shares of the weights (B, h, w) of locations that fall on some pixels, bool (B, H, W), from 0 to 1.

    Each location stands for the pixels of its part of the photograph. The share of equal weights is that of the area.
    """
    covered = F.adaptive_avg_pool2d(pixels.to(weights)[:, None], weights.shape[1:])[:, 0]  # (B, h, w)
    return (weights * covered).sum((1, 2)) / weights.sum((1, 2)).clamp_min(1e-12)  # where all are 0, none falls there
