"""Exact nearest-neighbour search by Faiss: arrays without a copy, stores on disk block by block within a budget."""

from collections.abc import Iterator

import faiss
import numpy as np

from vg_core.retrieval.descriptor_store import DescriptorStore

Database = np.ndarray | DescriptorStore
Ranking = tuple[np.ndarray, np.ndarray]  # distances (Q, K) and database indices (Q, K), nearest first
MEMORY_BYTES = 256 * 2**20  # default budget of a search in blocks
WORKSPACE_BYTES = 40 * 2**20  # Faiss' block of 4,096 queries x 1,024 images, and what its threads hold
BYTES_A_RESULT = 96  # per query and neighbour: heaps, results of a block, and Faiss' reservoir of candidates


def exact(queries: np.ndarray, database: Database, k: int, memory_bytes: int = MEMORY_BYTES) -> Ranking:
    """(distances, indices), both (Q, K), of the nearest descriptors, nearest first; K = min(k, N).

    Distances are Euclidean. A float32 array is searched where it lies. A store is read block by block, so that no more
    than ``memory_bytes`` are in use beside the queries and the answer; queries whose results would fill more than half
    of that are searched in parts. Raises ValueError for what ``table`` refuses, for tables of different widths, and for
    a budget that does not hold one image.
    """
    queries, database = table(queries, "queries"), table(database, "database")
    same_width(queries, database)
    k = min(k, len(database))
    if isinstance(database, np.ndarray):
        squared, indices = faiss.knn(queries, database, k)  # (Q, K) each
    else:
        at_once = evenly(len(queries), (memory_bytes - WORKSPACE_BYTES) // (2 * BYTES_A_RESULT * k))
        squared, indices = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)  # (Q, K)
        for start in range(0, len(queries), at_once):
            part = slice(start, start + at_once)
            squared[part], indices[part] = _in_blocks(queries[part], database, k, memory_bytes)
    return np.sqrt(np.maximum(squared, 0, out=squared), out=squared), indices


def evenly(count: int, most: int) -> int:
    """Size of the parts, nearly equal and at most ``most`` (but at least one), that ``count`` things are taken in."""
    return -(-count // -(-count // max(1, most)))


def blocks(database: Database, rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, float32 (at most ``rows``, D)) of consecutive blocks; a block is overwritten by the next."""
    full = np.empty((min(rows, len(database)), database.shape[1]), dtype=np.float32)  # (rows, D)
    for start in range(0, len(database), len(full)):
        part = full[: len(database) - start]  # (b, D)
        part[:] = database[start : start + len(part)]
        yield start, part


def table(descriptors: Database, what: str) -> Database:
    """Descriptors as float32 (any, D), rows one after the other; a store as it is.

    Raises ValueError, naming ``what`` they are, when there are none or some are not finite.
    """
    if not isinstance(descriptors, DescriptorStore):
        descriptors = np.ascontiguousarray(descriptors, dtype=np.float32)
    if len(descriptors.shape) != 2 or not len(descriptors):
        raise ValueError(f"{what}: no descriptors to search in (shape {descriptors.shape})")
    if isinstance(descriptors, np.ndarray) and not np.isfinite([descriptors.min(), descriptors.max()]).all():
        raise ValueError(f"{what}: some descriptors are not finite; the model has diverged")
    return descriptors


def same_width(queries: np.ndarray, database) -> None:
    """Raises ValueError, naming both widths, when they differ."""
    if queries.shape[1] != database.shape[1]:
        raise ValueError(
            f"queries have {queries.shape[1]} dimensions, the database {database.shape[1]}: "
            "describe both with the same model"
        )


def _in_blocks(queries: np.ndarray, store: DescriptorStore, k: int, memory_bytes: int) -> Ranking:
    """Squared distances and indices, both (Q, K), from a running list of the k nearest."""
    fixed = WORKSPACE_BYTES + BYTES_A_RESULT * len(queries) * k
    rows = (memory_bytes - fixed) // (6 * store.shape[1] + 4)  # float32 and the mapped float16, and a norm
    if rows < 1:
        raise ValueError(
            f"{memory_bytes / 2**20:,.0f} MiB cannot hold one database image and what is found for a query: "
            f"give at least {fixed / 2**20 + 1:,.0f} MiB"
        )
    best = faiss.ResultHeap(len(queries), k)  # (Q, k)
    for start, part in blocks(store, evenly(len(store), rows)):
        squared, indices = faiss.knn(queries, part, min(k, len(part)))  # (Q, k) each
        indices += start
        best.add_result(squared, indices)
    best.finalize()
    return best.D, best.I
