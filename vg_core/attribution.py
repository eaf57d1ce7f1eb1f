"""What two models look at: heat maps over one query, beside the first image that each of them retrieves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgba
from matplotlib.figure import Figure

from vg_core.galleries import GAP, LINE, PIXELS_AN_INCH, cell, finished, judge, usual_shape
from vg_core.heatmaps import gradient_map
from vg_core.maps.photos import small_photo
from vg_core.places.photographs import Photographs
from vg_core.plots.canvas import FULL, ink
from vg_core.records import Run, load_places
from vg_core.retrieval import describe, pick_device
from vg_core.text import printable

HOTTEST = 5  # where colours end: so many times the weight of an average pixel
VEIL = 0.85  # opacity of the hottest colour; an average pixel has none


def compare_heat(
    runs: Mapping[str, Run], count: int = 4, method: Callable[..., np.ndarray] = gradient_map
) -> list[dict]:
    """Rows for ``heat_gallery``: ``count`` test queries as the named runs see them, by a method of ``heatmaps``.

    Queries are drawn in turn from all kinds of outcome at the first image (right for some runs and wrong for others,
    right for all, wrong for all), so that no run is favoured. A row has query (path) and models, for each run a dict of
    name, heat (H, W), and of the first image retrieved path, metres and correct. Heat is about the similarity of the
    two whole images, resized as in the test. Raises ValueError when the runs were tested on different photographs.
    """
    if len({run.card["fingerprint"] for run in runs.values()}) > 1:
        raise ValueError(f"{', '.join(runs)} were tested on different photographs: compare them on one test set")
    chosen = _in_turn(pd.DataFrame({name: run.ranks["rank"] == 1 for name, run in runs.items()}), count)
    queries = load_places(next(iter(runs.values())).config, "test").queries.path[chosen]
    models = zip(*(_seen_by(name, run, chosen, method) for name, run in runs.items()), strict=True)
    return [{"query": query, "models": list(seen)} for query, seen in zip(queries, models, strict=True)]


@style.context("vg_core.house", after_reset=True)
def heat_gallery(rows: Sequence[Mapping]) -> Figure:
    """A line for each query: the query, the heat map of each model over it, and the first image that each retrieves.

    Rows are those of ``compare_heat``, frames and marks those of ``retrieval_gallery``. Coloured is what speaks for the
    match, or against it, more than an average pixel, on one scale for all maps. Layout: Liu, Li, Dai, "Stochastic
    attraction-repulsion embedding", ICCV 2019, fig. 7.
    """
    models = max((len(row["models"]) for row in rows), default=0)
    width = (FULL - GAP * (2 * models + 5)) / (2 * models + 1)  # maps stand apart by two more gaps on either side
    cells = [list(_cells(row, round(width * PIXELS_AN_INCH))) for row in rows]
    height = width * usual_shape([photo for line in cells for _, photo, _, _ in line])
    step = height + LINE + GAP
    figure = plt.figure(figsize=(FULL, LINE + max(step * len(rows), 0.3) + 2 * LINE), layout="none")
    for number, line in enumerate(cells):
        for column, (path, photo, title, paint) in enumerate(line):
            apart = (column + models - 1) // models  # 0 the query, 1 the maps, 2 the images retrieved
            left = column * (width + GAP) + GAP * (0.5 + 2 * apart)
            axes = cell(figure, photo, path, left, LINE + number * step, width, height)
            paint(axes)
            if number == 0:
                axes.set_title(printable(title), fontsize=7, pad=3)
    if rows:
        _scale_below(figure, left=width + 3.5 * GAP, width=models * (width + GAP) - GAP)
    return finished(figure)


def _in_turn(right: pd.DataFrame, count: int) -> np.ndarray:
    """Numbers of ``count`` queries, one of each kind of outcome in turn, those with different outcomes first."""
    drawn = right.sample(frac=1, random_state=0)
    agree = drawn.all(axis=1) | ~drawn.any(axis=1)
    turns = pd.DataFrame({"turn": drawn.groupby(list(right)).cumcount(), "agree": agree})
    return turns.sort_values(["turn", "agree"], kind="stable").index[:count].to_numpy()


def _seen_by(name: str, run: Run, chosen: np.ndarray, method: Callable[..., np.ndarray]) -> Iterator[dict]:
    """What one run makes of each of the chosen queries."""
    places, size = load_places(run.config, "test"), run.config.tested_at
    best = list(places.database.path[run.retrieved()[chosen, 0]])
    model = run.model().to(pick_device())
    references = describe(model, best, size, progress=False)
    images = Photographs(places.queries.path[chosen], size, progress=False).batch(range(len(chosen)))
    for query, image, reference, path in zip(chosen, images, references, best, strict=True):
        row = run.ranks.iloc[query]
        heat = method(model, image, reference)
        yield {"name": name, "heat": heat, "path": path, "metres": row["metres"], "correct": row["rank"] == 1}


def _cells(row: Mapping, pixels: int) -> Iterator[tuple]:
    """Of each cell of a line: path, photograph, title, and what is painted over it."""
    query = small_photo(row["query"], pixels)
    yield row["query"], query, "query", lambda axes: None
    for model in row["models"]:
        grey = query and query.convert("L").convert("RGB")  # heat has the colours to itself
        yield row["query"], grey, model["name"], partial(_warm, heat=model["heat"])
    for model in row["models"]:
        paint = partial(judge, correct=model["correct"], metres=model["metres"])
        yield model["path"], small_photo(model["path"], pixels), model["name"], paint


def _warm(axes: Axes, heat: np.ndarray) -> None:
    """Heat over the photograph, stretched to its shape."""
    for photo in axes.get_images():
        axes.imshow(heat, extent=photo.get_extent(), cmap=_colours(), norm=Normalize(-HOTTEST, HOTTEST))


def _colours() -> LinearSegmentedColormap:
    """Blue for what speaks against the match, vermillion to yellow for what speaks for it, nothing up to the mean."""
    clear = 0.5 / HOTTEST  # share of the scale between the middle and the mean
    stops = [
        (0.0, (ink("blue"), VEIL)),
        (0.5 - clear, (ink("blue"), 0.0)),
        (0.5 + clear, (ink("vermillion"), 0.0)),
        (0.75 + clear / 2, (ink("vermillion"), 0.7 * VEIL)),
        (1.0, ("yellow", VEIL)),
    ]
    return LinearSegmentedColormap.from_list("heat", [(at, to_rgba(*colour)) for at, colour in stops])


def _scale_below(figure: Figure, left: float, width: float) -> None:
    """A bar with the colours of heat, at a place in inches along the lower edge."""
    across, up = figure.get_size_inches()
    axes = figure.add_axes((left / across, 1.6 * LINE / up, width / across, 0.4 * LINE / up))
    shown = ScalarMappable(Normalize(-HOTTEST, HOTTEST), _colours())
    bar = figure.colorbar(shown, axes, orientation="horizontal", ticks=[-HOTTEST, -1, 1, HOTTEST], extend="both")
    bar.set_label("weight of a pixel (mean magnitude 1): blue against, orange for the match", fontsize=6.5, labelpad=1)
    axes.tick_params(labelsize=6, length=2, pad=1.5)
    bar.outline.set_edgecolor(ink("grey"))
