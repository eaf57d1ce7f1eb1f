"""Photographs in, descriptors out: each photograph whole, from decoded pixels, or as several views of its file."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np
import torch
from PIL import Image

from vg_core.config import PairOptions
from vg_core.cross_view.pairs import PairSet
from vg_core.cross_view.photographs import PairPhotographs, of_side
from vg_core.datasets.images import read_image
from vg_core.datasets.photographs import Photographs, in_parts
from vg_core.datasets.places import PlaceSet
from vg_core.models.network import GeoModel, inference_copy
from vg_core.models.precision import mixed_precision, normalise
from vg_core.retrieval.exact_search import Ranking
from vg_core.retrieval.feature_cache import StemCache, descriptors_of
from vg_core.system import processes
from vg_core.system.devices import WORKERS, pick_device
from vg_core.system.progress_bar import bar

Size = tuple[int, int]  # height, width in pixels
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels of the photograph
View = tuple[Box, Size]  # a rectangle of a photograph and the size that the network sees it at


def whole(photo: Size, size: Size) -> list[View]:
    """The whole photograph at the configured size, its proportions lost."""
    return [((0.0, 0.0, float(photo[1]), float(photo[0])), size)]


def scaled(size: Size, factor: float) -> Size:
    """The size times a factor, in whole pixels."""
    return round(size[0] * factor), round(size[1] * factor)


@dataclass(frozen=True)
class Strategy:
    """How a query is shown to a network, and how the descriptors of its views become one ranking.

    ``scales`` and ``flip`` hold for queries and database: each view is described at each scale (and mirrored), and its
    descriptors are averaged, or those of different scales joined into one longer descriptor.
    """

    views: Callable[[Size, Size], list[View]]  # of a photograph's size and the configured one
    merge: Callable[[np.ndarray, np.ndarray, int], Ranking]  # as in `vg_core.retrieval.strategies`
    scales: tuple[float, ...] = (1.0,)
    concatenate: bool = False  # the scales, instead of averaging them
    flip: bool = False
    read: Callable[..., np.ndarray] = read_image  # uint8 (H, W, 3) pixels of what stands for a photograph

    @property
    def is_plain(self) -> bool:
        """True when each photograph is shown whole and once: nothing is merged, and decoded pixels will do."""
        return (self.views, self.scales, self.flip, self.read) == (whole, (1.0,), False, read_image)

    def of_database(self) -> "Strategy":
        """The strategy for the database: the same scales and mirroring, but images are shown whole."""
        return replace(self, views=whole)

    def width(self, dim: int) -> int:
        """Length of a descriptor when the network gives ``dim`` values for one picture."""
        return dim * (len(self.scales) if self.concatenate else 1)


Source = Photographs | StemCache | PairPhotographs  # of batches of images, by their numbers


def photographs_of(
    places: PlaceSet, image_size: Size, task: PairOptions | None = None, turned: bool = False
) -> Photographs | PairPhotographs:
    """All photographs of a set in the order of its paths, decoded once; of pairs, as from `of_side`."""
    with processes.one_goes_ahead():
        if not isinstance(places, PairSet):
            return Photographs(places.paths, image_size, mapped=True)
        return PairPhotographs(*(of_side(*one, image_size, task, True, turned) for one in places.sides.items()))


# --- each photograph whole and once -----------------------------------------------------------------------------------
def describe(
    model: GeoModel, paths: Sequence, image_size: Size, batch_size: int = 16, progress: bool = True, side: str = ""
) -> np.ndarray:
    """float32 (N, D) descriptors of image files resized to ``image_size`` = (height, width), in the order given. A
    network of pairs has to know the ``side``, "aerial" or "ground". Raises UnreadableImage, which names the file.
    """
    plain, model = Photographs(paths, image_size), model.to(pick_device())
    photographs = PairPhotographs(of_side(side, paths, image_size, model.config.task)) if side else plain
    return describe_photographs(model, photographs, batch_size, progress=progress).cpu().numpy()


@torch.inference_mode()
def describe_photographs(
    model: GeoModel, photographs: Source, batch_size: int, indices: np.ndarray | None = None, progress: bool = False
) -> torch.Tensor:
    """(N, D) descriptors, on the model's device, of the photographs that ``indices`` names (by default all).

    Several processes share out the batches, and each of them has all descriptors at the end.
    """
    indices = np.arange(len(photographs)) if indices is None else np.asarray(indices)
    network, device = None, next(model.parameters()).device
    descriptors, share = torch.empty(len(indices), model.dim, device=device), processes.share(len(indices), batch_size)
    own, found = indices[share], descriptors[share]  # (n,), (n, D): those of this process
    batches = photographs.batches(in_parts(own, batch_size))  # (B, 3, H, W) each
    with mixed_precision(device), bar(wanted=progress, total=len(own), desc="descriptors", unit="image") as done:
        for start, batch in zip(range(0, len(own), batch_size), batches, strict=True):
            if network is None:
                network = inference_copy(model, () if batch.dtype is torch.uint8 else model.frozen_layers)
            found[start : start + len(batch)] = descriptors_of(network, batch.to(device, non_blocking=True))
            done.update(len(batch))
    return processes.complete(descriptors, batch_size)  # (N, D)


@torch.inference_mode()
def local_descriptors(
    model: GeoModel, photographs: Photographs, seed: int, batch_size: int, images: int = 500, locations: int = 100
) -> torch.Tensor:
    """(M, C) backbone features at random locations of random photographs, for NetVLAD's clusters.

    As many images and locations of each as the authors draw, or all there are (Arandjelovic et al., section 4).
    """
    rng = np.random.default_rng([seed, 0])
    chosen = rng.choice(len(photographs), min(images, len(photographs)), replace=False)
    device = next(model.parameters()).device
    model.eval()
    found = []
    for pixels in photographs.batches(in_parts(chosen, batch_size)):
        maps = model.backbone(normalise(pixels.to(device))).flatten(2).transpose(1, 2).cpu()  # (B, M, C)
        found += [one[torch.from_numpy(rng.permutation(len(one))[:locations])] for one in maps]  # (n, C)
    return torch.cat(found)


# --- views of photographs ---------------------------------------------------------------------------------------------
def describe_views(
    model: GeoModel, paths: Sequence, image_size: Size, strategy: Strategy, batch_size: int = 16, progress: bool = False
) -> np.ndarray:
    """float32 (Q, V, D) descriptors of the V views of each photograph; D counts every scale that is concatenated.

    A batch holds as many pixels as ``batch_size`` images of ``image_size``, all of one shape, so a query of unusual
    size is described alone. Several processes, which all have to ask, share out the batches. Raises UnreadableImage,
    which names the file, and ValueError when there is none.
    """
    if not len(paths):
        raise ValueError("there are no photographs to describe")
    shape = len(paths), len(strategy.views(image_size, image_size)), strategy.width(model.dim)
    return filled(described_views(model, paths, image_size, strategy, batch_size, progress), shape)


@torch.inference_mode()
def described_views(
    model: GeoModel, paths: Sequence, image_size: Size, strategy: Strategy, batch_size: int, progress: bool = False
) -> Iterator[np.ndarray]:
    """Descriptors (B, V, D) of consecutive parts of the photographs; a part holds one batch per process."""
    network, device = inference_copy(model), next(model.parameters()).device
    cut = partial(_pictures, image_size=image_size, strategy=strategy)
    shape = len(strategy.views(image_size, image_size)), strategy.width(model.dim)  # each photograph has as many views
    parts = list(in_parts(list(paths), batch_size * processes.size()))
    shares = [processes.share(len(part), batch_size) for part in parts]
    own = [part[share] for part, share in zip(parts, shares, strict=True)]  # the last may be empty
    done = bar(wanted=progress, total=sum(map(len, own)), desc="descriptors", unit="image")
    with ThreadPoolExecutor(WORKERS) as pool, mixed_precision(device), done:
        coming = pool.map(cut, own[0])
        for part, share, following in zip(parts, shares, [*own[1:], []], strict=True):
            photographs = list(coming)
            coming = pool.map(cut, following)  # read while the network works
            found = torch.empty(len(part), *shape)  # (B, V, D)
            if photographs:
                pictures = [picture for some, _ in photographs for picture in some]  # (H, W, 3) each
                descriptors = _describe_pictures(network, device, pictures, batch_size * math.prod(image_size))
                found[share] = torch.from_numpy(_views_of(descriptors, [order for _, order in photographs], strategy))
            done.update(len(photographs))
            yield processes.complete(found, batch_size).numpy()


def _pictures(path: str, image_size: Size, strategy: Strategy) -> tuple[list[np.ndarray], list[int]]:
    """(uint8 (H, W, 3) pictures of distinct views, by view, scale and mirroring; per view, which of these it is)."""
    photo = Image.fromarray(strategy.read(path))
    views = strategy.views((photo.height, photo.width), image_size)
    distinct = list(dict.fromkeys(views))
    pictures = []
    for box, size in distinct:
        for scale in strategy.scales:
            height, width = scaled(size, scale)
            picture = np.asarray(photo.resize((width, height), Image.Resampling.BILINEAR, box=box))
            pictures += [picture, picture[:, ::-1]] if strategy.flip else [picture]
    return pictures, [distinct.index(view) for view in views]


def _describe_pictures(network: GeoModel, device: torch.device, pictures: list[np.ndarray], pixels: int) -> np.ndarray:
    """float32 (P, D) descriptors of pictures of any shapes, at most ``pixels`` pixels at a time."""
    descriptors = np.empty((len(pictures), network.dim), dtype=np.float32)  # (P, D)
    shapes: dict[tuple, list[int]] = {}
    for number, picture in enumerate(pictures):
        shapes.setdefault(picture.shape, []).append(number)
    for (height, width, _), numbers in shapes.items():
        for part in in_parts(numbers, max(1, pixels // (height * width))):
            images = torch.from_numpy(np.stack([pictures[number] for number in part])).permute(0, 3, 1, 2)
            descriptors[part] = network(normalise(images.to(device))).float().cpu().numpy()  # (b, D)
    return descriptors


def _views_of(descriptors: np.ndarray, orders: list[list[int]], strategy: Strategy) -> np.ndarray:
    """Descriptors (B, V, D) of the B photographs whose distinct pictures were described as (P, D)."""
    count, mirrored = len(strategy.scales), 1 + strategy.flip
    scales = mean_direction(descriptors.reshape(-1, count, mirrored, descriptors.shape[1]), axis=2)  # (distinct, S, D)
    joined = scales.reshape(len(scales), -1) / math.sqrt(count)  # unit vectors stay unit vectors
    views = joined if strategy.concatenate else mean_direction(scales, axis=1)  # (distinct, D)
    starts = np.cumsum([0, *(max(order) + 1 for order in orders[:-1])])  # (B,)
    return views[np.add(orders, starts[:, None])]  # (B, V, D)


def mean_direction(descriptors: np.ndarray, axis: int) -> np.ndarray:
    """Mean direction with the mean length: unit vectors give a unit vector, others stay comparable with their kind."""
    mean = descriptors.mean(axis)  # (…, D)
    length = np.linalg.norm(descriptors, axis=-1, keepdims=True).mean(axis)
    return mean * (length / np.linalg.norm(mean, axis=-1, keepdims=True).clip(min=1e-12))


def filled(parts: Iterable[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """float32 array of this ``shape`` from the rows of consecutive parts; to concatenate them would hold all twice."""
    return np.fromiter(chain.from_iterable(parts), np.dtype((np.float32, shape[1:])), shape[0])
