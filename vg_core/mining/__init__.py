"""Hard-negative mining: descriptors and ground truth in, tuples of query, positive and negatives out."""

from vg_core.mining.nearest import hardness, mine, nearest_positives
from vg_core.mining.pools import TooFew, draw_pool, excluded, random_negatives

__all__ = ["TooFew", "draw_pool", "excluded", "hardness", "mine", "nearest_positives", "random_negatives"]
