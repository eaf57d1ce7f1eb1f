"""Attentions by name, as ``--attention`` takes them."""

from torch import nn

from vg_core.attention.masks import CBAM, AdaptiveAttention, ContextualReweighting, Mask
from vg_core.attention.relations import NonLocal, SecondOrder
from vg_core.system.errors import ByName

ATTENTIONS: dict[str, type[nn.Module]] = ByName(
    "attention",
    {
        "crn": ContextualReweighting,
        "cbam": CBAM,
        "adageo": AdaptiveAttention,
        "non_local": NonLocal,
        "soa": SecondOrder,
    },
)


def make_attention(name: str, channels: int, unit: bool) -> nn.Module:
    """The attention of that name over maps of so many channels: (B, C, H, W) in and out, and ``weights`` of locations.

    Behind a `Mask` locations are as long as their weights if ``unit``: to make them unit vectors afterwards would
    cancel it. KeyError for an unknown name.
    """
    kind = ATTENTIONS[name]
    return kind(channels, unit) if issubclass(kind, Mask) else kind(channels)
