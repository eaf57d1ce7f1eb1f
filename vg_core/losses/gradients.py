"""The paper's gradients in closed form, and tables that lay autograd's beside them (SARE, table 1, equations 10–20,
figures 3 and 4).

The losses here depend on a = ||q - p|| and b = ||q - n|| alone. Then dL/dp points along p - q and dL/dn along q - n,
and two lengths say everything: ``pull`` = |dL/dp| and ``push`` = |dL/dn|, as functions of a and b. At distance 0 they
are limits; autograd, for want of a direction, answers 0 there. A force is minus a gradient: what a step of descent
would do to a descriptor if it were free to move.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional as F

from vg_core.losses.by_name import LOSSES, make_loss
from vg_core.losses.tuples import MARGIN, TAU, Loss
from vg_core.system.errors import ByName

Forces = tuple[Tensor, Tensor]  # pull, push
Formula = Callable[[Tensor, Tensor], Forces]

FIGURE_3 = {  # the objectives of figures 3 and 4 and of table 1, by the names they have there
    "triplet, squared": "triplet_squared",
    "contrastive": "contrastive",
    "Gaussian": "sare_gaussian_ind",
    "Cauchy": "sare_cauchy_ind",
    "exponential": "sare_exponential_ind",
}
EQUATIONS = {  # where the paper has dL/dq, dL/dp and dL/dn
    "sare_gaussian_joint": ("eq. 12", "eq. 10", "eq. 11"),
    "sare_cauchy_joint": ("eq. 16", "eq. 14", "eq. 15"),
    "sare_exponential_joint": ("eq. 20", "eq. 18", "eq. 19"),
}
TOLERANCE = 1e-12  # float64 carries 16 digits; rounding of a few operations stays far below


# --- table 1: one negative; a and b of any shape -------------------------------------------------------------------
def _triplet_squared(a: Tensor, b: Tensor) -> Forces:
    active = (MARGIN + a.square() - b.square() > 0).to(a)  # 1 where the hinge is not zero
    return active * 2 * a, active * 2 * b


def _contrastive(a: Tensor, b: Tensor) -> Forces:
    return a + 0 * b, (TAU - b).clamp(min=0) + 0 * a


def _gaussian(a: Tensor, b: Tensor) -> Forces:
    missed = 1 - 1 / (1 + torch.exp(a**2 - b**2))  # 1 - c
    return 2 * missed * a, 2 * missed * b


def _cauchy(a: Tensor, b: Tensor) -> Forces:
    missed = 1 - 1 / (1 + (1 + a**2) / (1 + b**2))
    return 2 * missed * a / (1 + a**2), 2 * missed * b / (1 + b**2)


def _exponential(a: Tensor, b: Tensor) -> Forces:
    missed = 1 - 1 / (1 + torch.exp(a - b))
    return missed, missed


_FORMULAS = _triplet_squared, _contrastive, _gaussian, _cauchy, _exponential
TABLE_1: dict[str, Formula] = ByName(
    "loss with a gradient in table 1", dict(zip(FIGURE_3.values(), _FORMULAS, strict=True))
)


# --- equations 10–20: N negatives at once; a (B, 1), b (B, N) -> pull (B, 1), push (B, N) --------------------------
def _gaussian_joint(a: Tensor, b: Tensor) -> Forces:
    r = torch.exp(a**2 - b**2)  # (B, N)
    eta = 1 + r.sum(dim=1, keepdim=True)  # (B, 1)
    return 2 / eta * r.sum(dim=1, keepdim=True) * a, 2 / eta * r * b  # eq. 10, 11


def _cauchy_joint(a: Tensor, b: Tensor) -> Forces:
    eta = 1 + ((1 + a**2) / (1 + b**2)).sum(dim=1, keepdim=True)  # (B, 1)
    pull = (2 / (eta * (1 + b**2))).sum(dim=1, keepdim=True) * a  # eq. 14
    return pull, 2 * (1 + a**2) / (eta * (1 + b**2) ** 2) * b  # eq. 15


def _exponential_joint(a: Tensor, b: Tensor) -> Forces:
    r = torch.exp(a - b)  # (B, N)
    eta = 1 + r.sum(dim=1, keepdim=True)  # (B, 1)
    return r.sum(dim=1, keepdim=True) / eta, r / eta  # eq. 18, 19


JOINT: dict[str, Formula] = dict(zip(EQUATIONS, (_gaussian_joint, _cauchy_joint, _exponential_joint), strict=True))


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
    dp = pull.sum(dim=1, keepdim=True) * F.normalize(to_positive[:, 0], dim=-1)  # (B, D)
    dn = push[..., None] * F.normalize(from_negatives, dim=-1)  # (B, N, D)
    return -dp - dn.sum(dim=1), dp, dn  # eq. 12, 16, 20


def paper_loss(name: str) -> Loss:
    """The loss of a name of ``LOSSES`` as the paper writes it: Joint undivided by the number of negatives (eq. 7)."""
    return make_loss(name, normaliser="queries") if name in JOINT else LOSSES[name]


def check_gradients(name: str, loss: Loss | None = None, tuples: int = 200) -> pd.DataFrame:
    """How far autograd's gradients of a loss are from the paper's, a row for each of dL/dq, dL/dp and dL/dn.

    ``name`` is a key of ``TABLE_1`` or ``JOINT`` and says which formulas; ``loss`` is held against them, by default the
    loss of that name. Columns: loss, gradient, source (place in SARE), deviation (largest absolute one over random
    tuples of unit vectors, with 1 and with 10 negatives), verdict: "confirmed" below 1e-12, else "refuted".
    """
    loss, deviations = loss or paper_loss(name), []
    for negatives in (1, 10):
        leaves = [x.requires_grad_() for x in _unit_tuples(tuples, negatives)]
        measured = torch.autograd.grad(loss(*leaves) * tuples, leaves)  # of the sum of each query's own loss
        formulas = gradients(name, *(x.detach() for x in leaves))
        deviations.append([(m - f).abs().max().item() for m, f in zip(measured, formulas, strict=True)])
    sources = EQUATIONS.get(name, ("section 5", "table 1", "table 1"))
    table = pd.DataFrame({"loss": name, "gradient": ["dL/dq", "dL/dp", "dL/dn"], "source": sources})
    return _with_verdicts(table.assign(deviation=np.max(deviations, axis=0)))


def check_joint_losses(tuples: int = 200) -> pd.DataFrame:
    """How far the values of the Joint losses are from equations 9, 13 and 17; columns as of ``check_gradients``."""
    q, p, n = _unit_tuples(tuples, 10)
    a, b = (q - p).norm(dim=-1, keepdim=True), (q[:, None] - n).norm(dim=-1)  # (B, 1), (B, N)
    ratios = {"eq. 9": torch.exp(a**2 - b**2), "eq. 13": (1 + a**2) / (1 + b**2), "eq. 17": torch.exp(a - b)}
    rows = []
    for name, (source, ratio) in zip(JOINT, ratios.items(), strict=True):
        ours = torch.stack([paper_loss(name)(*one) for one in zip(q.split(1), p.split(1), n.split(1), strict=True)])
        deviation = (ours - (1 + ratio.sum(dim=1)).log()).abs().max().item()
        rows.append({"loss": name, "gradient": "L", "source": source, "deviation": deviation})
    return _with_verdicts(pd.DataFrame(rows))


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(verdict=np.where(table.deviation < TOLERANCE, "confirmed", "refuted"))  # NaN is refuted


def _unit_tuples(count: int, negatives: int) -> tuple[Tensor, Tensor, Tensor]:
    """Random unit vectors in space: in few dimensions distances differ, and hinges are met on both sides."""
    x = torch.randn(count, 2 + negatives, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = F.normalize(x, dim=-1)
    return x[:, 0], x[:, 1], x[:, 2:]


# --- forces over distances, and in the plane -----------------------------------------------------------------------
def measured_forces(loss: Loss, a: Tensor, b: Tensor) -> Forces:
    """Pull and push of a loss by autograd, for triplets whose positive is ``a`` and negative ``b`` from the query.

    ``a`` and ``b`` broadcast, as the two sides of a grid; both results have their common shape. Only for the losses of
    ``TABLE_1``: the points are no unit vectors, and the positive lies sqrt(a² + b²) from the negative.
    """
    a, b = torch.broadcast_tensors(a, b)
    zero = torch.zeros_like(a).flatten()
    queries = torch.stack([zero, zero], dim=1)  # (B, 2)
    positives = torch.stack([a.flatten(), zero], dim=1).requires_grad_()  # (B, 2)
    negatives = torch.stack([zero, b.flatten()], dim=1)[:, None].requires_grad_()  # (B, 1, 2)
    mean = loss(queries, positives, negatives)
    dp, dn = torch.autograd.grad(mean * len(zero), (positives, negatives))
    return dp.norm(dim=-1).view(a.shape), dn.norm(dim=-1).view(a.shape)


def force_table(losses: Mapping[str, str], a: Sequence[float], b: Sequence[float]) -> pd.DataFrame:
    """Forces of triplets whose positive is ``a`` and negative ``b`` from the query: every a with every b.

    ``losses`` maps the name of each variant to a key of ``TABLE_1``. Columns: variant, a, b; pull = |dL/dp| and push =
    |dL/dn| by autograd; pull_formula and push_formula in closed form.
    """
    grid = torch.meshgrid(*(torch.as_tensor(np.asarray(x, float)) for x in (a, b)), indexing="ij")  # (A, B), (A, B)
    names, tables = ("a", "b", "pull", "push", "pull_formula", "push_formula"), []
    for variant, name in losses.items():
        columns = (*grid, *measured_forces(LOSSES[name], *grid), *TABLE_1[name](*grid))
        table = {column: x.flatten().numpy() for column, x in zip(names, columns, strict=True)}
        tables.append(pd.DataFrame(table).assign(variant=variant))
    return pd.concat(tables, ignore_index=True)


def tuple_forces(
    losses: Mapping[str, str], query: Sequence[float], positive: Sequence[float], negatives: Sequence[Sequence[float]]
) -> pd.DataFrame:
    """Force on each point of one tuple in the plane under each loss, and the loss, as ``paper_loss`` has it.

    ``losses`` maps the name of each variant to a key of ``LOSSES``; points are pairs (x, y). Columns: variant, loss,
    role (query, positive or negative), x, y, force_x, force_y.
    """
    points = np.array([query, positive, *negatives], dtype=float)  # (2 + N, 2)
    roles, tables = ["query", "positive"] + ["negative"] * len(negatives), []
    for variant, name in losses.items():
        leaf = torch.tensor(points, requires_grad=True)
        loss = paper_loss(name).whole(leaf[None])
        (gradient,) = torch.autograd.grad(loss, leaf)  # (2 + N, 2)
        columns = {"x": points[:, 0], "y": points[:, 1], "force_x": -gradient[:, 0], "force_y": -gradient[:, 1]}
        tables.append(pd.DataFrame({"variant": variant, "loss": loss.item(), "role": roles} | columns))
    return pd.concat(tables, ignore_index=True)
