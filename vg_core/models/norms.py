"""Batch norms whose batch is that of all processes together, so that their number does not change what is learned."""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class _Sum(torch.autograd.Function):
    """Sum of a tensor over all processes; so is its gradient, for each process's loss depends on the sum."""

    @staticmethod
    def forward(_context, part: Tensor) -> Tensor:
        total = part.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context, gradient: Tensor) -> Tensor:
        return _Sum.forward(None, gradient.contiguous())


class SharedBatchNorm(nn.BatchNorm2d):
    """As nn.BatchNorm2d of the whole batch, of which each process has a part; on any device, unlike SyncBatchNorm."""

    def forward(self, maps: Tensor) -> Tensor:
        if not self.training:
            return super().forward(maps)
        values = maps.float()  # (B, C, H, W)
        count = _Sum.apply(values.new_tensor(values.numel() // values.shape[1]))  # (), locations of all processes
        mean = _Sum.apply(values.sum(dim=(0, 2, 3))) / count  # (C,)
        centred = values - mean[:, None, None]  # (B, C, H, W)
        variance = _Sum.apply(centred.square().sum(dim=(0, 2, 3))) / count  # (C,)
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)  # (C,)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(maps.dtype)


def share_batch_norms(model: nn.Module) -> None:
    """Make the batch norms of a model that are trained SharedBatchNorms, in place; weights and names stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d and module.weight.requires_grad:
            module.__class__ = SharedBatchNorm
