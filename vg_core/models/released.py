"""Models by name: of finished runs, and what others have released, fetched once into the folder of PyTorch's hub."""

import os
from pathlib import Path
from urllib.error import HTTPError

import torch

from vg_core.config import PROFILES
from vg_core.models.backbones import STREETS
from vg_core.models.tensor_files import read_tensors
from vg_core.system import own_files, paths
from vg_core.system.downloads import download
from vg_core.system.errors import ByName
from vg_core.system.files import replacing

SERVER = "https://github.com/gmberton"
_OF_RESNET50 = (32, 64, 128, 256, 512, 1024, 2048)
RELEASED = {  # maker: repository, and the widths of descriptors that it lists for each backbone
    "cosplace": (
        "CosPlace",
        {"VGG16": _OF_RESNET50[1:5], "ResNet18": _OF_RESNET50[:5]}
        | dict.fromkeys(("ResNet50", "ResNet101", "ResNet152"), _OF_RESNET50),
    ),
    "eigenplaces": (
        "EigenPlaces",
        {"VGG16": (512,), "ResNet18": (256, 512)} | dict.fromkeys(("ResNet50", "ResNet101"), _OF_RESNET50[2:]),
    ),
}
MEGALOC = "https://huggingface.co/gberton/MegaLoc/resolve/main/model.safetensors"
CCT = "https://shi-labs.com/projects/cct/checkpoints/finetuned/cct_14_7x2_384_imagenet.pth"
PLACES365 = "http://places2.csail.mit.edu/models_places365/{}_places365.pth.tar"  # for resnet18 and resnet50


def model_file(model: str | Path) -> Path:
    """The file of a model, which a path names, or "megaloc", "cosplace:ResNet18_512" and the like; fetched if need be;
    or "run:ID", the best model of the run of that name.

    KeyError for a network that its makers do not list; OSError says what failed and where to place it by hand.
    """
    otherwise = "give the path of a file in place of the name"
    if str(model) == "megaloc":  # Berton, Masone, "MegaLoc: one retrieval to place them all", CVPR workshops 2025
        return fetched(MEGALOC, "the model megaloc (MIT licence)", otherwise, name="megaloc.safetensors")
    maker, _, network = str(model).partition(":")
    if maker == "run":
        return _best_of(network)
    if maker not in RELEASED:
        return Path(model)
    repository, widths = RELEASED[maker]
    names = [f"{backbone}_{width}" for backbone in widths for width in widths[backbone]]
    file = ByName(f"model of {maker}", {name: f"{name}_{maker}.pth" for name in names})[network]
    url = f"{SERVER}/{repository}/releases/download/v1.0/{file}"
    return fetched(url, f"the model {model}", otherwise)


def _best_of(run: str) -> Path:
    """The best model of a run; FileNotFoundError where none of this name was made here."""
    files = [paths.checkpoints_folder(profile) / run / "best.safetensors" for profile in PROFILES]
    if found := next(filter(Path.is_file, files), None):
        return found
    raise FileNotFoundError(f"there is no run {run} in {paths.checkpoints_folder('full').parent}: make it first")


def weights_file(weights: str, backbone: str) -> Path | None:
    """The file that an option ``weights`` means, fetched if need be; None for random ones."""
    if weights == "none":
        return None
    if weights == "streets":
        return STREETS
    if weights == "imagenet":
        return imagenet_file(backbone)
    if weights == "dinov2":
        return dinov2_file(backbone)
    if weights == "places365":
        advice = "say where you have it: weights=PATH"
        return fetched(PLACES365.format(backbone), f"the Places365 weights of {backbone}", advice)
    return model_file(os.path.expanduser(weights))  # of ~nobody, Path's own raises a RuntimeError


def imagenet_file(backbone: str) -> Path:
    """File of ImageNet weights (torchvision's V1, as in the literature; CCT-14's are of its authors), fetched if need
    be. ValueError for backbones that have none.
    """
    from torchvision import models

    advice = "say where you have it: weights=PATH; weights='none' starts from random ones"
    if backbone == "cct_14_7x2":
        return fetched(CCT, f"the ImageNet weights of {backbone}", advice)
    if backbone.startswith(("dinov2", "cct")):
        others = "'dinov2' are its makers'" if backbone.startswith("dinov2") else "'none' starts from random ones"
        raise ValueError(f"weights=imagenet: there are none of {backbone}; weights={others}")
    url = models.get_model_weights(backbone).IMAGENET1K_V1.url
    digest = Path(url).stem.rpartition("-")[2]  # torchvision's names end with the start of the SHA-256
    return fetched(url, f"the ImageNet weights of {backbone}", advice, digest)


def dinov2_file(backbone: str) -> Path:
    """File of DINOv2's weights, learned on 142 million photographs without labels, fetched if need be. ValueError for
    other backbones.
    """
    if not backbone.startswith("dinov2"):
        raise ValueError(
            f"weights=dinov2 are those of dinov2_vits14, dinov2_vitb14 and dinov2_vitl14, not of {backbone}"
        )
    from timm.models import get_pretrained_cfg

    size = {"s": "small", "b": "base", "l": "large"}[backbone.removeprefix("dinov2_vit")[0]]
    url = get_pretrained_cfg(f"vit_{size}_patch14_dinov2.lvd142m").url
    return fetched(url, f"the weights of {backbone} (Apache licence)", "say where you have it: weights=PATH")


def fetched(url: str, what: str, otherwise: str, digest: str = "", name: str = "") -> Path:
    """The file of a URL in the folder of PyTorch's hub, fetched unless it is there: whole, and tensors alone.

    ``digest`` is the start of its SHA-256, where that is known, ``name`` what it is called here, if not as there.
    OSError says ``what`` could not be fetched, why, where to place it by hand, and what to do ``otherwise``.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", name or url.rpartition("/")[2])
    if file.exists():
        return file
    try:
        with replacing(file) as unfinished:
            _download(url, unfinished, digest)
    except OSError as error:
        if isinstance(error, HTTPError) and error.code == 404:
            raise FileNotFoundError(f"{what}: its makers list {url}, but it is not there (404); {otherwise}") from error
        by_hand = f"Fetch {url} elsewhere and place it at {file}, or {otherwise}"
        raise OSError(f"{what} could not be fetched ({error}). {by_hand}") from error
    return file


def _download(url: str, file: Path, digest: str) -> None:
    """Write what a URL gives to a file; OSError where that is not what it should be."""
    download(url, file)
    found = own_files.digest(file)
    if not found.startswith(digest):
        raise OSError(f"it was damaged on its way: its SHA-256 begins with {found[:8]}, not {digest}")
    try:
        read_tensors(file)
    except ValueError as error:
        reason = str(error).removeprefix(str(file)).partition(";")[0]  # what to do is said by the caller
        raise OSError(f"what came{reason}") from error
