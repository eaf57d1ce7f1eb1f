"""The loss of both networks: every pair of a batch against all its wrong pairs, in both directions."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vg_core.models.precision import at_least_float32

ALPHA = 10.0
NEAR_METRES = 25.0  # CVACT: nearer images are not told apart


def soft_margin(
    ground: Tensor, aerial: Tensor, alpha: float = ALPHA, near: Tensor | None = None, batch_hard_count: int = 0
) -> Tensor:
    """Weighted soft-margin triplet loss of unit descriptors (B, D) each, in which row i of one is the twin of row i of
    the other: the sum of log(1 + exp(alpha (d - d'))) over all wrong pairs, by the number of those.

    d is the squared distance of the twins, d' that of a ground image to another's aerial image, or the other way round;
    the two directions are averaged. As published, the twins are among the wrong pairs: they add log 2 each, a constant.
    Pairs that are ``near``, bool (B, B) as from ``near_pairs``, add log 2 too and are not counted (CVACT). With a
    ``batch_hard_count`` k it is the mean over the k largest terms of each image instead. ValueError where there is no
    wrong pair. Sources: Hu, Feng, Nguyen, Lee, CVPR 2018, eq. 5; the code of SAFA.
    """
    count = len(ground)
    if ground.ndim != 2 or ground.shape != aerial.shape:
        raise ValueError(f"{tuple(ground.shape)} and {tuple(aerial.shape)} are no descriptors of pairs: (B, D) each")
    wrong = count * (count - 1) if near is None else int((~near).sum())
    if not wrong:
        raise ValueError(
            f"a batch of {count} has no wrong pairs to learn from: "
            + ("raise train_batch_size to 2 or more" if count < 2 else "all its places are near each other; shuffle")
        )
    if not 0 <= batch_hard_count <= count:
        raise ValueError(f"batch_hard_count={batch_hard_count} must be from 0 to the {count} pairs of a batch")
    with torch.autocast(ground.device.type, enabled=False):
        products = at_least_float32(ground) @ at_least_float32(aerial).T  # (B, B): d' is 2 - 2 of them
    twins = products.diagonal()  # (B,)
    # of each ground image with all aerial images, and of each aerial image with all ground images, a row each
    exponents = 2 * alpha * torch.stack([products - twins[:, None], products.T - twins[:, None]])  # (2, B, B)
    if near is not None:
        exponents = exponents.masked_fill(torch.stack([near, near.T]).to(exponents.device), 0)
    terms = F.softplus(exponents, threshold=40)  # below torch's default of 20 it would stop at nine digits
    if batch_hard_count:
        return terms.topk(batch_hard_count, dim=2).values.mean()  # of (2, B, k)
    return terms.sum() / (2 * wrong)


def near_pairs(positions: np.ndarray, metres: float = NEAR_METRES) -> Tensor:
    """bool (B, B): which places lie less than so many metres apart, themselves included; positions (B, 2) in metres.

    In float64: as float32, the authors' choice, UTM northings of Canberra come in steps of half a metre.
    """
    places = torch.as_tensor(np.asarray(positions, dtype=float))  # (B, 2)
    return (places[:, None] - places).square().sum(-1) < metres**2
