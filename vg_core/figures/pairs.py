"""Pictures of cross-view retrieval: pairs, aerial images found for panoramas, and what position maps weigh."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from PIL import Image

from vg_core.figures.galleries import PIXELS_AN_INCH, mark
from vg_core.figures.house_style import FULL, plot
from vg_core.system.text import printable

PANORAMA = 5.5  # widths of a height, as published
TITLE = 0.15  # inches of a line of text above pictures
COMPASS = ("S", "W", "N", "E")  # of a panorama from left to right, where its middle looks north


@plot()
def pair_gallery(rows: Sequence[Mapping]) -> Figure:
    """For each pair the aerial image, north up, and beside it the panorama above the polar image, columns aligned.

    Rows have aerial, ground and polar, uint8 arrays (H, W, 3).
    """
    side = FULL / (2 + PANORAMA)  # inches: a panorama is as high as half of the square
    figure = plt.figure(figsize=(FULL, len(rows) * (2 * side + TITLE) + TITLE), layout="constrained")
    for row, part in zip(rows, _lines(figure, len(rows)), strict=True):
        axes = part.subplot_mosaic([["aerial", "ground"], ["aerial", "polar"]], width_ratios=[2, PANORAMA])
        for name, place in axes.items():
            _picture(place, row[name])
        columns = axes["polar"].get_images()[0].get_array().shape[1]
        axes["polar"].set_xticks(np.arange(4) * columns / 4, COMPASS)
        axes["polar"].tick_params(length=2, pad=1, labelsize=6)
    return figure


@plot()
def aerial_gallery(rows: Sequence[Mapping]) -> Figure:
    """A line for each panorama: the panorama with the rank of its aerial image, and the aerial images found first.

    Rows have query, uint8 (H, W, 3), rank, retrieved (a list of such arrays, square ones) and, for each of these,
    correct. Right images have a green frame and a tick, wrong ones an orange frame and a cross.
    """
    count = max((len(row["retrieved"]) for row in rows), default=0)
    side = FULL / (PANORAMA + count)  # inches
    figure = plt.figure(figsize=(FULL, len(rows) * (side + TITLE)), layout="constrained")
    for row, part in zip(rows, _lines(figure, len(rows)), strict=True):
        query, *others = part.subplots(1, 1 + count, width_ratios=[PANORAMA, *[1] * count])
        _picture(query, row["query"], f"right image at rank {row['rank']}")
        for place, image, correct in zip(others, row["retrieved"], row["correct"], strict=True):
            _picture(place, image)
            mark(place, correct)
    return figure


@plot()
def position_gallery(pictures: Mapping[str, np.ndarray], maps: Mapping[str, np.ndarray]) -> Figure:
    """A column for each picture, uint8 (H, W, 3), with half of its maps (M, h, w) below it, each over it in grey; and
    the same columns again with the other half.

    Each map has a scale of its own, from its least to its largest weight: only where weights lie is shown.
    """
    half = -(-max(map(len, maps.values())) // 2)
    columns = [(name, part) for part in (slice(half), slice(half, None)) for name in pictures]
    shapes = [pictures[name].shape[1] / pictures[name].shape[0] for name, _ in columns]
    figure, places = plt.subplots(
        1 + half, len(columns), squeeze=False, width_ratios=shapes, layout="constrained",
        figsize=(FULL, (1 + half) * (FULL / sum(shapes) + 0.04) + TITLE),
    )  # fmt: skip
    for column, (name, part) in zip(places.T, columns, strict=True):
        grey = pictures[name].mean(axis=2, keepdims=True).repeat(3, axis=2).astype(np.uint8)
        _picture(column[0], pictures[name], printable(name))
        for place, weights in zip_longest(column[1:], maps[name][part]):
            if weights is None:
                place.set_axis_off()
                continue
            _picture(place, grey)
            extent = place.get_images()[0].get_extent()
            place.imshow(weights, "inferno", aspect="auto", extent=extent, alpha=0.6, interpolation="bilinear")
    return figure


def _lines(figure: Figure, count: int) -> Sequence[SubFigure]:
    return figure.subfigures(count, 1, squeeze=False)[:, 0] if count else []


def _picture(axes: Axes, pixels: np.ndarray, title: str = "") -> None:
    """A picture without ticks, no larger in the file than paper shows it."""
    small = Image.fromarray(pixels)
    small.thumbnail((round(FULL * PIXELS_AN_INCH),) * 2)
    axes.imshow(np.asarray(small), aspect="auto")
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set(visible=True, linewidth=0.4)
    axes.set_title(title, fontsize=7, pad=2)
