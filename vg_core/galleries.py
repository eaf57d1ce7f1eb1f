"""Photographs side by side: a grid of places, and what was retrieved for queries. Image files in, Figure out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vg_core.maps.photos import small_photo
from vg_core.plots.canvas import FULL, ink
from vg_core.text import printable

PIXELS_AN_INCH = 220  # of a photograph on paper
GAP, LINE = 0.07, 0.15  # inches: between photographs, and for a line of text
LETTER = 0.055  # inches, the width of a letter of 6.5 points


@style.context("vg_core.house", after_reset=True)
def photo_grid(paths: Sequence, titles: Sequence[str] | None = None, columns: int = 6) -> Figure:
    """The photographs in lines of ``columns``, each with its title below; a broken file is a frame with its name."""
    width = (FULL - GAP * (columns - 1)) / columns
    photos = [small_photo(path, round(width * PIXELS_AN_INCH)) for path in paths]
    height = width * usual_shape(photos)
    step = height + GAP + (LINE if titles is not None else 0.0)
    figure = plt.figure(figsize=(FULL, max(step * -(-len(photos) // columns), 0.3)), layout="none")
    for number, (path, photo) in enumerate(zip(paths, photos, strict=True)):
        line, column = divmod(number, columns)
        axes = cell(figure, photo, path, column * (width + GAP), line * step, width, height)
        if titles is not None:
            _write_below(axes, _shortened(printable(titles[number]), width))
    return finished(figure)


@style.context("vg_core.house", after_reset=True)
def retrieval_gallery(rows: Sequence[Mapping]) -> Figure:
    """A line for each query: the query, then its retrieved images, the most similar first, and how far off they are.

    Rows have query (path), retrieved (paths), and for each of these metres and correct. Right images have a green frame
    and a tick, wrong ones a vermillion frame and a cross. A broken file is an empty frame with its name.
    """
    most = max((len(row["retrieved"]) for row in rows), default=0)
    width = (FULL - GAP * (most + 3)) / (most + 1)  # the query stands apart by three more gaps
    pixels = round(width * PIXELS_AN_INCH)
    photos = [[small_photo(path, pixels) for path in (row["query"], *row["retrieved"])] for row in rows]
    height = width * usual_shape([photo for line in photos for photo in line])
    step = height + LINE + GAP
    figure = plt.figure(figsize=(FULL, LINE + max(step * len(rows), 0.3)), layout="none")
    for number, (row, line) in enumerate(zip(rows, photos, strict=True)):
        top = LINE + number * step
        query = cell(figure, line[0], row["query"], GAP / 2, top, width, height)
        if number == 0:
            query.set_title("query", fontsize=7, pad=3)
        found = zip(row["retrieved"], line[1:], row["metres"], row["correct"], strict=True)
        for rank, (path, photo, metres, correct) in enumerate(found, 1):
            axes = cell(figure, photo, path, rank * (width + GAP) + 2.5 * GAP, top, width, height)
            judge(axes, bool(correct), metres)
            if number == 0:
                axes.set_title(str(rank), fontsize=7, pad=3)
    return finished(figure)


@style.context("vg_core.house", after_reset=True)
def picture_columns(pictures: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """A column of pictures, uint8 arrays (H, W, 3), below each name; all columns in one line."""
    width = (FULL - GAP * (len(pictures) - 1)) / max(len(pictures), 1)
    height = width * max((max(p.shape[0] / p.shape[1] for p in column) for column in pictures.values()), default=0.75)
    titles = {name: printable(name).replace(" ", "\n") for name in pictures}
    head = LINE * (1 + max((title.count("\n") for title in titles.values()), default=0))
    most = max((len(column) for column in pictures.values()), default=0)
    figure = plt.figure(figsize=(FULL, max(head + most * (height + GAP), 0.3)), layout="none")
    for number, (name, column) in enumerate(pictures.items()):
        for line, picture in enumerate(column):
            place = (number * (width + GAP), head + line * (height + GAP), width, height)
            axes = cell(figure, picture, name, *place)
            if line == 0:
                axes.set_title(titles[name], fontsize=6.5, pad=3)
    return finished(figure)


def finished(figure: Figure) -> Figure:
    """The figure closed: a notebook shows it once, as the value of the cell. Without a photograph it says so."""
    if not figure.axes:
        figure.text(0.5, 0.5, "no data", ha="center", va="center", color=ink("grey"))
    plt.close(figure)
    return figure


def cell(figure: Figure, photo, path, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place in inches from the top left corner, with a photograph or, in its stead, a name."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1 - (top + height) / up, width / across, height / up))
    axes.set(xticks=[], yticks=[])
    axes.grid(False)
    axes.spines[:].set(visible=True, linewidth=0.4)
    if photo is not None:
        axes.imshow(np.asarray(photo))
    else:
        letters = max(int(width / LETTER), 1)
        name = printable(Path(path).name)
        lines = [name[start : start + letters] for start in range(0, len(name), letters)]
        text = "\n".join(["cannot be read", *lines[:4]])
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=5.5, color=ink("grey"))
    return axes


def judge(axes: Axes, correct: bool, metres: float) -> None:
    """Frame and mark, since colour alone would leave out those who do not see it; how far off it is below."""
    colour = ink("green" if correct else "vermillion")
    axes.spines[:].set(color=colour, linewidth=2.5)
    axes.annotate("✓" if correct else "✗", (1, 1), (-4, -4), xycoords="axes fraction", textcoords="offset points",
                  ha="right", va="top", color="white", fontsize=7,
                  bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2})  # fmt: skip
    _write_below(axes, f"{metres:,.0f} m" if np.isfinite(metres) else "– m")


def usual_shape(photos: Sequence) -> float:
    """Height over width of most of the photographs."""
    known = [photo.height / photo.width for photo in photos if photo is not None]
    return float(np.median(known)) if known else 0.75


def _write_below(axes: Axes, text: str) -> None:
    axes.annotate(text, (0.5, 0), (0, -3), xycoords="axes fraction", textcoords="offset points",
                  ha="center", va="top", fontsize=6.5)  # fmt: skip


def _shortened(text: str, width: float) -> str:
    letters = max(int(width / LETTER), 2)
    return text if len(text) <= letters else text[: letters - 1] + "…"
