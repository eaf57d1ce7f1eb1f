"""Poolings: feature maps (B, C, H, W) to descriptors (B, D), in float32 whatever autocast says."""

import math

import faiss
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vg_core.models.kernels import TINY, AssignedResiduals, GeneralisedMean
from vg_core.models.precision import at_least_float32


class Pooling(nn.Module):
    normalised = False  # True: descriptors have unit length, and locations that come in need not have it
    takes_token = False  # True: it looks at the class token (B, C), too, where there is one

    def width(self, channels: int) -> int:
        """D, the width of the descriptors of maps with ``channels`` channels."""
        return channels


class AveragePool(Pooling):
    """(B, C) means over all locations."""

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(x).mean((2, 3))


class MaxPool(Pooling):
    """(B, C) maxima over all locations (MAC)."""

    def forward(self, x: Tensor) -> Tensor:
        return at_least_float32(x).amax((2, 3))


class GeM(Pooling):
    """(B, C) generalised means (mean of max(x, 1e-6)^p over the locations)^(1/p), one learnable p for all channels.

    p = 1 is the average, p → ∞ the maximum. Source: Radenović, Tolias, Chum, "Fine-tuning CNN image retrieval with no
    human annotation", TPAMI 2018, eq. 3.
    """

    def __init__(self, p: float = 3.0):
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), float(p)))

    def forward(self, x: Tensor) -> Tensor:
        return GeneralisedMean.apply(at_least_float32(x), self.p)


class NetVLAD(Pooling):
    """(B, clusters · dim) unit vectors of soft-assigned residuals, cluster by cluster (index cluster · dim + channel).

    V_k = sum over locations of a_k(x) (x - c_k) with x of unit length and a = softmax_k(w_k · x), without bias; each
    V_k is normalised, then all of them together. Weights and centroids are learned independently; they mean something
    only after ``initialise``. Source: Arandjelović et al., "NetVLAD", TPAMI 2018, eq. 4 and section 3.1.
    """

    normalised = True

    def __init__(self, dim: int, clusters: int = 64):
        super().__init__()
        self.centroids = nn.Parameter(F.normalize(torch.randn(clusters, dim), dim=1))  # (K, C)
        self.weight = nn.Parameter(self.centroids.detach().clone())  # (K, C)

    def width(self, channels: int) -> int:
        return len(self.centroids) * channels

    def forward(self, x: Tensor) -> Tensor:
        # a view in either memory format; with channels_last the products of the kernel copy nothing
        locations = at_least_float32(x).flatten(2).transpose(1, 2)  # (B, M, C)
        residuals = AssignedResiduals.apply(locations, self.weight, self.centroids)  # (B, K, C)
        return F.normalize(F.normalize(residuals, dim=2, eps=TINY).flatten(1), dim=1, eps=TINY)  # (B, K · C)

    @torch.no_grad()
    def initialise(self, descriptors: Tensor | np.ndarray, seed: int = 0) -> None:
        """Set the centroids to the k-means centres of local descriptors (M, C), and the weights to these centres made
        unit vectors and scaled so that the first and the second logit are ln 100 apart on average.

        All descriptors are used, at unit length. Raises ValueError when there are fewer than clusters, when they do
        not differ or are not finite. Source: the authors' code; assignment of 100 to 1 between first and second.
        """
        descriptors = F.normalize(torch.as_tensor(descriptors).float().cpu(), dim=1, eps=TINY)  # (M, C)
        clusters, dim = self.centroids.shape
        if len(descriptors) < clusters:
            raise ValueError(
                f"{len(descriptors)} local descriptors cannot make {clusters} clusters: "
                "give more images or locations, or lower clusters"
            )
        if not descriptors.isfinite().all():
            raise ValueError("some local descriptors are not finite: the backbone or its weights are broken")
        # by default Faiss silently keeps 256 descriptors for each centre and drops the rest
        points = {"min_points_per_centroid": 1, "max_points_per_centroid": len(descriptors)}
        kmeans = faiss.Kmeans(dim, clusters, niter=100, seed=seed, gpu=False, **points)
        kmeans.train(descriptors.numpy())  # splits the largest cluster when one runs empty
        centroids = torch.from_numpy(kmeans.centroids)  # (K, C)
        directions = F.normalize(centroids, dim=1)  # (K, C)
        self.centroids.copy_(centroids)
        self.weight.copy_(_sharpness(descriptors @ directions.T) * directions)


class WeightedNetVLAD(NetVLAD):
    """NetVLAD in which a location counts as much as its vector is long: what an attention made of it."""

    def forward(self, x: Tensor) -> Tensor:
        locations = at_least_float32(x).flatten(2).transpose(1, 2)  # (B, M, C)
        with torch.autocast(x.device.type, enabled=False):
            weights = torch.linalg.vector_norm(locations, dim=2, keepdim=True)  # (B, M, 1)
            unit = locations / weights.clamp_min(TINY)  # (B, M, C)
            shares = (unit @ self.weight.T).softmax(2) * weights  # (B, M, K)
            residuals = shares.transpose(1, 2) @ unit - shares.sum(1)[:, :, None] * self.centroids  # (B, K, C)
        return F.normalize(F.normalize(residuals, dim=2, eps=TINY).flatten(1), dim=1, eps=TINY)  # (B, K · C)


def _sharpness(cosines: Tensor) -> float:
    """alpha such that alpha · (first - second largest of (M, K) cosines) is ln 100 on average."""
    if cosines.shape[1] == 1:
        return 1.0  # a single cluster takes everything, whatever its weight
    first, second = cosines.topk(2, dim=1).values.double().unbind(1)  # (M,), (M,)
    gap = float((first - second).mean())  # of (M,)
    if gap < 1e-6:
        raise ValueError("the local descriptors are all alike, their clusters cannot be told apart: give other images")
    return math.log(100) / gap
