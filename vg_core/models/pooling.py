"""Poolings: feature maps (B, C, H, W) to descriptors (B, D). They calculate in float32, whatever autocast says."""

import math

import faiss
import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

TINY = 1e-12  # shortest length that is divided by


def full_precision(x: Tensor) -> Tensor:
    """The same tensor in float32 at least: (1e-6)^3 is zero in float16, and bfloat16 blurs sharp logits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Pooling(nn.Module):
    """What all poolings share."""

    normalised = False  # True: descriptors have unit length, and so need not the locations that come in

    def width(self, channels: int) -> int:
        """D, the width of the descriptors of maps with ``channels`` channels."""
        return channels


class AveragePool(Pooling):
    """(B, C) means over all locations."""

    def forward(self, x: Tensor) -> Tensor:
        return full_precision(x).mean((2, 3))


class MaxPool(Pooling):
    """(B, C) maxima over all locations (MAC)."""

    def forward(self, x: Tensor) -> Tensor:
        return full_precision(x).amax((2, 3))


class GeM(Pooling):
    """(B, C) generalised means (mean of max(x, eps)^p over the locations)^(1/p), one learnable p for all channels.

    p = 1 is the average, p → ∞ the maximum. Source: Radenović, Tolias, Chum, "Fine-tuning CNN image retrieval with no
    human annotation", TPAMI 2018, eq. 3.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6):
        super().__init__()
        self.p = nn.Parameter(torch.full((1,), float(p)))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return _GeneralisedMean.apply(full_precision(x), self.p, self.eps)


class _GeneralisedMean(torch.autograd.Function):
    """With c = max(x, eps) and f = mean(c^p)^(1/p) over M locations:

    df/dx = (f/c) (c/f)^p / M where x > eps, and df/dp = f/p (mean(c^p ln c) / mean(c^p) - ln f).

    One power and one logarithm in all: automatic differentiation takes two of each.
    """

    @staticmethod
    def forward(ctx, x: Tensor, p: Tensor, eps: float) -> Tensor:
        # a plain number takes the shortcut of whole exponents, but reading it would stop a GPU's queue or a compilation
        read = not (p.is_cuda or torch.compiler.is_compiling())
        powers = x.clamp(min=eps).pow_(p.item() if read else p)  # (B, C, H, W)
        mean = powers.mean((2, 3))  # (B, C)
        found = (mean ** (1 / p)).clamp_min(eps)  # eps^p may vanish, the result may not
        ctx.save_for_backward(x, powers, mean.clamp_min(torch.finfo(mean.dtype).tiny), found, p)
        ctx.eps = eps
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, powers, mean, found, p = ctx.saved_tensors
        scaled = gradient * found / mean  # (B, C)
        logs = x.clamp(min=ctx.eps).log_().mul_(powers).mean((2, 3))
        along_p = (scaled * (logs - mean * found.log())).sum() / p
        # dividing by infinity zeroes the gradient of clamped values in the same pass
        along_x = powers / F.threshold(x, ctx.eps, math.inf)
        along_x.mul_((scaled / x.shape[2:].numel())[:, :, None, None])
        return along_x, along_p, None


class NetVLAD(Pooling):
    """(B, clusters · dim) unit vectors of soft-assigned residuals, cluster by cluster (index cluster · dim + channel).

    V_k = sum over locations of a_k(x) (x - c_k) with x of unit length and a = softmax_k(w_k · x), without bias; each
    V_k is normalised, then all of them together. Weights and centroids are learned independently; they mean something
    only after ``initialise``. Source: Arandjelović et al., "NetVLAD", TPAMI 2018, eq. 4 and section 3.1.
    """

    normalised = True

    def __init__(self, dim: int, clusters: int = 64):
        super().__init__()
        centroids = F.normalize(torch.randn(clusters, dim), dim=1)
        self.centroids = nn.Parameter(centroids)  # (K, C)
        self.weight = nn.Parameter(centroids.clone())  # (K, C)

    def width(self, channels: int) -> int:
        return len(self.centroids) * channels

    def forward(self, x: Tensor) -> Tensor:
        # (B, M, C) is a view in either memory format; with channels_last the products below copy nothing
        locations = full_precision(x).flatten(2).transpose(1, 2)
        residuals = _AssignedResiduals.apply(locations, self.weight, self.centroids)  # (B, K, C)
        return F.normalize(F.normalize(residuals, dim=2, eps=TINY).flatten(1), dim=1, eps=TINY)

    @torch.no_grad()
    def initialise(self, descriptors: Tensor | np.ndarray, seed: int = 0) -> None:
        """Set the centroids to the k-means centres of local descriptors (M, C), and the weights to these centres made
        unit vectors and scaled so that the first and the second logit are ln 100 apart on average.

        All descriptors are used, at unit length. Raises ValueError when there are fewer than clusters, when they do
        not differ or are not finite. Source: the authors' code; assignment of 100 to 1 between first and second.
        """
        descriptors = _checked(torch.as_tensor(descriptors), *self.centroids.shape)
        centroids = torch.from_numpy(_kmeans(descriptors.numpy(), len(self.centroids), seed))
        directions = F.normalize(centroids, dim=1)
        self.centroids.copy_(centroids)
        self.weight.copy_(_sharpness(descriptors @ directions.T) * directions)


class _AssignedResiduals(torch.autograd.Function):
    """V (B, K, C) = sum over M of a (u - c), with u = x/|x|, l = w · u, a = softmax(l); no tensor has K · C · M values.

    1/|x| is folded into tensors of K columns instead of C: h = a/|x|. Back: with t = dV · x, da = t/|x| - dV · c and
    q = h (da - sum_k a da), which is dl/|x|, dx = h dV + q w - r x/|x| where r = sum_k (h t/|x| + q l).
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, centroids: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            shrink = torch.linalg.vector_norm(x, dim=2, keepdim=True).clamp_min(TINY).reciprocal()  # (B, M, 1)
            logits = (x @ weight.T).mul_(shrink)  # (B, M, K)
            shares = logits.softmax(2)
            mass = shares.sum(1)[:, :, None]  # (B, K, 1)
            shares.mul_(shrink)
            sums = shares.transpose(1, 2) @ x  # (B, K, C)
        ctx.save_for_backward(x, weight, centroids, shrink, logits, shares, mass)
        return sums.sub_(mass * centroids)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, centroids, shrink, logits, shares, mass = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):
            along = x @ gradient.transpose(1, 2)  # (B, M, K)
            push = torch.addcmul(-(centroids * gradient).sum(2)[:, None], along, shrink)
            push.sub_((shares * push).sum(2, keepdim=True).div_(shrink)).mul_(shares)
            radial = along.mul_(shares).mul_(shrink).addcmul_(push, logits).sum(2, keepdim=True)  # (B, M, 1)
            along_x = x * (-radial * shrink)
            along_x.baddbmm_(shares, gradient).baddbmm_(push, weight.expand(len(x), -1, -1))
            along_weight = (push.transpose(1, 2) @ x).sum(0)
        return along_x, along_weight, -(mass * gradient).sum(0)


def _checked(descriptors: Tensor, clusters: int, dim: int) -> Tensor:
    """(M, C) float32 unit vectors on the CPU."""
    if descriptors.ndim != 2 or descriptors.shape[1] != dim:
        raise ValueError(f"local descriptors have shape {tuple(descriptors.shape)}; NetVLAD expects (any, {dim})")
    if len(descriptors) < clusters:
        raise ValueError(
            f"{len(descriptors)} local descriptors cannot make {clusters} clusters: "
            "give more images or locations, or lower clusters"
        )
    if not descriptors.isfinite().all():
        raise ValueError("some local descriptors are not finite: the backbone has diverged or its weights are broken")
    return F.normalize(descriptors.detach().float().cpu(), dim=1, eps=TINY)


def _kmeans(descriptors: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """(K, C) centres after 100 iterations; Faiss splits the largest cluster when one runs empty."""
    options = {"niter": 100, "seed": seed, "min_points_per_centroid": 1}
    # by default Faiss silently keeps 256 descriptors for each centre and drops the rest
    kmeans = faiss.Kmeans(
        descriptors.shape[1], clusters, max_points_per_centroid=len(descriptors), gpu=False, **options
    )
    kmeans.train(descriptors)
    return kmeans.centroids


def _sharpness(cosines: Tensor) -> float:
    """alpha such that alpha · (first - second largest of (M, K) cosines) is ln 100 on average."""
    if cosines.shape[1] == 1:
        return 1.0  # a single cluster takes everything, whatever its weight
    first, second = cosines.topk(2, dim=1).values.double().unbind(1)
    gap = float((first - second).mean())
    if gap < 1e-6:
        raise ValueError("the local descriptors are all alike, their clusters cannot be told apart: give other images")
    return math.log(100) / gap
