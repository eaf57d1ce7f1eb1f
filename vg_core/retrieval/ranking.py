"""Exact search, and the evaluation of a model: photographs to descriptors to ranked database images to a table."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vg_core.cross_view.pairs import PairSet
from vg_core.cross_view.ranking import pair_ranks
from vg_core.datasets.photographs import in_parts
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.mining import products
from vg_core.models.network import GeoModel
from vg_core.retrieval.descriptor_store import DescriptorStore
from vg_core.retrieval.descriptors import (
    Source,
    Strategy,
    describe_photographs,
    describe_views,
    described_views,
    filled,
    photographs_of,
)
from vg_core.retrieval.exact_search import Ranking, exact
from vg_core.system import processes
from vg_core.system.devices import free_memory
from vg_core.system.files import scratch_folder
from vg_core.system.paths import cache_root

MEMORY_SHARE = 0.5  # of what is free; beyond it descriptors go to disk
STORED_AT_ONCE = 4096  # images described between two writes to disk
Descriptors = np.ndarray | Tensor | DescriptorStore  # (N, D)


@dataclass(frozen=True)
class Evaluation:
    """What a model retrieves on one set: ``ranks`` has one row per query, ``indices`` and ``distances`` are (Q, K)."""

    ranks: pd.DataFrame
    indices: np.ndarray
    distances: np.ndarray
    seconds: dict[str, float]  # spent on "describe" and "search"


def search(queries: np.ndarray | Tensor, database: Descriptors, k: int) -> Ranking:
    """(distances, indices), both (Q, K), of the nearest database descriptors, nearest first; K = min(k, N).

    Distances are Euclidean, the search is exact. An array is not copied, a store on disk is read in blocks, tensors on
    a GPU stay there. Raises ValueError when a table is empty, widths differ or a descriptor is not finite.
    """
    if isinstance(database, Tensor) and database.is_cuda:
        return nearest_on_device(queries, database, k)
    return exact(*(one.cpu().numpy() if isinstance(one, Tensor) else one for one in (queries, database)), k)


@torch.inference_mode()
def nearest_on_device(queries: Tensor, database: Tensor, k: int) -> Ranking:
    """(distances, indices) as from ``search``, of tensors (Q, D) and (N, D): neither is copied to the CPU.

    Products are in true float32, in blocks of at most ``products.BLOCK_BYTES``. ValueError for a descriptor that is not
    finite.
    """
    if not queries.isfinite().all():
        raise ValueError("queries: some descriptors are not finite; the model has diverged")
    found = []
    with products.true_float32(queries.device):
        for part in queries.split(max(1, products.BLOCK_BYTES // (4 * len(database)))):
            scores, largest = products.table_scores(part, database)  # (B, N)
            products.magnitude(part, largest)  # raises for a database that is not finite
            found.append(scores.topk(min(k, len(database)), largest=False))  # (B, K) each
    scores, indices = (torch.cat(parts) for parts in zip(*found, strict=True))  # (Q, K)
    squared = scores + torch.linalg.vector_norm(queries, dim=1, keepdim=True).square()  # (Q, K)
    return squared.clamp_min(0).sqrt().cpu().numpy(), indices.cpu().numpy()


def evaluate(
    model: GeoModel,
    places: PlaceSet,
    image_size: tuple[int, int],
    protocol: Within,
    batch_size: int = 16,
    strategy: Strategy | None = None,
    photographs: Source | None = None,
) -> Evaluation:
    """Evaluation of a model on one set: descriptors, search, and a table with one row per query.

    The ``protocol`` says what is right, how many images are retrieved, and what the table tells (see `Within`). Queries
    are shown by a ``strategy`` (of ``strategies``), by default resized to ``image_size`` as the database is.
    ``photographs`` are those of the set where a caller has them already, for images shown whole and once. Descriptors
    of a database that have no room lie on disk meanwhile, as float16. Several processes share out describing; the first
    of them alone writes and searches. What is right of pairs they say themselves, and ranks are exact.
    """
    plain, shape = strategy is None or strategy.is_plain, (len(places.database), model.dim)
    if plain and photographs is None:
        photographs = photographs_of(places, image_size, model.config.task)
    if isinstance(places, PairSet):
        return _of_pairs(model, places, photographs, batch_size)
    parts = protocol.parts(places.queries, places.database)
    started = time.monotonic()
    if plain:
        queries, database = _whole(model, shape[0], photographs, batch_size)  # (Q, D), (N, D)
        in_memory = isinstance(database, Tensor)
    else:
        queries = describe_views(model, places.queries.path, image_size, strategy, batch_size)  # (Q, V, D)
        shown = image_size, strategy.of_database(), batch_size
        database = (part[:, 0] for part in described_views(model, places.database.path, *shown))
        shape = shape[0], strategy.width(model.dim)
        in_memory = has_room(prod(shape), torch.device("cpu"))
    with _table(database, shape, in_memory) as table:
        described = time.monotonic()
        find, k = partial(_in_parts, parts, search if plain else strategy.merge), protocol.how_many(shape[0])
        distances, indices = processes.agreed(find(queries, table, k) if processes.first() else None)  # (Q, K)
        seconds = {"describe": described - started, "search": time.monotonic() - described}
    ranks = protocol.ranks(places.queries, places.database, indices, places.positives(protocol))
    return Evaluation(ranks, indices, distances, seconds)


def _of_pairs(model: GeoModel, pairs: PairSet, photographs: Source, batch_size: int) -> Evaluation:
    started, count = time.monotonic(), len(pairs.database)
    found = describe_photographs(model, photographs, batch_size)  # (N + Q, D)
    described = time.monotonic()
    sides = (found[count:], found[:count]), pairs.queries, pairs.database
    ranked = pair_ranks(*sides, pairs.positives(), pairs.metres)
    return Evaluation(*ranked, {"describe": described - started, "search": time.monotonic() - described})


def _in_parts(parts: Sequence[tuple[np.ndarray, np.ndarray]], find: Callable, queries, database, k: int) -> Ranking:
    """(distances, indices), both (Q, K), of queries that search parts of a database (see `Within.parts`); where a part
    has fewer than K images, -1 at an infinite distance.
    """
    if len(parts) == 1:
        return find(queries, database, k)
    distances, indices = np.full((len(queries), k), np.inf, np.float32), np.full((len(queries), k), -1)
    for asked, there in parts:
        near, found = find(queries[asked], database[there], k)  # (q, at most K) each
        distances[asked, : near.shape[1]], indices[asked, : near.shape[1]] = near, there[found]
    return distances, indices


def _whole(
    model: GeoModel, count: int, photographs: Source, batch_size: int
) -> tuple[Tensor, Tensor | Iterator[np.ndarray]]:
    """(Q, D) descriptors of the queries and (N, D) of the ``count`` database images, all of them shown whole and once;
    the latter in parts where memory has no room for all.
    """
    describe = partial(describe_photographs, model, photographs, batch_size)
    images = np.arange(len(photographs))  # (N + Q,)
    fits = processes.agreed(has_room(len(images) * model.dim, next(model.parameters()).device))  # all do the same
    if fits:
        return describe(images).split([count, len(images) - count])[::-1]
    return describe(images[count:]), (describe(some).cpu().numpy() for some in in_parts(images[:count], STORED_AT_ONCE))


# --- where descriptors lie: in memory while they have room there, on disk when they have not ------------------------
def has_room(values: int, device: torch.device) -> bool:
    """True when so many float32 values fit in MEMORY_SHARE of what is free, both on the device and in RAM."""
    return 4 * values <= MEMORY_SHARE * min(map(free_memory, {device, torch.device("cpu")}))


@contextmanager
def _table(
    parts: Tensor | Iterator[np.ndarray], shape: tuple[int, int], in_memory: bool
) -> Iterator[Descriptors | None]:
    """The table (N, D) = ``shape`` of all parts: in memory, or a float16 store until the block ends. The first process
    alone has what is made of several parts.
    """
    if isinstance(parts, Tensor):
        yield parts
    elif not processes.first():
        deque(parts, maxlen=0)  # the others describe their shares
        yield None
    elif in_memory:
        yield filled(parts, shape)
    else:
        with scratch_folder(cache_root()) as folder:
            yield DescriptorStore.write(Path(folder) / "descriptors.npy", parts, shape)
