"""Hand-written backward pass of the distances within tuples; the losses over them are in ``tuples``."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

TINY = 1e-18  # smaller distances are not to be trusted: their squares vanish in float32


class Distances(torch.autograd.Function):
    """Distances d_k = ||x_k - (q + eps)|| (B, 1 + N) of each tuple's query q to the others x_k; tuples (B, 2 + N, D).

    dL/dx_k = dL/dd_k (x_k - (q + eps)) / d_k, and dL/dq is minus their sum; at distance 0 both are 0. Autograd's own
    way back, through a norm, a subtraction and slices, writes four more tensors as large as the tuples, which is most
    of a loss's time. Differences, not a Gram matrix: that one loses small distances.
    """

    @staticmethod
    def forward(ctx, tuples: Tensor, eps: float) -> Tensor:
        queries = tuples[:, :1]  # (B, 1, D)
        differences = tuples[:, 1:] - (queries + eps if eps else queries)  # (B, 1 + N, D)
        distances = torch.linalg.vector_norm(differences, dim=-1)  # (B, 1 + N)
        ctx.save_for_backward(differences, distances)
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        differences, distances = ctx.saved_tensors
        scales = (gradient / distances.clamp_min(TINY))[..., None]  # (B, 1 + N, 1), 0 at distance 0
        along = differences.new_empty(len(scales), 1 + scales.shape[1], differences.shape[2])  # (B, 2 + N, D)
        torch.mul(scales, differences, out=along[:, 1:])
        torch.sum(along[:, 1:], dim=1, out=along[:, 0]).neg_()
        return along, None
