"""Geo-classification: a place is a class, the square cell of the map it lies in (SARE appendix B, after Vo et al.)."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

# Length of the descriptors that are classified (CosFace's s, and CosPlace's); SARE's paper names none. With unit
# descriptors, scores grow too slowly to tell classes apart: after 10 epochs of the toy city, the loss of 48 classes was
# still at 2.2 of 3.9.
SCALE = 30.0


def geo_classes(easting: np.ndarray, northing: np.ndarray, cell_m: float = 25.0) -> tuple[np.ndarray, int]:
    """Class of each photograph, int64 (N,), and how many classes there are: square cells that hold a photograph.

    Cells have sides of ``cell_m`` metres and corners at whole multiples of it; a photograph on a border belongs to the
    cell east or north of it. Classes are numbered from west to east, within a column from south to north. ValueError
    for positions that are not finite metres.
    """
    positions = np.stack([np.asarray(easting, float), np.asarray(northing, float)], axis=1)
    if not np.isfinite(positions).all():
        row = np.flatnonzero(~np.isfinite(positions).all(axis=1))[0]
        raise ValueError(f"position {row} is {positions[row].tolist()}: easting and northing must be finite metres")
    if not cell_m > 0:
        raise ValueError(f"cell_m={cell_m} must be above zero metres")
    cells = np.floor(positions / cell_m).astype(np.int64)
    occupied, labels = np.unique(cells, axis=0, return_inverse=True)
    return labels, len(occupied)


class GeoHead(nn.Linear):
    """Scores (B, classes) of descriptors (B, D); dropped after training, when descriptors are retrieved as they are.

    Weights start at 0.01 x standard normal, biases at 0: every class is almost equally likely. The layer sees
    descriptors times ``SCALE``; with Adam this is the same as a layer on the descriptors as they are whose weights
    start and learn ``SCALE`` times faster.
    """

    def __init__(self, dim: int, classes: int, generator: torch.Generator | None = None):
        super().__init__(dim, classes)
        nn.init.normal_(self.weight, std=0.01, generator=generator)
        nn.init.zeros_(self.bias)

    def forward(self, descriptors: Tensor) -> Tensor:
        return super().forward(SCALE * descriptors.to(self.weight.dtype))

    def loss(self, descriptors: Tensor, labels: Tensor) -> Tensor:
        """Mean over photographs of -log softmax at the right class; descriptors (B, D), labels (B,)."""
        return F.cross_entropy(self(descriptors), labels)
