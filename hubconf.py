"""Models for ``torch.hub.load``: networks that make unit vectors (B, D) of ImageNet-normalised images (B, 3, H, W)."""

from pathlib import Path

from vg_core.models import GeoModel, load_model
from vg_core.models.backbones import STREETS

dependencies = [
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "faiss",
    "scipy",
    "safetensors",
    "timm",
    "filelock",
    "psutil",
    "tqdm",
]


def geo_model(model: str | Path = "streets") -> GeoModel:
    """A network in eval mode: of a checkpoint's path, of a released model's name such as "cosplace:ResNet18_512", or
    "streets", ours for rehearsals, which comes with the code.
    """
    return load_model(STREETS if model == "streets" else model)


def get_trained_model(backbone: str = "ResNet50", fc_output_dim: int = 2048, maker: str = "cosplace") -> GeoModel:
    """A network of CosPlace or, with maker="eigenplaces", of EigenPlaces, by the names that their own hubs use."""
    return load_model(f"{maker}:{backbone}_{fc_output_dim}")
