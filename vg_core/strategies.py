"""Test strategies: how queries of any size are shown to a network, and how several views of one become one ranking.

The six of DVGL (Berton et al., CVPR 2022) and each query at its own size; all join with several scales and with
mirroring. The database is always resized to one size, whatever the strategy of the queries. Views are cut from the
photograph and resized in one step, bilinear with anti-aliasing, as images are everywhere else.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest

import numpy as np
import torch
from PIL import Image

from vg_core import processes, watch
from vg_core.devices import fast
from vg_core.models.network import GeoModel, inference_copy
from vg_core.places.dataset import PlaceSet
from vg_core.places.images import WORKERS, normalise, read_image
from vg_core.registry import ByName
from vg_core.retrieval import RETRIEVED, Evaluation, in_parts, judge, search
from vg_core.room import filled, kept
from vg_core.views import Size, View, central_crop, five_crops, hard_resize, own_size, scaled, single_query

Ranking = tuple[np.ndarray, np.ndarray]  # distances (Q, K), database indices (Q, K)

SCALES = (1.0, 2**-0.5, 2**0.5)  # Radenovic et al., TPAMI 2018
MAJORITY_WEIGHT = 0.01  # DVGL's default
MAJORITY_LEVELS = (1, 5, 10)


# --- one ranking from views: (queries (Q, V, D), database (N, D), k) -> ranking, K = min(k, N) ----------------------
def average(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """Ranking by the mean descriptor of each query's views."""
    return search(_mean(queries, axis=1), database, k)


def nearest(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """Ranking by the distance from each database image to the closest of the query's views."""
    distances, indices = _search_views(queries, database, k)
    return _closest(distances, distances, indices, k)


def majority(
    queries: np.ndarray,
    database: np.ndarray,
    k: int,
    weight: float = MAJORITY_WEIGHT,
    levels: Sequence[int] = MAJORITY_LEVELS,
) -> Ranking:
    """Ranking by the least squared distance to a view, less the votes of the views.

    For each n of ``levels``, an image among the first n of c > 1 views gains ``weight`` x c / n in those views.
    The distances that come back are those to the winning view, so they need not grow along a row.
    """
    distances, indices = _search_views(queries, database, max(k, *levels))  # the votes do not depend on k
    votes = np.zeros_like(distances)
    rows = len(database) * np.arange(len(queries))[:, None, None]
    for n in levels:
        first = rows + indices[:, :, :n]  # one number for each pair of query and image
        _, which, counts = np.unique(first, return_inverse=True, return_counts=True)
        views = counts[which.reshape(first.shape)]
        votes[:, :, :n] += np.where(views > 1, weight * views / n, 0.0)
    return _closest(distances**2 - votes, distances, indices, k)


def _search_views(queries: np.ndarray, database: np.ndarray, k: int) -> Ranking:
    """(Q, V, K) of both. An image among the first k by its best view is among the first k of that view."""
    distances, indices = search(queries.reshape(-1, queries.shape[-1]), database, k)
    shape = (*queries.shape[:2], -1)
    return distances.reshape(shape), indices.reshape(shape)


def _closest(scores: np.ndarray, distances: np.ndarray, indices: np.ndarray, k: int) -> Ranking:
    """The k images of lowest score, each once, from (Q, V, K) of all three; k at most the images of one view."""
    k = min(k, indices.shape[2])
    scores, distances, indices = (table.reshape(len(table), -1) for table in (scores, distances, indices))
    order = np.argsort(scores, axis=1, kind="stable")
    distances, indices = (np.take_along_axis(table, order, axis=1) for table in (distances, indices))
    by_image = np.argsort(indices, axis=1, kind="stable")
    images = np.take_along_axis(indices, by_image, axis=1)
    again = np.zeros(images.shape, dtype=bool)
    np.put_along_axis(again, by_image[:, 1:], images[:, 1:] == images[:, :-1], axis=1)
    kept = np.argsort(again, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, kept, axis=1), np.take_along_axis(indices, kept, axis=1)


def _mean(descriptors: np.ndarray, axis: int) -> np.ndarray:
    """Mean direction with the mean length: unit vectors give a unit vector, others stay comparable with their kind."""
    mean = descriptors.mean(axis)
    length = np.linalg.norm(descriptors, axis=-1, keepdims=True).mean(axis)
    return mean * (length / np.linalg.norm(mean, axis=-1, keepdims=True).clip(min=1e-12))


# --- both together -------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Strategy:
    """Views of a query and how they are merged; another one is ``dataclasses.replace(strategy, …)``.

    ``scales`` and ``flip`` hold for queries and database: each view is described at each scale (and mirrored), and its
    descriptors are averaged, or those of different scales joined into one longer descriptor.
    """

    views: Callable[[Size, Size], list[View]]
    merge: Callable[[np.ndarray, np.ndarray, int], Ranking] = average
    scales: tuple[float, ...] = (1.0,)
    concatenate: bool = False  # the scales, instead of averaging them
    flip: bool = False
    read: Callable[..., np.ndarray] = read_image  # uint8 (H, W, 3) pixels of what stands for a photograph

    def of_database(self) -> "Strategy":
        """The same for images that are shown whole, as those of the database are."""
        return replace(self, views=hard_resize)

    def width(self, dim: int) -> int:
        """Values of a descriptor when a network gives ``dim`` for one picture."""
        return dim * (len(self.scales) if self.concatenate else 1)


STRATEGIES: dict[str, Strategy] = ByName(
    "test strategy",
    {
        "hard_resize": Strategy(hard_resize),
        "single_query": Strategy(single_query),
        "own_size": Strategy(own_size),
        "central_crop": Strategy(central_crop),
        "five_crops": Strategy(five_crops),
        "nearest_crop": Strategy(five_crops, nearest),
        "maj_voting": Strategy(five_crops, majority),
    },
)
ADDITIONS: dict[str, dict] = ByName(
    "addition to a test strategy",
    {
        "multi_scale": {"scales": SCALES, "concatenate": False},
        "multi_scale_concatenated": {"scales": SCALES, "concatenate": True},
        "flip": {"flip": True},
    },
)


def make_strategy(name: str) -> Strategy:
    """The strategy of that name, with any additions behind a "+" each: "nearest_crop+multi_scale+flip".

    KeyError, listing the known names, for an unknown one.
    """
    first, *additions = name.split("+")
    strategy = STRATEGIES[first]
    for addition in additions:
        strategy = replace(strategy, **ADDITIONS[addition])
    return strategy


def evaluate_with(
    name: str, model: GeoModel, places: PlaceSet, image_size: Size, threshold_m: float, batch_size: int = 16
) -> Evaluation:
    """Evaluation of a model whose queries are shown by the strategy of that name (see ``make_strategy``).

    Descriptors of a database that have no ``room`` lie on disk meanwhile. Several processes share out describing; the
    first of them alone keeps the database and searches.
    """
    started, strategy = time.monotonic(), make_strategy(name)
    queries = describe_queries(model, places.queries.path, image_size, strategy, batch_size)
    parts = _shared(model, places.database.path, image_size, strategy.of_database(), batch_size)
    if not processes.first():
        deque(parts, maxlen=0)  # describes its shares
        return processes.agreed(None)
    with kept((part[:, 0] for part in parts), (len(places.database), strategy.width(model.dim))) as database:
        described = time.monotonic()
        distances, indices = strategy.merge(queries, database, RETRIEVED)
    seconds = {"describe": described - started, "search": time.monotonic() - described}
    return processes.agreed(judge(places, threshold_m, distances, indices, seconds))


def describe_queries(
    model: GeoModel, paths: Sequence, image_size: Size, strategy: Strategy, batch_size: int = 16, progress: bool = False
) -> np.ndarray:
    """float32 (Q, V, D) descriptors of each query's V views; D counts every scale that is concatenated.

    A batch holds as many pixels as ``batch_size`` images of ``image_size``, all of one shape, so a query of unusual
    size is described alone. Several processes, which all have to ask, share out the batches. Raises UnreadableImage,
    which names the file, and ValueError when there is none.
    """
    if not len(paths):
        raise ValueError("there are no photographs to describe")
    return filled(_shared(model, paths, image_size, strategy, batch_size, progress), len(paths))


def _shared(
    model: GeoModel, paths: Sequence, image_size: Size, strategy: Strategy, batch_size: int, progress: bool = False
) -> Iterator[np.ndarray]:
    """Descriptors (B, V, D) of consecutive parts of the photographs, which hold one batch of each process."""
    parts = list(in_parts(list(paths), batch_size * processes.size()))
    shares = [processes.share(len(part), batch_size) for part in parts]
    own = [path for part, share in zip(parts, shares, strict=True) for path in part[share]]
    described = _described(model, own, image_size, strategy, batch_size, progress)
    shape = len(strategy.views(image_size, image_size)), strategy.width(model.dim)  # each photograph has as many views
    none = np.empty((0, *shape), dtype=np.float32)  # of the last part, which may hold fewer batches than processes
    for part, share, found in zip_longest(parts, shares, described, fillvalue=none):
        whole = torch.empty(len(part), *shape)
        whole[share] = torch.from_numpy(found)
        yield processes.complete(whole, batch_size).numpy()


@torch.inference_mode()
def _described(
    model: GeoModel, paths: list, image_size: Size, strategy: Strategy, batch_size: int, progress: bool
) -> Iterator[np.ndarray]:
    """Descriptors (B, V, D) of each ``batch_size`` photographs."""
    network, device = inference_copy(model), next(model.parameters()).device
    cut = partial(_pictures, image_size=image_size, strategy=strategy)
    parts = list(in_parts(paths, batch_size))
    bar = watch.bar(wanted=progress, total=len(paths), desc="descriptors", unit="image")
    with ThreadPoolExecutor(WORKERS) as pool, fast(device), bar:
        coming = pool.map(cut, next(iter(parts), ()))
        for part, following in zip_longest(parts, parts[1:], fillvalue=()):
            photographs = list(coming)
            coming = pool.map(cut, following)  # read while the network works
            pictures = [picture for some, _ in photographs for picture in some]
            descriptors = _describe_pictures(network, device, pictures, batch_size * math.prod(image_size))
            yield _views_of(descriptors, [order for _, order in photographs], strategy)
            bar.update(len(part))


def _pictures(path: str, image_size: Size, strategy: Strategy) -> tuple[list[np.ndarray], list[int]]:
    """uint8 (H, W, 3) pictures of the distinct views, by view, scale and mirroring; which of these each view is."""
    photo = Image.fromarray(strategy.read(path))
    views = strategy.views((photo.height, photo.width), image_size)
    distinct = list(dict.fromkeys(views))
    pictures = []
    for view in distinct:
        for scale in strategy.scales:
            height, width = scaled(view.size, scale)
            picture = np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR, box=view.box))
            pictures += [picture, picture[:, ::-1]] if strategy.flip else [picture]
    return pictures, [distinct.index(view) for view in views]


def _describe_pictures(network: GeoModel, device: torch.device, pictures: list[np.ndarray], pixels: int) -> np.ndarray:
    """float32 (P, D) descriptors of pictures of any shapes, at most ``pixels`` pixels at a time."""
    descriptors = np.empty((len(pictures), network.dim), dtype=np.float32)
    shapes: dict[tuple, list[int]] = {}
    for number, picture in enumerate(pictures):
        shapes.setdefault(picture.shape, []).append(number)
    for (height, width, _), numbers in shapes.items():
        for part in in_parts(numbers, max(1, pixels // (height * width))):
            images = torch.from_numpy(np.stack([pictures[number] for number in part])).permute(0, 3, 1, 2)
            descriptors[part] = network(normalise(images.to(device))).float().cpu().numpy()
    return descriptors


def _views_of(descriptors: np.ndarray, orders: list[list[int]], strategy: Strategy) -> np.ndarray:
    """(B, V, D) of the B photographs whose distinct pictures were described as (P, D)."""
    count, mirrored = len(strategy.scales), 1 + strategy.flip
    scales = _mean(descriptors.reshape(-1, count, mirrored, descriptors.shape[1]), axis=2)  # (distinct views, S, D)
    joined = scales.reshape(len(scales), -1) / math.sqrt(count)  # unit vectors stay unit vectors
    views = joined if strategy.concatenate else _mean(scales, axis=1)
    starts = np.cumsum([0, *(max(order) + 1 for order in orders[:-1])])
    return views[np.add(orders, starts[:, None])]
