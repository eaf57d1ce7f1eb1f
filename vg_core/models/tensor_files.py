"""Tensors by name from files of safetensors or PyTorch: nothing in a file is ever run."""

import re
import zipfile
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors import safe_open
from torch import Tensor


def read_tensors(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """(metadata, tensors by name) of a file of safetensors or of ``torch.save``; nothing but tensors is ever unpickled.

    Of a checkpoint of a training they are the network's. Raises what ``regular`` raises, and ValueError for a file that
    holds no tensors, or more.
    """
    with regular(file).open("rb") as opened:
        pickled = opened.read(4) in (b"PK\x03\x04", b"\x80\x02\x8a\n")  # the latter before PyTorch 1.6
        try:
            metadata, found = ({}, _unpickled(opened)) if pickled else _parsed(file)
        except Exception as error:  # the readers share no class of errors
            raise ValueError(f"{file} {_fault(str(error) or type(error).__name__)}") from error
    for wrapper in ("model_state_dict", "state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    named = found.items() if isinstance(found, dict) else ()
    tensors = {key: value for key, value in named if isinstance(key, str) and isinstance(value, Tensor)}
    if not tensors:
        raise ValueError(f"{file} holds no state dict; save model.state_dict() alone")
    return metadata, tensors


def regular(file: Path) -> Path:
    """The file itself; FileNotFoundError when there is none, OSError for a folder or a pipe, which nobody may feed."""
    if file.is_file():
        return file
    if file.exists():
        what = "a folder: give a file in it, such as best.safetensors" if file.is_dir() else "no regular file"
        raise OSError(f"{file} is {what}")
    raise FileNotFoundError(
        f"no checkpoint at {file.resolve()}; train a model or correct the path (weights can also be 'imagenet', "
        "'streets' or 'none', and a released model has a name, such as cosplace:ResNet18_512 or megaloc)"
    )


def _parsed(file: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    with safe_open(file, "pt") as opened:
        return opened.metadata() or {}, {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118


def _unpickled(opened: BinaryIO):
    """What ``torch.save`` wrote, from an open file: given a path, PyTorch looks at the end of its name, too."""
    if zipfile.is_zipfile(opened) and any(entry.compress_type for entry in zipfile.ZipFile(opened).infolist()):
        raise ValueError("it is compressed, which PyTorch never does: a small file could ask for all memory")
    opened.seek(0)
    with torch.serialization.safe_globals(_OF_NUMPY):
        return torch.load(opened, map_location="cpu", weights_only=True)


class _LeftAside:
    """Takes the place of NumPy's numbers and arrays, in which others save recalls: none of its code runs for them."""

    def __init__(self, *parts):
        pass

    __setstate__ = __init__


_MULTIARRAY = [f"{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")]
_OF_NUMPY = [(_LeftAside, f"numpy.{name}") for name in ("dtype", "ndarray", *_MULTIARRAY)]


def _fault(said: str) -> str:
    """What is wrong with a file, from what a reader said about it, and what to do."""
    pickled = re.search(r"GLOBAL ([\w.]+)", said)
    if not pickled:
        said = said.partition("\n")[0]
        return (
            f"cannot be read as a state dict ({said}): it is damaged, or no file of tensors; copy it again, or, if "
            "it was fetched by a name, delete it"
        )
    return (
        f"holds more than tensors: a pickled {pickled[1]}, as when a whole network is saved. To unpickle it would run "
        "what its writer likes and is never done here; where its class is at hand, save its tensors alone, with "
        "torch.save(model.state_dict(), PATH)"
    )
