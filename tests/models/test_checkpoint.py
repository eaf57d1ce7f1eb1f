"""Checkpoints that describe themselves, and every way in which a file can be wrong."""

import json
import os
import resource

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from vg_core.config import Config
from vg_core.models import build_model, load_model, save_model
from vg_core.models.checkpoint import FORMAT, checkpoint_hash, read_facts, whitened_file
from vg_core.models.whitening import Whitening

CONFIG = Config(weights="none", layer="layer1", freeze="conv1", pooling="netvlad", clusters=3, seed=5)


@pytest.fixture(scope="module")
def model():
    """A small network that has been trained for a step, so that nothing in it is as built."""
    model = build_model(CONFIG).train()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)))[:, 0].sum().backward()
    optimizer.step()
    return model.eval()


@pytest.fixture
def saved(model, tmp_path):
    file = tmp_path / "model.safetensors"
    save_model(model, file, recall_5=71.5, epoch=3)
    return file


def rewritten(file, header=None, tensors=None):
    """Change the header or the tensors of a checkpoint."""
    with safe_open(file, "pt") as opened:
        stored = json.loads(opened.metadata()[FORMAT])
        values = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    values = {name: value for name, value in (values | (tensors or {})).items() if value is not None}
    save_file(values, file, {FORMAT: json.dumps(stored | (header or {}))})


def test_a_model_comes_back_from_its_file_alone(model, saved):
    images = torch.randn(2, 3, 64, 64)
    found = load_model(saved)
    assert found.config == CONFIG
    assert found.dim == model.dim
    assert not found.training
    assert torch.equal(found(images), model(images))
    assert [p.requires_grad for p in found.parameters()] == [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize("changes", [{"pooling": "gem"}, {"pooling": "average", "l2": "before_pool"}, {}])
def test_a_linear_layer_and_a_whitening_come_back(tmp_path, changes):
    images, model = torch.randn(2, 3, 64, 64), build_model(CONFIG.replace(fc_output_dim=6, **changes)).eval()
    model.whiten(Whitening.learn(torch.rand(20, 6).numpy(), 4))
    save_model(model, tmp_path / "linear.safetensors")
    found = load_model(tmp_path / "linear.safetensors")
    assert (found.pooled_dim, found.dim) == (6, 4)
    assert [*found.head.state_dict()][-4:] == ["linear.weight", "linear.bias", "whitening.weight", "whitening.bias"]
    assert torch.equal(found(images), model(images))


def test_facts_travel_with_the_model(saved):
    assert read_facts(saved) == {"recall_5": 71.5, "epoch": 3}


def test_the_same_model_gives_the_same_bytes(model, saved, tmp_path):
    save_model(model.to(memory_format=torch.channels_last), tmp_path / "again.safetensors", epoch=3, recall_5=71.5)
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("weights", ["imagenet", "/nowhere/weights.pth"])
def test_loading_needs_no_other_weights(model, tmp_path, weights):
    there = load_with(model, CONFIG.replace(weights=weights), tmp_path)
    assert there.config.weights == weights
    assert torch.equal(there.backbone.conv1.weight, model.backbone.conv1.weight)


def load_with(model, config, folder):
    """The model read back after it was saved with another configuration."""
    model.config = config
    try:
        save_model(model, folder / "other.safetensors")
    finally:
        model.config = CONFIG
    return load_model(folder / "other.safetensors")


def test_folders_are_made_and_nothing_else_is_left(model, tmp_path):
    save_model(model, tmp_path / "a" / "b" / "model.safetensors")
    assert [file.name for file in (tmp_path / "a" / "b").iterdir()] == ["model.safetensors"]


def test_a_full_disk_leaves_the_old_model(model, saved):
    before, limits = saved.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # writing stops in the middle of the file
    try:
        with pytest.raises(OSError, match=r"model\.safetensors could not be written"):
            save_model(model, saved, epoch=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_facts_that_are_no_json_are_refused_before_writing(model, saved):
    before = saved.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_model(model, saved, recall=torch.ones(1))
    assert saved.read_bytes() == before


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*lost\.safetensors; train a model"):
        load_model(tmp_path / "lost.safetensors")


@pytest.mark.parametrize("length", [0, 5, 500, -1])
def test_a_truncated_file(saved, length):
    saved.write_bytes(saved.read_bytes()[:length])
    with pytest.raises(
        ValueError, match=r"model\.safetensors cannot be read as a state dict \(.+\): it is damaged, or no"
    ):
        load_model(saved)


@pytest.mark.parametrize(
    "content",
    [
        b"recall@1 71.5\n" * 20,
        b"<!DOCTYPE html><html>a page in place of the file</html>",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02\x8a\n" + bytes(100),
        bytes(1000),
        (2**62).to_bytes(8, "little") + b"{",
        (100).to_bytes(8, "little") + b"[" * 100,
    ],
)
def test_other_bytes(saved, content):
    saved.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"model\.safetensors cannot be read as a state dict \(.+\): it is damaged, or no"
    ):
        load_model(saved)


@pytest.mark.parametrize(
    "content", [{"model_state_dict": {}}, {"epoch": 3}, [torch.ones(1)], torch.ones(1), None, {0: 1}]
)
def test_pickles_without_a_network(saved, content):
    torch.save(content, saved)
    with pytest.raises(ValueError, match=r"model\.safetensors holds no state dict"):
        load_model(saved)


def test_things_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    for what in (load_model, read_facts, checkpoint_hash, whitened_file):
        with pytest.raises(OSError, match="pipe is no regular file"):
            what(tmp_path / "pipe")
        with pytest.raises(OSError, match=r"is a folder: give a file in it, such as best\.safetensors"):
            what(tmp_path)
        with pytest.raises(FileNotFoundError, match="no checkpoint at"):
            what(tmp_path / "lost")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}])
def test_another_safetensors_file(saved, metadata):
    save_file({"conv1.weight": torch.zeros(1)}, saved, metadata)
    with pytest.raises(
        ValueError, match=r"holds no ResNet, VGG-16, EfficientNet or transformer by names known .* conv1\.weight$"
    ):
        load_model(saved)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (
            {"head.pool.centroids": torch.zeros(3, 9)},
            r"of another shape: head.pool.centroids \(3, 9\) instead of \(3, 64\)",
        ),
        ({"head.pool.weight": None}, "missing: head.pool.weight"),
        ({"head.whitening.weight": torch.zeros(1)}, "unknown: head.whitening.weight"),
    ],
)
def test_tensors_that_do_not_fit_the_configuration(saved, tensors, message):
    rewritten(saved, tensors=tensors)
    with pytest.raises(ValueError, match=rf"does not fit its own configuration; tensors {message}"):
        load_model(saved)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "null", "x", "3", '"vg"', "{}", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, '{"version": 1}'),
        *(json.dumps({"version": v, "config": {}, "facts": {}}) for v in ("1", None, True, 1.5, [], {})),
        *(json.dumps({"version": 1, "config": {}, "facts": f}) for f in ([], None, "x", 3, {"a": "x"}, {"a": [1]})),
    ],
)
def test_headers_of_another_shape(saved, text):
    with_header(saved, text)
    for what in (load_model, read_facts):
        with pytest.raises(
            ValueError, match=r"model\.safetensors has another header than save_model writes, or a damaged"
        ):
            what(saved)


def with_header(file, text):
    with safe_open(file, "pt") as opened:
        values = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    save_file(values, file, {FORMAT: text})


@pytest.mark.parametrize(
    "config",
    [
        *([], None, "x", 3, {"config": {}}, {"clusters": "3"}, {"clusters": 1e12}, {"clusters": 10**12}),
        *({"clusters": 10**30}, {"clusters": -1}, {"clusters": True}, {"clusters": 60_000}, {"clusters": float("nan")}),
        *({"image_size": 1e6}, {"image_size": [1e6, 1e6]}, {"image_size": [10**6, 10**6]}, {"image_size": [54]}),
        *({"profile": []}, {"profile": "other"}, {"preset": {}}, {"backbone": {}}, {"layer": "conv5_3"}, {"freeze": 1}),
        *({"pooling": ["gem"]}, {"weights": None}, {"backbone": "resnet101", "layer": "layer4"}, {"seed": 10**400}),
    ],
)
def test_configurations_that_no_model_has(saved, config):
    config = json.loads(CONFIG.to_json()) | config if isinstance(config, dict) else config
    rewritten(saved, header={"config": config})
    with pytest.raises(ValueError, match=r"model\.safetensors (has a configuration that this|does not fit its own)"):
        load_model(saved)


def test_a_deep_configuration(saved):
    deep = '{"version": 1, "facts": {}, "config": {"clusters": ' + "[" * 900 + "]" * 900 + "}}"
    with_header(saved, deep)
    with pytest.raises(ValueError, match=r"model\.safetensors has "):
        load_model(saved)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.full((3, 64), float("nan")), "holds NaN or infinity"),
        (torch.ones(3, 64, dtype=torch.int64), "is no plain one of floating-point numbers"),
    ],
)
def test_values_that_are_no_weights(saved, tensor, message):
    rewritten(saved, tensors={"head.pool.centroids": tensor})
    with pytest.raises(ValueError, match=rf"model\.safetensors: tensor head\.pool\.centroids {message}"):
        load_model(saved)


def test_a_model_does_not_change_with_its_file(saved):
    found = load_model(saved)
    before = {name: value.clone() for name, value in found.state_dict().items()}
    size = saved.stat().st_size
    with saved.open("rb+") as file:
        file.write(bytes(size))
    assert all(torch.equal(value, before[name]) for name, value in found.state_dict().items())


def test_a_newer_version(saved):
    rewritten(saved, header={"version": 2})
    with pytest.raises(ValueError, match="has version 2 of the format, this vg_core reads up to 1: update it"):
        load_model(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"whitening": 512}, ".*whitening"), ({"pooling": "crn"}, "pooling='crn' is unknown")],
)
def test_a_configuration_of_another_time(saved, changes, message):
    rewritten(saved, header={"config": json.loads(CONFIG.to_json()) | changes})
    with pytest.raises(ValueError, match=f"model.safetensors has a configuration .* cannot build: {message}"):
        load_model(saved)
