"""Losses of classes: cross-entropies of scaled cosines, after a margin made that of the right class harder.

Logits are s cos(x, w_c), where w_c is the weight of class c; for the right class the cosine is replaced as each loss
says. Half precision is computed in float32 (float64 stays).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vg_core.losses.emms import Form, emms
from vg_core.system.errors import ByName

Gradient = Literal["straight_through", "true"]

EPS = 1e-8  # least product of two lengths
COSINE_EPS = ANGLE_EPS = 1e-5  # angles are taken of cosines that far from ±1, and kept as far from 0
LARGEST_ANGLE = 3.14159  # a margin turns no farther


@dataclass(frozen=True)
class Margin:
    """One of the losses: what it makes of the right class's cosine, and its published s and m."""

    of_right: Callable[[Tensor, float], Tensor]  # (cosines (B, 1), m) -> (B, 1)
    scale: float  # s
    margin: float  # m
    of_angles: bool = False  # as OpenSphere has them: unit weights, drawn from a normal; two forms of the gradient
    emms: Form | None = None  # how a plain softmax joins in


def _cosface(cosines: Tensor, margin: float) -> Tensor:
    """cos - m (Wang et al., CVPR 2018)."""
    return cosines - margin


def _arcface(cosines: Tensor, margin: float) -> Tensor:
    """cos(angle + m), angles up to π (Deng et al., CVPR 2019)."""
    return (_angles(cosines) + margin).clamp(ANGLE_EPS, LARGEST_ANGLE).cos()


def _sphereface(cosines: Tensor, margin: float) -> Tensor:
    """(-1)^k cos(m angle) - 2k, which falls from turn to turn k of the angle by π (Liu et al., CVPR 2017)."""
    angles = margin * _angles(cosines)
    turns = (angles / math.pi).floor()
    return (1 - 2 * (turns % 2)) * angles.cos() - 2 * turns


def _softmax(cosines: Tensor, _margin: float) -> Tensor:
    """The cosine as it is."""
    return cosines


def _angles(cosines: Tensor) -> Tensor:
    return cosines.clamp(COSINE_EPS - 1, 1 - COSINE_EPS).acos()


MARGINS: dict[str, Margin] = ByName(
    "loss of classes in groups",
    {
        "cosface": Margin(_cosface, scale=30.0, margin=0.4),
        "arcface": Margin(_arcface, scale=64.0, margin=0.5, of_angles=True),
        "sphereface": Margin(_sphereface, scale=30.0, margin=1.5, of_angles=True),
        "softmax": Margin(_softmax, scale=30.0, margin=0.0),
        "emms": Margin(_cosface, scale=30.0, margin=0.4, emms="sum_of_logs"),
        "emms_log_of_sum": Margin(_cosface, scale=30.0, margin=0.4, emms="log_of_sum"),
    },
)


class MarginHead(nn.Module):
    """Logits (B, classes) of descriptors (B, D) whose right classes (B,) are known, by one of the ``MARGINS``.

    ``scale`` and ``margin`` are the loss's own where they are None. ``gradient``, of losses of angles: with
    "straight_through", logits have the margin, and gradients are as if they had none, as in OpenSphere; "true" is the
    derivative. KeyError for an unknown loss, ValueError for an option that does nothing to it.
    """

    def __init__(
        self,
        loss: str,
        dim: int,
        classes: int,
        generator: torch.Generator,
        scale: float | None = None,
        margin: float | None = None,
        gradient: Gradient = "straight_through",
        emms_weight: float | None = None,
    ):
        super().__init__()
        self.kind, self.gradient = MARGINS[loss], gradient
        self.scale = self.kind.scale if scale is None else scale
        self.margin = self.kind.margin if margin is None else margin
        self.emms_weight = 1.0 if emms_weight is None else emms_weight
        if emms_weight is not None and not self.kind.emms:
            raise ValueError(f"emms_weight does nothing to the loss {loss!r}; leave it out")
        if loss == "softmax" and margin is not None:
            raise ValueError("logit_margin does nothing to the loss 'softmax'; leave it out")
        if gradient != "straight_through" and not self.kind.of_angles:
            raise ValueError(f"margin_gradient={gradient} does nothing to the loss {loss!r}; leave it out")
        draw = nn.init.xavier_normal_ if self.kind.of_angles else nn.init.xavier_uniform_
        self.weight = nn.Parameter(draw(torch.empty(classes, dim), generator=generator))

    def forward(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(descriptors.device.type, enabled=False):
            cosines = self._cosines(descriptors.to(self.weight.dtype))  # (B, C)
            right = cosines.gather(1, labels[:, None])  # (B, 1)
            changed = self.kind.of_right(right, self.margin)
            if self.kind.of_angles and self.gradient == "straight_through":
                changed = right + (changed - right).detach()
            return self.scale * cosines.scatter(1, labels[:, None], changed)

    def loss(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean over photographs of -log softmax at the right class, or of EMMS; descriptors (B, D), labels (B,)."""
        logits = self(descriptors, labels)  # (B, C)
        if not self.kind.emms:
            return F.cross_entropy(logits, labels)
        with torch.autocast(descriptors.device.type, enabled=False):
            products = descriptors.to(self.weight.dtype) @ self.weight.T  # (B, C)
        return emms(logits, products, labels, self.emms_weight, self.kind.emms)

    def _cosines(self, descriptors: Tensor) -> Tensor:
        """(B, C) cosines of the angles between descriptors (B, D) and weights."""
        if self.kind.of_angles:
            self.weight.data = F.normalize(self.weight.data, dim=1)  # which gradients do not pass through
            return F.normalize(descriptors, dim=1) @ self.weight.T
        lengths = descriptors.norm(dim=1)[:, None] * self.weight.norm(dim=1)  # (B, C)
        return descriptors @ self.weight.T / lengths.clamp(min=EPS)
