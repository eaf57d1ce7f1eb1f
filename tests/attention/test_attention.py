"""Attentions: golden values, plain twins in float64, odd sizes, in a network, and their shares on given pixels."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.tiny import TINY, fit
from vg_core.attention import ATTENTIONS, make_attention, share_on
from vg_core.attention.masks import CBAM, AdaptiveAttention, ContextualReweighting, Mask
from vg_core.attention.relations import NonLocal, SecondOrder
from vg_core.config import Config
from vg_core.models import build_model, load_model, save_model
from vg_core.models.network import inference_copy
from vg_core.models.pooling import NetVLAD, WeightedNetVLAD
from vg_core.training.objective import Objective
from vg_core.training.step import make_optimizer

BASE = Config(weights="none", layer="layer2", freeze="layer1", clusters=4)
MASKS = [name for name, kind in ATTENTIONS.items() if issubclass(kind, Mask)]
RELATIONS = [name for name in ATTENTIONS if name not in MASKS]
every_attention = pytest.mark.parametrize("name", ATTENTIONS)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def shaken(layer, seed=0):
    """The layer in float64, all of its parameters random: none starts at zero."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in layer.double().parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    return layer.eval()


def values(*rows):
    return torch.tensor(rows, dtype=torch.float64)


# --- masks: golden values -------------------------------------------------------------------------------------------
def test_golden_response_of_crn():
    crn = ContextualReweighting(1).double()
    for parameter in crn.parameters():
        nn.init.constant_(parameter, 0.01 if parameter.ndim == 4 else 0.0)
    found = crn.response(torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64))
    torch.testing.assert_close(found, torch.full((1, 1, 2, 2), 1.68, dtype=torch.float64))


def test_crn_has_as_many_parameters_as_published():
    assert sum(parameter.numel() for parameter in ContextualReweighting(512).parameters()) == 1_058_900


def test_golden_gates_of_cbam():
    cbam = CBAM(2).double().eval()
    for name, parameter in cbam.named_parameters():
        nn.init.constant_(parameter, 0.0 if "bias" in name else 1.0)
    x = torch.tensor([[[[0.1, 0.2], [0.3, 0.4]], [[-0.1, 0.0], [0.1, 0.05]]]], dtype=torch.float64)
    maps, gates = cbam.weigh(x)
    torch.testing.assert_close(maps, 0.681896264590 * x, rtol=1e-11, atol=0)
    torch.testing.assert_close(gates, torch.full((1, 1, 2, 2), 0.738828125672, dtype=torch.float64), rtol=1e-6, atol=0)
    assert cbam(x)[0, 0, 0, 0].item() == pytest.approx(0.050380413907, rel=1e-6)


def test_golden_mask_of_adaptive_attention():
    adageo = AdaptiveAttention(2).double()
    adageo.take(values([1.0, -0.5]), torch.zeros(1))
    x = values([1, 2, 0], [0, 1, 3]).view(1, 2, 1, 3)
    expected = values([0.366192216282, 0.603748896149, 0.030058887570])
    torch.testing.assert_close(adageo.weights(x)[0] / 3, expected, rtol=1e-10, atol=0)


def test_adaptive_attention_looks_for_the_likeliest_class_among_those_taken():
    adageo = AdaptiveAttention(2).double()
    adageo.take(values([0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]), torch.zeros(3))
    left, right = values([5, 0, 0], [0, 0, 0]).view(1, 2, 1, 3), values([0, 0, -5], [0, 0, 0]).view(1, 2, 1, 3)
    assert adageo.weights(torch.cat([left, right])).flatten(1).argmax(1).tolist() == [0, 2]


# --- masks: twins ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(4, 6), (5, 7), (1, 3), (2, 1)])
def test_crn_equals_its_definition(size):
    crn, x = shaken(ContextualReweighting(3)), random(2, 3, *size)
    unit = x / x.norm(dim=1, keepdim=True)
    height, width = size
    coarse = torch.stack(
        [
            torch.stack([unit[:, :, i : i + 3, j : j + 3].mean((2, 3)) for j in range(0, max(1, width - 1), 2)], dim=2)
            for i in range(0, max(1, height - 1), 2)
        ],
        dim=2,
    )  # windows of 3 x 3 every 2, cut by the border
    total = torch.zeros(2, 1, *coarse.shape[2:], dtype=torch.float64)
    for convolution in crn.contexts:
        reach = convolution.padding[0]
        padded = F.pad(coarse, [reach] * 4)
        for i, j in product(*map(range, coarse.shape[2:])):
            window = padded[:, None, :, i : i + 2 * reach + 1, j : j + 2 * reach + 1]
            responses = (window * convolution.weight).sum((2, 3, 4)) + convolution.bias  # (B, filters)
            total[:, 0, i, j] += responses.clamp(min=0).sum(1)
    expected = F.interpolate(total, size, mode="bilinear", align_corners=False)[:, 0]
    torch.testing.assert_close(crn.weights(x), expected, rtol=1e-10, atol=1e-12)


def test_crn_enlarges_between_the_middles_of_cells():
    crn = ContextualReweighting(1)
    crn.response = lambda _: torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert crn.weights(torch.ones(1, 1, 4, 4))[0, 0].tolist() == [1.0, 0.75, 0.25, 0.0]


def test_masks_multiply_unit_locations_or_locations_as_they_are():
    x = random(2, 8, 3, 5)
    for name in MASKS:
        for unit in (True, False):
            layer = shaken(make_attention(name, 8, unit))
            maps, weights = layer.weigh(x)
            expected = (maps / maps.norm(dim=1, keepdim=True) if unit else maps) * weights
            torch.testing.assert_close(layer(x), expected)
            assert (weights >= 0).all() and weights.shape == (2, 1, 3, 5)


def test_cbam_starts_with_half_of_every_location():
    weights = CBAM(32).eval().weights(torch.randn(2, 32, 5, 4))
    assert torch.equal(weights, torch.full((2, 5, 4), 0.5))


# --- relations ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("scale", "expected"),
    [
        (1.0, [[0.731058578630, 0.268941421370], [0.017986209962, 0.982013790038]]),
        (2**-0.5, [[0.669761549327, 0.330238450673], [0.055807219207, 0.944192780793]]),
    ],
)
def test_golden_relations_of_embedded_gaussians(scale, expected):
    block = NonLocal(2)
    block.query, block.key, block.scale = nn.Identity(), nn.Identity(), scale
    found = block.relations(values([1, 0], [0, 2]).view(1, 2, 1, 2))
    torch.testing.assert_close(found[0], values(*expected), rtol=1e-10, atol=0)
    assert SecondOrder(8).scale == 2**-0.5 and NonLocal(8).scale == 1


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_equal_a_loop_over_locations(name):
    block, x = shaken(make_attention(name, 8, False)), random(2, 8, 3, 5)
    query, key, value = (layer(x).flatten(2) for layer in (block.query, block.key, block.value))
    found = torch.zeros_like(value)
    for image, here in product(range(2), range(15)):
        likeness = torch.stack([query[image, :, here] @ key[image, :, there] for there in range(15)]) * block.scale
        shares = likeness.exp() / likeness.exp().sum()
        torch.testing.assert_close(block.relations(x)[image, here], shares)
        found[image, :, here] = value[image] @ shares
    torch.testing.assert_close(block(x), x + block.project(found.view(2, -1, 3, 5)))
    torch.testing.assert_close(block.weights(x).sum((1, 2)), torch.full((2,), 15.0, dtype=torch.float64))


@pytest.mark.parametrize("name", RELATIONS)
def test_relations_start_without_effect(name):
    x = torch.randn(2, 16, 3, 5)
    assert torch.equal(make_attention(name, 16, False)(x), x)


@every_attention
def test_gradcheck(name):
    layer = shaken(make_attention(name, 4, True))
    x = random(2, 4, 3, 2, seed=1).requires_grad_()
    parameters = [parameter for parameter in layer.parameters() if parameter.numel() < 1000]

    def work(x, *_):
        return layer(x)

    assert torch.autograd.gradcheck(work, (x, *parameters), fast_mode=True)


# --- NetVLAD of weighted locations ----------------------------------------------------------------------------------
def weighted(channels=6, clusters=3):
    torch.manual_seed(0)
    layer = WeightedNetVLAD(channels, clusters).double()
    nn.init.normal_(layer.weight)
    return layer


def test_netvlad_counts_locations_by_their_length():
    layer, x = weighted(), random(2, 6, 2, 3)
    expected = torch.zeros(2, 3, 6, dtype=torch.float64)
    for image, i, j in product(range(2), range(2), range(3)):
        local = x[image, :, i, j]
        length, unit = local.norm(), local / local.norm()
        shares = (layer.weight @ unit).softmax(0)
        for cluster in range(3):
            expected[image, cluster] += length * shares[cluster] * (unit - layer.centroids[cluster])
    expected = F.normalize(F.normalize(expected, dim=2).flatten(1), dim=1)
    torch.testing.assert_close(layer(x), expected)
    assert torch.autograd.gradcheck(layer, x.requires_grad_())


def test_equal_weights_are_plain_netvlad_and_none_is_a_location_less():
    layer, x = weighted(), F.normalize(random(2, 6, 2, 3), dim=1)
    plain = NetVLAD(6, 3).double()
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(0.3 * x), plain(x))
    torch.testing.assert_close(layer(torch.cat([x, 0 * x], dim=3)), plain(x))
    dead = torch.zeros(1, 6, 2, 2, dtype=torch.float64, requires_grad=True)
    assert not layer(dead).any()
    assert torch.autograd.grad(layer(dead).sum(), dead)[0].isfinite().all()


# --- in a network ---------------------------------------------------------------------------------------------------
def described(model, images):
    return model.double().eval()(images.double())


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize(
    "options", [{"pooling": "netvlad"}, *({"l2": l2} for l2 in ("before_pool", "after_pool", "both"))]
)
def test_masks_are_felt_whatever_normalises_locations(name, options):
    """An L2 normalisation behind a mask would cancel it, in NetVLAD, too."""
    images = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    model = build_model(BASE.replace(attention=name, **options)).double()
    mask = model.head.attention
    original = mask.weigh

    def half_as_much_on_the_left(maps):
        maps, weights = original(maps)
        return maps, weights * torch.linspace(0.5, 1, weights.shape[3])

    plain = described(model, images)
    mask.weigh = half_as_much_on_the_left
    changed = described(model, images)
    assert 1 - F.cosine_similarity(plain, changed).max() > 1e-6


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({"attention": "crn", "pooling": "netvlad"}, "attention pool"),
        ({"attention": "cbam"}, "attention pool l2"),
        ({"attention": "cbam", "l2": "after_pool"}, "attention pool l2"),
        ({"attention": "soa"}, "attention l2_locations pool l2"),
        ({"attention": "non_local", "l2": "after_pool", "fc_output_dim": 9}, "attention pool linear l2"),
    ],
)
def test_the_head_is_still_a_list(changes, layers):
    model = build_model(BASE.replace(**changes))
    assert [name for name, _ in model.head.named_children()] == layers.split()
    assert model.head.attention.unit == (changes.get("l2") != "after_pool") if isinstance(model.head[0], Mask) else True


@every_attention
@pytest.mark.parametrize("size", [(32, 64), (40, 72)])  # maps of 4 x 8 and of 5 x 9
def test_copies_for_inference_checkpoints_and_heat_maps(name, size, tmp_path):
    model = build_model(BASE.replace(attention=name, pooling="netvlad"))
    images = torch.randn(3, 3, *size, generator=torch.Generator().manual_seed(0))
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        model.train()(images)[:, 0].sum().backward()
        optimizer.step()
    expected = model.eval()(images)
    torch.testing.assert_close(inference_copy(model)(images), expected, rtol=1e-4, atol=1e-5)
    save_model(model, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert torch.equal(again(images), expected)
    weights = again.attention_weights(images)
    assert weights.shape == (3, size[0] // 8, size[1] // 8) and weights.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(images).dtype == model.attention_weights(images).dtype == torch.float32


@every_attention
def test_a_compiler_takes_it_in_one_piece(name):
    layer, maps = make_attention(name, 8, True), torch.randn(2, 8, 5, 7)
    whole = torch.compile(layer, backend="eager", fullgraph=True)
    torch.testing.assert_close(whole(maps), layer(maps))


def test_crn_starts_from_a_trained_netvlad(tmp_path):
    trained = build_model(BASE.replace(pooling="netvlad", seed=7))
    save_model(trained, tmp_path / "netvlad.safetensors")
    model = build_model(BASE.replace(pooling="netvlad", attention="crn", weights=str(tmp_path / "netvlad.safetensors")))
    assert model.ready and "taken: backbone and pooling; left aside: nothing" in model.origin
    assert torch.equal(model.pooling.centroids, trained.pooling.centroids)
    assert torch.equal(model.pooling.weight, trained.pooling.weight)


def test_adaptive_attention_takes_the_classes_of_a_file_that_ends_where_the_network_does(tmp_path):
    from torchvision import models

    torch.manual_seed(0)
    classifier = models.resnet18(num_classes=365)
    torch.save(classifier.state_dict(), tmp_path / "places.pth")
    config = BASE.replace(weights=str(tmp_path / "places.pth"), attention="adageo")
    taken = build_model(config.replace(layer="layer4")).head.attention.classifier
    assert torch.equal(taken.weight[:365], classifier.fc.weight) and torch.equal(taken.bias[:365], classifier.fc.bias)
    assert (taken.bias[365:] < -1000).all()
    shorter = build_model(config.replace(layer="layer3")).head.attention.classifier
    assert shorter.in_features == 256 and (shorter.bias > -1).all()


def test_attention_may_learn_at_a_rate_of_its_own():
    config = BASE.replace(attention="crn", lr=1e-4, attention_lr=1e-3)
    model = build_model(config)
    rest, own = make_optimizer(config, model, Objective()).param_groups
    assert (rest["lr"], own["lr"], own["initial_lr"]) == (1e-4, 1e-3, 1e-3)
    assert {*map(id, own["params"])} == {*map(id, model.head.attention.parameters())}
    assert len(rest["params"]) + len(own["params"]) == sum(p.requires_grad for p in model.parameters())
    (everything,) = make_optimizer(config.replace(attention_lr=None), model, Objective()).param_groups
    assert len(everything["params"]) == len(rest["params"]) + len(own["params"])
    with pytest.raises(ValueError, match="attention_lr does nothing without an attention; leave it out"):
        BASE.replace(attention_lr=1e-3)


@pytest.mark.parametrize("name", ["crn", "soa"])
def test_it_learns(name, street, tmp_path):
    config = TINY.replace(attention=name, pooling="netvlad", attention_lr=1e-2)
    state = fit(config, tmp_path)
    assert state.history[-1]["loss"] < state.history[0]["loss"]
    started, learned = build_model(config).head.attention, load_model(tmp_path / "best.safetensors").head.attention
    assert any(not torch.equal(a, b) for a, b in zip(started.parameters(), learned.parameters(), strict=True))


# --- shares ---------------------------------------------------------------------------------------------------------
def test_the_share_of_attention_on_given_pixels():
    pixels = torch.zeros(1, 4, 8, dtype=torch.bool)
    pixels[0, :2, :3] = True  # the first of 2 x 4 locations, and half of the second
    weights = torch.tensor([[[1.0, 2, 0, 0], [3, 0, 0, 4]]])
    assert share_on(weights, pixels).tolist() == pytest.approx([0.2])
    assert share_on(torch.ones(1, 3, 5), pixels).item() == pytest.approx(6 / 32, abs=0.03)  # odd parts overlap
    assert share_on(torch.ones(1, 2, 4), pixels).item() == 6 / 32
    assert share_on(torch.zeros(1, 2, 4), pixels).item() == 0


def test_locations_of_a_transformer_are_weighed_without_its_class_token():
    changes = {"backbone": "dinov2_vits14", "layer": "block0", "freeze": "none", "weights": "none", "attention": "crn"}
    model = build_model(BASE.replace(**changes, pooling="gem"))
    assert model.attention_weights(torch.randn(2, 3, 42, 70)).shape == (2, 3, 5)
