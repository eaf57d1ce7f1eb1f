"""CosPlace's and EigenPlaces' networks, built here as the papers say, and their files: loaded strictly or refused."""

from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional as F

from vg_core.config import Config
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.models import build_model, load_model
from vg_core.models.backbones import BACKBONES, PATCHES, build_backbone
from vg_core.models.precision import normalise
from vg_core.models.weights import differences, options, recognised
from vg_core.retrieval.ranking import evaluate
from vg_core.retrieval.strategies import make_strategy

# backbone -> last layer, last frozen one, channels, how many of their layers are frozen, tensors if 512 values follow
NETWORKS = {
    "resnet18": ("layer4", "layer2", 512, 6, 123),
    **{
        name: ("layer4", "layer2", 2048, 6, tensors)
        for name, tensors in {"resnet50": 321, "resnet101": 627, "resnet152": 933}.items()
    },
    "vgg16": ("conv5_3", "pool4", 512, 24, 29),
    **{
        f"efficientnet_b{size}": ("block8", "block4", channels, 5, None)
        for size, channels in enumerate((1280, 1280, 1408, 1536, 1792, 2048, 2304, 2560))
    },
}
IMAGES = torch.randn(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))


class Step(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


class GeM(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.ones(1) * 3)

    def forward(self, x):
        return F.avg_pool2d(x.clamp(min=1e-6) ** self.p, x.shape[-2:]) ** (1 / self.p)


class CosPlace(nn.Module):
    """The published network: backbone, L2, GeM, Flatten, Linear, L2, in this order."""

    def __init__(self, name, values):
        super().__init__()
        network = torchvision.models.get_model(name)
        layers = network.features[:-2] if name == "vgg16" else [*network.children()][:-2]
        self.backbone = nn.Sequential(*layers)
        unit = Step(lambda x: F.normalize(x, dim=1))
        linear = nn.Linear(NETWORKS[name][2], values)
        self.aggregation = nn.Sequential(unit, GeM(), nn.Flatten(), linear, unit)

    def forward(self, images):
        return self.aggregation(self.backbone(images))


def drawn(name, values=512):
    """Their network in eval mode, with weights and statistics that keep signals alive."""
    with torch.device("meta"):  # torchvision's own initialisation takes seconds
        theirs = CosPlace(name, values)
    theirs.to_empty(device="cpu").eval()
    torch.manual_seed(1)
    for key, value in theirs.state_dict().items():
        if value.ndim > 1:
            value.uniform_(-1, 1).mul_((6 / value[0].numel()) ** 0.5)
        elif value.is_floating_point():
            value.uniform_(0.5, 1.5) if key.endswith(("weight", "var")) else value.uniform_(-0.1, 0.1)
        else:
            value.zero_()
    theirs.aggregation[1].p.data.fill_(2.7)
    return theirs


@pytest.fixture(scope="module")
def theirs():
    return drawn("resnet18", 16)


def stored(folder, content, name="weights.pth"):
    torch.save(content, folder / name)
    return folder / name


def ours(name, **changes):
    """The configuration of the paper's network."""
    layer, freeze, *_ = NETWORKS[name]
    chosen = {"layer": layer, "freeze": freeze, "pooling": "gem", "l2": "both", "fc_output_dim": 512, "weights": "none"}
    return Config(backbone=name).replace(**(chosen | changes))


# --- the network ------------------------------------------------------------------------------------------------------
def test_backbones_that_can_be_chosen_are_those_there_are():
    assert get_args(get_type_hints(Config)["backbone"]) == BACKBONES
    assert {*NETWORKS} == {*BACKBONES} - {*PATCHES}


@pytest.mark.parametrize("name", NETWORKS)
def test_channels_and_what_is_frozen(name):
    layer, freeze, channels, count, _ = NETWORKS[name]
    with torch.device("meta"):
        backbone, found = build_backbone(name, layer, freeze)
        theirs = CosPlace(name, 8).backbone
    assert found == channels
    frozen = [not one.requires_grad for one in backbone.parameters()]
    layers = theirs[0] if name.startswith("efficientnet") else theirs
    assert sum(frozen) == len([*layers[:count].parameters()])
    assert frozen == sorted(frozen, reverse=True)


@pytest.mark.parametrize(
    ("name", "values", "trained"),
    [("resnet18", 512, 10_756_097), ("resnet50", 2048, 26_259_457), ("vgg16", 512, 7_342_081)],
)
def test_numbers_of_trained_parameters_are_those_published(name, values, trained):
    with torch.device("meta"):
        model = build_model(ours(name, fc_output_dim=values))
    assert sum(one.numel() for one in model.parameters() if one.requires_grad) == trained
    assert len(model.state_dict()) == NETWORKS[name][4]


# --- files ------------------------------------------------------------------------------------------------------------
def test_names_of_the_published_files():
    with torch.device("meta"):
        resnet, vgg, efficient = (CosPlace(name, 128).state_dict() for name in ("resnet18", "vgg16", "efficientnet_b0"))
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert [*resnet][:6] == ["backbone.0.weight", *(f"backbone.1.{part}" for part in norm)]
    assert {key.split(".")[1] for key in resnet if key.startswith("backbone")} == {*"014567"}
    convolutions = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    assert [*vgg][:-3] == [f"backbone.{n}.{part}" for n in convolutions for part in norm[:2]]
    assert next(iter(efficient)) == "backbone.0.0.0.weight" and "backbone.0.8.1.running_var" in efficient
    for state, channels in ((resnet, 512), (vgg, 512), (efficient, 1280)):
        head = {key: tuple(value.shape) for key, value in state.items() if key.startswith("aggregation")}
        linear = {"aggregation.3.weight": (128, channels), "aggregation.3.bias": (128,)}
        assert head == {"aggregation.1.p": (1,)} | linear


@pytest.mark.parametrize("name", NETWORKS)
def test_their_names_load_strictly(name):
    with torch.device("meta"):
        state = CosPlace(name, 64).state_dict()
        weights = recognised(state, Path("file.pth"))
        config = Config().replace(**options(weights, Path("file.pth")))
        model = build_model(config)
    assert config == ours(name, freeze="none", fc_output_dim=64)
    assert not differences(model.backbone.state_dict(), weights.parts["backbone"])
    assert len(state) == len(model.state_dict())
    assert NETWORKS[name][4] in (None, len(state))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "vgg16", "efficientnet_b0"])
def test_descriptors_are_theirs(tmp_path, name):
    theirs = drawn(name)
    found = load_model(stored(tmp_path, theirs.state_dict()))
    assert found.dim == 512
    with torch.inference_mode():
        expected = theirs(IMAGES)
        assert (found(IMAGES) - expected).abs().max() < 1e-6
    assert (expected[0] - expected[1]).norm() > 0.01  # not all alike


@pytest.mark.parametrize("maker", ["torchvision", "ours"])
@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_b7"])  # the latter begins with VGG-16's shape
def test_efficient_networks_of_all_names_are_weights_to_start_from(maker, name):
    with torch.device("meta"):
        state = torchvision.models.get_model(name).state_dict()
        model = build_model(ours(name, layer="block8"))
    weights = recognised(model.state_dict() if maker == "ours" else state, Path("file.pth"))
    assert weights.kind == ("a model of ours" if maker == "ours" else "a backbone alone")
    assert not differences(model.backbone.state_dict(), weights.parts["backbone"])


def test_a_checkpoint_of_their_training(tmp_path, theirs):
    classifier = {"weight": torch.randn(30, 16)}
    training = {
        "epoch_num": 3,
        "model_state_dict": theirs.state_dict(),
        "optimizer_state_dict": torch.optim.Adam(theirs.parameters()).state_dict(),
        "classifiers_state_dict": [classifier] * 8,
        "optimizers_state_dict": [{"state": {}, "param_groups": []}] * 8,
        "best_val_recall1": np.float64(61.5),
    }
    with torch.inference_mode():
        assert torch.equal(
            load_model(stored(tmp_path, training))(IMAGES), load_model(stored(tmp_path, theirs.state_dict()))(IMAGES)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"aggregation.3.weight": torch.ones(16, 256)},
            r"shape: head\.linear\.weight \(16, 256\) instead of \(16, 512\)",
        ),
        ({"aggregation.3.bias": torch.ones(8)}, r"shape: head\.linear\.weight \(16, 512\) instead of \(8, 512\)"),
        ({"aggregation.3.bias": None}, "a CosPlace or EigenPlaces model with a head unknown here"),
        ({"aggregation.1.p": torch.ones(2)}, r"shape: head\.pool\.p \(2,\) instead of \(1,\)"),
        ({"backbone.7.1.bn2.weight": None}, "is none of resnet18, resnet50"),
        ({"backbone.8.weight": torch.ones(1)}, "is none of resnet18, resnet50"),
        (
            {"backbone.0.weight": torch.ones(64, 4, 7, 7)},
            "holds no ResNet, VGG-16, EfficientNet or transformer by names known here",
        ),
        ({"aggregation.3.bias": torch.full((16,), torch.nan)}, r"tensor head\.linear\.bias holds NaN"),
    ],
)
def test_a_file_that_does_not_fit_is_a_sentence(tmp_path, theirs, change, message):
    state = {key: value for key, value in (theirs.state_dict() | change).items() if value is not None}
    with pytest.raises(ValueError, match=rf"weights\.pth.* {message}"):
        load_model(stored(tmp_path, state))


def test_a_linear_layer_of_another_width_is_left_aside_and_said(tmp_path, theirs):
    file = str(stored(tmp_path, theirs.state_dict()))
    same, other = (build_model(ours("resnet18", weights=file, fc_output_dim=values)) for values in (16, 8))
    assert torch.equal(same.head.linear.weight, theirs.aggregation[3].weight)
    assert other.origin.endswith("taken: backbone and pooling; left aside: aggregation.3.weight, aggregation.3.bias")


# --- queries of their own sizes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("test_method", ["own_size", "single_query"])  # the latter: the shorter side as configured
def test_queries_are_seen_one_by_one_at_their_own_sizes_and_the_database_in_batches(
    tmp_path, street, theirs, test_method
):
    places, size = PlaceSet.load("street", "test"), (64, 80)
    for number, query in enumerate(places.queries.path):
        with Image.open(query) as photo:
            photo.resize((64 + 3 * number, 112 - 2 * number)).save(query, quality=95)
    model, seen = load_model(stored(tmp_path, theirs.state_dict())), []
    model.register_forward_pre_hook(lambda _model, images: seen.append(tuple(images[0].shape)))
    found = evaluate(model, places, size, Within(), 4, make_strategy(test_method))

    def shown(path, seen_at=None):
        with Image.open(path) as photo:
            photo = photo.resize(seen_at or photo.size, Image.Resampling.BILINEAR)
            return torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None]

    def scaled_to(path):
        with Image.open(path) as photo:
            factor = 64 / min(photo.size)
            return tuple(round(side * factor) for side in photo.size)

    queries = [shown(path, scaled_to(path) if test_method == "single_query" else None) for path in places.queries.path]
    database = torch.cat([shown(path, size[::-1]) for path in places.database.path])
    assert sorted(seen) == sorted([*(tuple(one.shape) for one in queries), *[(4, 3, *size)] * 4])
    assert len({one.shape for one in queries}) > 12
    with torch.inference_mode():
        between = torch.cdist(torch.cat([theirs(normalise(one)) for one in queries]), theirs(normalise(database)))
    expected, order = between.sort(dim=1)
    np.testing.assert_allclose(found.distances, expected, atol=1e-3)
    assert (found.indices[:, 0] == order[:, 0].numpy()).all()
