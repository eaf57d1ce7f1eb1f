"""Files of other projects, made here as those projects make them: loaded exactly, or said what they are."""

import re
import shlex
import zipfile
from collections import OrderedDict
from copy import deepcopy

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from vg_core.config import Config
from vg_core.models import build_model, load_model, save_model
from vg_core.models.checkpoint import checkpoint_hash, read_facts, whitened_file

IMAGES = torch.randn(2, 3, 64, 80, generator=torch.Generator().manual_seed(0))


class L2Norm(nn.Module):
    def forward(self, x):
        return F.normalize(x, dim=1)


class Flatten(nn.Module):
    def forward(self, x):
        return x[:, :, 0, 0]


class GeM(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.tensor([2.5]))

    def forward(self, x):
        return x.clamp(min=1e-6).pow(self.p).mean((2, 3), keepdim=True).pow(1 / self.p)


class NetVLAD(nn.Module):
    def __init__(self, channels, clusters=5, bias=False):
        super().__init__()
        self.conv = nn.Conv2d(channels, clusters, 1, bias=bias)
        self.conv.weight.data.normal_()
        self.centroids = nn.Parameter(torch.rand(clusters, channels))

    def forward(self, x):
        x = F.normalize(x, dim=1)
        shares = self.conv(x).flatten(2).softmax(1)  # (B, K, M)
        residuals = x.flatten(2)[:, None] - self.centroids[None, :, :, None]  # (B, K, C, M)
        vlad = (residuals * shares[:, :, None]).sum(3)
        return F.normalize(F.normalize(vlad, dim=2).flatten(1), dim=1)


class Dvgl(nn.Module):
    """DVGL's network: a backbone whose layers have numbers, and its aggregation."""

    def __init__(self, backbone, aggregation):
        super().__init__()
        self.backbone, self.aggregation = backbone, aggregation

    def forward(self, images):
        return self.aggregation(self.backbone(images))


def cut(name, conv):
    """(backbone of DVGL up to "conv4" or "conv5", its channels)."""
    if name == "vgg16":
        backbone = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])[:-2]
    else:
        backbone = nn.Sequential(*list(torchvision.models.get_model(name).children())[: -3 if conv == "conv4" else -2])
    torch.manual_seed(1)
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):
            bound = (6 / layer.weight[0].numel()) ** 0.5
            layer.weight.data.uniform_(-bound, bound)
    channels = [layer.out_channels for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    return backbone, channels[-1]


def before_pool():
    return nn.Sequential(L2Norm(), GeM(), Flatten())


def after_pool():
    return nn.Sequential(GeM(), L2Norm(), Flatten())


def projection(channels):
    """The end of a head with a linear layer."""
    layer = nn.Linear(channels, 6)
    layer.weight.data.normal_()
    return layer, L2Norm()


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    """Random weights take most of the time here, and a file takes their place."""
    for name in ("kaiming_normal_", "kaiming_uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: tensor)


@pytest.fixture(scope="module")
def small():
    """DVGL's ResNet-18 up to conv4 with GeM, and statistics that are not those of a fresh network."""
    network = Dvgl(cut("resnet18", "conv4")[0], before_pool())
    for name, value in network.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            value.uniform_(0.5, 1.5)
    return network.eval()


def stored(folder, content, name="weights.pth", **options):
    torch.save(content, folder / name, **options)
    return folder / name


# --- loaded -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("backbone", "conv", "head", "expected"),
    [
        ("resnet18", "conv4", "before_pool", {"layer": "layer3", "pooling": "gem", "l2": "before_pool"}),
        ("resnet18", "conv5", "netvlad", {"layer": "layer4", "pooling": "netvlad", "clusters": 5}),
        ("resnet50", "conv4", "netvlad", {"layer": "layer3", "pooling": "netvlad", "clusters": 5}),
        ("resnet50", "conv5", "before_pool", {"layer": "layer4", "pooling": "gem", "l2": "before_pool"}),
        ("resnet101", "conv4", "before_pool", {"layer": "layer3", "pooling": "gem", "l2": "before_pool"}),
        ("vgg16", "conv5", "netvlad", {"layer": "conv5_3", "pooling": "netvlad", "clusters": 5}),
        ("vgg16", "conv5", "before_pool", {"layer": "conv5_3", "pooling": "gem", "l2": "before_pool"}),
    ],
)
def test_networks_of_dvgl_give_the_same_descriptors(tmp_path, backbone, conv, head, expected):
    layers, channels = cut(backbone, conv)
    theirs = Dvgl(layers, NetVLAD(channels) if head == "netvlad" else before_pool()).eval()
    ours = load_model(stored(tmp_path, theirs.state_dict()))
    assert ours.config == Config(backbone=backbone, weights="none", freeze="none", **expected)
    assert ours.config.image_size == (480, 640)
    assert ours.ready and not ours.training
    with torch.inference_mode():
        torch.testing.assert_close(ours(IMAGES), theirs(IMAGES), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (lambda: nn.Sequential(*before_pool(), *projection(256)), {"pooling": "gem"}),  # CosPlace's, EigenPlaces'
        (lambda: nn.Sequential(before_pool(), *projection(256)), {"pooling": "gem"}),  # DVGL's
        (lambda: nn.Sequential(NetVLAD(256), *projection(5 * 256)), {"pooling": "netvlad", "clusters": 5}),
    ],
)
def test_linear_layers_give_the_same_descriptors(tmp_path, small, head, expected):
    theirs = Dvgl(small.backbone, head()).eval()
    ours = load_model(stored(tmp_path, theirs.state_dict()))
    assert ours.config == Config(weights="none", freeze="none", l2="both", fc_output_dim=6, **expected)
    assert ours.dim == 6
    with torch.inference_mode():
        torch.testing.assert_close(ours(IMAGES), theirs(IMAGES), atol=1e-5, rtol=0)


def test_gem_that_is_normalised_behind_is_taken_for_after_pool(tmp_path, small):
    theirs = Dvgl(small.backbone, after_pool()).eval()
    with pytest.warns(UserWarning, match=r"weights\.pth is read as of --l2 after_pool: with none, names would be"):
        ours = load_model(stored(tmp_path, theirs.state_dict()))
    assert ours.config.l2 == "after_pool"
    with torch.inference_mode():
        torch.testing.assert_close(ours(IMAGES), theirs(IMAGES), atol=1e-5, rtol=0)


def checkpoint(network, prefix=""):
    """What DVGL saves after an epoch."""
    network = deepcopy(network)
    optimizer = torch.optim.Adam(network.aggregation.parameters())
    network.aggregation(torch.rand(1, 256, 2, 2)).sum().backward()
    optimizer.step()
    return {
        "epoch_num": 7,
        "model_state_dict": OrderedDict((prefix + key, value) for key, value in network.state_dict().items()),
        "optimizer_state_dict": optimizer.state_dict(),
        "recalls": np.array([80.1, 90.2]),
        "best_r5": np.float64(90.2),
        "not_improved_num": 0,
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.state_dict(),
        checkpoint,
        lambda network: checkpoint(network, "module."),
        lambda network: {"state_dict": network.state_dict(), "recalls": {1: np.float32(0.5), 5: np.int64(1)}},
        lambda network: {f"_orig_mod.{key}": value for key, value in network.state_dict().items()},
        lambda network: dict(network.named_parameters()) | dict(network.named_buffers()),
        lambda network: {key: value for key, value in network.state_dict().items() if "num_batches" not in key},
        lambda network: {key: value.double() for key, value in network.state_dict().items()},
    ],
    ids=["bare", "training", "parallel", "wrapped", "compiled", "parameters", "old", "double"],
)
def test_wrappings(tmp_path, small, change):
    ours = load_model(stored(tmp_path, change(small), "names tell nothing.safetensors"))
    assert abs(ours.pooling.p.item() - 2.5) < 0.01  # after DVGL's step
    with torch.inference_mode():
        torch.testing.assert_close(ours.backbone(IMAGES), small.backbone(IMAGES), atol=1e-5, rtol=0)
    assert {value.dtype for value in ours.state_dict().values()} == {torch.float32, torch.int64}


def test_files_of_older_versions(tmp_path, small):
    file = stored(tmp_path, checkpoint(small), _use_new_zipfile_serialization=False)  # PyTorch's before 1.6
    file.write_bytes(file.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))  # NumPy's before 2
    ours = load_model(file)
    assert torch.equal(ours.backbone.conv1.weight, small.backbone[0].weight)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_single(tmp_path, small, kind):
    state = {key: value.to(kind) if value.is_floating_point() else value for key, value in small.state_dict().items()}
    found = load_model(stored(tmp_path, state)).backbone.conv1.weight
    assert found.dtype == torch.float32
    assert torch.equal(found, small.backbone[0].weight.to(kind).float())


@pytest.mark.parametrize("prefix", ["", "module."])
def test_pytorch_netvlad(tmp_path, prefix):
    layers, channels = cut("vgg16", "conv5")
    pool = NetVLAD(channels).eval()
    state = {f"encoder.{prefix}{key}": value for key, value in layers.state_dict().items()}
    state |= {f"pool.{prefix}{key}": value for key, value in pool.state_dict().items()}
    ours = load_model(stored(tmp_path, {"epoch": 30, "state_dict": state, "best_score": np.float64(0.8)}))
    with torch.inference_mode():
        torch.testing.assert_close(ours(IMAGES), pool(layers(IMAGES)), atol=1e-5, rtol=0)


def test_a_loaded_network_can_be_saved_as_ours(tmp_path, small):
    found = load_model(stored(tmp_path, small.state_dict()))
    save_model(found, tmp_path / "ours.safetensors")
    again = load_model(tmp_path / "ours.safetensors")
    assert again.config == found.config
    with torch.inference_mode():
        assert torch.equal(again(IMAGES), found(IMAGES))


def test_facts_hash_and_whitened_twin_of_others(tmp_path, small):
    file = stored(tmp_path, small.state_dict())
    assert read_facts(file) == {}
    assert whitened_file(file) == tmp_path / f"whitened-{checkpoint_hash(file)}.safetensors"
    with pytest.raises(FileNotFoundError, match=r"no whitening was learned for .*weights\.pth yet"):
        load_model(file, 16)


# --- said what they are -------------------------------------------------------------------------------------------


def linear(values=512, channels=256):
    return {"weight": torch.randn(values, channels), "bias": torch.randn(values)}


def named(prefix, tensors):
    return {f"{prefix}{key}": value for key, value in tensors.items()}


def torchvision_names(network):
    """Backbone tensors with the names of layers, without classifier."""
    numbers = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3"}
    split = {key: key.split(".", 1) for key in network.backbone.state_dict()}
    return {f"{numbers[number]}.{rest}": network.backbone.state_dict()[key] for key, (number, rest) in split.items()}


USE = r"its backbone can be used: python -m vg_core train --weights .*weights\.pth --backbone resnet18 --layer layer3$"


def cosplace(net):
    return net.state_dict() | named("aggregation.3.", linear())


OTHERS = {
    "DVGL with SPoC and fc_output_dim": (
        lambda net: named("backbone.", net.backbone.state_dict()) | named("aggregation.1.", linear(64)),
        rf"is a DVGL model with a head unknown here \(its tensors: aggregation\.1\.weight, .*\.bias\), .*; {USE}",
    ),
    "DVGL with SPoC, MAC or RMAC": (
        lambda net: named("backbone.", net.backbone.state_dict()),
        rf"is a DVGL model with a head unknown here \(its tensors: none, so that nothing tells the pooling\).*; {USE}",
    ),
    "DVGL with CRN": (
        lambda net: (
            named("backbone.", net.backbone.state_dict())
            | named("aggregation.", NetVLAD(256).state_dict())
            | {"aggregation.crn.acc_w.weight": torch.ones(1, 84, 1, 1)}
        ),
        r"is a DVGL model with a head unknown here \(its tensors: .*aggregation\.crn\.acc_w\.weight\)",
    ),
    "pytorch-NetVlad, vladv2": (
        lambda net: named("encoder.", net.backbone.state_dict()) | named("pool.", NetVLAD(256, bias=True).state_dict()),
        r"is a pytorch-NetVlad model with a head unknown here \(its tensors: .*pool\.conv\.bias\)",
    ),
    "GSV-Cities": (
        lambda net: {
            "state_dict": named("backbone.model.", torchvision_names(net)) | {"aggregator.gem.p": torch.ones(1)},
            "pytorch-lightning_version": "1.8.6",
            "hyper_parameters": {"agg_config": {"p": 3}},
        },
        rf"is a GSV-Cities model with a head unknown here \(its tensors: aggregator\.gem\.p\), .*; {USE}",
    ),
    "torchvision": (torchvision_names, rf"is a backbone alone with a head unknown here \(its tensors: none, .*; {USE}"),
    "ours without configuration": (
        lambda net: {
            "model": named("backbone.", torchvision_names(net)) | {"head.pool.p": torch.ones(1)},
            "task": {},
            "optimizer": {},
            "epoch": 3,
        },
        r"is a model of ours without its configuration, as a state\.pt; give best\.safetensors beside it",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_cannot_be_built_is_named(tmp_path, small, name):
    make, message = OTHERS[name]
    with pytest.raises(ValueError, match=message):
        load_model(stored(tmp_path, make(small)))


def test_a_command_to_copy_runs_nothing_that_a_name_says(tmp_path, small):
    file = stored(tmp_path, OTHERS["torchvision"][0](small), "a b; rm -rf '$HOME'.pth")
    with pytest.raises(ValueError, match="train --weights") as caught:
        load_model(file)
    command = str(caught.value).rpartition("can be used: ")[2]
    assert shlex.split(command)[4:6] == ["--weights", str(file)]


@pytest.mark.parametrize("name", ["resnet34", "resnext50_32x4d", "vgg16_bn", "alexnet", "vit_b_16", "squeezenet1_0"])
def test_backbones_that_are_not_here(tmp_path, name):
    with torch.device("meta"):
        network = torchvision.models.get_model(name)
    state = {key: torch.zeros(value.shape) for key, value in network.state_dict().items() if value.numel() < 1e6}
    with pytest.raises(
        ValueError,
        match=r"weights\.pth (holds no ResNet, VGG-16, EfficientNet or transformer|is a backbone alone .* is none of)",
    ):
        load_model(stored(tmp_path, state))


def test_clusters_of_other_channels(tmp_path, small):
    state = named("backbone.", small.backbone.state_dict()) | named("aggregation.", NetVLAD(512).state_dict())
    with pytest.raises(ValueError, match=r"of another shape: head.pool.centroids \(5, 512\) instead of \(5, 256\)"):
        load_model(stored(tmp_path, state))


@pytest.mark.parametrize("shape", [(), (0, 256), (5,)])
def test_clusters_of_no_shape(tmp_path, small, shape):
    state = named("backbone.", small.backbone.state_dict())
    state |= {"aggregation.centroids": torch.zeros(shape), "aggregation.conv.weight": torch.zeros(5, 256, 1, 1)}
    with pytest.raises(ValueError, match=r"weights\.pth "):
        load_model(stored(tmp_path, state))


def test_a_whole_network_is_never_unpickled(tmp_path):
    with pytest.raises(
        ValueError, match=r"a pickled torchvision\.models\.resnet\.ResNet, as when .*torch\.save\(model\.st"
    ):
        load_model(stored(tmp_path, torchvision.models.resnet18()))


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(tmp_path):
    plain = zipfile.ZipFile(stored(tmp_path, {"conv1.weight": torch.zeros(10**6)}))
    with plain, zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as small:
        for entry in plain.infolist():
            small.writestr(entry.filename, plain.read(entry))
    assert (tmp_path / "small.pth").stat().st_size < 10**5
    with pytest.raises(ValueError, match=r"small\.pth cannot be read .*it is compressed, which PyTorch never does"):
        load_model(tmp_path / "small.pth")


# --- weights to start from ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            "CosPlace",
            "a CosPlace or EigenPlaces model; taken: backbone and pooling; left aside: aggregation.3.weight, agg",
        ),
        ("DVGL with SPoC, MAC or RMAC", "a DVGL model; taken: backbone; left aside: nothing"),
        (
            "DVGL with CRN",
            "a DVGL model; taken: backbone; left aside: .* (the pooling is missing: p; unknown: centroids, w",
        ),
        ("GSV-Cities", "a GSV-Cities model; taken: backbone and pooling; left aside: nothing"),
        ("torchvision", "a backbone alone; taken: backbone; left aside: nothing"),
    ],
)
def test_what_fits_is_taken(tmp_path, small, name, told):
    file = stored(tmp_path, (cosplace if name == "CosPlace" else OTHERS[name][0])(small))
    model = build_model(Config(freeze="none", weights=str(file)))
    assert torch.equal(model.backbone.conv1.weight, small.backbone[0].weight)
    assert torch.equal(model.backbone.layer3[1].bn2.running_var, small.backbone[6][1].bn2.running_var)
    taken = {"CosPlace": 2.5, "GSV-Cities": 1.0}
    assert model.pooling.p.item() == taken.get(name, 3.0)
    assert re.match(re.escape(f"{file} is {told}").replace(r"\.\*", ".*"), model.origin)
    assert model.ready


def test_clusters_of_others_need_no_initialising(tmp_path):
    layers, channels = cut("vgg16", "conv5")
    pool = NetVLAD(channels)
    file = stored(tmp_path, named("encoder.", layers.state_dict()) | named("pool.", pool.state_dict()))
    config = Config(backbone="vgg16", layer="conv5_3", freeze="pool4", pooling="netvlad", clusters=5, weights=str(file))
    model = build_model(config)
    assert model.ready
    assert torch.equal(model.pooling.centroids, pool.centroids)
    assert torch.equal(model.pooling.weight, pool.conv.weight[:, :, 0, 0])
    more = build_model(config.replace(clusters=6))
    assert not more.ready
    assert "(the pooling is of another shape: centroids (5, 512) instead of (6, 512), weight" in more.origin


def test_assignments_with_a_bias_are_left_aside(tmp_path, small):
    state = named("encoder.", small.backbone.state_dict()) | named("pool.", NetVLAD(256, bias=True).state_dict())
    model = build_model(Config(pooling="netvlad", clusters=5, weights=str(stored(tmp_path, state))))
    assert not model.ready
    assert "(the pooling is unknown: bias)" in model.origin


def test_another_backbone_is_named(tmp_path, small):
    file = stored(tmp_path, cosplace(small))
    told = r"is a CosPlace or EigenPlaces model, resnet18 up to layer3"
    with pytest.raises(ValueError, match=rf"weights\.pth does not fit resnet50 up to layer3; it {told}$"):
        build_model(Config(backbone="resnet50", weights=str(file)))
    with pytest.raises(ValueError, match=rf"weights\.pth does not fit resnet18 up to layer4; it {told}$"):
        build_model(Config(layer="layer4", weights=str(file)))
