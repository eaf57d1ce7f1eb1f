"""A field of forces that can be moved: a slider in JupyterLab, a single figure where nobody looks."""

import io
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import pandas as pd
import PIL.Image
from ipywidgets import HBox, Image, Play, SelectionSlider, VBox, link
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from vg_core.figures.forces import force_field, move_forces
from vg_core.system.progress_bar import in_notebook

FRAME_MS = 150


def force_explorer(forces: Callable[[float], pd.DataFrame], distances: Sequence[float], start: int) -> Figure | VBox:
    """``force_field`` of the table that ``forces`` makes of a distance; in JupyterLab a slider chooses among these.

    It begins at number ``start``, the only one that is drawn where nobody looks.
    """
    figure = force_field(forces(distances[start]))
    if not in_notebook():
        return figure
    draw = moving_picture(figure)

    @cache
    def frame(step: int) -> bytes:
        return draw(forces(distances[step]))

    slider = SelectionSlider(options=[f"{b:.2f}" for b in distances], index=start, description="‖q − n₁‖")
    play = Play(value=start, max=len(distances) - 1, interval=FRAME_MS)
    link((play, "value"), (slider, "index"))
    picture = Image(value=frame(start), format="png")
    slider.observe(lambda change: picture.set_trait("value", frame(change.new)), "index")
    return VBox([HBox([play, slider]), picture])


def moving_picture(figure: Figure) -> Callable[[pd.DataFrame], bytes]:
    """Function from a table to the PNG of its ``force_field`` on the axes of this one.

    Axes and names are drawn once, and only what moves over a copy of them: a seventh of the time.
    """
    figure.draw_without_rendering()  # once more: the layout settles
    figure.set_layout_engine("none")  # axes stay where they are
    canvas = FigureCanvasAgg(figure)
    parts = [(axes, part) for axes in figure.axes for part in (*axes.lines, *axes.collections, *axes.texts)]
    for _, part in parts:
        part.set_animated(True)
    canvas.draw()
    still = canvas.copy_from_bbox(figure.bbox)

    def draw(forces: pd.DataFrame) -> bytes:
        move_forces(figure, forces)
        canvas.restore_region(still)
        for axes, part in parts:
            axes.draw_artist(part)
        png = io.BytesIO()
        PIL.Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(png, "PNG", compress_level=1)
        return png.getvalue()

    return draw
