"""Forces of the losses as tables: measured by autograd in float64, and beside them the closed forms of ``theory``.

A force is minus a gradient: what a step of descent would do to a descriptor if it were free to move.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn import functional as F

from vg_core.losses.theory import JOINT, TABLE_1, gradients, measured_forces
from vg_core.losses.tuples import LOSSES, Loss, make_loss

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


def paper_loss(name: str) -> Loss:
    """The loss of a name of ``LOSSES`` as the paper writes it: Joint undivided by the number of negatives (eq. 7)."""
    return make_loss(name, normaliser="queries") if name in JOINT else LOSSES[name]


def force_table(losses: Mapping[str, str], a: Sequence[float], b: Sequence[float]) -> pd.DataFrame:
    """Forces of triplets whose positive is ``a`` and negative ``b`` from the query: every a with every b.

    ``losses`` maps the name of each variant to a key of ``TABLE_1``. Columns: variant, a, b; pull = |dL/dp| and push =
    |dL/dn| by autograd; pull_formula and push_formula in closed form. At distance 0 autograd has no direction and
    answers 0, where the formula has the limit.
    """
    grid = torch.meshgrid(*(torch.as_tensor(np.asarray(x, float)) for x in (a, b)), indexing="ij")
    tables = []
    for variant, name in losses.items():
        formulas, measured = TABLE_1[name](*grid), measured_forces(LOSSES[name], *grid)
        columns = dict(zip(("a", "b", "pull", "push"), (*grid, *measured), strict=True))
        columns |= dict(zip(("pull_formula", "push_formula"), formulas, strict=True))
        tables.append(pd.DataFrame({key: x.flatten().numpy() for key, x in columns.items()}).assign(variant=variant))
    return pd.concat(tables, ignore_index=True)


def check_gradients(name: str, loss: Loss | None = None, tuples: int = 200, seed: int = 0) -> pd.DataFrame:
    """How far autograd's gradients of a loss are from the paper's, a row for each of dL/dq, dL/dp and dL/dn.

    ``name`` is a key of ``TABLE_1`` or ``JOINT`` and says which formulas; ``loss`` is held against them, by default the
    loss of that name. Columns: loss, gradient, source (place in SARE), deviation (largest absolute one over random
    tuples of unit vectors, with 1 and with 10 negatives), verdict: "confirmed" below 1e-12, else "refuted".
    """
    loss = loss or paper_loss(name)
    batches = [_unit_tuples(tuples, negatives, seed) for negatives in (1, 10)]
    deviations = np.max([_deviations(name, loss, batch) for batch in batches], axis=0)
    sources = EQUATIONS.get(name, ("section 5", "table 1", "table 1"))
    table = pd.DataFrame({"loss": name, "gradient": ["dL/dq", "dL/dp", "dL/dn"], "source": sources})
    verdicts = np.where(deviations < TOLERANCE, "confirmed", "refuted")  # NaN is refuted
    return table.assign(deviation=deviations, verdict=verdicts)


def tuple_forces(
    losses: Mapping[str, str], query: Sequence[float], positive: Sequence[float], negatives: Sequence[Sequence[float]]
) -> pd.DataFrame:
    """Force on each point of one tuple in the plane under each loss, and the loss, as ``paper_loss`` has it.

    ``losses`` maps the name of each variant to a key of ``LOSSES``; points are pairs (x, y). Columns: variant, loss,
    role (query, positive or negative), x, y, force_x, force_y.
    """
    points = np.array([query, positive, *negatives], dtype=float)  # (2 + N, 2)
    roles = ["query", "positive"] + ["negative"] * len(negatives)
    tables = []
    for variant, name in losses.items():
        leaf = torch.tensor(points, requires_grad=True)
        loss = paper_loss(name)(leaf[:1], leaf[1:2], leaf[None, 2:])
        (gradient,) = torch.autograd.grad(loss, leaf)
        columns = {"x": points[:, 0], "y": points[:, 1], "force_x": -gradient[:, 0], "force_y": -gradient[:, 1]}
        tables.append(pd.DataFrame({"variant": variant, "loss": loss.item(), "role": roles} | columns))
    return pd.concat(tables, ignore_index=True)


def _unit_tuples(count: int, negatives: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Random unit vectors in space: in few dimensions distances differ, and hinges are met on both sides."""
    x = torch.randn(count, 2 + negatives, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = F.normalize(x, dim=-1)
    return x[:, 0], x[:, 1], x[:, 2:]


def _deviations(name: str, loss: Loss, batch: Sequence[torch.Tensor]) -> list[float]:
    """Largest absolute differences of dL/dq, dL/dp, dL/dn, for the sum over queries of each query's own loss."""
    leaves = [x.clone().requires_grad_() for x in batch]
    measured = torch.autograd.grad(loss(*leaves) * len(leaves[0]), leaves)
    return [(m - f).abs().max().item() for m, f in zip(measured, gradients(name, *batch), strict=True)]
