"""The weights of Places365 as they are published: a training's checkpoint of a network that tells 365 scenes apart."""

from urllib.request import urlopen

import pytest
import torch
import torchvision

from vg_core.config import Config
from vg_core.models import build_model, released
from vg_core.system import downloads


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """(file, the network's tensors), written as PyTorch did when they were."""
    with torch.device("meta"):
        shapes = torchvision.models.resnet18(num_classes=365).state_dict()
    draws = torch.Generator().manual_seed(0)
    state = {
        name: torch.rand(tensor.shape, generator=draws)
        for name, tensor in shapes.items()
        if "num_batches" not in name  # which PyTorch did not count yet
    }
    content = {"epoch": 90, "arch": "resnet18", "best_prec1": 54.65}
    content["state_dict"] = {f"module.{name}": tensor for name, tensor in state.items()}
    file = tmp_path_factory.mktemp("scenes") / "resnet18_places365.pth.tar"
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return file, state


@pytest.mark.parametrize("layer", ["layer3", "layer4"])
def test_the_backbone_is_taken_and_the_scenes_are_left(published, layer):
    file, state = published
    model = build_model(Config(weights=str(file), layer=layer, freeze="conv1"))
    found = model.backbone.state_dict()
    assert {name.partition(".")[0] for name in found} >= {"conv1", layer} and "fc" not in dict(model.named_children())
    assert all(torch.equal(tensor, state[name]) for name, tensor in found.items() if "num_batches" not in name)
    assert model.origin == (
        f"{file} is a backbone alone; taken: backbone; left aside: "
        + ("layer4, " if layer == "layer3" else "")
        + "fc.weight, fc.bias"
    )


def test_they_are_fetched_by_name(published, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(released, "PLACES365", published[0].parent.as_uri() + "/{}_places365.pth.tar")
    monkeypatch.setattr(downloads, "_opened", lambda url, _headers: urlopen(url))  # addresses of files are refused
    assert build_model(Config(weights="places365")).origin.startswith(str(tmp_path / "checkpoints" / published[0].name))
    with pytest.raises(OSError, match=r"the Places365 weights of vgg16 could not be fetched .*weights=PATH"):
        build_model(Config(backbone="vgg16", layer="conv5_3", freeze="pool4", weights="places365"))
