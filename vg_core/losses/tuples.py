"""Losses over tuples: one query, its positive, its negatives.

Each is written for whole tuples (B, 2 + N, D) and called as ``loss(queries (B, D), positives (B, D), negatives
(B, N, D)) -> scalar`` or, without a copy, as ``loss.whole(tuples)``. Half precision is computed in float32 (float64
stays), zero distances have finite gradients, and nothing loops over queries or negatives. Below, a (B, 1) is ||q - p||
and b (B, N) is ||q - n||; descriptors are meant to be unit vectors, though only losses of dot products rely on it.
"SARE" is Liu, Li, Dai, ICCV 2019; what others proposed is in ``rivals``.
"""

from collections.abc import Callable
from functools import update_wrapper
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vg_core.losses.kernels import Distances

Normaliser = Literal["pairs", "queries"]

MARGIN = 0.1
TAU = 0.7  # margin of contrastive pairs
TRIPLET_EPS = 1e-6  # torch's TripletMarginLoss adds it to the difference, so the skeleton's numbers contain it


class Loss:
    """``loss(queries (B, D), positives (B, D), negatives (B, N, D)) -> scalar``; ``whole`` takes (B, 2 + N, D)."""

    def __init__(self, whole: Callable[..., Tensor]):
        self.whole = whole
        update_wrapper(self, whole)

    def __call__(self, queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        """ValueError if shapes differ: broadcasting would answer another question."""
        fits = negatives.ndim == 3 and negatives.shape[::2] == queries.shape == positives.shape
        if not fits or not negatives.numel():
            wanted, found = "(B, D), (B, D), (B, N, D), N at least 1", (queries, positives, negatives)
            raise ValueError(f"queries, positives, negatives must be {wanted}; got {[tuple(x.shape) for x in found]}")
        return self.whole(torch.cat([queries[:, None], positives[:, None], negatives], dim=1))


# --- hinges: what lies beyond a margin is not pushed ---------------------------------------------------------------
@Loss
def triplet(tuples: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean of max(0, margin + a - b) over all B x N triplets, those with zero loss included.

    Equal to ``torch.nn.TripletMarginLoss(margin, p=2)``, as in the assignment's skeleton. Unsquared distances: another
    loss than ``triplet_squared``, whatever the margin.
    """
    a, b = distances(tuples, TRIPLET_EPS)
    return F.relu(margin + (a - b)).mean()


@Loss
def triplet_squared(tuples: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean of max(0, margin + a² - b²) over all B x N triplets, those with zero loss included (SARE eq. 1; NetVLAD)."""
    a, b = distances(tuples)
    return F.relu(margin + (a.square() - b.square())).mean()


@Loss
def contrastive(tuples: Tensor) -> Tensor:
    """Mean over all B x N triplets of a²/2 + max(0, TAU - b)²/2 (SARE eq. 2).

    A triplet is cut into its two pairs, so a query's positive weighs as much as all of its negatives together.
    """
    a, b = distances(tuples)
    return (a.square().mean() + F.relu(TAU - b).square().mean()) / 2


# --- SARE: -log of the probability that the query picks its positive -----------------------------------------------
@Loss
def sare_gaussian_ind(tuples: Tensor) -> Tensor:
    """Mean of log(1 + exp(a² - b²)) over all B x N triplets (SARE eq. 3 and 4): "Our-Ind."."""
    a, b = distances(tuples)
    return log1pexp(a.square() - b.square()).mean()


@Loss
def sare_gaussian_joint(tuples: Tensor, normaliser: Normaliser = "pairs") -> Tensor:
    """Sum over queries of log(1 + sum_k exp(a² - b_k²)), normalised (SARE eq. 5, 6 and 9): "Our-Joint".

    ``"pairs"`` divides by B x N, as the authors' code and DVGL do; ``"queries"`` by B, as OpenIBL does: N times larger.
    """
    a, b = distances(tuples)
    return joint(a.square() - b.square(), normaliser)


@Loss
def sare_cauchy_ind(tuples: Tensor) -> Tensor:
    """Mean of log(1 + (1 + a²) / (1 + b²)) over all B x N triplets (SARE eq. 3, Cauchy kernel)."""
    a, b = distances(tuples)
    return log1pexp(a.square().log1p() - b.square().log1p()).mean()


@Loss
def sare_cauchy_joint(tuples: Tensor, normaliser: Normaliser = "pairs") -> Tensor:
    """Sum over queries of log(1 + sum_k (1 + a²) / (1 + b_k²)), normalised as ``sare_gaussian_joint`` (SARE eq. 13)."""
    a, b = distances(tuples)
    return joint(a.square().log1p() - b.square().log1p(), normaliser)


@Loss
def sare_exponential_ind(tuples: Tensor) -> Tensor:
    """Mean of log(1 + exp(a - b)) over all B x N triplets (SARE eq. 3, exponential kernel)."""
    a, b = distances(tuples)
    return log1pexp(a - b).mean()


@Loss
def sare_exponential_joint(tuples: Tensor, normaliser: Normaliser = "pairs") -> Tensor:
    """Sum over queries of log(1 + sum_k exp(a - b_k)), normalised as ``sare_gaussian_joint`` (SARE eq. 17)."""
    a, b = distances(tuples)
    return joint(a - b, normaliser)


# --- parts ---------------------------------------------------------------------------------------------------------
def distances(tuples: Tensor, eps: float = 0.0) -> tuple[Tensor, Tensor]:
    """a (B, 1) = ||q - p + eps|| and b (B, N) = ||q - n_k + eps||."""
    found = Distances.apply(precise(tuples), eps)  # (B, 1 + N)
    return found.split([1, found.shape[1] - 1], dim=1)


def parts(tuples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B, 1, D), positives (B, 1, D) and negatives (B, N, D); their gradients are joined by one copy."""
    return precise(tuples).split([1, 1, tuples.shape[1] - 2], dim=1)


def precise(x: Tensor) -> Tensor:
    """The same numbers in float32, or float64 as they are."""
    return x if x.dtype == torch.float64 else x.float()


def dots(centres: Tensor, others: Tensor) -> Tensor:
    """Dot products (B, K) of centres (B, 1, D) and others (B, K, D); no matmul: autocast would round it."""
    return (centres * others).sum(dim=-1)


def log1pexp(x: Tensor) -> Tensor:
    """log(1 + e^x), exact in float64 too: below torch's default threshold of 20 it would stop at nine digits."""
    return F.softplus(x, threshold=40.0)


def joint(exponents: Tensor, normaliser: Normaliser) -> Tensor:
    """Sum over queries of log(1 + sum_k e^x_k) for x (B, N), divided as ``normaliser`` says."""
    count = {"pairs": exponents.numel(), "queries": len(exponents)}[normaliser]  # B · N or B
    return log1pexp(exponents.logsumexp(dim=1)).sum() / count  # of (B,)
