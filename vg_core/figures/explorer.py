"""A field of forces that can be moved: a slider in JupyterLab, a single figure where nobody looks."""

import io
from collections.abc import Callable, Sequence
from functools import cache

import pandas as pd
from ipywidgets import HBox, Image, Play, SelectionSlider, VBox, link
from matplotlib.figure import Figure

from vg_core.figures.forces import force_field, move_forces
from vg_core.system.progress_bar import in_notebook

FRAME_MS = 400


def force_explorer(forces: Callable[[float], pd.DataFrame], distances: Sequence[float], start: int) -> Figure | VBox:
    """``force_field`` of the table that ``forces`` makes of a distance; in JupyterLab a slider chooses among these.

    It begins at number ``start``, the only one that is drawn where nobody looks.
    """
    figure = force_field(forces(distances[start]))
    if not in_notebook():
        return figure
    figure.draw_without_rendering()  # once more: the layout settles
    figure.set_layout_engine("none")  # axes stay where they are, and a frame takes a quarter of the time

    @cache
    def frame(step: int) -> bytes:
        move_forces(figure, forces(distances[step]))
        png = io.BytesIO()
        figure.savefig(png, format="png")
        return png.getvalue()

    slider = SelectionSlider(options=[f"{b:.2f}" for b in distances], index=start, description="‖q − n₁‖")
    play = Play(value=start, max=len(distances) - 1, interval=FRAME_MS)
    link((play, "value"), (slider, "index"))
    picture = Image(value=frame(start), format="png")
    slider.observe(lambda change: picture.set_trait("value", frame(change.new)), "index")
    return VBox([HBox([play, slider]), picture])
