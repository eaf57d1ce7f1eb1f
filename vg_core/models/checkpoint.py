"""Checkpoints that describe themselves: one safetensors file with the weights, the configuration and a few facts."""

import hashlib
import json
import shlex
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from vg_core.config import Config
from vg_core.models.network import GeoModel, build_model
from vg_core.models.released import model_file
from vg_core.models.tensor_files import read_tensors, regular
from vg_core.models.weights import PARTS, differences, options, recognised, sound
from vg_core.models.whitening import Whitening
from vg_core.system import own_files
from vg_core.system.files import replacing

FORMAT = "vg_core model"
VERSION = 1


def save_model(model: GeoModel, path, **facts: float) -> None:
    """Write a model that ``load_model`` reads back; ``facts`` travel with it, as recall or epoch.

    Raises OSError when the disk is full; the old file is then still whole.
    """
    if own_files.has_digest(path):  # else its digest would be that of the file before
        own_files.write(path, model_bytes(model, **facts))
        return
    with replacing(path) as unfinished:
        unfinished.write_bytes(model_bytes(model, **facts))


def model_bytes(model: GeoModel, **facts: float) -> bytes:
    """The bytes of the file that `save_model` writes: the same model gives the same bytes."""
    header = {"format": FORMAT, "version": VERSION, "config": json.loads(model.config.to_json()), "facts": facts}
    # one metadata entry only: safetensors writes several in random order
    metadata = {FORMAT: json.dumps(header, sort_keys=True)}
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    return safetensors.torch.save(tensors, metadata)


def load_model(path, whitened_dim: int = 0) -> GeoModel:
    """The model of a checkpoint, on the CPU in eval mode, with ``config`` as it was trained. Nothing else is read.

    A released model has a name in place of a path, such as cosplace:ResNet18_512 or megaloc, and is fetched once
    (`model_file`).
    What a file of others does not tell, such as the size of images, is as in ``Config``. ``whitened_dim`` other than 0
    gives descriptors of so many values: whitened as in ``whitened_file(path)``, or in the checkpoint itself if it has a
    whitening, and cut. Raises KeyError for an unknown name, OSError for what is no file, and ValueError for one that
    cannot be read, built or trusted, or for more values than its whitening has.
    """
    model = _load(model_file(path))
    if whitened_dim and model.whitening is None:
        if not whitened_file(path).exists():
            raise FileNotFoundError(
                f"no whitening was learned for {path} yet; python -m vg_core test --model {shlex.quote(str(path))} "
                f"--whitened_dim {whitened_dim} learns it, on its training photographs"
            )
        model = _load(whitened_file(path))
    if whitened_dim:
        model.whiten(model.whitening.truncated(whitened_dim))
    return model


def whitened_file(path) -> Path:
    """Where the whitened twin of a checkpoint lies: beside it, named after its content."""
    return model_file(path).with_name(f"whitened-{checkpoint_hash(path)}.safetensors")


def checkpoint_hash(path) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a checkpoint; FileNotFoundError."""
    return hashlib.sha256(regular(model_file(path)).read_bytes()).hexdigest()[:12]


def read_facts(path) -> dict[str, float]:
    """What ``save_model`` was told about the model, nothing of others'; raises what ``load_model`` raises."""
    return _read(model_file(path))[0].get("facts", {})


def _load(path: Path) -> GeoModel:
    header, tensors = _read(path)
    if not header:
        weights = recognised(tensors, path)
        header["config"] = options(weights, path)
        tensors = {f"{PARTS[part]}.{key}": value for part in PARTS for key, value in weights.parts[part].items()}
    weight = tensors.get("head.whitening.weight", torch.empty(0))
    try:
        config = Config.from_json(json.dumps(header["config"])).replace(compile=False)  # a choice of each training
        with torch.device("meta"):  # no memory: the configuration may ask for any amount
            model = build_model(config.replace(weights="none"))  # all weights are in the file
            if weight.ndim == 2 and config.task.kind != "pairs":  # learned later, so the configuration does not know it
                model.whiten(Whitening(weight.shape[1], weight.shape[0]))
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise ValueError(f"{path} has a configuration that this version cannot build: {error}") from error
    model.config, model.ready = config, True
    faults = differences(model.state_dict(), tensors)
    if faults:
        raise ValueError(f"{path} does not fit its own configuration; tensors {faults}")
    model.load_state_dict(sound(tensors, path), assign=True)
    return model.eval()


def _read(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Header and tensors of a checkpoint; the header is empty when it is not ours."""
    if own_files.has_digest(path):
        again = f"delete runs/{path.parent.name} and run its training's command again"
        own_files.require(path, f"copy it again, delete {own_files.SUMS} there if you have replaced it, or {again}")
    metadata, tensors = read_tensors(path)
    if FORMAT not in metadata:
        return {}, tensors
    try:
        header = json.loads(metadata[FORMAT])
        version, config, facts = header["version"], header["config"], header["facts"]
        good = type(version) is int and all(type(value) in (int, float) for value in facts.values())
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        good = False
    if not good:
        raise ValueError(f"{path} has another header than save_model writes, or a damaged one; copy it again")
    if version > VERSION:
        raise ValueError(f"{path} has version {version} of the format, this vg_core reads up to {VERSION}: update it")
    return {"config": config, "facts": facts}, tensors
