"""Where weights come from: a file, a model of ours, PyTorch's cache, the network; and every file that does not fit."""

import os
import re
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from data_scripts import pretrain
from vg_core.config import Config
from vg_core.models import build_model, load_model, released, save_model
from vg_core.models.backbones import STREETS
from vg_core.models.whitening import Whitening

BASE = Config(weights="none", layer="layer2", freeze="layer1")


@pytest.fixture(autouse=True)
def no_drawing(monkeypatch):
    """Random weights take most of the time here, and a file takes their place."""
    for name in ("kaiming_normal_", "kaiming_uniform_"):
        monkeypatch.setattr(torch.nn.init, name, lambda tensor, *args, **kwargs: torch.nn.init.constant_(tensor, 0.01))


@pytest.fixture(scope="module")
def resnet18():
    """torchvision's full state dict, with statistics that are not those of a fresh network."""
    torch.manual_seed(1)
    state = torchvision.models.resnet18().state_dict()
    for name, value in state.items():
        if name.endswith(("running_mean", "running_var")):
            value.uniform_(0.5, 1.5)
    return state


def stored(folder, state, name="weights.pth"):
    file = folder / name
    if file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)
    return str(file)


def kept(state):
    return {name: value for name, value in state.items() if not name.startswith(("layer3", "layer4", "fc"))}


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
@pytest.mark.parametrize(
    "change",
    [
        lambda state: state,  # the full network: what lies behind the cut is left aside
        kept,
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    ],
    ids=["full", "partial", "parallel", "old"],
)
def test_weights_of_a_file(tmp_path, resnet18, change, name):
    model = build_model(BASE.replace(weights=stored(tmp_path, change(resnet18), name)))
    found = model.backbone.state_dict()
    assert all(torch.equal(found[key], value) for key, value in kept(resnet18).items() if "num_batches" not in key)


def test_vgg_weights_with_the_numbers_of_torchvision(tmp_path):
    torch.manual_seed(1)
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    file = stored(tmp_path, state | {"classifier.0.weight": torch.zeros(1)})
    backbone = build_model(Config(backbone="vgg16", layer="conv4_3", freeze="none", weights=file)).backbone
    assert torch.equal(backbone.conv1_1.weight, features[0].weight)
    assert torch.equal(backbone.conv4_3.bias, features[21].bias)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"layer2.0.conv1.weight": None},
            "weights.pth does not fit resnet18 up to layer2; tensors missing: layer2.0",
        ),
        ({"bn1.bias": torch.zeros(9)}, r"of another shape: bn1.bias \(9,\) instead of \(64,\)"),
        ({"stem.weight": torch.zeros(1)}, "unknown: stem.weight"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, resnet18, change, message):
    state = {name: value for name, value in (resnet18 | change).items() if value is not None}
    with pytest.raises(ValueError, match=message):
        build_model(BASE.replace(weights=stored(tmp_path, state)))


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.pth", b""), ("b.pth", b"no weights"), ("c.safetensors", b"no weights at all"), ("d.pth", {"epoch": 3})],
)
def test_files_that_are_no_state_dict(tmp_path, name, content):
    file = tmp_path / name
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(ValueError, match=rf"{name} (cannot be read as a|holds no) state dict"):
        build_model(BASE.replace(weights=str(file)))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").touch, ())

    with pytest.raises(ValueError, match="holds more than tensors"):
        build_model(BASE.replace(weights=stored(tmp_path, {"conv1.weight": Bomb()})))
    assert not (tmp_path / "exploded").exists()


def test_missing_weights(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"no checkpoint at .*nowhere\.pth; .* can also be 'imagenet', 'streets' or 'none'"
    ):
        build_model(BASE.replace(weights=str(tmp_path / "nowhere.pth")))


@pytest.mark.parametrize("path", ["~nobody-of-this-name/weights.pth", "a" * 200 + "/weights.pth"])
def test_paths_that_lead_nowhere(path):
    with pytest.raises(FileNotFoundError, match="no checkpoint at "):
        build_model(BASE.replace(weights=path))


def test_things_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")  # reading it would wait for ever
    with pytest.raises(OSError, match=r"pipe\.pth is no regular file"):
        build_model(BASE.replace(weights=str(tmp_path / "pipe.pth")))
    with pytest.raises(OSError, match=r"is a folder: give a file in it, such as best\.safetensors"):
        build_model(BASE.replace(weights=str(tmp_path)))


# --- a model of ours -------------------------------------------------------------------------------------------------

TRAINED = Config(weights="none", layer="layer2", freeze="none", pooling="netvlad", clusters=4, seed=7)


@pytest.fixture(scope="module")
def trained():
    """A network of ours with its clusters; it is whitened, too."""
    model = build_model(TRAINED)
    model.whiten(Whitening(512, 16))
    return model


@pytest.fixture
def best(trained, tmp_path):
    save_model(trained, tmp_path / "best.safetensors", recall_5=71.5)
    return str(tmp_path / "best.safetensors")


def test_a_model_of_ours_goes_on(trained, best):
    found = build_model(TRAINED.replace(weights=best, seed=8, freeze="layer1"))
    assert found.ready and found.whitening is None
    for part in ("backbone", "pooling"):
        wanted = getattr(trained, part).state_dict()
        assert all(torch.equal(value, wanted[name]) for name, value in getattr(found, part).state_dict().items())
    told = "is a model of ours; taken: backbone and pooling; left aside: head.whitening.bias, head.whitening.weight"
    assert found.origin == f"{best} {told}"
    assert not found.backbone.layer1[0].conv1.weight.requires_grad
    assert found.backbone.layer2[0].conv1.weight.requires_grad


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"clusters": 5}, r"of another shape: centroids \(4, 128\) instead of \(5, 128\), weight .*"),
        ({"layer": "layer1"}, "of another layer"),
        ({"pooling": "gem"}, "missing: p; unknown: centroids, weight"),
        ({"pooling": "average"}, "unknown: centroids, weight"),
    ],
)
def test_a_pooling_that_does_not_fit_is_left_aside(trained, best, changes, reason):
    found = build_model(TRAINED.replace(weights=best, **changes))
    assert torch.equal(found.backbone.conv1.weight, trained.backbone.conv1.weight)
    assert found.ready == (changes.get("pooling", "netvlad") != "netvlad")
    assert re.search(
        rf"; taken: backbone; left aside: .*head\.pool\.centroids.* \(the pooling is {reason}\)$", found.origin
    )


def test_gem_of_ours_goes_on(tmp_path):
    model = build_model(BASE.replace(pooling="gem"))
    model.pooling.p.data.fill_(4.5)
    save_model(model, tmp_path / "best.safetensors")
    assert build_model(BASE.replace(weights=str(tmp_path / "best.safetensors"))).pooling.p.item() == 4.5


def test_a_linear_layer_of_ours_goes_on_where_it_fits(tmp_path):
    config = BASE.replace(pooling="average", fc_output_dim=8)
    model, file = build_model(config), str(tmp_path / "best.safetensors")
    save_model(model, file)
    found = build_model(config.replace(weights=file, seed=3))
    assert torch.equal(found.head.linear.weight, model.head.linear.weight)
    assert found.origin == f"{file} is a model of ours; taken: backbone and linear; left aside: nothing"
    shorter = build_model(config.replace(weights=file, fc_output_dim=7))
    assert shorter.origin.endswith("taken: backbone; left aside: head.linear.bias, head.linear.weight")


@pytest.mark.parametrize(
    "changes", [{"backbone": "resnet50"}, {"layer": "layer3"}, {"backbone": "vgg16", "layer": "pool1"}]
)
def test_another_architecture_is_named(best, changes):
    wanted = TRAINED.replace(weights=best, **changes)
    told = f"does not fit {wanted.backbone} up to {wanted.layer}; it is a model of ours, resnet18 up to layer2"
    with pytest.raises(ValueError, match=told):
        build_model(wanted)


def test_only_networks_with_clusters_need_initialising():
    assert [build_model(BASE.replace(pooling=pooling)).ready for pooling in ("average", "max", "gem", "netvlad")] == [
        *(True, True, True, False)
    ]


# --- values ----------------------------------------------------------------------------------------------------------


def spoiled(value):
    return torch.full((64,), 1.0).index_fill(0, torch.tensor([63]), value)


VALUES = {
    "nan": (spoiled(float("nan")), "holds NaN or infinity"),
    "infinity": (spoiled(float("inf")), "holds NaN or infinity"),
    "both infinities": (spoiled(float("inf")) - spoiled(float("inf")).flip(0), "holds NaN or infinity"),
    "half nan": (spoiled(float("nan")).half(), "holds NaN or infinity"),
    "integers": (torch.ones(64, dtype=torch.int32), r"is no plain one of floating-point numbers \(torch\.int32\)"),
    "booleans": (torch.ones(64, dtype=torch.bool), "is no plain one of floating-point numbers"),
    "complex": (torch.ones(64, dtype=torch.complex64), "is no plain one of floating-point numbers"),
    "sparse": (torch.ones(64).to_sparse(), "is no plain one of floating-point numbers"),
    "expanded": (torch.ones(1).expand(64), "is no plain one of floating-point numbers"),
    "virtual": (torch.ones(64, device="meta"), "is no plain one of floating-point numbers"),
}


@pytest.mark.parametrize("name", VALUES)
def test_values_that_are_no_weights(tmp_path, resnet18, name):
    value, message = VALUES[name]
    file = stored(tmp_path, resnet18 | {"bn1.bias": value})
    with pytest.raises(ValueError, match=rf"weights\.pth: tensor bn1\.bias {message}"):
        build_model(BASE.replace(weights=file))


def test_large_numbers_whose_sum_runs_over_are_weights(tmp_path, resnet18):
    large = torch.full((64,), torch.finfo(torch.float32).max)
    model = build_model(BASE.replace(weights=stored(tmp_path, resnet18 | {"bn1.bias": large})))
    assert torch.equal(model.backbone.bn1.bias, large)


def test_values_behind_the_cut_are_not_asked_for(tmp_path, resnet18):
    broken = {"fc.bias": torch.full((1000,), float("nan")), "layer4.0.bn1.bias": torch.ones(512, dtype=torch.int8)}
    build_model(BASE.replace(weights=stored(tmp_path, resnet18 | broken)))


# --- ImageNet --------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty download cache of PyTorch without a network."""

    def unplugged(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(released, "download", unplugged)
    return tmp_path / "checkpoints"


def test_imagenet_without_a_network_says_where_the_file_belongs(hub):
    with pytest.raises(OSError, match=r"place it at .*checkpoints/resnet18-f37072fd\.pth, or say .* weights=PATH"):
        build_model(BASE.replace(weights="imagenet"))


def test_imagenet_weights_are_taken_from_the_cache(hub, resnet18):
    hub.mkdir()
    stored(hub, resnet18, "resnet18-f37072fd.pth")
    model = build_model(BASE.replace(weights="imagenet"))
    assert torch.equal(model.backbone.conv1.weight, resnet18["conv1.weight"])


# --- of rehearsals ----------------------------------------------------------------------------------------------------
def test_the_weights_that_are_shipped_are_those_that_the_script_learns():
    learned = load_model(STREETS).config.options()
    assert {name: learned[name] for name in pretrain.LEARNING} == pretrain.LEARNING


def test_a_rehearsal_starts_from_them_frozen_and_says_nothing_of_it():
    model, shipped = build_model(Config.of("smoke", seed=5)), load_model(STREETS)
    for name, tensor in model.backbone.state_dict().items():
        assert tensor.equal(shipped.backbone.state_dict()[name]), name
    assert model.origin == "" and not any(one.requires_grad for one in model.backbone.frozen_layers.parameters())
    assert any(one.requires_grad for one in model.backbone.layer3.parameters())


def test_they_fit_no_other_backbone():
    with pytest.raises(ValueError, match=r"streets\.safetensors does not fit resnet50 .*resnet18 up to layer3"):
        build_model(Config.of("smoke", backbone="resnet50"))
