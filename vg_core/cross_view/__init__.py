"""Cross-view retrieval: aerial images that show where a panorama was taken. Pairs, polar transform, networks, loss."""

from vg_core.cross_view.pairs import PairSet
from vg_core.cross_view.polar import polar

__all__ = ["PairSet", "polar"]
