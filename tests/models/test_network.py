"""The whole network: what it gives back, what stays frozen, where its weights come from."""

import pytest
import torch

from vg_core.config import Config
from vg_core.models import build_model
from vg_core.models.backbones import build_backbone
from vg_core.models.network import inference_copy

BASE = Config(weights="none", layer="layer2", freeze="layer1", clusters=4)


@pytest.fixture(scope="module")
def images():
    return torch.randn(2, 3, 32, 64, generator=torch.Generator().manual_seed(0))


def train_steps(model, images, steps=2):
    """Move everything that may move."""
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        model(images)[:, 0].sum().backward()
        optimizer.step()


# --- descriptors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["average", "max", "gem", "netvlad"])
@pytest.mark.parametrize("l2", ["before_pool", "after_pool", "both"])
def test_descriptors_have_the_width_and_length_promised(images, pooling, l2):
    model = build_model(BASE.replace(pooling=pooling, l2=l2)).eval()
    found = model(images)
    assert found.dtype == torch.float32
    assert found.shape == (2, model.dim)
    assert model.dim == (512 if pooling == "netvlad" else 128)
    unit = torch.allclose(found.norm(dim=1), torch.ones(2), atol=1e-5)
    assert unit == (pooling == "netvlad" or l2 != "before_pool")


def test_before_pool_is_the_brief_skeleton(images):
    """Average of locations of unit length, not normalised afterwards."""
    model = build_model(BASE.replace(pooling="average", l2="before_pool")).eval()
    maps = model.backbone(images)
    expected = (maps / maps.norm(dim=1, keepdim=True)).mean((2, 3))
    torch.testing.assert_close(model(images), expected)
    both = build_model(BASE.replace(pooling="average", l2="both")).eval()
    torch.testing.assert_close(both(images), expected / expected.norm(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("changes", "layers"),
    [
        ({}, "l2_locations pool l2"),
        ({"l2": "before_pool"}, "l2_locations pool"),
        ({"l2": "after_pool"}, "pool l2"),
        ({"fc_output_dim": 9}, "l2_locations pool linear l2"),
        ({"fc_output_dim": 9, "l2": "before_pool"}, "l2_locations pool linear"),
        ({"pooling": "netvlad"}, "pool"),
        ({"pooling": "netvlad", "fc_output_dim": 9, "l2": "before_pool"}, "pool linear l2"),
    ],
)
def test_the_head_is_a_list_that_can_be_read_aloud(images, changes, layers):
    model = build_model(BASE.replace(**changes)).eval()
    assert [name for name, _ in model.head.named_children()] == layers.split()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model(images)
    assert found.dtype == torch.float32 and found.shape == (2, model.dim)
    if "fc_output_dim" in changes:
        assert model.dim == model.pooled_dim == 9
        torch.testing.assert_close(
            found.norm(dim=1), torch.ones(2), atol=1e-5, rtol=0
        ) if "l2" in layers.split() else ()


def test_a_linear_layer_changes_no_other_weight():
    plain, longer = build_model(BASE), build_model(BASE.replace(fc_output_dim=9))
    assert all(torch.equal(value, longer.state_dict()[name]) for name, value in plain.state_dict().items())


def test_encoded_are_descriptors_and_the_maps_behind_them(images):
    model = build_model(BASE).eval()
    found = model.encode(model.stem(images))
    assert torch.equal(found.maps, model.backbone(images))
    assert torch.equal(found.descriptors, model(images))


@pytest.mark.parametrize(
    ("backbone", "layer", "freeze", "dim", "stride"),
    [
        ("resnet18", "layer4", "layer3", 512, 32),
        ("resnet50", "layer3", "conv1", 1024, 16),
        ("vgg16", "conv5_3", "conv4_3", 512, 16),
        ("vgg16", "pool5", "none", 512, 32),
        ("efficientnet_b0", "block5", "block4", 112, 16),
        ("efficientnet_b0", "block8", "none", 1280, 32),
    ],
)
def test_backbones_are_cut_after_the_named_layer(images, backbone, layer, freeze, dim, stride):
    model = build_model(BASE.replace(backbone=backbone, layer=layer, freeze=freeze)).eval()
    assert model.dim == dim
    assert model.backbone(images).shape == (2, dim, 32 // stride, 64 // stride)


def test_conv5_3_is_before_its_relu(images):
    raw, _ = build_backbone("vgg16", "conv5_3", "none")
    rectified, _ = build_backbone("vgg16", "relu5_3", "none")
    rectified.load_state_dict(raw.state_dict())
    assert raw(images).min() < 0
    assert torch.equal(rectified(images), raw(images).relu())


def test_the_seed_decides_and_leaves_other_random_numbers_alone():
    config = BASE.replace(pooling="netvlad")
    before = torch.get_rng_state()
    one, same, other = build_model(config), build_model(config), build_model(config.replace(seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in one.state_dict().items():
        assert torch.equal(value, same.state_dict()[name])
    assert not torch.equal(one.backbone.conv1.weight, other.backbone.conv1.weight)
    assert not torch.equal(one.pooling.centroids, other.pooling.centroids)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layer": "layer9"}, "layer='layer9' is no layer of resnet18; choose one of: conv1, .*layer4"),
        ({"backbone": "vgg16"}, "layer='layer2' is no layer of vgg16; choose one of: conv1_1, relu1_1, .*conv5_3"),
        ({"backbone": "efficientnet_b3"}, "layer='layer2' is no layer of efficientnet_b3; .*: block0, .*block8$"),
        ({"freeze": "layer4"}, "freeze='layer4' is neither 'none' nor a layer kept of resnet18; .*layer2$"),
    ],
)
def test_unknown_layers_are_listed(changes, message):
    with pytest.raises(ValueError, match=message):
        build_model(BASE.replace(**changes))


# --- frozen and trained part -----------------------------------------------------------------------------------


def test_frozen_parameters_and_statistics_never_move(images):
    model = build_model(BASE)
    assert {name.split(".")[0] for name, p in model.backbone.named_parameters() if p.requires_grad} == {"layer2"}
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    train_steps(model, images)
    moved = {name for name, value in model.backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[0] for name in moved} == {"layer2"}
    assert {"layer2.0.conv1.weight", "layer2.1.bn2.running_mean"} <= moved
    assert model.pooling.p.item() != 3.0


def test_freeze_none_trains_everything(images):
    model = build_model(BASE.replace(freeze="none"))
    assert all(parameter.requires_grad for parameter in model.parameters())
    before = model.backbone.bn1.running_mean.clone()
    train_steps(model, images)
    assert not torch.equal(model.backbone.bn1.running_mean, before)


def test_a_wholly_frozen_backbone_still_trains_the_pooling(images):
    model = build_model(BASE.replace(freeze="layer2"))
    train_steps(model, images)
    assert model.pooling.p.item() != 3.0


@pytest.mark.parametrize("training", [True, False])
def test_stem_and_tail_make_the_whole(images, training):
    model = build_model(BASE).train(training)
    kept = model.stem(images)
    assert not kept.requires_grad
    torch.testing.assert_close(model.encode(kept).descriptors, model(images))
    torch.testing.assert_close(model.stem(images[:1]), kept[:1])  # whatever else is in the batch


# --- inference copy --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "layer", "freeze"),
    [
        ("resnet18", "layer3", "layer2"),
        ("resnet50", "layer2", "none"),
        ("vgg16", "conv3_3", "none"),
        ("efficientnet_b0", "block4", "block2"),
    ],
)
def test_inference_copy_gives_the_same_descriptors(images, backbone, layer, freeze):
    model = build_model(BASE.replace(backbone=backbone, layer=layer, freeze=freeze, pooling="netvlad"))
    train_steps(model, images, steps=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        copy = inference_copy(model)
        expected, found = model.eval()(images), copy(images)
    assert (found - expected).abs().max() < 1e-5
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in copy.modules())
    assert copy.backbone(images).is_contiguous(memory_format=torch.channels_last)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
