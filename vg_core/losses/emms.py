"""EMMS: CosFace beside a plain softmax over the same class weights, as AMLSquad/CosPlace trains with it.

It is written out nowhere; its two forms there follow one another within a week, and which of them made the published
numbers is not known: the sum of logarithms is the likelier one.
"""

import math
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Form = Literal["sum_of_logs", "log_of_sum"]


def emms(
    margin_logits: Tensor, raw_logits: Tensor, labels: Tensor, weight: float = 1.0, form: Form = "sum_of_logs"
) -> Tensor:
    """Mean over photographs of -log p - weight log q or, as "log_of_sum", of -log(p + weight q), which may be negative.

    p is the softmax of the right class (labels, (B,)) over logits with a margin (B, classes), q over raw products of
    descriptors and class weights, neither scaled nor normalised. With weight 0 both are the loss of p alone. ValueError
    for a weight below 0 or an unknown form.
    """
    if not 0 <= weight < math.inf:
        raise ValueError(f"the weight of EMMS is {weight:g}; choose a number that is not below 0, such as 1")
    if form == "sum_of_logs":
        return F.cross_entropy(margin_logits, labels) + weight * F.cross_entropy(raw_logits, labels)
    if form != "log_of_sum":
        raise ValueError(f"no form of EMMS is called {form!r}; choose one of: sum_of_logs, log_of_sum")
    with_margin, raw = (-F.cross_entropy(logits, labels, reduction="none") for logits in (margin_logits, raw_logits))
    return -torch.logaddexp(with_margin, raw + (math.log(weight) if weight else -math.inf)).mean()
