"""Faiss indexes by name, each with one knob that trades time for recall."""

import time
from dataclasses import dataclass
from typing import NamedTuple

import faiss
import numpy as np

from vg_core.retrieval.exact_search import Database, blocks, same_width, table
from vg_core.system.errors import ByName

BLOCK_BYTES = 64 * 2**20  # of float32 descriptors added at a time
FEWEST_A_CELL = 39  # training descriptors per centroid, below which Faiss calls a clustering unreliable
FEWEST = 16 * FEWEST_A_CELL  # images of the smallest inverted file
TRAINED_ON = 64  # descriptors per cell; more only take longer
TRAINED_ON_AT_LEAST = 10_000
LARGEST_BEAM = 1024  # beyond it a graph is slower than exact search
CANDIDATES, CANDIDATES_EACH = 160, 10  # compared again in float16: at least, and more per wanted image


class Engine(NamedTuple):
    """How a kind of index is made and what its knob is."""

    recipe: str  # that faiss.index_factory reads, with numbers of ``cells`` and of ``parts`` to be filled in
    knob: str = ""  # "nprobe": cells looked into, "efSearch": beam in the graph, "" for none


ENGINES = ByName(
    "search engine",
    {
        "exact": Engine("Flat"),
        "float16": Engine("SQfp16"),  # exact but for the rounding; 2 bytes per value
        "int8": Engine("SQ8"),  # 1 byte per value
        # k-means cells; only those nearest to the query are searched (Sivic and Zisserman, ICCV 2003)
        "ivf_flat": Engine("IVF{cells},Flat", "nprobe"),
        # and 4-bit codes for every 4 values, compared in registers (Jégou et al., TPAMI 2011; André et al., VLDB 2015)
        "ivf_pq": Engine("IVF{cells},PQ{parts}x4fs", "nprobe"),
        "ivf_pq_refined": Engine("IVF{cells},PQ{parts}x4fs,Refine(SQfp16)", "nprobe"),  # the best compared in float16
        "hnsw": Engine("HNSW32", "efSearch"),  # Malkov and Yashunin, TPAMI 2020
    },
)


def inverted_cells(images: int) -> int:
    """Cells of an inverted file: 4 √N as Faiss' guidelines have it, or fewer so that each can be trained."""
    return min(int(4 * images**0.5), images // FEWEST_A_CELL)


def subspaces(dim: int) -> int:
    """Parts that product quantisation cuts D dimensions into: the most that divide D and have four or more each."""
    return max(parts for parts in range(1, max(dim // 4, 1) + 1) if dim % parts == 0)


@dataclass
class Index:
    """A searchable database, made by ``build``."""

    engine: str
    inner: faiss.Index
    effort: int = 0  # where the knob stands; 0 without a knob
    build_seconds: float = 0.0  # training and adding

    @classmethod
    def build(cls, engine: str, database: Database) -> "Index":
        """Index of (N, D) descriptors, an array or a store that is read block by block; its knob at the smallest.

        Raises KeyError for an unknown engine, ValueError when the database is empty or too small to train on.
        """
        (recipe, knob), database = ENGINES[engine], table(database, "database")
        images, dim = database.shape
        if knob == "nprobe" and images < FEWEST:
            raise ValueError(
                f"{engine} is trained on at least {FEWEST:,} descriptors and the database has {images:,}: "
                "use exact, which is fast at this size"
            )
        started = time.perf_counter()
        inner = faiss.index_factory(dim, recipe.format(cells=inverted_cells(images), parts=subspaces(dim)))
        if not inner.is_trained:
            count = min(images, max(TRAINED_ON_AT_LEAST, TRAINED_ON * inverted_cells(images)))
            rows = np.sort(np.random.default_rng(0).choice(images, count, replace=False))
            inner.train(np.ascontiguousarray(database[rows], dtype=np.float32))
        for _, part in blocks(database, max(1, BLOCK_BYTES // (4 * dim))):
            inner.add(part)
        built = cls(engine, inner, build_seconds=time.perf_counter() - started)
        built.effort = built.efforts()[0]
        return built

    def efforts(self) -> list[int]:
        """Sensible settings of the knob in steps of √2, least first; [0] for an engine without one."""
        knob = ENGINES[self.engine].knob
        if not knob:
            return [0]
        first, last = (
            (1, inverted_cells(len(self))) if knob == "nprobe" else (16, max(16, min(LARGEST_BEAM, len(self))))
        )
        steps = {int(2 ** (half / 2)) for half in range(2 * last.bit_length())}
        return sorted({step for step in steps if first <= step < last} | {last})

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(distances, indices), both (Q, min(k, N)), nearest first; index -1 at distance inf where nothing was found.

        Distances are Euclidean, of what the engine keeps of a descriptor: rounded or coded, not the descriptor.
        """
        queries = table(queries, "queries")
        same_width(queries, self)
        k = min(k, len(self))
        if knob := ENGINES[self.engine].knob:
            faiss.ParameterSpace().set_index_parameter(self.inner, knob, self.effort)
        if isinstance(self.inner, faiss.IndexRefine):
            self.inner.k_factor = (max(CANDIDATES, self.effort) + CANDIDATES_EACH * k) / k
        squared, indices = self.inner.search(queries, k)
        return np.where(indices < 0, np.inf, np.sqrt(np.maximum(squared, 0))), indices

    def __len__(self) -> int:
        return self.inner.ntotal

    @property
    def shape(self) -> tuple[int, int]:
        return self.inner.ntotal, self.inner.d

    def bytes_per_image(self) -> float:
        """Size of the index as it is saved, cells and codebooks included, per image. Writes no file."""
        sizes = []
        faiss.write_index(self.inner, faiss.PyCallbackIOWriter(lambda chunk: sizes.append(len(chunk))))
        return sum(sizes) / len(self)
