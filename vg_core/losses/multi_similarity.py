"""Multi-similarity loss of batches of places: every photograph of a batch is an anchor for all others.

Sources: Wang et al., CVPR 2019, eq. 15 and the miner of section 3.1; constants of GSV-Cities (Ali-bey, Chaib-draa,
Giguère, Neurocomputing 2022). Of mined tuples it is ``rivals.multi_similarity``.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

EPSILON = 0.1  # cosine


def multi_similarity_of_pairs(
    similarities: Tensor,
    positive: Tensor,
    negative: Tensor,
    alpha: float = 1.0,
    beta: float = 50.0,
    base: float = 0.0,
    mined: bool = True,
) -> Tensor:
    """Mean over anchors of log(1 + sum_P exp(-alpha (s - base))) / alpha + log(1 + sum_N exp(beta (s - base))) / beta;
    similarities s (B, C) of B anchors and C photographs, dot products of unit vectors.

    Pairs that are ``positive`` (B, C), P, show the same place, those that are ``negative`` (B, C), N, another; pairs
    that are neither do not count. ``mined`` counts only those that are hard: positives less than EPSILON more alike
    than the most alike negative, and negatives less than EPSILON less alike than the least alike positive. Anchors
    without a pair add 0, and count.
    """
    s = similarities
    if mined:
        nearest = s.masked_fill(~negative, -torch.inf).amax(1, keepdim=True)  # (B, 1), most alike negative
        farthest = s.masked_fill(~positive, torch.inf).amin(1, keepdim=True)  # (B, 1), least alike positive
        positive, negative = positive & (s - EPSILON < nearest), negative & (s + EPSILON > farthest)
    pull = _log1psumexp(-alpha * (s - base), positive) / alpha
    return (pull + _log1psumexp(beta * (s - base), negative) / beta).mean()  # of (B,)


def _log1psumexp(exponents: Tensor, which: Tensor) -> Tensor:
    """(B,) log(1 + sum of exp) over some of each row of exponents (B, C); 0 where there are none."""
    return F.pad(exponents.masked_fill(~which, -torch.inf), (1, 0)).logsumexp(dim=1)
