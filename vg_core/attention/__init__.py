"""Attention between backbone and pooling: which locations of a photograph count, or look at which others."""

from vg_core.attention.by_name import ATTENTIONS, make_attention
from vg_core.attention.share import share_on

__all__ = ["ATTENTIONS", "make_attention", "share_on"]
