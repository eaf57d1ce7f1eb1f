"""Poolings by name, as ``--pooling`` takes them."""

import torch

from vg_core.config import Config
from vg_core.models.aggregators import SALAD, BagOfQueries, ClassToken, MixVPR, SequencePool
from vg_core.models.backbones import Backbone, build_backbone
from vg_core.models.pooling import AveragePool, GeM, MaxPool, NetVLAD, Pooling, WeightedNetVLAD


def make_pooling(config: Config, backbone: Backbone, channels: int, weighted: bool) -> Pooling:
    """The configured pooling, with random weights, of maps with so many channels, whose locations count by their length
    if ``weighted``. ValueError for what has no class token.
    """
    match config.pooling:
        case "average":
            return AveragePool()
        case "max":
            return MaxPool()
        case "gem":
            return GeM()
        case "netvlad":
            return (WeightedNetVLAD if weighted else NetVLAD)(channels, config.clusters)
        case "seqpool":
            return SequencePool(channels)
        case "mixvpr":
            return MixVPR(channels, _locations(config))
        case "boq":
            return BagOfQueries(channels, config.clusters)
        case "salad":
            return SALAD(channels, config.clusters, config.cluster_dim)
    if not backbone.class_token or config.attention != "none":
        what = f"{config.backbone} has none" if not backbone.class_token else "an attention does nothing to it"
        raise ValueError(f"pooling=cls is the class token of a ViT or DINOv2, and {what}; choose another pooling")
    return ClassToken()


def _locations(config: Config) -> int:
    """Locations of the feature maps of an image; nothing is calculated."""
    with torch.device("meta"):
        backbone, _ = build_backbone(config.backbone, config.layer, "none")
        return backbone.eval()(torch.empty(1, 3, *config.image_size)).shape[2:].numel()
