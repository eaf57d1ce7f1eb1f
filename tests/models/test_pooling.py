"""Poolings against golden numbers, plain twins and their limits."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vg_core.models.kernels import AssignedResiduals, GeneralisedMean
from vg_core.models.pooling import AveragePool, GeM, MaxPool, NetVLAD

LAYOUTS = ("contiguous", "channels_last", "strided")
# B, C, H, W; unit vectors of one channel are ±1, whose residuals may vanish and have no direction to compare
shapes = st.tuples(st.integers(1, 3), st.integers(2, 6), st.integers(1, 4), st.integers(1, 5))


def maps(shape, layout="contiguous", seed=0, dtype=torch.float64):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    return x.transpose(2, 3).contiguous().transpose(2, 3) if layout == "strided" else x


def netvlad(dim, clusters, seed=0, sharpness=5.0):
    layer = NetVLAD(dim, clusters).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.centroids.copy_(torch.randn(layer.centroids.shape, generator=generator))
        layer.weight.copy_(sharpness * torch.randn(layer.weight.shape, generator=generator))
    return layer


def looped_netvlad(layer, x):
    """One cluster and one residual map at a time, as the definition reads."""
    x = F.normalize(x, dim=1).flatten(2)  # (B, C, M)
    assignment = torch.einsum("kc,bcm->bkm", layer.weight, x).softmax(1)
    rows = []
    for cluster, centroid in enumerate(layer.centroids):
        residual = (x - centroid[None, :, None]) * assignment[:, cluster, None, :]
        rows.append(F.normalize(residual.sum(2), dim=1))
    return F.normalize(torch.cat(rows, 1), dim=1)


def gradients(function, x, parameters):
    """Gradients of a weighted sum of the descriptors along the maps and the parameters."""
    x = x.detach().requires_grad_()
    descriptors = function(x)
    weights = torch.linspace(-1, 1, descriptors.numel(), dtype=descriptors.dtype).view_as(descriptors)
    return descriptors, *torch.autograd.grad((descriptors * weights).sum(), [x, *parameters])


def assert_same(found, expected, tolerance=1e-6):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


# --- average, max, GeM -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [GeM().double(), netvlad(4, 3)], ids=["GeM", "NetVLAD"])
def test_no_images_have_no_descriptors_and_add_nothing_to_gradients(layer):
    found, *along = gradients(layer, maps((0, 4, 2, 3)), list(layer.parameters()))
    assert found.shape == (0, layer.width(4)) and along[0].shape == (0, 4, 2, 3)
    assert not any(one.any() for one in along)


def test_average_and_max():
    x = torch.arange(12.0).view(1, 3, 2, 2)
    assert AveragePool()(x).tolist() == [[1.5, 5.5, 9.5]]
    assert MaxPool()(x).tolist() == [[3.0, 7.0, 11.0]]
    assert AveragePool().width(3) == MaxPool().width(3) == GeM().width(3) == 3


@pytest.mark.parametrize(("p", "expected"), [(1, 2.5), (3, 2.924017738), (100, 3.944930818)])
def test_gem_golden(p, expected):
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], dtype=torch.float64).view(1, 1, 2, 2)
    assert GeM(p).double()(x).item() == pytest.approx(expected, rel=1e-9)


@settings(deadline=None, max_examples=40)
@given(shapes, st.sampled_from(LAYOUTS), st.sampled_from([1.0, 2.5, 3.0, 7.0]), st.integers(0, 99))
def test_gem_equals_its_definition(shape, layout, p, seed):
    layer, x = GeM(p).double(), maps(shape, layout, seed)
    plain = gradients(lambda x: x.clamp(min=1e-6).pow(layer.p).mean((2, 3)).pow(1 / layer.p), x, [layer.p])
    assert_same(gradients(layer, x, [layer.p]), plain)


def test_gem_gradcheck():
    x = maps((2, 3, 3, 2)).abs().add(0.1).requires_grad_()
    p = torch.tensor([2.7], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(GeneralisedMean.apply, (x, p))


@pytest.mark.parametrize("p", [0.5, 3.0, 30.0])
@pytest.mark.parametrize("value", [0.0, -5.0])
def test_gem_of_dead_maps_is_eps_and_has_no_gradient(p, value):
    layer = GeM(p)  # in float32 (1e-6)^30 is zero
    found, along_x, along_p = gradients(layer, torch.full((1, 2, 3, 3), value), [layer.p])
    torch.testing.assert_close(found, torch.full((1, 2), 1e-6), rtol=1e-4, atol=0)
    assert not along_x.any()
    assert abs(along_p.item()) < 1e-4


# --- NetVLAD ---------------------------------------------------------------------------------------------------


def test_netvlad_golden():
    layer = NetVLAD(2, 2).double()
    centres = torch.eye(2, dtype=torch.float64)
    with torch.no_grad():
        layer.centroids.copy_(centres)
        layer.weight.copy_(2 * centres)
    descriptors = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    residuals = AssignedResiduals.apply(descriptors[None], layer.weight, layer.centroids)
    assert residuals.flatten().tolist() == pytest.approx([-0.1605, 0.3210, 0.4784, -0.2389], abs=5e-5)
    found = layer(descriptors.T.reshape(1, 2, 1, 2))
    assert found[0].tolist() == pytest.approx([-0.3162, 0.6325, 0.6326, -0.3159], abs=5e-5)
    assert layer.width(2) == 4


@settings(deadline=None, max_examples=40)
@given(shapes, st.integers(1, 5), st.sampled_from(LAYOUTS), st.integers(0, 99))
def test_netvlad_equals_the_loop(shape, clusters, layout, seed):
    layer, x = netvlad(shape[1], clusters, seed), maps(shape, layout, seed)
    parameters = [layer.weight, layer.centroids]
    twin = gradients(lambda x: looped_netvlad(layer, x), x, parameters)
    assert_same(gradients(layer, x, parameters), twin)


def test_netvlad_gradcheck():
    layer, x = netvlad(3, 4, sharpness=1.0), maps((2, 3, 5, 1)).flatten(2).transpose(1, 2).requires_grad_()
    assert torch.autograd.gradcheck(AssignedResiduals.apply, (x, layer.weight, layer.centroids))


def test_netvlad_float32_is_close_to_float64():
    layer, x = netvlad(64, 16, sharpness=3.0), maps((2, 64, 12, 10), "channels_last")
    exact = layer(x)
    assert (layer.float()(x.float()) - exact).abs().max() < 1e-6


def test_infinite_sharpness_is_hard_vlad():
    layer, x = netvlad(4, 3), maps((1, 4, 5, 5))
    with torch.no_grad():
        layer.weight.mul_(1e6)
        found = layer(x)
    locations = F.normalize(x, dim=1).flatten(2)[0].T  # (M, C)
    nearest = (locations @ layer.weight.T).argmax(1)
    sums = [(locations[nearest == k] - layer.centroids[k]).sum(0) for k in range(3)]
    expected = F.normalize(F.normalize(torch.stack(sums), dim=1).flatten(), dim=0)
    torch.testing.assert_close(found[0], expected)


def test_order_of_locations_does_not_matter():
    layer, x = netvlad(4, 3), maps((2, 4, 3, 5))
    shuffled = x.flatten(2)[:, :, torch.randperm(15)].view_as(x)
    torch.testing.assert_close(layer(shuffled), layer(x))


@pytest.mark.parametrize("clusters", [1, 4])
def test_a_dead_map_gives_finite_descriptors(clusters):
    layer = netvlad(3, clusters).float()
    found = gradients(layer, torch.zeros(1, 3, 2, 2), [layer.weight, layer.centroids])
    assert all(torch.isfinite(tensor).all() for tensor in found)


@pytest.mark.parametrize("layer", [AveragePool(), MaxPool(), GeM(), NetVLAD(6, 3)])
def test_bfloat16_maps_are_pooled_in_float32_under_autocast(layer):
    x = maps((2, 6, 4, 4), dtype=torch.float32).bfloat16()
    expected = gradients(layer, x.float(), layer.parameters())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradients(layer, x, layer.parameters())
    assert found[0].dtype == torch.float32
    assert torch.equal(found[0], expected[0])
    assert_same(found[2:], expected[2:])


# --- k-means initialisation ------------------------------------------------------------------------------------


def local_descriptors(count=600, dim=8, seed=0):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def test_initialise_sets_centres_and_a_mean_gap_of_ln_100():
    layer, descriptors = NetVLAD(8, 5), torch.from_numpy(local_descriptors())
    layer.initialise(descriptors)
    first, second = (F.normalize(descriptors, dim=1) @ layer.weight.T).topk(2, dim=1).values.unbind(1)
    assert (first - second).mean().item() == pytest.approx(math.log(100), rel=1e-5)
    assert (layer.centroids.norm(dim=1) < 1).all(), "centroids are not normalised"
    lengths = layer.weight.norm(dim=1)
    torch.testing.assert_close(lengths, lengths[:1].expand(5))
    torch.testing.assert_close(F.normalize(layer.weight, dim=1), F.normalize(layer.centroids, dim=1))


def test_initialise_finds_the_clusters_whatever_the_length_of_descriptors():
    directions = np.eye(4, dtype=np.float32).repeat(50, axis=0)
    rng = np.random.default_rng(0)
    noisy = (directions + 0.05 * rng.normal(size=directions.shape)) * rng.uniform(0.1, 9, (200, 1))
    layer = NetVLAD(4, 4)
    layer.initialise(noisy)
    assert sorted(layer.centroids.argmax(1).tolist()) == [0, 1, 2, 3]
    assert layer.centroids.max(1).values.min() > 0.95


def test_initialise_uses_every_descriptor():
    layer, descriptors = NetVLAD(8, 1), local_descriptors(5000)
    layer.initialise(descriptors)
    expected = F.normalize(torch.from_numpy(descriptors), dim=1).mean(0)
    torch.testing.assert_close(layer.centroids[0].detach(), expected, atol=1e-5, rtol=0)


def test_initialise_is_deterministic():
    def initialised(seed):
        layer = NetVLAD(8, 16)
        layer.initialise(local_descriptors(), seed)
        return layer.weight.detach()

    assert torch.equal(initialised(0), initialised(0))
    assert not torch.equal(initialised(0), initialised(1))


def test_initialise_survives_fewer_different_descriptors_than_clusters():
    layer = NetVLAD(8, 16)
    layer.initialise(local_descriptors(10).repeat(5, axis=0))
    assert layer.weight.isfinite().all()
    assert layer.centroids.isfinite().all()


@pytest.mark.parametrize(
    ("descriptors", "message"),
    [
        (local_descriptors(15), "15 local descriptors cannot make 16 clusters"),
        (np.full((20, 8), np.nan, np.float32), "not finite"),
        (np.ones((20, 8), np.float32), "all alike"),
    ],
)
def test_initialise_refuses(descriptors, message):
    with pytest.raises(ValueError, match=message):
        NetVLAD(8, 16).initialise(descriptors)
