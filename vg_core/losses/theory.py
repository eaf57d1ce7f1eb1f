"""Gradients in closed form, beside which autograd's can be laid (SARE, table 1, equations 10–20, figures 3 and 4).

The losses here depend on a = ||q - p|| and b = ||q - n|| alone. Then dL/dp points along p - q and dL/dn along q - n,
and two lengths say everything: ``pull`` = |dL/dp| and ``push`` = |dL/dn|, as functions of a and b. At distance 0 they
are limits; autograd, for want of a direction, answers 0 there.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from vg_core.registry import ByName

Forces = tuple[Tensor, Tensor]  # pull, push


# --- table 1: one negative; a and b of any shape -------------------------------------------------------------------
def _triplet(a: Tensor, b: Tensor, margin: float = 0.1) -> Forces:
    active = (margin + a - b > 0).to(a)
    return active, active


def _triplet_squared(a: Tensor, b: Tensor, margin: float = 0.1) -> Forces:
    active = (margin + a.square() - b.square() > 0).to(a)
    return active * 2 * a, active * 2 * b


def _contrastive(a: Tensor, b: Tensor, tau: float = 0.7) -> Forces:
    return a + 0 * b, (tau - b).clamp(min=0) + 0 * a


def _gaussian(a: Tensor, b: Tensor) -> Forces:
    missed = 1 - 1 / (1 + torch.exp(a**2 - b**2))  # 1 - c
    return 2 * missed * a, 2 * missed * b


def _cauchy(a: Tensor, b: Tensor) -> Forces:
    missed = 1 - 1 / (1 + (1 + a**2) / (1 + b**2))
    return 2 * missed * a / (1 + a**2), 2 * missed * b / (1 + b**2)


def _exponential(a: Tensor, b: Tensor) -> Forces:
    missed = 1 - 1 / (1 + torch.exp(a - b))
    return missed, missed


TABLE_1: dict[str, Callable[[Tensor, Tensor], Forces]] = ByName(
    "loss with a gradient in table 1",
    {
        "triplet": _triplet,  # not in the paper: the skeleton's unsquared form
        "triplet_squared": _triplet_squared,
        "contrastive": _contrastive,
        "sare_gaussian_ind": _gaussian,
        "sare_cauchy_ind": _cauchy,
        "sare_exponential_ind": _exponential,
    },
)


# --- equations 10–20: N negatives at once; a (B, 1), b (B, N) -> pull (B, 1), push (B, N) --------------------------
def _gaussian_joint(a: Tensor, b: Tensor) -> Forces:
    r = torch.exp(a**2 - b**2)
    eta = 1 + r.sum(dim=1, keepdim=True)
    return 2 / eta * r.sum(dim=1, keepdim=True) * a, 2 / eta * r * b  # eq. 10, 11


def _cauchy_joint(a: Tensor, b: Tensor) -> Forces:
    eta = 1 + ((1 + a**2) / (1 + b**2)).sum(dim=1, keepdim=True)
    pull = (2 / (eta * (1 + b**2))).sum(dim=1, keepdim=True) * a  # eq. 14
    return pull, 2 * (1 + a**2) / (eta * (1 + b**2) ** 2) * b  # eq. 15


def _exponential_joint(a: Tensor, b: Tensor) -> Forces:
    r = torch.exp(a - b)
    eta = 1 + r.sum(dim=1, keepdim=True)
    return r.sum(dim=1, keepdim=True) / eta, r / eta  # eq. 18, 19


JOINT: dict[str, Callable[[Tensor, Tensor], Forces]] = {
    "sare_gaussian_joint": _gaussian_joint,
    "sare_cauchy_joint": _cauchy_joint,
    "sare_exponential_joint": _exponential_joint,
}


# --- whole gradients -----------------------------------------------------------------------------------------------
def gradients(name: str, queries: Tensor, positives: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dL/dq (B, D), dL/dp (B, D), dL/dn (B, N, D) of each query's own loss, for a key of ``TABLE_1`` or ``JOINT``.

    Losses of table 1 are averaged over a query's negatives; Joint ones are not normalised (eq. 7).
    """
    to_positive = (positives - queries)[:, None]  # (B, 1, D)
    from_negatives = queries[:, None] - negatives  # (B, N, D)
    a, b = to_positive.norm(dim=-1), from_negatives.norm(dim=-1)  # (B, 1), (B, N)
    if name in JOINT:
        pull, push = JOINT[name](a, b)
    else:
        pull, push = (force / b.shape[1] for force in TABLE_1[name](a, b))
    dp = pull.sum(dim=1, keepdim=True) * F.normalize(to_positive[:, 0], dim=-1)
    dn = push[..., None] * F.normalize(from_negatives, dim=-1)
    return -dp - dn.sum(dim=1), dp, dn  # eq. 12, 16, 20


def measured_forces(loss: Callable[[Tensor, Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Forces:
    """Pull and push of a loss by autograd, for triplets whose positive is ``a`` and negative ``b`` from the query.

    ``a`` and ``b`` broadcast, as the two sides of a grid; both results have their common shape. Only for the losses of
    ``TABLE_1``: the points are no unit vectors, and the positive lies sqrt(a² + b²) from the negative.
    """
    a, b = torch.broadcast_tensors(a, b)
    zero = torch.zeros_like(a).flatten()
    queries = torch.stack([zero, zero], dim=1)
    positives = torch.stack([a.flatten(), zero], dim=1).requires_grad_()
    negatives = torch.stack([zero, b.flatten()], dim=1)[:, None].requires_grad_()
    mean = loss(queries, positives, negatives)
    dp, dn = torch.autograd.grad(mean * len(zero), (positives, negatives))
    return dp.norm(dim=-1).view(a.shape), dn.norm(dim=-1).view(a.shape)
