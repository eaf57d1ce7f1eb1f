"""Photographs side by side: grids of places, what was retrieved for queries, what networks look at."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from PIL import Image

from vg_core.datasets.images import UnreadableImage, decode
from vg_core.figures.house_style import FULL, LETTER, ink, plot
from vg_core.system.text import count, printable

PIXELS_AN_INCH = 220  # of a photograph on paper
GAP, LINE = 0.07, 0.15  # inches: between photographs, and for a line of text
HOTTEST = 5  # where the colours of heat end: so many times the weight of an average pixel
LINES = 40  # between two photographs at most
VEIL = 0.85  # opacity of the hottest colour; an average pixel has none


class Cell(NamedTuple):
    """A photograph (None: the file at ``path`` cannot be read), what is written above and below, what lies over it."""

    path: str | Path
    photo: object
    title: str = ""
    below: str = ""
    draw: Callable[[Axes], None] = lambda axes: None


@plot()
def photo_grid(paths: Sequence, titles: Sequence[str] | None = None, columns: int = 6) -> Figure:
    """The photographs in lines of ``columns``, each with its title below; a broken file is a frame with its name."""
    parts = [0] * columns
    letters = max(int(_width(parts) / LETTER), 2)
    written = [printable(title) for title in titles or [""] * len(paths)]
    written = [title if len(title) <= letters else title[: letters - 1] + "…" for title in written]
    cells = [Cell(path, _small(path, parts), below=title) for path, title in zip(paths, written, strict=True)]
    lines = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    return _sheet(lines, parts, head=0.0, foot=LINE if titles else 0.0)


@plot()
def retrieval_gallery(rows: Sequence[Mapping]) -> Figure:
    """A line for each query: the query, then its retrieved images, the most similar first, and how far off they are.

    Rows have query (path), retrieved (paths), and for each of these metres and correct. Right images have a green frame
    and a tick, wrong ones an orange frame and a cross. A broken file is an empty frame with its name.
    """
    parts = [0] + [1] * max((len(row["retrieved"]) for row in rows), default=0)  # the query stands apart
    lines = []
    for row in rows:
        found = enumerate(zip(row["retrieved"], row["metres"], row["correct"], strict=True), 1)
        images = [_retrieved(path, parts, str(rank), metres, correct) for rank, (path, metres, correct) in found]
        lines.append([Cell(row["query"], _small(row["query"], parts), "query"), *images])
    return _sheet(lines, parts)


@plot()
def heat_gallery(rows: Sequence[Mapping]) -> Figure:
    """A line for each query: the query, the heat map of each model over it, and the first image that each retrieves.

    Rows have query (path) and models: for each of these name, heat (H, W), and of its first image path, metres and
    correct. Frames and marks are those of ``retrieval_gallery``. Coloured is what speaks for the match, or against it,
    more than an average pixel, on one scale for all maps. Layout: Liu, Li, Dai, "Stochastic attraction-repulsion
    embedding", ICCV 2019, fig. 7.
    """
    count = max((len(row["models"]) for row in rows), default=0)
    parts = [0] + [1] * count + [2] * count
    lines = []
    for row in rows:
        query, maps, images = _small(row["query"], parts), [], []
        grey = query and query.convert("L").convert("RGB")  # heat has the colours to itself
        for model in row["models"]:
            name = printable(model["name"])
            maps.append(Cell(row["query"], grey, name, draw=partial(_warm, heat=model["heat"])))
            images.append(_retrieved(model["path"], parts, name, model["metres"], model["correct"]))
        lines.append([Cell(row["query"], query, "query"), *maps, *images])
    figure = _sheet(lines, parts, below=2.2 * LINE)
    if rows:
        _scale_below(figure, _left(1, parts), _left(count, parts) + _width(parts))
    return figure


@plot()
def match_gallery(rows: Sequence[Mapping]) -> Figure:
    """A line for each query: the query, an image far from its tag that it matches, with lines between what matches, and
    the image near its tag that it matches best.

    Rows have query, image and within (paths, the last "" where there is none), inliers and metres of image, those of
    within as inliers_within and metres_within, and matches (M, 4), shares of widths and heights.
    """
    parts, lines = [0, 0, 1], []
    for row in rows:
        far, near = (f"{count(row['inliers' + of], 'inlier')}, {row['metres' + of]:,.0f} m" for of in ("", "_within"))
        images = [(row["image"], f"{far} from its tag", partial(_joined, matches=row["matches"]))]
        if row["within"]:
            images.append((row["within"], f"best near its tag: {near}", partial(mark, correct=True)))
        cells = [Cell(path, _small(path, parts), below=below, draw=draw) for path, below, draw in images]
        lines.append([Cell(row["query"], _small(row["query"], parts), below="query"), *cells])
    return _sheet(lines, parts, head=GAP)


@plot()
def picture_columns(pictures: Mapping[str, Sequence[np.ndarray]]) -> Figure:
    """A column of pictures, uint8 arrays (H, W, 3), below each name; all columns in one line."""
    titles = {name: printable(name).replace(" ", "\n") for name in pictures}
    columns = [[Cell(name, picture, titles[name]) for picture in column] for name, column in pictures.items()]
    head = LINE * (1 + max((title.count("\n") for title in titles.values()), default=0))
    return _sheet(list(zip_longest(*columns)), [0] * len(pictures), head, foot=0.0)


def small_photo(path: str | Path, pixels: int) -> Image.Image | None:
    """The photograph upright, in RGB, at most ``pixels`` on its longer side; None when the file cannot be decoded."""
    try:
        small = Image.fromarray(decode(path, about=2 * pixels))
    except UnreadableImage:
        return None
    small.thumbnail((pixels, pixels))
    return small


def over_grey(picture: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): a picture in grey below the colours of weights (h, w), from nothing at 0 to yellow at 1."""
    shape = picture.shape[1::-1]
    smooth = Image.fromarray(np.asarray(weights, np.float32).clip(0, 1)).resize(shape, Image.Resampling.BILINEAR)
    colours = colormaps["inferno"](np.asarray(smooth))[..., :3]  # (H, W, 3) from 0 to 1
    return np.uint8(0.5 * picture.mean(axis=2, keepdims=True) + 0.5 * 255 * colours)


def _width(parts: Sequence[int]) -> float:
    """Inches that a photograph is wide where the columns of a sheet belong to these parts, which stand apart."""
    return (FULL - GAP * (len(parts) + 2 * max(parts, default=0))) / max(len(parts), 1)


def _left(column: int, parts: Sequence[int]) -> float:
    """Inches from the edge of the sheet to a column."""
    return column * (_width(parts) + GAP) + GAP * (0.5 + 2 * parts[column])


def _small(path: str | Path, parts: Sequence[int]):
    return small_photo(path, round(_width(parts) * PIXELS_AN_INCH))


def _sheet(lines: Sequence[Sequence[Cell | None]], parts: Sequence[int], head=LINE, foot=LINE, below=0.0) -> Figure:
    """All cells, with inches to spare above the first line (for the titles), under each line and below the last."""
    width = _width(parts)
    shapes = [np.shape(cell.photo) for line in lines for cell in line if cell and cell.photo is not None]
    height = width * float(np.median([shape[0] / shape[1] for shape in shapes]) if shapes else 0.75)
    step = height + foot + GAP
    figure = plt.figure(figsize=(FULL, head + max(step * len(lines), 0.3) + below), layout="none")
    up = figure.get_figheight()
    for number, line in enumerate(lines):
        for column, cell in enumerate(line):
            if cell is None:
                continue
            bottom = up - head - number * step - height
            place = (_left(column, parts) / FULL, bottom / up, width / FULL, height / up)
            axes = figure.add_axes(place, xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set(visible=True, linewidth=0.4)
            _show(axes, cell, int(width / LETTER))
            if number == 0:
                axes.set_title(cell.title, fontsize=7, pad=3)
    return figure


def _show(axes: Axes, cell: Cell, letters: int) -> None:
    """The photograph or, in its stead, the name of its file in lines of so many letters; then what lies over it."""
    if cell.photo is not None:
        axes.imshow(np.asarray(cell.photo))
    else:
        name = printable(Path(cell.path).name)
        lines = [name[start : start + letters] for start in range(0, len(name), max(letters, 1))]
        text = "\n".join(["cannot be read", *lines[:4]])
        axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=7, color=ink("grey"))
    cell.draw(axes)
    if cell.below:
        at = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "top"}
        axes.annotate(cell.below, (0.5, 0), (0, -3), **at, fontsize=7)


def _retrieved(path: str | Path, parts: Sequence[int], title: str, metres: float, correct: bool) -> Cell:
    """A retrieved image, framed and marked as right or wrong, and how far off it is below."""
    off = f"{metres:,.0f} m" if np.isfinite(metres) else "– m"
    return Cell(path, _small(path, parts), title, off, partial(mark, correct=bool(correct)))


def mark(axes: Axes, correct: bool) -> None:
    """Frame and mark an image as right or wrong, since colour alone would leave out those who do not see it."""
    colour = ink("green" if correct else "vermillion")
    axes.spines[:].set(color=colour, linewidth=2.5)
    axes.annotate("✓" if correct else "✗", (1, 1), (-4, -4), xycoords="axes fraction", textcoords="offset points",
                  ha="right", va="top", color="white", fontsize=7,
                  bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.2})  # fmt: skip


def _joined(axes: Axes, matches: np.ndarray) -> None:
    """Mark an image as wrong, and join what matches with the photograph to its left."""
    mark(axes, correct=False)
    left, colours = axes.figure.axes[-2], plt.get_cmap("hsv")
    for number, match in enumerate(matches[:: -(-len(matches) // LINES) or 1]):
        ends = [_at(one, share) for one, share in ((left, match[:2]), (axes, match[2:]))]
        look = {"color": colours(number / LINES), "linewidth": 0.6, "zorder": 5}
        axes.figure.add_artist(ConnectionPatch(*ends, "data", "data", axesA=left, axesB=axes, **look))


def _at(axes: Axes, share: np.ndarray) -> tuple[float, float]:
    """Where shares of a photograph's width and height lie in its axes."""
    if not axes.get_images():  # its name stands there
        return 0.5, 0.5
    left, right, bottom, top = axes.get_images()[0].get_extent()
    return left + share[0] * (right - left), top + share[1] * (bottom - top)


def _warm(axes: Axes, heat: np.ndarray) -> None:
    """Heat over the photograph, stretched to its shape."""
    for photo in axes.get_images():
        axes.imshow(heat, extent=photo.get_extent(), cmap=_colours(), norm=Normalize(-HOTTEST, HOTTEST))


def _colours() -> LinearSegmentedColormap:
    """Blue for what speaks against the match, orange to yellow for what speaks for it, nothing up to the mean."""
    clear = 0.5 / HOTTEST  # share of the scale between the middle and the mean
    places = (0.0, 0.5 - clear, 0.5 + clear, 0.75 + clear / 2, 1.0)
    colours = (ink("blue"), ink("blue"), ink("vermillion"), ink("vermillion"), "yellow")
    shades = map(to_rgba, colours, (VEIL, 0.0, 0.0, 0.7 * VEIL, VEIL))
    return LinearSegmentedColormap.from_list("heat", list(zip(places, shades, strict=True)))


def _scale_below(figure: Figure, left: float, right: float) -> None:
    """A bar with the colours of heat between two places in inches along the lower edge."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1.8 * LINE / up, (right - left) / across, 0.4 * LINE / up))
    shown = ScalarMappable(Normalize(-HOTTEST, HOTTEST), _colours())
    bar = figure.colorbar(shown, axes, orientation="horizontal", ticks=[-HOTTEST, -1, 1, HOTTEST], extend="both")
    bar.set_label("weight of a pixel (mean magnitude 1): blue against, orange for the match", fontsize=7, labelpad=1)
    axes.tick_params(length=2, pad=1.5)
    bar.outline.set_edgecolor(ink("grey"))
