"""Faiss indexes by name, each with one knob that trades time for recall."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from vg_core.retrieval.exact_search import Database, blocks, same_width, table
from vg_core.system.files import replacing
from vg_core.system.registry import ByName

BLOCK_BYTES = 64 * 2**20  # of float32 descriptors added at a time
FEWEST_A_CELL = 39  # training descriptors per centroid, below which Faiss calls a clustering unreliable
FEWEST_CELLS = 16
TRAINED_ON = 64  # descriptors per cell; more only take longer
TRAINED_ON_AT_LEAST = 10_000
LARGEST_BEAM = 1024  # beyond it a graph is slower than exact search
CANDIDATES, CANDIDATES_EACH = 160, 10  # compared again in float16: at least, and more per wanted image


@dataclass(frozen=True)
class Engine:
    """How a kind of index is made and what its knob is."""

    recipe: Callable[[int, int], str]  # (images, dimensions) -> description that faiss.index_factory reads
    knob: str = ""  # "nprobe": cells looked into, "efSearch": beam in the graph, "" for none
    fewest: int = 1  # images without which it cannot be trained


def cells(images: int) -> int:
    """Cells of an inverted file: 4 √N as Faiss' guidelines have it, or fewer so that each can be trained."""
    return min(int(4 * images**0.5), images // FEWEST_A_CELL)


def subspaces(dim: int) -> int:
    """Parts that product quantisation cuts D dimensions into: the most that divide D and have four or more each."""
    return max(parts for parts in range(1, max(dim // 4, 1) + 1) if dim % parts == 0)


def _ivf(codes: Callable[[int], str]) -> Engine:
    fewest = FEWEST_A_CELL * FEWEST_CELLS
    return Engine(lambda images, dim: f"IVF{cells(images)},{codes(dim)}", "nprobe", fewest)


ENGINES = ByName(
    "search engine",
    {
        "exact": Engine(lambda images, dim: "Flat"),
        "float16": Engine(lambda images, dim: "SQfp16"),  # exact but for the rounding; 2 bytes per value
        "int8": Engine(lambda images, dim: "SQ8"),  # 1 byte per value
        # k-means cells; only those nearest to the query are searched (Sivic and Zisserman, ICCV 2003)
        "ivf_flat": _ivf(lambda dim: "Flat"),
        # and 4-bit codes for every 4 values, compared in registers (Jégou et al., TPAMI 2011; André et al., VLDB 2015)
        "ivf_pq": _ivf(lambda dim: f"PQ{subspaces(dim)}x4fs"),
        "ivf_pq_refined": _ivf(lambda dim: f"PQ{subspaces(dim)}x4fs,Refine(SQfp16)"),  # the best compared in float16
        "hnsw": Engine(lambda images, dim: "HNSW32", "efSearch"),  # Malkov and Yashunin, TPAMI 2020
    },
)


@dataclass
class Index:
    """A searchable database, made by ``build`` or ``load``."""

    engine: str
    inner: faiss.Index
    build_seconds: float | None = None  # training and adding; None for a loaded index

    @classmethod
    def build(cls, engine: str, database: Database) -> "Index":
        """Index of (N, D) descriptors, an array or a store that is read block by block; its knob at the smallest.

        Raises KeyError for an unknown engine, ValueError when the database is empty or too small to train on.
        """
        made, database = ENGINES[engine], table(database, "database")
        if len(database) < made.fewest:
            raise ValueError(
                f"{engine} is trained on at least {made.fewest:,} descriptors and the database has {len(database):,}: "
                "use exact, which is fast at this size"
            )
        started = time.perf_counter()
        index = faiss.index_factory(database.shape[1], made.recipe(*database.shape))
        if not index.is_trained:
            index.train(_sample(database))
        for _, part in blocks(database, max(1, BLOCK_BYTES // (4 * database.shape[1]))):
            index.add(part)
        built = cls(engine, index, time.perf_counter() - started)
        built.effort = built.efforts()[0]
        return built

    def efforts(self) -> list[int]:
        """Sensible settings of the knob in steps of √2, least first; [0] for an engine without one."""
        knob = ENGINES[self.engine].knob
        if not knob:
            return [0]
        first, last = (1, cells(len(self))) if knob == "nprobe" else (16, max(16, min(LARGEST_BEAM, len(self))))
        steps = {int(2 ** (half / 2)) for half in range(2 * last.bit_length())}
        return sorted({step for step in steps if first <= step < last} | {last})

    @property
    def effort(self) -> int:
        """Where the knob stands: the number of cells probed, the width of the graph's beam, or 0 without a knob."""
        return getattr(self._dial(), ENGINES[self.engine].knob, 0)

    @effort.setter
    def effort(self, effort: int) -> None:
        if knob := ENGINES[self.engine].knob:
            setattr(self._dial(), knob, effort)

    def _dial(self) -> object:
        return getattr(self.inner, "hnsw", None) or faiss.try_extract_index_ivf(self.inner)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """(distances, indices), both (Q, min(k, N)), nearest first; index -1 at distance inf where nothing was found.

        Distances are Euclidean, of what the engine keeps of a descriptor: rounded or coded, not the descriptor.
        """
        queries = table(queries, "queries")
        same_width(queries, self)
        k = min(k, len(self))
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

    def save(self, path) -> None:
        """Write the index, with its knob as it stands; the file appears when it is whole. Raises OSError."""
        with replacing(path) as unfinished, unfinished.open("wb") as file:
            faiss.write_index(self.inner, faiss.PyCallbackIOWriter(file.write))

    @classmethod
    def load(cls, path, engine: str) -> "Index":
        """The index in a file, mapped: vectors and lists come into memory when a search touches them.

        Codes in fast-scan order are the exception; they are loaded. Raises ValueError when the file holds no index, or
        one of another engine; FileNotFoundError.
        """
        Path(path).stat()  # Faiss' own complaint about a missing file is no sentence
        try:
            found = cls(engine, faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))
        except RuntimeError as error:
            raise ValueError(f"{path} holds no whole Faiss index; build it again") from error
        expected = faiss.index_factory(found.inner.d, ENGINES[engine].recipe(10_000, found.inner.d))
        codes = [getattr(index, "code_size", 0) for index in (found.inner, expected)]  # int8 or float16
        if not isinstance(found.inner, type(expected)) or codes[0] != codes[1]:
            raise ValueError(f"{path} holds a {type(found.inner).__name__}, which is not what {engine} makes")
        return found


def _sample(database: Database) -> np.ndarray:
    """float32 rows to train on, drawn with a fixed seed, in their order."""
    count = min(len(database), max(TRAINED_ON_AT_LEAST, TRAINED_ON * cells(len(database))))
    rows = np.sort(np.random.default_rng(0).choice(len(database), count, replace=False))
    return np.ascontiguousarray(database[rows], dtype=np.float32)
