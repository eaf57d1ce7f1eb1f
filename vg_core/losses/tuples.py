"""Losses over tuples: one query, its positive, its negatives.

Every loss is ``loss(queries (B, D), positives (B, D), negatives (B, N, D)) -> scalar`` and takes tuples whole. Half
precision is computed in float32 (float64 stays), zero distances have finite gradients, and nothing loops over queries
or negatives. Below, a = ||q - p|| and b = ||q - n||; descriptors are meant to be unit vectors, though only ``n_pair``
and ``angular`` rely on it. "SARE" is Liu, Li, Dai, ICCV 2019.
"""

import math
from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from vg_core.registry import ByName

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
Normaliser = Literal["pairs", "queries"]

MARGIN = 0.1
TRIPLET_EPS = 1e-6  # torch's TripletMarginLoss adds it to the difference, so the skeleton's numbers contain it
TINY = 1e-18  # smaller distances are not to be trusted: their squares vanish in float32


# --- hinges: what lies beyond a margin is not pushed ---------------------------------------------------------------
def triplet(queries: Tensor, positives: Tensor, negatives: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean of max(0, margin + a - b) over all B x N triplets, those with zero loss included.

    Equal to ``torch.nn.TripletMarginLoss(margin, p=2)``, as in the assignment's skeleton. Unsquared distances: another
    loss than ``triplet_squared``, whatever the margin.
    """
    return F.relu(margin + _gap(_distances(queries, positives, negatives, TRIPLET_EPS))).mean()


def triplet_squared(queries: Tensor, positives: Tensor, negatives: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean of max(0, margin + a² - b²) over all B x N triplets, those with zero loss included (SARE eq. 1; NetVLAD)."""
    return F.relu(margin + _gap(_distances(queries, positives, negatives).square())).mean()


def contrastive(queries: Tensor, positives: Tensor, negatives: Tensor, tau: float = 0.7) -> Tensor:
    """Mean over all B x N triplets of a²/2 + max(0, tau - b)²/2 (SARE eq. 2).

    A triplet is cut into its two pairs, so a query's positive weighs as much as all of its negatives together.
    """
    distances = _distances(queries, positives, negatives)
    a, b = distances[:, 0], distances[:, 1:]
    return (a.square().mean() + F.relu(tau - b).square().mean()) / 2


# --- SARE: -log of the probability that the query picks its positive -----------------------------------------------
def sare_gaussian_ind(queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of log(1 + exp(a² - b²)) over all B x N triplets (SARE eq. 3 and 4): "Our-Ind."."""
    return _log1pexp(_gap(_distances(queries, positives, negatives).square())).mean()


def sare_cauchy_ind(queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of log(1 + (1 + a²) / (1 + b²)) over all B x N triplets (SARE eq. 3, Cauchy kernel)."""
    return _log1pexp(_gap(_distances(queries, positives, negatives).square().log1p())).mean()


def sare_exponential_ind(queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of log(1 + exp(a - b)) over all B x N triplets (SARE eq. 3, exponential kernel)."""
    return _log1pexp(_gap(_distances(queries, positives, negatives))).mean()


def sare_gaussian_joint(
    queries: Tensor, positives: Tensor, negatives: Tensor, normaliser: Normaliser = "pairs"
) -> Tensor:
    """Sum over queries of log(1 + sum_k exp(a² - b_k²)), normalised (SARE eq. 5, 6 and 9): "Our-Joint".

    ``"pairs"`` divides by B x N, as the authors' code and DVGL do; ``"queries"`` by B, as OpenIBL does: N times larger.
    """
    return _joint(_gap(_distances(queries, positives, negatives).square()), normaliser)


def sare_cauchy_joint(
    queries: Tensor, positives: Tensor, negatives: Tensor, normaliser: Normaliser = "pairs"
) -> Tensor:
    """Sum over queries of log(1 + sum_k (1 + a²) / (1 + b_k²)), normalised as ``sare_gaussian_joint`` (SARE eq. 13)."""
    return _joint(_gap(_distances(queries, positives, negatives).square().log1p()), normaliser)


def sare_exponential_joint(
    queries: Tensor, positives: Tensor, negatives: Tensor, normaliser: Normaliser = "pairs"
) -> Tensor:
    """Sum over queries of log(1 + sum_k exp(a - b_k)), normalised as ``sare_gaussian_joint`` (SARE eq. 17)."""
    return _joint(_gap(_distances(queries, positives, negatives)), normaliser)


# --- rivals of the paper -------------------------------------------------------------------------------------------
def n_pair(queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean over queries of log(1 + sum_k exp(q·n_k - q·p)) (Sohn, NeurIPS 2016, eq. 3).

    On unit vectors this is ``sare_gaussian_joint`` with both squared distances halved.
    """
    q, p, n = _tuples(queries, positives, negatives)
    return _joint(_dots(q, n) - _dots(q, p[:, None]), "queries")


def angular(queries: Tensor, positives: Tensor, negatives: Tensor, alpha_degrees: float = 45.0) -> Tensor:
    """Mean over queries of log(1 + sum_k exp(4t (q + p)·n_k - 2(1 + t) q·p)), t = tan² alpha.

    N-pair form of Wang et al., ICCV 2017, eq. 8.
    """
    q, p, n = _tuples(queries, positives, negatives)
    t = math.tan(math.radians(alpha_degrees)) ** 2
    return _joint(4 * t * _dots(q + p, n) - 2 * (1 + t) * _dots(q, p[:, None]), "queries")


def lifted(queries: Tensor, positives: Tensor, negatives: Tensor, alpha: float = 1.0) -> Tensor:
    """Mean over queries of max(0, J)²/2 with J = a + log sum_k (exp(alpha - ||q - n_k||) + exp(alpha - ||p - n_k||)).

    Smooth form of Oh Song et al., CVPR 2016, eq. 4; SARE names no margin, the original's 1 is the default.
    """
    from_query = _distances(queries, positives, negatives)
    from_positive = _distances(positives, queries, negatives)
    apart = torch.cat([from_query[:, 1:], from_positive[:, 1:]], dim=1)  # (B, 2N)
    j = from_query[:, 0] + (alpha - apart).logsumexp(dim=1)
    return F.relu(j).square().mean() / 2


def ratio(queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Mean of 2 (e^a / (e^a + e^b))² over all B x N triplets (Hoffer & Ailon, SIMBAD 2015, squared-error form)."""
    return 2 * torch.sigmoid(_gap(_distances(queries, positives, negatives))).square().mean()


def split_tuples(descriptors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Queries (B, D), positives (B, D) and negatives (B, N, D) of whole tuples (B, 2 + N, D)."""
    return _Split.apply(descriptors)


# --- parts ---------------------------------------------------------------------------------------------------------
def _tuples(queries: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three in float32 or float64. ValueError if shapes differ: broadcasting would answer another question."""
    fits = negatives.ndim == 3 and negatives.shape[::2] == queries.shape == positives.shape
    if not fits or not negatives.numel():
        shapes = ", ".join(str(tuple(x.shape)) for x in (queries, positives, negatives))
        raise ValueError(f"queries, positives, negatives must be (B, D), (B, D), (B, N, D), N at least 1; got {shapes}")
    q, p, n = (x if x.dtype == torch.float64 else x.float() for x in (queries, positives, negatives))
    return q, p, n


class _Split(torch.autograd.Function):
    """Slices with one gradient: each of three by itself would bring back one as large as all, to be added up."""

    @staticmethod
    def forward(ctx, tuples: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.shape = tuples.shape
        return tuples[:, 0], tuples[:, 1], tuples[:, 2:]

    @staticmethod
    def backward(ctx, queries: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        parts, whole = (queries, positives, negatives), negatives._base
        places = [part.storage_offset() for part in parts if part._base is whole]
        if whole is not None and whole.shape == ctx.shape and places == [0, ctx.shape[2], 2 * ctx.shape[2]]:
            return whole  # `_Distances` has put them side by side
        return torch.cat([queries[:, None], positives[:, None], negatives], dim=1)


class _Distances(torch.autograd.Function):
    """Distances with a backward of their own: autograd's, through a norm and a subtraction, writes two copies of
    (B, 1 + N, D) more, which is most of a loss's time. Differences, not a Gram matrix: that one loses small distances.
    """

    @staticmethod
    def forward(ctx, queries: Tensor, positives: Tensor, negatives: Tensor, eps: float) -> Tensor:
        centres = (queries + eps if eps else queries)[:, None]  # (B, 1, D)
        differences = [others - centres for others in (positives[:, None], negatives)]
        distances = torch.cat([torch.linalg.vector_norm(one, dim=-1) for one in differences], dim=1)
        ctx.save_for_backward(*differences, distances)
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        to_positives, to_negatives, distances = ctx.saved_tensors
        scales = (gradient / distances.clamp_min(TINY))[..., None]  # 0 at distance 0
        whole = scales.new_empty(len(scales), 1 + scales.shape[1], to_negatives.shape[2])
        along_queries, along_others = whole[:, 0], whole[:, 1:]
        torch.mul(scales[:, :1], to_positives, out=along_others[:, :1])
        torch.mul(scales[:, 1:], to_negatives, out=along_others[:, 1:])
        torch.sum(along_others, dim=1, out=along_queries).neg_()
        return along_queries, whole[:, 1], whole[:, 2:], None


def _distances(queries: Tensor, positives: Tensor, negatives: Tensor, eps: float = 0.0) -> Tensor:
    """(B, 1 + N): of each query ||q - p + eps||, then ||q - n_1 + eps|| … ||q - n_N + eps||."""
    return _Distances.apply(*_tuples(queries, positives, negatives), eps)


def _dots(centres: Tensor, others: Tensor) -> Tensor:
    """Dot products (B, K) of centres (B, D) and others (B, K, D); no matmul: autocast would round it."""
    return (centres[:, None] * others).sum(dim=-1)


def _gap(values: Tensor) -> Tensor:
    """The positive's value minus each negative's, (B, N), from (B, 1 + N)."""
    positive, negatives = values.split([1, values.shape[1] - 1], dim=1)
    return positive - negatives


def _log1pexp(x: Tensor) -> Tensor:
    """log(1 + e^x), exact in float64 too: below torch's default threshold of 20 it would stop at nine digits."""
    return F.softplus(x, threshold=40.0)


def _joint(exponents: Tensor, normaliser: Normaliser) -> Tensor:
    """Sum over queries of log(1 + sum_k e^x_k) for x (B, N), divided as ``normaliser`` says."""
    if normaliser not in ("pairs", "queries"):
        raise ValueError(f"normaliser={normaliser!r} is unknown; choose 'pairs' (B x N) or 'queries' (B)")
    parts = exponents.numel() if normaliser == "pairs" else len(exponents)
    return _log1pexp(exponents.logsumexp(dim=1)).sum() / parts


# --- by name -------------------------------------------------------------------------------------------------------
LOSSES: dict[str, Loss] = ByName(
    "loss",
    {
        loss.__name__: loss
        for loss in (
            triplet,
            triplet_squared,
            contrastive,
            sare_gaussian_ind,
            sare_gaussian_joint,
            sare_cauchy_ind,
            sare_cauchy_joint,
            sare_exponential_ind,
            sare_exponential_joint,
            n_pair,
            angular,
            lifted,
            ratio,
        )
    },
)


def make_loss(name: str, margin: float = MARGIN, normaliser: Normaliser = "pairs") -> Loss:
    """The loss called ``name`` with its options bound, to be called with tuples alone.

    KeyError for an unknown name. ValueError for an option other than its default that this loss does not have: it would
    be a difference between two runs that makes none.
    """
    loss, defaults = LOSSES[name], {"margin": MARGIN, "normaliser": "pairs"}
    bound = {}
    for option, value in {"margin": margin, "normaliser": normaliser}.items():
        if option in signature(loss).parameters:
            bound[option] = value
        elif value != defaults[option]:
            raise ValueError(f"{option}={value} does nothing to the loss {name!r}; leave it at {defaults[option]}")
    return partial(loss, **bound) if bound else loss
