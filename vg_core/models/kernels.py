"""Hand-written backward passes of GeM and NetVLAD; their formulas are in ``pooling``."""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

TINY = 1e-12  # shortest length that is divided by
EPS = 1e-6  # smallest activation that GeM sees


class GeneralisedMean(torch.autograd.Function):
    """With c = max(x, EPS) and f = mean(c^p)^(1/p) over M locations:

    df/dx = (f/c) (c/f)^p / M where x > EPS, and df/dp = f/p (mean(c^p ln c) / mean(c^p) - ln f).

    One power and one logarithm in all: automatic differentiation takes two of each.
    """

    @staticmethod
    def forward(ctx, x: Tensor, p: Tensor) -> Tensor:
        # a plain number takes the shortcut of whole exponents, but reading it would stop a GPU's queue or a compilation
        read = not (p.is_cuda or torch.compiler.is_compiling())
        powers = x.clamp(min=EPS).pow_(p.item() if read else p)  # (B, C, H, W)
        mean = powers.mean((2, 3))  # (B, C)
        found = (mean ** (1 / p)).clamp_min(EPS)  # (B, C); EPS^p may vanish, the result may not
        ctx.save_for_backward(x, powers, mean.clamp_min(torch.finfo(mean.dtype).tiny), found, p)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, powers, mean, found, p = ctx.saved_tensors
        scaled = gradient * found / mean  # (B, C)
        logs = x.clamp(min=EPS).log_().mul_(powers).mean((2, 3))  # (B, C)
        along_p = (scaled * (logs - mean * found.log())).sum() / p  # (1,)
        # dividing by infinity zeroes the gradient of clamped values in the same pass
        along_x = powers / F.threshold(x, EPS, math.inf)  # (B, C, H, W)
        along_x.mul_((scaled / x.shape[2:].numel())[:, :, None, None])
        return along_x, along_p


class AssignedResiduals(torch.autograd.Function):
    """V (B, K, C) = sum over M of a (u - c), with u = x/|x|, l = w · u, a = softmax(l); no tensor has K · C · M values.

    1/|x| is folded into tensors of K columns instead of C: h = a/|x|. Back: with t = dV · x, da = t/|x| - dV · c and
    q = h (da - sum_k a da), which is dl/|x|, dx = h dV + q w - r x/|x| where r = sum_k (h t/|x| + q l).
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, centroids: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            shrink = torch.linalg.vector_norm(x, dim=2, keepdim=True).clamp_min(TINY).reciprocal()  # (B, M, 1)
            logits = (x @ weight.T).mul_(shrink)  # (B, M, K)
            shares = logits.softmax(2)  # (B, M, K), a; from the line after next on h
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
            along = x @ gradient.transpose(1, 2)  # (B, M, K), t
            push = torch.addcmul(-(centroids * gradient).sum(2)[:, None], along, shrink)  # (B, M, K), da
            push.sub_((shares * push).sum(2, keepdim=True).div_(shrink)).mul_(shares)  # (B, M, K), q
            radial = along.mul_(shares).mul_(shrink).addcmul_(push, logits).sum(2, keepdim=True)  # (B, M, 1), r
            along_x = x * (-radial * shrink)  # (B, M, C)
            along_x.baddbmm_(shares, gradient).baddbmm_(push, weight.expand(len(x), -1, -1))
            along_weight = (push.transpose(1, 2) @ x).sum(0)  # (K, C)
        return along_x, along_weight, -(mass * gradient).sum(0)
