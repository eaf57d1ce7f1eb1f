"""Losses: over tuples of descriptors, and over classes of places."""

from vg_core.losses.by_name import LOSSES, make_loss

__all__ = ["LOSSES", "make_loss"]
