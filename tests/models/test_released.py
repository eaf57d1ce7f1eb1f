"""Released models by name, from a server of this machine: fetched once and whole, or a sentence; and PyTorch's hub."""

import re
import shutil
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import pytest
import torch

from vg_core.__main__ import main
from vg_core.config import Config
from vg_core.models import build_model, load_model
from vg_core.models import released as module
from vg_core.models.backbones import STREETS
from vg_core.models.checkpoint import checkpoint_hash, read_facts, whitened_file
from vg_core.system import paths

NAME, FILE = "cosplace:ResNet18_32", "ResNet18_32_cosplace.pth"
PATH = f"/CosPlace/releases/download/v1.0/{FILE}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        status, body, length = self.server.answers.get(self.path, (404, b"Not Found", 9))
        self.send_response(status)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def body(tmp_path_factory):
    """Bytes of a small file of CosPlace: a ResNet-18 up to layer1."""
    config = Config(layer="layer1", freeze="none", fc_output_dim=32, weights="none")
    with torch.random.fork_rng(devices=[]):
        model = build_model(config)
    numbers = {"conv1": "0", "bn1": "1", "layer1": "4"}
    state = {}
    for key, value in model.backbone.state_dict().items():
        layer, _, rest = key.partition(".")
        state[f"backbone.{numbers[layer]}.{rest}"] = value
    state |= {f"aggregation.3.{part}": getattr(model.head.linear, part).data for part in ("weight", "bias")}
    file = tmp_path_factory.mktemp("theirs") / "file.pth"
    torch.save(state | {"aggregation.1.p": torch.tensor([2.5])}, file)
    return file.read_bytes()


@pytest.fixture
def hub(tmp_path, monkeypatch, body):
    """An empty folder of PyTorch's hub, and a server that has one released file."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.answers = [], {PATH: (200, body, len(body))}
    Thread(target=partial(server.serve_forever, poll_interval=0.01), daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(module, "SERVER", address)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    yield SimpleNamespace(server=server, address=address, folder=tmp_path / "hub" / "checkpoints")
    server.shutdown()
    server.server_close()


# --- fetched ----------------------------------------------------------------------------------------------------------
def test_a_released_model_is_fetched_once(hub, body):
    model = load_model(NAME)
    assert (hub.folder / FILE).read_bytes() == body
    assert model.config == Config(layer="layer1", freeze="none", weights="none", fc_output_dim=32)
    assert model.dim == 32 and model.pooling.p.item() == 2.5 and not model.training
    again = load_model(NAME)
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in model.state_dict().items())
    assert read_facts(NAME) == {}
    assert whitened_file(NAME) == hub.folder / f"whitened-{checkpoint_hash(hub.folder / FILE)}.safetensors"
    assert checkpoint_hash(NAME) == checkpoint_hash(hub.folder / FILE)
    assert hub.server.asked == [PATH]
    assert [file.name for file in hub.folder.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("cosplace:VGG16_64", "/CosPlace/releases/download/v1.0/VGG16_64_cosplace.pth"),
        ("cosplace:ResNet152_1024", "/CosPlace/releases/download/v1.0/ResNet152_1024_cosplace.pth"),
        ("eigenplaces:ResNet50_2048", "/EigenPlaces/releases/download/v1.0/ResNet50_2048_eigenplaces.pth"),
        ("eigenplaces:VGG16_512", "/EigenPlaces/releases/download/v1.0/VGG16_512_eigenplaces.pth"),
    ],
)
def test_where_files_of_others_lie(hub, name, path, body):
    hub.server.answers[path] = 200, body, None  # a server need not say how long it is
    assert load_model(name).dim == 32
    assert hub.server.asked == [path]


def test_megaloc_is_fetched_by_its_name_and_called_by_it(hub, body, monkeypatch):
    monkeypatch.setattr(module, "MEGALOC", f"{hub.address}/resolve/main/model.safetensors")
    told = (
        r"the model megaloc \(MIT licence\): its makers list .*/model\.safetensors, but it is not there \(404\); give"
    )
    with pytest.raises(FileNotFoundError, match=told):
        load_model("megaloc")
    hub.server.answers["/resolve/main/model.safetensors"] = 200, body, len(body)
    load_model("megaloc")
    assert load_model("megaloc").dim == 32  # of the file that stands in for it
    assert hub.server.asked == ["/resolve/main/model.safetensors"] * 2
    assert [file.name for file in hub.folder.iterdir()] == ["megaloc.safetensors"]


def test_weights_to_start_from(hub):
    config = Config(layer="layer1", freeze="none", fc_output_dim=32, weights=NAME)
    model = build_model(config)
    assert torch.equal(model.head.linear.weight, load_model(NAME).head.linear.weight)
    assert model.origin.startswith(f"{hub.folder / FILE} is a CosPlace or EigenPlaces model; taken: backbone and pool")


def test_commands_take_names(hub, street, tmp_path, capsys):
    split, output = street / "images" / "test", tmp_path / "all.npz"
    photo = sorted((split / "queries").iterdir())[4]
    size = ["--image_size", "48", "64"]
    assert main(["test", "--model", NAME, "--dataset", "street", "--test_method", "own_size", *size]) == 0
    assert main(["describe", "--model", NAME, "--images", str(split), "--output", str(output), *size]) == 0
    assert main(["locate", str(photo), "--model", NAME, "--database", str(split / "database"), *size]) == 0
    printed = capsys.readouterr().out
    assert "descriptor_dim             32\n" in printed and "32 descriptors of 32 dimensions" in printed
    assert "1. " in printed and hub.server.asked == [PATH]
    assert main(["test", "--model", "cosplace:ResNet34_512", "--dataset", "street"]) == 1
    assert capsys.readouterr().err.startswith(
        "error: no model of cosplace is called 'ResNet34_512'; choose one of: VGG"
    )


def test_a_photograph_located_at_two_sizes_has_two_databases(hub, street, capsys):
    split = street / "images" / "test"
    photo = sorted((split / "queries").iterdir())[4]
    for size in ((32, 32), (48, 64), (48, 64)):
        command = ["locate", str(photo), "--model", NAME, "--database", str(split / "database"), "--image_size"]
        assert main([*command, *map(str, size)]) == 0
    assert len([*(paths.cache_root() / "descriptors").glob("*.npy")]) == 2


# --- not fetched ------------------------------------------------------------------------------------------------------
def pickled(folder):
    class Bomb:
        def __reduce__(self):
            return (folder.joinpath("exploded").touch, ())

    torch.save({"backbone.0.weight": Bomb()}, folder / "bomb.pth")
    return (folder / "bomb.pth").read_bytes()


FAULTS = {
    "busy": ((503, b"", 0), r"\(HTTP Error 503: Service Unavailable\)"),
    "cut": (lambda whole: (200, whole[:-1000], len(whole)), r"\(only [\d,]+ of [\d,]+ bytes came\)"),
    "short": (lambda whole: (200, whole[:-1000], None), r"\(what came cannot be read as a state dict .* is damaged"),
    "a page": ((200, b"<html>sign in</html>", 20), r"\(what came cannot be read as a state dict"),
    "empty": ((200, b"", 0), r"\(what came cannot be read as a state dict"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_comes_damaged_is_not_kept(hub, body, name):
    answer, reason = FAULTS[name]
    hub.server.answers[PATH] = answer(body) if callable(answer) else answer
    where = rf"Fetch {hub.address}{PATH} elsewhere and place it at {hub.folder / FILE}, or give the path of a file"
    with pytest.raises(OSError, match=rf"^the model cosplace:ResNet18_32 could not be fetched {reason}.*\. {where}"):
        load_model(NAME)
    assert [*hub.folder.iterdir()] == []


def test_nothing_that_comes_is_run(hub, tmp_path):
    data = pickled(tmp_path)
    hub.server.answers[PATH] = 200, data, len(data)
    with pytest.raises(OSError, match=r"could not be fetched \(what came holds more than tensors"):
        load_model(NAME)
    assert not (tmp_path / "exploded").exists() and [*hub.folder.iterdir()] == []


def test_offline_says_where_a_file_belongs_and_takes_it_there(hub, body, monkeypatch):
    monkeypatch.setattr(module, "SERVER", "http://127.0.0.1:9")
    with pytest.raises(OSError, match=r"could not be fetched \(<urlopen error .*refused>\)\. Fetch .* place it at "):
        load_model(NAME)
    (hub.folder / FILE).write_bytes(body)
    assert load_model(NAME).dim == 32


def test_a_model_that_is_listed_and_not_there(hub):
    with pytest.raises(
        FileNotFoundError,
        match=r"^the model eigenplaces:ResNet50_1024: its makers list .*, but it is not there \(404\)",
    ):
        load_model("eigenplaces:ResNet50_1024")
    assert [*hub.folder.iterdir()] == []


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("cosplace:ResNet18_1024", "VGG16_64, VGG16_128, VGG16_256, VGG16_512, ResNet18_32, .*, ResNet152_2048"),
        ("eigenplaces:ResNet18_32", "VGG16_512, ResNet18_256, ResNet18_512, ResNet50_128, .*, ResNet101_2048"),
        ("cosplace:", "VGG16_64, .*"),
        ("cosplace:../../x", "VGG16_64, .*"),
    ],
)
def test_unknown_names_are_told_what_there_is(hub, name, known):
    with pytest.raises(KeyError) as caught:
        load_model(name)
    maker, _, network = name.partition(":")
    told = rf"no model of {maker} is called {network!r}; choose one of: {known}"
    assert re.fullmatch(told, caught.value.args[0])
    assert hub.server.asked == []


def test_a_file_that_was_damaged_later_says_what_to_do(hub, body):
    load_model(NAME)
    (hub.folder / FILE).write_bytes(body[:1000])
    with pytest.raises(
        ValueError, match=rf"{FILE} cannot be read .*copy it again, or, if it was fetched by a name, dele"
    ):
        load_model(NAME)
    (hub.folder / FILE).unlink()
    assert load_model(NAME).dim == 32


def test_imagenet_weights_are_checked_against_the_digest_in_their_name(hub, body, monkeypatch):
    hub.server.answers["/weights.pth"] = 200, body, len(body)
    fetch = module.download
    monkeypatch.setattr(module, "download", lambda _url, file: fetch(f"{hub.address}/weights.pth", file))
    with pytest.raises(
        OSError, match=r"could not be fetched \(it was damaged on its way: its SHA-256 begins with \w+, not f37"
    ):
        build_model(Config(weights="imagenet"))
    assert [*hub.folder.iterdir()] == []


# --- PyTorch's hub ----------------------------------------------------------------------------------------------------
def from_hub(*words, **options):
    return torch.hub.load(str(paths.ROOT), *words, source="local", **options)


def test_hub_gives_released_models_and_ours(hub, tmp_path):
    released = from_hub("get_trained_model", backbone="ResNet18", fc_output_dim=32)
    named = from_hub("geo_model", NAME)
    assert torch.equal(released.head.linear.weight, named.head.linear.weight)
    shutil.copy(STREETS, tmp_path / "mine.safetensors")
    for ours in (from_hub("geo_model"), from_hub("geo_model", str(tmp_path / "mine.safetensors"))):
        found = ours(torch.zeros(2, 3, 64, 64))
        assert found.shape == (2, ours.dim) and not ours.training
        torch.testing.assert_close(found.norm(dim=1), torch.ones(2))
