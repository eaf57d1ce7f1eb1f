"""Descriptors seen as a map: t-SNE lays them out in the plane, and photographs stand where their descriptors lie."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL.Image import Image
from sklearn.manifold import TSNE

from vg_core.figures.galleries import PIXELS_AN_INCH, small_photo
from vg_core.figures.house_style import COLOURS, FULL, ink, legible, plot, remark

PERPLEXITY = 30.0  # neighbours that count, as the method's authors advise; fewer where there are fewer than 91 points
ALIKE = 1e-6  # spread of unit vectors in float32 below which they differ by rounding alone
TALLEST, SIDE, GAP = 6.0, 0.36, 0.02  # inches: the map, the longer side of a photograph, between photographs


def embed(descriptors: np.ndarray, seed: int = 0) -> np.ndarray:
    """float32 (N, 2) positions in which neighbours among the descriptors (N, D) are neighbours; one seed, one result.

    Distances are Euclidean between unit vectors, as in retrieval. Only who is near whom means something, not how far
    apart groups lie, nor the axes: the first is the direction in which positions vary most. Raises ValueError for fewer
    than four descriptors, when some are not finite, and when all are alike. Source: van der Maaten and Hinton,
    "Visualizing data using t-SNE", JMLR 2008.
    """
    table = np.asarray(descriptors, dtype=np.float64)
    if table.ndim != 2 or len(table) < 4:
        raise ValueError(f"descriptors of shape {table.shape} cannot be laid out: t-SNE takes (N, D), N at least 4")
    if not np.isfinite(table).all():
        raise ValueError("some descriptors are not finite; the model has diverged")
    table = table / np.linalg.norm(table, axis=1, keepdims=True).clip(min=1e-12)
    table -= table.mean(axis=0)
    spread = np.sqrt((table**2).sum(axis=1).mean())
    if spread < ALIKE:
        raise ValueError(
            f"all {len(table)} descriptors are alike: the model has collapsed, there is nothing to lay out"
        )
    perplexity = min(PERPLEXITY, (len(table) - 1) / 3)
    # at a spread of one the first layout, by principal components, keeps its digits
    found = TSNE(perplexity=perplexity, random_state=seed).fit_transform((table / spread).astype(np.float32))
    found -= found.mean(axis=0)
    return found @ np.linalg.svd(found, full_matrices=False)[2].T


@plot()
def thumbnail_map(paths: Sequence, positions: np.ndarray, labels: Sequence[str] | None = None) -> Figure:
    """Photographs centred on their positions (N, 2), none over another: where there is no room stands a dot.

    Earlier photographs go first; a file that cannot be read is a dot. Frames and dots of one label share a colour. The
    line above says how many photographs are shown. Raises ValueError for lists of different lengths, for positions that
    are not finite, and for more labels than there are colours. Source of the layout: Liu, Li, Dai, "Stochastic
    attraction-repulsion embedding", ICCV 2019, fig. 9.
    """
    names = [""] * len(paths) if labels is None else [legible(label) for label in labels]
    centres, height = _inches(np.asarray(positions, dtype=float).reshape(-1, 2))
    if not len(paths) == len(centres) == len(names):
        raise ValueError(f"{len(paths)} photographs, {len(centres)} positions, {len(names)} labels: give one of each")
    kinds = list(dict.fromkeys(names))
    if len(kinds) > len(COLOURS):
        raise ValueError(f"{len(kinds)} labels, of which colours tell {len(COLOURS)} apart: give coarser labels")
    if not len(paths):
        return plt.figure(figsize=(FULL, height))
    figure, axes = plt.subplots(figsize=(FULL, height))
    photos, boxes = _with_room(paths, centres)
    for (number, photo), (x, y, width, high) in zip(photos.items(), boxes, strict=True):
        left, bottom = x - width / 2, y - high / 2
        axes.imshow(np.asarray(photo), extent=(left, left + width, bottom, bottom + high), zorder=2)
        frame = {"edgecolor": ink(kinds.index(names[number])), "linewidth": 1.2} if labels is not None else {}
        axes.add_patch(Rectangle((left, bottom), width, high, fill=False, zorder=2, **({"linewidth": 0.3} | frame)))
    for number, kind in enumerate(kinds):
        dots = centres[[name == kind and i not in photos for i, name in enumerate(names)]]
        colour = ink(number if labels is not None else "grey")
        axes.plot(*dots.T, "o", color=colour, markersize=2.2, markeredgecolor="white", markeredgewidth=0.3, label=kind)
    axes.set(xlim=(0, FULL), ylim=(0, height), xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)
    axes.grid(False)
    remark(axes, f"{len(photos):,} of {len(paths):,} photographs, a dot for each of the others")
    return figure


def _inches(positions: np.ndarray) -> tuple[np.ndarray, float]:
    """Positions on a sheet of the full width, with room for photographs at its edges; the height of the sheet."""
    if not np.isfinite(positions).all():
        raise ValueError("some positions are not finite: photographs cannot be placed")
    if not len(positions):
        return positions, 1.0
    low, span = positions.min(axis=0), np.ptp(positions, axis=0).clip(min=1e-12)
    scale = ((FULL - SIDE) / span[0]).clip(max=(TALLEST - SIDE) / span[1])
    size = np.array([FULL, scale * span[1] + SIDE])
    return size / 2 + scale * (positions - low - span / 2), float(size[1])


def _with_room(paths: Sequence, centres: np.ndarray) -> tuple[dict[int, Image], np.ndarray]:
    """The photographs that meet none before them, by number; their boxes (centre x and y, width, height) in inches."""
    photos, boxes = {}, np.empty((0, 4))
    for number, (path, centre) in enumerate(zip(paths, centres, strict=True)):
        if _meets(boxes, centre, np.zeros(2)):  # whatever its shape, it need not be read
            continue
        photo = small_photo(path, round(SIDE * PIXELS_AN_INCH))
        if photo is None:
            continue
        size = SIDE * np.array(photo.size) / max(photo.size)
        if not _meets(boxes, centre, size):
            photos[number] = photo
            boxes = np.vstack([boxes, [*centre, *size]])
    return photos, boxes


def _meets(boxes: np.ndarray, centre: np.ndarray, size: np.ndarray) -> bool:
    """True when a box of this size would come nearer to one of ``boxes`` than the gap."""
    return bool((np.abs(boxes[:, :2] - centre) < (boxes[:, 2:] + size) / 2 + GAP).all(axis=1).any())
