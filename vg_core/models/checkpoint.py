"""Checkpoints that describe themselves: one safetensors file with the weights, the configuration and a few facts."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vg_core.config import Config
from vg_core.files import replacing
from vg_core.models.backbones import differences
from vg_core.models.network import GeoModel, build_model
from vg_core.models.whitening import Whitening

FORMAT = "vg_core model"
VERSION = 1


def save_model(model: GeoModel, path, **facts: float) -> None:
    """Write a model that ``load_model`` reads back; ``facts`` travel with it, as recall or epoch.

    The same model gives the same bytes. Raises OSError when the disk is full; the old file is then still whole.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "config": json.loads(model.config.to_json()),
        "facts": facts,
    }
    # one metadata entry only: safetensors writes several in random order
    metadata = {FORMAT: json.dumps(header, sort_keys=True)}
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    content = safetensors.torch.save(tensors, metadata)
    with replacing(path) as unfinished:
        unfinished.write_bytes(content)


def load_model(path, whitened_dim: int = 0) -> GeoModel:
    """The model of a checkpoint, on the CPU in eval mode, with ``config`` as it was trained. Nothing else is read.

    ``whitened_dim`` other than 0 gives descriptors of so many values: whitened as in ``whitened_file(path)``, or in the
    checkpoint itself if it has a whitening, and cut. Raises FileNotFoundError, and ValueError for a file that
    ``save_model`` did not write, a newer version, tensors that do not fit the configuration, or more values than the
    whitening has.
    """
    model = _load(Path(path))
    if whitened_dim and model.whitening is None:
        if not whitened_file(path).exists():
            raise FileNotFoundError(
                f"no whitening was learned for {path} yet; python -m vg_core test --model {path} --whitened_dim "
                f"{whitened_dim} learns it, on its training photographs"
            )
        model = _load(whitened_file(path))
    if whitened_dim:
        model.whiten(model.whitening.truncated(whitened_dim))
    return model


def whitened_file(path) -> Path:
    """Where the whitened twin of a checkpoint lies: beside it, named after its content."""
    return Path(path).with_name(f"whitened-{checkpoint_hash(path)}.safetensors")


def checkpoint_hash(path) -> str:
    """Twelve hexadecimal digits of the SHA-256 of a checkpoint; FileNotFoundError."""
    return hashlib.sha256(_existing(Path(path)).read_bytes()).hexdigest()[:12]


def read_facts(path) -> dict[str, float]:
    """What ``save_model`` was told about the model; raises what ``load_model`` raises."""
    return _read(Path(path))[0]["facts"]


def _load(path: Path) -> GeoModel:
    header, tensors = _read(path)
    try:
        config = replace(Config.from_json(json.dumps(header["config"])), compile=False)  # a choice of each training
        model = build_model(replace(config, weights="none"))  # all weights are in the file
        weight = tensors.get("whitening.weight", torch.empty(0))
        if weight.ndim == 2:  # learned after the training, so the configuration does not know it
            model.whiten(Whitening(weight.shape[1], weight.shape[0]))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} has a configuration that this version cannot build: {error}") from error
    model.config = config
    faults = differences(model.state_dict(), tensors)
    if faults:
        raise ValueError(f"{path} does not fit its own configuration; tensors {faults}")
    model.load_state_dict(tensors)
    return model.eval()


def _read(path: Path) -> tuple[dict, dict[str, Tensor]]:
    """Header and tensors of a checkpoint."""
    try:
        with safe_open(_existing(path), "pt") as file:
            header = json.loads((file.metadata() or {}).get(FORMAT, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no checkpoint of ours, or is damaged ({error}); train again or copy it again"
        ) from error
    if not {"version", "config", "facts"} <= header.keys():
        raise ValueError(
            f"{path} holds tensors but not the configuration that save_model writes; "
            "weights of a backbone alone are given as weights=PATH"
        )
    if header["version"] > VERSION:
        raise ValueError(
            f"{path} has version {header['version']} of the format, this vg_core reads up to {VERSION}: update it"
        )
    return header, tensors


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path.resolve()}; train a model or correct the path")
    return path
