"""Networks that turn photographs into descriptors: a cut backbone, a pooling, and self-describing checkpoints."""

from vg_core.models.checkpoint import load_model, save_model
from vg_core.models.network import GeoModel, build_model

__all__ = ["GeoModel", "build_model", "load_model", "save_model"]
