"""SAFA: sizes and counts as published, position maps against plain formulas, weights and pixels."""

import math

import pytest
import torch
import torchvision
from torch import nn

from vg_core.cross_view.branches import caffe
from vg_core.cross_view.safa import PositionEmbedding, safa, vgg16
from vg_core.models.precision import normalise

SIZES = {"aerial": (72, 72), "ground": (32, 176)}
TINY = dict.fromkeys(SIZES, (32, 32))


def some_images(height, width, count=2):
    return torch.randint(256, (count, 3, height, width), generator=torch.Generator().manual_seed(0)).to(torch.uint8)


def some_maps(dtype=torch.float64):
    return torch.randn(2, 5, 3, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))


def small(**options):
    return safa(SIZES, backbone="small", weights="none", **options)


@pytest.mark.parametrize(("size", "locations"), [((112, 616), (4, 20)), ((256, 256), (8, 8))])
def test_maps_are_halved_rounding_up(size, locations):
    with torch.device("meta"):
        assert vgg16()(torch.empty(1, 3, *size)).shape == (1, 512, *locations)


def test_vgg_is_as_published():
    with torch.device("meta"):
        layers = dict(vgg16().named_children())
    dropped = [name for name, layer in layers.items() if isinstance(layer, nn.Dropout)]
    assert dropped == [f"dropout{block}_{number}" for block in (4, 5) for number in (1, 2, 3)]
    assert all(layers[name].p == pytest.approx(0.2) for name in dropped)
    assert [*layers][-4:] == ["conv5_3", "relu5_3", "dropout5_3", "pool5"]
    assert sum(isinstance(layer, nn.ReLU) for layer in layers.values()) == 13


@pytest.mark.parametrize(("positions", "count"), [(80, 52_160), (64, 33_536)])
def test_a_branch_has_as_many_parameters_for_positions_as_published(positions, count):
    embedding = PositionEmbedding(positions)
    assert sum(parameter.numel() for parameter in embedding.parameters()) == count
    assert (embedding.bias_1 == 0.1).all() and (embedding.bias_2 == 0.1).all()
    # a normal that is cut at two standard deviations has 0.8796 of its spread
    assert embedding.weight_1.abs().max() <= 0.01 and embedding.weight_1.std().item() == pytest.approx(0.0044, rel=0.02)


def test_without_weights_it_is_the_sum_of_the_locations_eight_times():
    embedding, maps = PositionEmbedding(12).double(), some_maps()
    for weight in (embedding.weight_1, embedding.weight_2):
        nn.init.zeros_(weight)
    found = nn.functional.normalize(embedding(maps), dim=1)
    summed = nn.functional.normalize(maps.sum((2, 3)), dim=1)
    torch.testing.assert_close(found, summed.repeat(1, 8) / math.sqrt(8), rtol=0, atol=1e-15)


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_position_maps_are_two_linear_layers_over_all_positions(reduce):
    embedding, maps = PositionEmbedding(12, 3, reduce).double(), some_maps()
    nn.init.normal_(embedding.bias_1)
    nn.init.normal_(embedding.bias_2)
    descriptors, weights = embedding(maps), embedding.position_maps(maps)
    for image in range(2):
        flat = maps[image].reshape(5, 12)
        reduced = flat.mean(0) if reduce == "mean" else flat.max(0).values
        for number in range(3):
            hidden = reduced @ embedding.weight_1[number] + embedding.bias_1[number]
            expected = hidden @ embedding.weight_2[number] + embedding.bias_2[number]
            torch.testing.assert_close(weights[image, number], expected.view(3, 4))
            torch.testing.assert_close(descriptors[image, 5 * number : 5 * number + 5], flat @ expected)


def test_branches_take_images_of_their_own_size_and_share_no_weight():
    model = small().eval()
    ground, aerial = some_images(*SIZES["ground"]), some_images(*SIZES["aerial"])
    found, maps = model.ground.encode(ground)
    assert found.shape == (2, model.dim) == (2, 8 * 96) and maps.shape == (2, 96, 2, 11)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
    before = model(aerial, "aerial")
    with torch.no_grad():
        for parameter in model.ground.parameters():
            parameter.add_(0.1)
    assert torch.equal(model(aerial, "aerial"), before) and not torch.allclose(model(ground, "ground"), found)
    assert not torch.equal(small().aerial.backbone[0].weight, small().ground.backbone[0].weight)


def test_random_weights_follow_from_the_seed_alone():
    state = torch.random.get_rng_state()
    one, other = small(seed=1).state_dict(), small(seed=1).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(tensor, one[name]) for name, tensor in small(seed=2).state_dict().items())


def test_position_maps_can_be_shown():
    model, images = small(maps=4).eval(), some_images(*SIZES["ground"])
    shown, maps = model.ground.position_maps(images), model.ground.encode(images).maps
    assert shown.shape == (2, 4, 2, 11)
    weighted = torch.einsum("bmhw,bchw->bmc", shown, maps).flatten(1)
    torch.testing.assert_close(nn.functional.normalize(weighted, dim=1), model(images, "ground"))


def test_without_position_maps_it_is_the_maximum():
    model, images = small(maps=0).eval(), some_images(*SIZES["aerial"])
    found, maps = model.aerial.encode(images)
    assert model.dim == 96
    torch.testing.assert_close(found, nn.functional.normalize(maps.amax((2, 3)), dim=1))


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match="have 2 x 12 locations, position maps 22: give images of the size"):
        small()(some_images(32, 192), "ground")


def test_pixels_are_those_of_the_weights():
    images = torch.tensor([250, 120, 3], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = torch.tensor([3 - 103.939, 120 - 116.779, 250 - 123.6])
    torch.testing.assert_close(caffe(images).flatten(), expected)
    assert small().aerial.pixels is normalise and small(pixels="caffe").ground.pixels is caffe
    with pytest.raises(KeyError, match="no kind of pixels is called 'bgr'; choose one of: torchvision, caffe"):
        small(pixels="bgr")


@pytest.fixture
def no_drawing(monkeypatch):
    """Random weights take most of the time here."""
    for name in ("kaiming_normal_", "trunc_normal_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *args, **kwargs: nn.init.constant_(tensor, 0.01))


@pytest.fixture
def published(tmp_path, no_drawing):
    """File of torchvision's VGG-16, and its tensors."""
    with torch.device("meta"):
        shapes = torchvision.models.vgg16().features.state_dict(prefix="features.")
    state = {name: torch.full(tensor.shape, number / 100) for number, (name, tensor) in enumerate(shapes.items())}
    torch.save(state, tmp_path / "vgg16.pth")
    return tmp_path / "vgg16.pth", state


def test_both_branches_start_from_a_file(published):
    file, state = published
    model = safa(TINY, weights=str(file))
    for side in (model.aerial, model.ground):
        found = side.backbone.state_dict()
        assert len(found) == 26
        assert all(torch.equal(*pair) for pair in zip(found.values(), state.values(), strict=True))


def test_a_file_that_does_not_fit_is_refused(published):
    file, state = published
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("features.28")}, file)
    with pytest.raises(ValueError, match="does not fit the vgg16 of SAFA; tensors missing: conv5_3"):
        safa(TINY, weights=str(file))
    with pytest.raises(ValueError, match="no weights for the backbone 'small': weights='none' starts from random"):
        safa(SIZES, backbone="small", weights=str(file))


def test_dropout_is_for_training_alone(no_drawing):
    model, images = safa(dict.fromkeys(SIZES, (16, 16)), maps=0, weights="none"), some_images(16, 16)
    assert not torch.allclose(model(images, "ground"), model(images, "ground"))
    model.eval()
    assert torch.equal(model(images, "ground"), model(images, "ground"))
