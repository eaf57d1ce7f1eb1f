"""One tuple in the plane whose first negative moves: a slider in JupyterLab, a single figure where nobody looks."""

import io
from functools import cache

import ipywidgets as widgets
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vg_core.losses.forces import tuple_forces
from vg_core.plots.forces import force_field, move_forces
from vg_core.watch import in_notebook

SHOWN = {
    "triplet, squared": "triplet_squared",
    "Gaussian, Ind.": "sare_gaussian_ind",
    "Cauchy, Ind.": "sare_cauchy_ind",
    "exponential, Ind.": "sare_exponential_ind",
    "contrastive": "contrastive",
    "Gaussian, Joint": "sare_gaussian_joint",
    "Cauchy, Joint": "sare_cauchy_joint",
    "exponential, Joint": "sare_exponential_joint",
}
QUERY, POSITIVE = (0.0, 0.0), (0.8, -0.6)  # 1 apart
TOWARDS = (0.6, 0.8)  # where the moving negative lies, seen from the query
OTHERS = ((-1.2, 0.5), (-1.2, -1.6))  # the other negatives: 1.3 and 2 from the query
DISTANCES = np.arange(1, 41) / 20  # of the moving negative, up to 2: unit vectors are no farther apart
START = 15  # 0.8: harder than the positive
FRAME_MS = 400


def force_explorer() -> Figure | widgets.VBox:
    """Arrows and values of eight losses for a query, its positive and three negatives, one of which can be moved.

    In JupyterLab a widget: a slider and a play button set that negative's distance to the query. Headless the figure at
    one distance, at which the negative is nearer than the positive.
    """
    figure = force_field(_forces(START))
    return _explorer(figure) if in_notebook() else figure


def _forces(step: int) -> pd.DataFrame:
    """Table of ``force_field`` with the moving negative at one of ``DISTANCES``."""
    return tuple_forces(SHOWN, QUERY, POSITIVE, [DISTANCES[step] * np.array(TOWARDS), *OTHERS])


def _explorer(figure: Figure) -> widgets.VBox:
    figure.draw_without_rendering()  # once more: the layout settles
    figure.set_layout_engine("none")  # axes stay where they are, and a frame takes a quarter of the time

    @cache
    def frame(step: int) -> bytes:
        move_forces(figure, _forces(step))
        png = io.BytesIO()
        figure.savefig(png, format="png")
        return png.getvalue()

    slider = widgets.SelectionSlider(options=[f"{b:.2f}" for b in DISTANCES], index=START, description="‖q − n₁‖")
    play = widgets.Play(value=START, max=len(DISTANCES) - 1, interval=FRAME_MS)
    widgets.link((play, "value"), (slider, "index"))
    picture = widgets.Image(value=frame(START), format="png")
    slider.observe(lambda change: picture.set_trait("value", frame(change.new)), "index")
    return widgets.VBox([widgets.HBox([play, slider]), picture])
