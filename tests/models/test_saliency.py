"""Heat maps light what a descriptor depends on, agree with plain loops, and leave the model as it was."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vg_core.config import Config
from vg_core.models import build_model, saliency
from vg_core.models.backbones import Backbone
from vg_core.models.network import GeoModel
from vg_core.models.pooling import GeM, NetVLAD, Pooling
from vg_core.models.precision import normalise
from vg_core.models.saliency import gradient_map, occlusion_map
from vg_core.models.whitening import Whitening

RESNET = Config(weights="none", layer="layer2", freeze="layer1", clusters=4)
METHODS = {"gradient": gradient_map, "occlusion": occlusion_map}


class Corner(Pooling):
    """Sees the upper left quarter of a map only."""

    def __init__(self, inner: Pooling):
        super().__init__()
        self.inner, self.normalised = inner, inner.normalised

    def width(self, channels):
        return self.inner.width(channels)

    def forward(self, x):
        height, width = x.shape[2:]
        return self.inner(x[:, :, : height // 2, : width // 2])


def noise(height, width, seed=0):
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def small_model(pooling, frozen=0, channels=8):
    """One convolution whose squares of 4 pixels do not overlap."""
    torch.manual_seed(0)
    backbone = Backbone({"conv": nn.Conv2d(3, channels, 4, stride=4), "relu": nn.ReLU()}, frozen)
    return GeoModel(RESNET, backbone, pooling, channels).eval()


@torch.no_grad()
def descriptor(model, image):
    return model(normalise(image[None]))[0]


@torch.no_grad()
def similarity(model, image, reference):
    return float(F.cosine_similarity(descriptor(model, image), reference, dim=0))


@pytest.fixture(scope="module", params=["gem", "gem, whitened", "average, before_pool", "netvlad"])
def built(request):
    pooling, _, extra = request.param.partition(", ")
    model = build_model(RESNET.replace(pooling=pooling, l2=extra if "pool" in extra else "both")).eval()
    if extra == "whitened":
        model.whiten(Whitening.learn(np.random.default_rng(0).normal(size=(20, model.dim)).astype(np.float32), 8))
    return model


@pytest.fixture
def resnet(built):
    """A copy, which a test may change."""
    return deepcopy(built)


# --- what lights up ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("frozen", [0, 1, 2])
@pytest.mark.parametrize("pooling", ["gem", "netvlad"])
def test_a_model_that_sees_one_quarter_lights_that_quarter(monkeypatch, method, frozen, pooling):
    torch.manual_seed(3)
    monkeypatch.setattr(saliency, "PATCHES", 8)  # squares of 4 pixels, as those of the convolution
    model = small_model(Corner(GeM() if pooling == "gem" else NetVLAD(8, 4)), frozen)
    heat = METHODS[method](model, noise(32, 48), descriptor(model, noise(32, 48, seed=1)))
    assert heat.shape == (32, 48) and heat.dtype == np.float32
    assert np.abs(heat[:16, :24]).mean() > 3.5  # of 4, if nothing leaks
    # enlarging blurs by half a location; similarities round in their seventh digit, 1e-4 of a map of small ones
    assert np.abs(heat[18:]).max() < 1e-3 and np.abs(heat[:, 26:]).max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_what_both_images_share_speaks_for_the_match(method):
    model, image, other = small_model(GeM()), noise(32, 48), noise(32, 48, seed=1)
    image[0, :, :24] //= 8  # nothing red on the left of the image, nothing green on that of the other
    other[1, :, :24] //= 8
    other[:, :, 24:] = image[:, :, 24:]
    heat = METHODS[method](model, image, descriptor(model, other))
    assert heat[:, 26:].mean() > heat[:, :22].mean() + 0.3


@pytest.mark.parametrize("method", METHODS)
def test_maps_of_all_models_have_one_scale(method, resnet):
    image, reference = noise(32, 64), descriptor(resnet, noise(32, 64, seed=1))
    heat = METHODS[method](resnet, image, reference)
    assert np.abs(heat).mean() == pytest.approx(1, rel=1e-3)
    np.testing.assert_allclose(METHODS[method](resnet, image, 10 * reference.numpy()), heat, atol=0.05)


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_can_matter_the_map_is_zero(method, resnet):
    blank = torch.full((3, 32, 64), 90, dtype=torch.uint8)
    assert np.abs(METHODS[method](resnet, blank, descriptor(resnet, noise(32, 64)))).max() < 0.2


# --- against plain loops -------------------------------------------------------------------------------------------


def test_weights_add_up_to_the_similarity_that_the_content_brings(resnet):
    image, reference = noise(48, 64), descriptor(resnet, noise(48, 64, seed=1))
    blank = image.float().mean((1, 2), keepdim=True).round().to(torch.uint8).expand_as(image)
    weights = saliency._location_weights(*saliency._ready(resnet, image, reference))
    assert weights.shape == (6, 8)
    brought = similarity(resnet, image, reference) - similarity(resnet, blank, reference)
    assert float(weights.sum()) == pytest.approx(brought, rel=1e-3, abs=1e-5)


def test_the_gradient_map_is_the_mean_of_many_gradients():
    model = small_model(GeM())
    image, reference = noise(16, 24), descriptor(model, noise(16, 24, seed=1))
    blank = image.float().mean((1, 2), keepdim=True).round().to(torch.uint8).expand_as(image)
    present, absent = (model.backbone(normalise(picture[None])).detach() for picture in (image, blank))
    total = torch.zeros_like(present)
    for step in range(500):
        maps = (absent + (step + 0.5) / 500 * (present - absent)).requires_grad_()
        descriptors = F.normalize(model.pooling(F.normalize(maps, dim=1)), dim=1)
        (descriptors @ reference).backward()
        total += maps.grad / 500
    expected = (total * (present - absent)).sum(1)
    found = saliency._location_weights(*saliency._ready(model, image, reference))
    torch.testing.assert_close(found, expected[0], rtol=1e-3, atol=1e-6)


def test_the_occlusion_map_is_that_of_plain_loops():
    model, patch = small_model(GeM()), 5  # a sixth of 30, with strides of 2
    image, reference = noise(30, 36), descriptor(model, noise(30, 36, seed=1))
    mean = image.float().mean((1, 2)).round().to(torch.uint8)[:, None, None]
    drops = {}
    for top in [*range(0, 25, 2), 25]:
        for left in [*range(0, 31, 2), 31]:
            covered = image.clone()
            covered[:, top : top + patch, left : left + patch] = mean
            drops[top, left] = similarity(model, image, reference) - similarity(model, covered, reference)
    expected = np.array([[np.mean([drop for (top, left), drop in drops.items()
                                   if 0 <= y - top < patch and 0 <= x - left < patch])
                          for x in range(36)] for y in range(30)])  # fmt: skip
    found = occlusion_map(model, image, reference)
    np.testing.assert_allclose(found, expected / np.abs(expected).mean(), atol=1e-3)


def test_batches_bound_memory_and_change_nothing(resnet, monkeypatch):
    image, reference = noise(32, 64), descriptor(resnet, noise(32, 64, seed=1))
    lengths, forward, found = [], GeoModel.forward, []
    monkeypatch.setattr(saliency, "PATCHES", 3)
    monkeypatch.setattr(GeoModel, "forward", lambda self, x: (lengths.append(len(x)), forward(self, x))[1])
    for batch_size in (1, 7, 1000):
        monkeypatch.setattr(saliency, "BATCH", batch_size)
        lengths.clear()
        found.append(occlusion_map(resnet, image, reference))
        assert max(lengths) == min(batch_size, 6 * 12)  # squares of 10 pixels, 5 apart
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], atol=0.02)


# --- the model stays as it was -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_no_trace_is_left(method, resnet):
    resnet.train()
    resnet(normalise(torch.stack([noise(32, 64), noise(32, 64, 1)]))).sum().backward()
    reference = torch.randn(resnet.dim)

    def state():
        gradients = {name: p.grad.clone() for name, p in resnet.named_parameters() if p.grad is not None}
        flags = [p.requires_grad for p in resnet.parameters()], [module.training for module in resnet.modules()]
        return flags, resnet.backbone.frozen, gradients, {k: v.clone() for k, v in resnet.state_dict().items()}

    before = state()
    METHODS[method](resnet, noise(32, 64), reference)
    after = state()
    assert after[:2] == before[:2] and not reference.requires_grad
    for tensors, others in zip(after[2:], before[2:], strict=True):
        assert tensors.keys() == others.keys() and all(torch.equal(tensors[name], others[name]) for name in others)


def test_what_is_frozen_changes_no_map():
    image, reference = noise(32, 64), torch.rand(128, generator=torch.Generator().manual_seed(0))
    maps = [gradient_map(build_model(RESNET.replace(freeze=f)), image, reference) for f in ("none", "layer1", "layer2")]
    np.testing.assert_array_equal(maps[0], maps[1])
    np.testing.assert_array_equal(maps[0], maps[2])
    with torch.no_grad():  # of the caller
        np.testing.assert_array_equal(maps[0], gradient_map(build_model(RESNET), image, reference))


# --- faults --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [gradient_map, occlusion_map])
@pytest.mark.parametrize(
    ("image", "width", "message"),
    [
        (noise(16, 16).float(), 8, r"torch.float32 of shape \(3, 16, 16\); a heat map needs uint8"),
        (noise(16, 16)[None], 8, r"shape \(1, 3, 16, 16\)"),
        (noise(16, 16).permute(1, 2, 0), 8, r"shape \(16, 16, 3\)"),
        (noise(16, 16), 9, r"the reference has shape \(9,\), descriptors of this model have \(8,\)"),
    ],
)
def test_other_images_and_references_are_refused(method, image, width, message):
    with pytest.raises(ValueError, match=message):
        method(small_model(GeM()), image, torch.ones(width))
