"""Losses over tuples that others proposed: SARE's rivals in its paper, and second-order, quadruplet and similar ones.

Shapes and what holds for all of them: see ``tuples``.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from vg_core.losses.kernels import Distances
from vg_core.losses.tuples import MARGIN, Loss, distances, dots, joint, log1pexp, parts, precise

SOS_LAMBDA = 10.0  # as SOLAR is trained; its code says 5 where nothing is said
TINY = 1e-12  # below a root, whose slope at zero is infinite


# --- of SARE's paper ------------------------------------------------------------------------------------------------
@Loss
def n_pair(tuples: Tensor) -> Tensor:
    """Mean over queries of log(1 + sum_k exp(q·n_k - q·p)) (Sohn, NeurIPS 2016, eq. 3).

    On unit vectors this is ``sare_gaussian_joint`` with both squared distances halved.
    """
    q, p, n = parts(tuples)
    return joint(dots(q, n) - dots(q, p), "queries")


@Loss
def angular(tuples: Tensor, alpha_degrees: float = 45.0) -> Tensor:
    """Mean over queries of log(1 + sum_k exp(4t (q + p)·n_k - 2(1 + t) q·p)), t = tan² alpha.

    N-pair form of Wang et al., ICCV 2017, eq. 8.
    """
    q, p, n = parts(tuples)
    t = math.tan(math.radians(alpha_degrees)) ** 2
    return joint(4 * t * dots(q + p, n) - 2 * (1 + t) * dots(q, p), "queries")


@Loss
def lifted(tuples: Tensor, alpha: float = 1.0) -> Tensor:
    """Mean over queries of max(0, J)²/2 with J = a + log sum_k (exp(alpha - ||q - n_k||) + exp(alpha - ||p - n_k||)).

    Smooth form of Oh Song et al., CVPR 2016, eq. 4; SARE names no margin, the original's 1 is the default.
    """
    a, b = distances(tuples)
    apart = torch.cat([b, _to_negatives(tuples, 1)], dim=1)  # (B, 2N)
    j = a[:, 0] + (alpha - apart).logsumexp(dim=1)  # (B,)
    return F.relu(j).square().mean() / 2


@Loss
def ratio(tuples: Tensor) -> Tensor:
    """Mean of 2 (e^a / (e^a + e^b))² over all B x N triplets (Hoffer & Ailon, SIMBAD 2015, squared-error form)."""
    a, b = distances(tuples)
    return 2 * torch.sigmoid(a - b).square().mean()


# --- of others ------------------------------------------------------------------------------------------------------
@Loss
def soft_margin_triplet(tuples: Tensor, alpha: float = 10.0) -> Tensor:
    """Mean of log(1 + exp(alpha (a² - b²))) over all B x N triplets (Hu, Feng, Nguyen, Lee, CVPR 2018, eq. 5).

    A hinge without a corner; alpha = 1 is ``sare_gaussian_ind``.
    """
    a, b = distances(tuples)
    return log1pexp(alpha * (a.square() - b.square())).mean()


@Loss
def multi_similarity(tuples: Tensor, alpha: float = 1.0, beta: float = 50.0, base: float = 0.0) -> Tensor:
    """Mean over queries of log(1 + exp(-alpha (q·p - base))) / alpha + log(1 + sum_k exp(beta (q·n_k - base))) / beta.

    Wang et al., CVPR 2019, eq. 15, with queries alone as anchors; constants of GSV-Cities (Ali-bey et al., 2022), whose
    batches of places ``multi_similarity_of_places`` is for.
    """
    q, p, n = parts(tuples)
    pull = joint(-alpha * (dots(q, p) - base), "queries") / alpha
    return pull + joint(beta * (dots(q, n) - base), "queries") / beta


@Loss
def sos(tuples: Tensor, margin: float = MARGIN, sos_lambda: float = SOS_LAMBDA) -> Tensor:
    """(Sum of max(0, margin + a² - b²) + sos_lambda · √(sum of (||q - n||² - ||p - n||²)²)) / B over all triplets.

    Second-order similarity: query and positive should be equally far from each negative. One root over the whole batch,
    so that its tuples count together: the loss of a batch is no mean of its parts' losses. SOLAR (Ng, Balntas, Tian,
    Mikolajczyk, ECCV 2020) has a margin of 1.25.
    """
    a, b = distances(tuples)
    second = (b.square() - _to_negatives(tuples, 1).square()).square().sum()  # ()
    first = F.relu(margin + (a.square() - b.square())).sum()  # ()
    return (first + sos_lambda * (second + TINY).sqrt()) / len(tuples)


@Loss
def hphn_quadruplet(tuples: Tensor, margin: float = MARGIN) -> Tensor:
    """Mean over queries of max(0, margin + a² - min(||q - n_k||², ||n* - n_k||²)), the least over all k.

    n* is the last negative, an image that shows neither the query's place nor one of the others n_k. Quadruplet of the
    hardest positive and negatives of SOE-Net (Xia et al., CVPR 2021), which has a margin of 0.5; each query has one
    positive here. ValueError for a single negative.
    """
    if tuples.shape[1] < 4:
        raise ValueError("hphn_quadruplet needs two negatives of each query, the last of which is its n*; got one")
    a, b = distances(tuples)
    from_other = _to_negatives(tuples, -1)[:, :-1]  # (B, N - 1)
    nearest = torch.cat([b[:, :-1], from_other], dim=1).amin(dim=1, keepdim=True)  # (B, 1)
    return F.relu(margin + (a.square() - nearest.square())).mean()


def _to_negatives(tuples: Tensor, which: int) -> Tensor:
    """(B, N) distances from one image of each tuple, such as its positive, 1, to its negatives."""
    x = precise(tuples)
    return Distances.apply(torch.cat([x.narrow(1, which, 1), x[:, 2:]], dim=1), 0.0)
