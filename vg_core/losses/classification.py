"""Geo-classification: descriptors learn to tell the classes of places apart (SARE appendix B, after Vo et al.)."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Length of the descriptors that are classified (CosFace's s, and CosPlace's); SARE's paper names none. With unit
# descriptors, scores grow too slowly to tell classes apart: after 10 epochs of the toy city, the loss of 48 classes was
# still at 2.2 of 3.9.
SCALE = 30.0


class GeoHead(nn.Linear):
    """Scores (B, classes) of descriptors (B, D); dropped after training, when descriptors are retrieved as they are.

    Weights start at 0.01 x standard normal, biases at 0: every class is almost equally likely. The layer sees
    descriptors times ``SCALE``; with Adam this is the same as a layer on the descriptors as they are whose weights
    start and learn ``SCALE`` times faster.
    """

    def __init__(self, dim: int, classes: int, generator: torch.Generator):
        super().__init__(dim, classes)
        nn.init.normal_(self.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.bias)

    def forward(self, descriptors: Tensor) -> Tensor:
        return super().forward(SCALE * descriptors.to(self.weight.dtype))

    def loss(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean over photographs of -log softmax at the right class; descriptors (B, D), labels (B,)."""
        return F.cross_entropy(self(descriptors), labels)
