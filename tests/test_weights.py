"""Where the weights of a backbone come from: a file, PyTorch's cache, the network; and every file that does not fit."""

from dataclasses import replace
from urllib.error import URLError

import pytest
import torch
import torchvision
from safetensors.torch import save_file

from vg_core.config import Config
from vg_core.models import build_model
from vg_core.models.backbones import build_backbone

BASE = Config(weights="none", layer="layer2", freeze="layer1")


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
    model = build_model(replace(BASE, weights=stored(tmp_path, change(resnet18), name)))
    found = model.backbone.state_dict()
    assert all(torch.equal(found[key], value) for key, value in kept(resnet18).items() if "num_batches" not in key)


def test_vgg_weights_with_the_numbers_of_torchvision(tmp_path):
    torch.manual_seed(1)
    features = torchvision.models.vgg.make_layers(torchvision.models.vgg.cfgs["D"])
    state = {f"features.{name}": value for name, value in features.state_dict().items()}
    file = stored(tmp_path, state | {"classifier.0.weight": torch.zeros(1)})
    backbone, _ = build_backbone("vgg16", "conv4_3", "none", file)
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
        build_model(replace(BASE, weights=stored(tmp_path, state)))


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
        build_model(replace(BASE, weights=str(file)))


def test_a_file_that_would_run_code_is_refused(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (tmp_path.joinpath("exploded").touch, ())

    with pytest.raises(ValueError, match="holds more than tensors"):
        build_model(replace(BASE, weights=stored(tmp_path, {"conv1.weight": Bomb()})))
    assert not (tmp_path / "exploded").exists()


def test_missing_weights(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pth are no file; give 'imagenet'"):
        build_model(replace(BASE, weights=str(tmp_path / "nowhere.pth")))


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty download cache of PyTorch without a network."""

    def unplugged(*args, **kwargs):
        raise URLError("no network")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unplugged)
    return tmp_path / "checkpoints"


def test_imagenet_without_a_network_says_where_the_file_belongs(hub):
    with pytest.raises(OSError, match=r"place it at .*checkpoints/resnet18-f37072fd\.pth, or say .* weights=PATH"):
        build_model(replace(BASE, weights="imagenet"))


def test_imagenet_weights_are_taken_from_the_cache(hub, resnet18):
    hub.mkdir()
    stored(hub, resnet18, "resnet18-f37072fd.pth")
    model = build_model(replace(BASE, weights="imagenet"))
    assert torch.equal(model.backbone.conv1.weight, resnet18["conv1.weight"])
