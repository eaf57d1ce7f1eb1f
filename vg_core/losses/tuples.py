"""Losses over tuples: one query, its positive, its negatives.

Each is written for whole tuples (B, 2 + N, D) and called as ``loss(queries (B, D), positives (B, D), negatives
(B, N, D)) -> scalar`` or, without a copy, as ``loss.whole(tuples)``. Half precision is computed in float32 (float64
stays), zero distances have finite gradients, and nothing loops over queries or negatives. Below, a (B, 1) is ||q - p||
and b (B, N) is ||q - n||; descriptors are meant to be unit vectors, though only ``n_pair`` and ``angular`` rely on it.
"SARE" is Liu, Li, Dai, ICCV 2019.
"""

import math
from collections.abc import Callable
from functools import partial, update_wrapper
from inspect import signature
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from vg_core.losses.kernels import Distances
from vg_core.system.errors import ByName

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
    a, b = _distances(tuples, TRIPLET_EPS)
    return F.relu(margin + (a - b)).mean()


@Loss
def triplet_squared(tuples: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean of max(0, margin + a² - b²) over all B x N triplets, those with zero loss included (SARE eq. 1; NetVLAD)."""
    a, b = _distances(tuples)
    return F.relu(margin + (a.square() - b.square())).mean()


@Loss
def contrastive(tuples: Tensor) -> Tensor:
    """Mean over all B x N triplets of a²/2 + max(0, TAU - b)²/2 (SARE eq. 2).

    A triplet is cut into its two pairs, so a query's positive weighs as much as all of its negatives together.
    """
    a, b = _distances(tuples)
    return (a.square().mean() + F.relu(TAU - b).square().mean()) / 2


# --- SARE: -log of the probability that the query picks its positive -----------------------------------------------
@Loss
def sare_gaussian_ind(tuples: Tensor) -> Tensor:
    """Mean of log(1 + exp(a² - b²)) over all B x N triplets (SARE eq. 3 and 4): "Our-Ind."."""
    a, b = _distances(tuples)
    return _log1pexp(a.square() - b.square()).mean()


@Loss
def sare_gaussian_joint(tuples: Tensor, normaliser: Normaliser = "pairs") -> Tensor:
    """Sum over queries of log(1 + sum_k exp(a² - b_k²)), normalised (SARE eq. 5, 6 and 9): "Our-Joint".

    ``"pairs"`` divides by B x N, as the authors' code and DVGL do; ``"queries"`` by B, as OpenIBL does: N times larger.
    """
    a, b = _distances(tuples)
    return _joint(a.square() - b.square(), normaliser)


@Loss
def sare_cauchy_ind(tuples: Tensor) -> Tensor:
    """Mean of log(1 + (1 + a²) / (1 + b²)) over all B x N triplets (SARE eq. 3, Cauchy kernel)."""
    a, b = _distances(tuples)
    return _log1pexp(a.square().log1p() - b.square().log1p()).mean()


@Loss
def sare_cauchy_joint(tuples: Tensor, normaliser: Normaliser = "pairs") -> Tensor:
    """Sum over queries of log(1 + sum_k (1 + a²) / (1 + b_k²)), normalised as ``sare_gaussian_joint`` (SARE eq. 13)."""
    a, b = _distances(tuples)
    return _joint(a.square().log1p() - b.square().log1p(), normaliser)


@Loss
def sare_exponential_ind(tuples: Tensor) -> Tensor:
    """Mean of log(1 + exp(a - b)) over all B x N triplets (SARE eq. 3, exponential kernel)."""
    a, b = _distances(tuples)
    return _log1pexp(a - b).mean()


@Loss
def sare_exponential_joint(tuples: Tensor, normaliser: Normaliser = "pairs") -> Tensor:
    """Sum over queries of log(1 + sum_k exp(a - b_k)), normalised as ``sare_gaussian_joint`` (SARE eq. 17)."""
    a, b = _distances(tuples)
    return _joint(a - b, normaliser)


# --- rivals of the paper -------------------------------------------------------------------------------------------
@Loss
def n_pair(tuples: Tensor) -> Tensor:
    """Mean over queries of log(1 + sum_k exp(q·n_k - q·p)) (Sohn, NeurIPS 2016, eq. 3).

    On unit vectors this is ``sare_gaussian_joint`` with both squared distances halved.
    """
    q, p, n = _parts(tuples)
    return _joint(_dots(q, n) - _dots(q, p), "queries")


@Loss
def angular(tuples: Tensor, alpha_degrees: float = 45.0) -> Tensor:
    """Mean over queries of log(1 + sum_k exp(4t (q + p)·n_k - 2(1 + t) q·p)), t = tan² alpha.

    N-pair form of Wang et al., ICCV 2017, eq. 8.
    """
    q, p, n = _parts(tuples)
    t = math.tan(math.radians(alpha_degrees)) ** 2
    return _joint(4 * t * _dots(q + p, n) - 2 * (1 + t) * _dots(q, p), "queries")


@Loss
def lifted(tuples: Tensor, alpha: float = 1.0) -> Tensor:
    """Mean over queries of max(0, J)²/2 with J = a + log sum_k (exp(alpha - ||q - n_k||) + exp(alpha - ||p - n_k||)).

    Smooth form of Oh Song et al., CVPR 2016, eq. 4; SARE names no margin, the original's 1 is the default.
    """
    q, p, n = _parts(tuples)
    a, b = _distances(tuples)
    _, from_positive = _distances(torch.cat([p, q, n], dim=1))  # (B, N)
    apart = torch.cat([b, from_positive], dim=1)  # (B, 2N)
    j = a[:, 0] + (alpha - apart).logsumexp(dim=1)  # (B,)
    return F.relu(j).square().mean() / 2


@Loss
def ratio(tuples: Tensor) -> Tensor:
    """Mean of 2 (e^a / (e^a + e^b))² over all B x N triplets (Hoffer & Ailon, SIMBAD 2015, squared-error form)."""
    a, b = _distances(tuples)
    return 2 * torch.sigmoid(a - b).square().mean()


# --- parts ---------------------------------------------------------------------------------------------------------
def _distances(tuples: Tensor, eps: float = 0.0) -> tuple[Tensor, Tensor]:
    """a (B, 1) = ||q - p + eps|| and b (B, N) = ||q - n_k + eps||."""
    distances = Distances.apply(_precise(tuples), eps)  # (B, 1 + N)
    return distances.split([1, distances.shape[1] - 1], dim=1)


def _parts(tuples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B, 1, D), positives (B, 1, D) and negatives (B, N, D); their gradients are joined by one copy."""
    return _precise(tuples).split([1, 1, tuples.shape[1] - 2], dim=1)


def _precise(x: Tensor) -> Tensor:
    """The same numbers in float32, or float64 as they are."""
    return x if x.dtype == torch.float64 else x.float()


def _dots(centres: Tensor, others: Tensor) -> Tensor:
    """Dot products (B, K) of centres (B, 1, D) and others (B, K, D); no matmul: autocast would round it."""
    return (centres * others).sum(dim=-1)


def _log1pexp(x: Tensor) -> Tensor:
    """log(1 + e^x), exact in float64 too: below torch's default threshold of 20 it would stop at nine digits."""
    return F.softplus(x, threshold=40.0)


def _joint(exponents: Tensor, normaliser: Normaliser) -> Tensor:
    """Sum over queries of log(1 + sum_k e^x_k) for x (B, N), divided as ``normaliser`` says."""
    parts = {"pairs": exponents.numel(), "queries": len(exponents)}[normaliser]  # B · N or B
    return _log1pexp(exponents.logsumexp(dim=1)).sum() / parts  # of (B,)


# --- by name -------------------------------------------------------------------------------------------------------
# all losses above, in their order
LOSSES: dict[str, Loss] = ByName("loss", {name: one for name, one in vars().items() if isinstance(one, Loss)})


def make_loss(name: str, margin: float = MARGIN, normaliser: Normaliser = "pairs") -> Loss:
    """The loss called ``name`` with its options bound, to be called with tuples alone.

    KeyError for an unknown name. ValueError for an option other than its default that this loss does not have: it would
    be a difference between two runs that makes none.
    """
    loss, bound = LOSSES[name], {}
    for option, value, default in (("margin", margin, MARGIN), ("normaliser", normaliser, "pairs")):
        if option in signature(loss.whole).parameters:
            bound[option] = value
        elif value != default:
            raise ValueError(f"{option}={value} does nothing to the loss {name!r}; leave it at {default}")
    return Loss(partial(loss.whole, **bound)) if bound else loss
