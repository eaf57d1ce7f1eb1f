"""Poolings and losses, forward and backward."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import reference
from benchmarks.measure import Case
from benchmarks.rows.registry import row
from vg_core.losses.tuples import Loss, sare_gaussian_ind, sare_gaussian_joint, triplet
from vg_core.models.pooling import GeM, NetVLAD

TUPLES = {"tuples": 4, "negatives": 10, "dim": 16384}, {"tuples": 2, "negatives": 3, "dim": 32}


@row(
    "NetVLAD, forward and backward",
    "loop over clusters",
    {"batch": 24, "channels": 256, "height": 30, "width": 40, "clusters": 64},
    {"batch": 2, "channels": 8, "height": 3, "width": 4, "clusters": 4},
    bar=0.06,
    floor_bar=2.5,
    memory_bar=0.06,
    tolerance=1e-4,
    gpu_tolerance=1e-2,
)
def netvlad(device: torch.device, batch: int, channels: int, height: int, width: int, clusters: int) -> Case:
    maps = _maps(device, batch, channels, height, width)
    pooling = NetVLAD(channels, clusters).to(device)
    with torch.no_grad():
        pooling.weight.mul_(20)  # as sharp as after its initialisation
    gradient = torch.rand(batch, pooling.width(channels), device=device)
    products = _products(maps.permute(0, 2, 3, 1).flatten(1, 2), pooling.weight.detach().expand(batch, -1, -1))
    return Case(
        _trained(
            lambda x: reference.netvlad(x, pooling.weight, pooling.centroids), maps.contiguous(), gradient, pooling
        ),
        _trained(pooling, maps, gradient, pooling),
        products,
    )


@row(
    "GeM, forward and backward",
    "clamp, power, mean, power in automatic differentiation",
    {"batch": 24, "channels": 256, "height": 30, "width": 40},
    {"batch": 2, "channels": 8, "height": 3, "width": 4},
    bar=0.45,
    tolerance=1e-4,
    gpu_tolerance=1e-4,
)
def gem(device: torch.device, batch: int, channels: int, height: int, width: int) -> Case:
    maps = _maps(device, batch, channels, height, width)
    pooling = GeM().to(device)
    gradient = torch.rand(batch, channels, device=device)
    return Case(
        _trained(lambda x: reference.gem(x, pooling.p), maps.contiguous(), gradient, pooling),
        _trained(pooling, maps, gradient, pooling),
        nbytes=3 * maps.nbytes,  # read forward, read backward, gradient written
    )


@row("triplet loss and gradient", "loop over negatives", *TUPLES, bar=0.05, tolerance=1e-5, gpu_tolerance=1e-5)
def loss_triplet(device: torch.device, **shape: int) -> Case:
    return _loss(reference.triplet, triplet, device, **shape)


@row("SARE-joint loss and gradient", "loop over queries", *TUPLES, bar=0.05, tolerance=1e-5, gpu_tolerance=1e-5)
def loss_joint(device: torch.device, **shape: int) -> Case:
    return _loss(reference.sare_joint, sare_gaussian_joint, device, **shape)


@row(
    "SARE-ind loss and gradient",
    "loop over queries and negatives",
    *TUPLES,
    bar=0.05,
    tolerance=1e-5,
    gpu_tolerance=1e-5,
)
def loss_ind(device: torch.device, **shape: int) -> Case:
    return _loss(reference.sare_ind, sare_gaussian_ind, device, **shape)


def _products(locations: Tensor, weight: Tensor) -> Callable[[], None]:
    """NetVLAD's two matrix products and the four of their gradients, of locations (B, M, C) and weight (B, K, C), into
    memory that is there already.
    """
    logits = locations @ weight.transpose(1, 2)  # (B, M, K)
    assignment, sums, along = logits.softmax(2), torch.zeros_like(weight), torch.zeros_like(locations)

    def call() -> None:
        torch.bmm(locations, weight.transpose(1, 2), out=logits)
        torch.bmm(assignment.transpose(1, 2), locations, out=sums)
        torch.bmm(locations, sums.transpose(1, 2), out=logits)  # sums stand in for the gradient of the residuals
        torch.bmm(assignment, sums, out=along)
        torch.bmm(logits, weight, out=along)
        torch.bmm(logits.transpose(1, 2), locations, out=sums)

    return call


def _loss(loop: Callable, loss: Loss, device: torch.device, tuples: int, negatives: int, dim: int) -> Case:
    """Descriptors of a batch of tuples, in both forms as the network hands them over."""
    torch.manual_seed(0)
    common = torch.randn(tuples, 1, dim)
    descriptors = F.normalize(common + torch.randn(tuples, 2 + negatives, dim), dim=2).flatten(0, 1).to(device)

    def whole(rows: Tensor) -> Tensor:
        return loss.whole(rows.view(tuples, -1, dim))

    calls = (_trained(part, descriptors, None) for part in (partial(loop, negatives=negatives), whole))
    return Case(*calls, nbytes=3 * descriptors.nbytes)


def _trained(
    layer: Callable, inputs: Tensor, gradient: Tensor | None, module: torch.nn.Module | None = None
) -> Callable:
    """A call that runs a layer forward and backward: its output and all gradients."""
    inputs = inputs.detach().requires_grad_()

    def call() -> list[Tensor]:
        leaves = [inputs, *(module.parameters() if module else ())]
        for leaf in leaves:
            leaf.grad = None
        found = layer(inputs)
        found.backward(gradient)
        return [found.detach(), *(leaf.grad for leaf in leaves)]

    return call


def _maps(device: torch.device, *shape: int) -> Tensor:
    """Feature maps behind a rectifier, in the memory format that the network makes."""
    torch.manual_seed(0)
    return torch.randn(shape).relu().to(device, memory_format=torch.channels_last)
