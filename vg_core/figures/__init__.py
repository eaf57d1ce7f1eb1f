"""Tables in, Figure out: nothing is read, trained or saved here, and no global style is touched."""

from vg_core.figures.forces import force_field, force_surfaces, push_curves
from vg_core.figures.places import distance_to_positive, headings, images_per_place, times
from vg_core.figures.promises import false_claims, recalls_covered
from vg_core.figures.recalls import (
    error_cdf,
    gain_forest,
    recall_against_metres,
    recall_bars,
    recall_by_dimension,
    recall_curves,
)
from vg_core.figures.speed import phase_bars, recall_against_time, speed_ratios, time_against_images
from vg_core.figures.trade_offs import cost_scatter, metric_grid
from vg_core.figures.training import domain_scores, effort_curves, mining_hardness, range_test, training_curves

__all__ = [
    "cost_scatter", "distance_to_positive", "domain_scores", "effort_curves", "error_cdf", "false_claims",
    "force_field", "force_surfaces", "gain_forest", "headings", "images_per_place", "metric_grid", "mining_hardness",
    "phase_bars", "push_curves", "range_test", "recall_against_metres", "recall_against_time", "recall_bars",
    "recall_by_dimension", "recall_curves", "recalls_covered", "speed_ratios", "time_against_images", "times",
    "training_curves",
]  # fmt: skip
