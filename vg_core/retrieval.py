"""Images to descriptors, descriptors to ranked database images, and both together as the evaluation of a model."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vg_core import processes
from vg_core.devices import fast, pick_device
from vg_core.engines import DescriptorStore, approximate, exact
from vg_core.evaluation import ranks_table
from vg_core.mining import products
from vg_core.models.network import GeoModel, inference_copy
from vg_core.places.dataset import PlaceSet
from vg_core.places.images import normalise
from vg_core.places.photographs import Photographs
from vg_core.room import has_room, scratch_file
from vg_core.stem_cache import StemCache, descriptors_of
from vg_core.watch import bar

RETRIEVED = 20  # images kept for each query: the largest N of the field's recall@N
STORED_AT_ONCE = 4096  # images described between two writes to disk


@dataclass(frozen=True)
class Evaluation:
    """What a model retrieves on one set: ``ranks`` has one row a query, ``indices`` and ``distances`` are (Q, K)."""

    ranks: pd.DataFrame
    indices: np.ndarray
    distances: np.ndarray
    seconds: dict[str, float]  # spent on "describe" and "search"


def describe(
    model: GeoModel,
    paths: Sequence,
    image_size: tuple[int, int],
    batch_size: int = 16,
    device: torch.device | None = None,
    progress: bool = True,
) -> np.ndarray:
    """float32 (N, D) descriptors of image files resized to ``image_size`` = (height, width), in the order given.

    Raises UnreadableImage, which names the file, for a file that is no image.
    """
    photographs = Photographs(paths, image_size, progress=progress)
    device = device or pick_device()
    return describe_photographs(model.to(device), photographs, batch_size, progress=progress).float().cpu().numpy()


@torch.inference_mode()
def describe_photographs(
    model: GeoModel,
    photographs: Photographs | StemCache,
    batch_size: int,
    indices: np.ndarray | None = None,
    progress: bool = False,
    label: str = "descriptors",
) -> torch.Tensor:
    """(N, D) descriptors, on the model's device, of the photographs that ``indices`` names (by default all).

    Several processes share out the batches, and each of them has all descriptors at the end.
    """
    indices = np.arange(len(photographs)) if indices is None else np.asarray(indices)
    network = inference_copy(model)
    device = next(model.parameters()).device
    descriptors, share = torch.empty(len(indices), model.dim, device=device), processes.share(len(indices), batch_size)
    own, found = indices[share], descriptors[share]
    done = bar(wanted=progress, total=len(own), desc=label, unit="image")
    parts = in_parts(own, batch_size)
    with fast(device), done:
        for start, batch in zip(range(0, len(own), batch_size), photographs.batches(parts), strict=True):
            found[start : start + len(batch)] = descriptors_of(network, batch.to(device, non_blocking=True))
            done.update(len(batch))
    return processes.complete(descriptors, batch_size)


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
        found += [one[torch.from_numpy(rng.permutation(len(one))[:locations])] for one in maps]
    return torch.cat(found)


def search(
    queries: np.ndarray, database: np.ndarray | DescriptorStore, k: int, engine: str = "exact"
) -> tuple[np.ndarray, np.ndarray]:
    """(distances, indices), both (Q, K), of the nearest database descriptors, nearest first; K = min(k, N).

    Distances are Euclidean. ``exact`` is Faiss' flat search: an array is not copied, a store on disk is read in blocks.
    The other ``engines.ENGINES`` are approximate, and so are their distances: an index is built for this one call and
    tuned until it finds the nearest image of 99 % of a sample of the queries, with a warning when it cannot; to search
    more than once, keep an ``engines.Index``. Raises ValueError when a table is empty, widths differ, a descriptor is
    not finite or an engine cannot be trained on so few; KeyError, listing the engines, for an unknown one.
    """
    return exact(queries, database, k) if engine == "exact" else approximate(queries, database, k, engine)


def evaluate(
    model: GeoModel,
    places: PlaceSet,
    image_size: tuple[int, int],
    threshold_m: float,
    batch_size: int = 16,
    progress: bool = False,
    photographs: Photographs | StemCache | None = None,
) -> Evaluation:
    """Evaluation of a model on the database and queries of a set; right is what lies within ``threshold_m`` metres.

    All images are resized to ``image_size``; ``vg_core.strategies`` has other ways to show queries.
    ``photographs`` are those of the set, database first, where a caller has them already. Descriptors of a database
    that have no ``room`` lie on disk meanwhile, as float16; the first of several processes alone writes and searches.
    """
    if photographs is None:
        photographs = photographs_of(places, image_size, progress)
    label = f"describing {places.name} {places.split}"
    describe_some = partial(describe_photographs, model, photographs, batch_size, progress=progress, label=label)
    images, count, device = np.arange(len(photographs)), len(places.database), next(model.parameters()).device
    started = time.monotonic()
    with ExitStack() as held:
        if processes.agreed(has_room(len(images) * model.dim, device)):  # all describe in the same parts
            queries, database = describe_some(images).split([count, len(images) - count])[::-1]
        else:
            queries, file = describe_some(images[count:]), held.enter_context(scratch_file())
            database = _stored(describe_some, images[:count], model.dim, file)
        described = time.monotonic()
        distances, indices = _nearest(queries, database, RETRIEVED)
        seconds = {"describe": described - started, "search": time.monotonic() - described}
    return judge(places, threshold_m, distances, indices, seconds)


def photographs_of(places: PlaceSet, image_size: tuple[int, int], progress: bool = True) -> Photographs:
    """All photographs of a set, database first, queries behind, decoded once."""
    with processes.one_goes_ahead():
        return Photographs([*places.database.path, *places.queries.path], image_size, True, progress)


def _stored(
    describe_some: Callable[[np.ndarray], torch.Tensor], images: np.ndarray, dim: int, file: Path
) -> DescriptorStore | None:
    """Store of the images, of which only some descriptors are in memory at a time; the first process alone has one."""
    parts = (describe_some(some).cpu().numpy() for some in in_parts(images, STORED_AT_ONCE))
    if processes.first():
        return DescriptorStore.write(file, parts, (len(images), dim))
    deque(parts, maxlen=0)  # the others describe their shares
    return None


def _nearest(
    queries: torch.Tensor, database: torch.Tensor | DescriptorStore | None, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """(distances, indices) of exact search, on the device that holds the descriptors; of a store, what the process that
    has it finds.
    """
    if isinstance(database, torch.Tensor):
        on_gpu = database.is_cuda
        return nearest_on_device(queries, database, k) if on_gpu else search(queries.numpy(), database.numpy(), k)
    return processes.agreed(search(queries.cpu().numpy(), database, k) if database else None)


@torch.inference_mode()
def nearest_on_device(queries: torch.Tensor, database: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """What ``search`` gives, of tensors (Q, D) and (N, D) on a GPU: neither is copied to the CPU.

    Products are in true float32, in blocks of at most ``products.BLOCK_BYTES``. ValueError for a descriptor that is not
    finite.
    """
    if not queries.isfinite().all():
        raise ValueError("queries: some descriptors are not finite; the model has diverged")
    found = []
    with products.full_precision(queries.device):
        for part in queries.split(max(1, products.BLOCK_BYTES // (4 * len(database)))):
            scores, largest = products.table_scores(part, database)
            products.magnitude(part, largest)  # complains
            found.append(scores.topk(min(k, len(database)), largest=False))
    scores, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
    squared = scores + torch.linalg.vector_norm(queries, dim=1, keepdim=True).square()
    return squared.clamp_min(0).sqrt().cpu().numpy(), indices.cpu().numpy()


def judge(
    places: PlaceSet, threshold_m: float, distances: np.ndarray, indices: np.ndarray, seconds: dict
) -> Evaluation:
    """Evaluation of what was retrieved, both (Q, K): right is what lies within ``threshold_m`` metres."""
    positives = places.neighbours(threshold_m)
    ranks = ranks_table(places.queries, places.database, indices, positives, threshold_m)
    return Evaluation(ranks, indices, distances, seconds)


def in_parts(indices: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Consecutive parts of at most ``size`` entries."""
    return (indices[start : start + size] for start in range(0, len(indices), size))
