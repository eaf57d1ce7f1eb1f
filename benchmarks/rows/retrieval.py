"""Mining, search, ground truth and recall, on descriptors and places as a city survey gives them."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks import reference
from benchmarks.measure import Case, difference
from benchmarks.rows.registry import row
from vg_core.datasets.places import ROUNDING_METRES, neighbours
from vg_core.evaluation.ranks import AT, recall
from vg_core.mining import draw_pool, mine
from vg_core.retrieval.engines import DescriptorStore, exact
from vg_core.retrieval.ranking import search
from vg_core.system.paths import cache_root

VIEWS = 24  # of one panorama, at one position
SPACING_METRES = 10.0  # of panoramas along a street
HARD, SOFT = 10.0, 25.0  # metres
NEGATIVES = 10
MINING = {"queries": 1000, "sampled": 1000, "database": 10_000, "dim": 16384, "timed": 50}
MINING_QUICK = {"queries": 8, "sampled": 60, "database": 240, "dim": 16, "timed": 4}


@row(
    "partial mining", "one Faiss index for each query", MINING, MINING_QUICK, bar=0.02, tolerance=0.0, gpu_tolerance=0.0
)
def partial_mining(device: torch.device, queries: int, sampled: int, database: int, dim: int, timed: int) -> Case:
    pool = draw_pool("partial", queries, database, sampled, np.random.default_rng(0))
    survey = _survey(queries, database, dim)
    floor = _product(survey[0].to(device), survey[1][pool].to(device))
    return replace(_mining(device, *survey, [pool] * timed, lambda: pool), floor=floor)


@row(
    "full mining",
    "one Faiss index for each query",
    MINING,
    MINING_QUICK,
    bar=0.04,
    floor_bar=1.6,
    tolerance=0.0,
    gpu_tolerance=0.0,
)
def full_mining(device: torch.device, queries: int, sampled: int, database: int, dim: int, timed: int) -> Case:
    def draw() -> np.ndarray:
        """Part of our time; the reference is given its pools."""
        return draw_pool("full", queries, database, sampled, np.random.default_rng(0))

    survey = _survey(queries, database, dim)
    floor = _product(*(table.to(device) for table in survey[:2]))
    return replace(_mining(device, *survey, list(draw()[:timed]), draw), floor=floor)


@row(
    "exact search",
    "flat Faiss index",
    {"queries": 2000, "database": 10_000, "dim": 16384, "k": 20},
    {"queries": 20, "database": 240, "dim": 16, "k": 5},
    bar=1.05,
    tolerance=1e-5,
)
def exact_search(device: torch.device, queries: int, database: int, dim: int, k: int) -> Case:
    tables = [table.numpy() for table in _survey(queries, database, dim)[:2]]
    return Case(lambda: reference.search(*tables, k), lambda: search(*tables, k), compare=_distances_differ)


@row(
    "low-memory evaluation",
    "one database image at a time, then a sort of everything",
    {"queries": 600, "database": 1024, "dim": 16384, "k": 20, "budget_mib": 50, "timed": 128},
    {"queries": 20, "database": 240, "dim": 16, "k": 5, "budget_mib": 41, "timed": 60},
    bar=0.02,
    tolerance=1e-3,
)
def low_memory(
    device: torch.device, queries: int, database: int, dim: int, k: int, budget_mib: int, timed: int
) -> Case:
    """Ours reads a store on disk, as float32 larger than the budget, in blocks; the reference has the same numbers in
    memory, of ``timed`` images. The first of these are compared, however many are among the nearest of all.
    """
    wanted, table = (table.numpy() for table in _survey(queries, database, dim)[:2])
    store = DescriptorStore.write(cache_root() / "descriptors.npy", [table], table.shape)
    images = torch.from_numpy(store[:timed].astype(np.float32))
    products = np.empty((queries, database), np.float32)  # there already: to write fresh memory takes its own time
    return Case(
        lambda: reference.search_one_by_one(torch.from_numpy(wanted), images, k),
        lambda: exact(wanted, store, k, budget_mib * 2**20),
        lambda: np.matmul(wanted, table.T, out=products),
        part=timed / database,
        compare=lambda expected, found: _distances_differ(*_common(expected, found, timed)),
    )


@row(
    "ground truth, 24 views a place",
    "scikit-learn's tree",
    {"queries": 30_000, "database": 2_800_000, "views": VIEWS},
    {"queries": 20, "database": 240, "views": VIEWS},
    bar=0.5,
    tolerance=0.0,
)
def ground_truth(device: torch.device, queries: int, database: int, views: int) -> Case:
    places, spots = _grid(queries, database, views)

    def compare(a: np.ndarray, b: list[np.ndarray]) -> float:
        return max(difference(np.sort(one), other) for one, other in zip(a, b, strict=True))

    reach = SOFT + ROUNDING_METRES  # 25.00 m are within, whatever their binary fractions
    return Case(
        lambda: reference.neighbours(places, spots, reach), lambda: neighbours(places, spots, SOFT), compare=compare
    )


@row(
    "ground truth, one view a place",
    "scikit-learn's tree",
    {"queries": 30_000, "database": 2_800_000, "views": 1},
    {"queries": 20, "database": 240, "views": 1},
    bar=0.5,
    tolerance=0.0,
)
def ground_truth_unique(device: torch.device, queries: int, database: int, views: int) -> Case:
    return ground_truth(device, queries, database, views)


@row(
    "recall from ranks",
    "loop over queries and N",
    {"queries": 7000, "database": 10_000, "k": 20},
    {"queries": 20, "database": 240, "k": 20},
    bar=0.05,
    tolerance=1e-12,
)
def recall_from_ranks(device: torch.device, queries: int, database: int, k: int) -> Case:
    rng = np.random.default_rng(0)
    positives = neighbours(*_street(queries, database), SOFT)
    indices = rng.integers(database, size=(queries, k))
    found = rng.random(queries) < 0.8  # as many queries as a good model answers, at a rank of the first few
    ranks = rng.geometric(0.5, queries).clip(max=k) - 1
    indices[found, ranks[found]] = [rng.choice(positives[q]) for q in np.flatnonzero(found)]
    return Case(lambda: reference.recall(indices, positives, AT), lambda: recall(indices, positives))


def _common(expected: tuple, found: tuple, images: int) -> tuple[tuple, tuple]:
    """Of a search in the first ``images`` and of one in all: the nearest that both have found, 0 behind them."""
    shared = found[1] < images
    first = np.argsort(~shared, axis=1, kind="stable")  # theirs to the front, nearest first
    counts = np.arange(shared.shape[1]) < shared.sum(axis=1)[:, None]
    return (expected[0] * counts, expected[1]), (np.take_along_axis(found[0], first, axis=1) * counts, found[1])


def _distances_differ(expected: tuple, found: tuple) -> float:
    """Of two searches; which of two images equally far comes first is left to rounding."""
    return difference(expected[0], found[0])


def _product(queries: Tensor, database: Tensor) -> Callable[[], Tensor]:
    """All products of queries and database, into memory that is there already."""
    products = queries.new_empty(len(queries), len(database))
    return lambda: torch.mm(queries, database.T, out=products)


def _mining(
    device: torch.device, queries: Tensor, database: Tensor, hard: list, soft: list, pools: list, draw: Callable
) -> Case:
    """The reference mines for as many queries as there are pools."""
    cache, timed, count = list(database.numpy()), len(pools), min(NEGATIVES, len(pools[0]) // 6)
    tables = queries.to(device), database.to(device)

    def compare(a: tuple, b: tuple) -> float:
        return difference(a, [rows[:timed] for rows in b])

    return Case(
        lambda: reference.mine(cache, queries.numpy()[:timed], hard[:timed], soft[:timed], pools, count),
        lambda: mine(*tables, hard, soft, draw(), count),
        part=timed / len(queries),
        compare=compare,
    )


def _survey(queries: int, database: int, dim: int) -> tuple[Tensor, Tensor, list[np.ndarray], list[np.ndarray]]:
    """Descriptors of queries and database along a street, and which database images lie within 10 and 25 m of each."""
    torch.manual_seed(0)
    places, spots = _street(queries, database)
    scenes = torch.randn(1 + int(places.max() / SPACING_METRES), dim)
    nearest = torch.from_numpy(spots[:, 0] / SPACING_METRES).round().long().clamp(max=len(scenes) - 1)
    shown = torch.from_numpy(places[:, 0] / SPACING_METRES).round().long()
    tables = [F.normalize(scenes[place] + torch.randn(len(place), dim), dim=1) for place in (nearest, shown)]
    return *tables, *(neighbours(places, spots, radius) for radius in (HARD, SOFT))


def _street(queries: int, database: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 2) of panoramas of 24 views along a street and (Q, 2) of queries, in metres."""
    along = np.arange(database) // VIEWS * SPACING_METRES
    spots = np.random.default_rng(0).uniform(0, along[-1], queries)
    return tuple(np.column_stack([x, np.zeros_like(x)]) for x in (along, spots))


def _grid(queries: int, database: int, views: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions of photographs all over a city, ``views`` at each place, and of queries, in metres."""
    rng = np.random.default_rng(0)
    side = SPACING_METRES * (database / views) ** 0.5
    places = rng.uniform(0, side, (database // views, 2)).round(2).repeat(views, axis=0)
    return places, rng.uniform(0, side, (queries, 2)).round(2)
