"""What each engine costs as the database grows, measured; and how large databases would fare if that goes on.

How much effort an index needs is found by comparing it with exact search. ``faiss.ParameterSpace`` does not serve
there: it counts a twin of the nearest image as a miss, keeps no found images, never probes all cells, and re-ranks at
most 64 candidates for one wanted image, with which ivf_pq_refined finds the nearest of 95 % of the queries instead of
99 % (10,000 synthetic images).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import pandas as pd

from vg_core.retrieval.descriptor_store import DescriptorStore
from vg_core.retrieval.engines.index import ENGINES, Index
from vg_core.retrieval.engines.synthetic import SyntheticPlaces
from vg_core.retrieval.exact_search import Database, exact
from vg_core.system.files import replacing, scratch_folder
from vg_core.system.paths import cache_root

TARGET = 0.99  # share of queries whose nearest image is found
SAMPLE = 500  # queries compared with exact search
ROUNDS = 3  # timings of which the shortest counts: what else runs on the machine only adds
SAME = 1e-6  # squared distances nearer to each other than the rounding of float32
# how milliseconds per query and seconds of building are taken to grow with N images, by the knob of an engine
LAWS = {
    "": ("N", "N"),  # every image is looked at
    "nprobe": ("√N", "N√N"),  # 4 √N cells of √N / 4 images, as many of them probed; all cells compared with each image
    "efSearch": ("log N", "N log N"),  # Malkov and Yashunin, TPAMI 2020, section 4.2
}
GROWTH = {"N": lambda n: n, "√N": lambda n: n**0.5, "N√N": lambda n: n**1.5}
GROWTH |= {"log N": np.log, "N log N": lambda n: n * np.log(n)}


@dataclass(frozen=True)
class Sample:
    """Queries whose nearest database descriptors are known."""

    queries: np.ndarray  # float32 (S, D)
    distances: np.ndarray  # (S,) squared, from the query to its nearest descriptor
    database: Database

    @classmethod
    def of(cls, queries: np.ndarray, database: Database) -> "Sample":
        """The queries, searched exactly."""
        return cls(queries, _squared(queries, database, exact(queries, database, 1)[1][:, 0]), database)

    def agreement(self, found: np.ndarray) -> float:
        """Share of queries for which the image ``found`` (S,), -1 for none, is as near as the nearest; ties count."""
        reached = np.full(len(found), np.inf)
        known = found >= 0
        reached[known] = _squared(self.queries[known], self.database, found[known])
        return float((reached <= self.distances + SAME).mean())


@dataclass(frozen=True)
class Trial:
    """What an index finds with one effort."""

    effort: int
    agreement: float  # share of queries whose nearest image is found
    ms: float  # milliseconds per query, all queries in one batch
    found: np.ndarray  # (S,) the image found first for each query, -1 for none


def tune(index: Index, sample: Sample, target: float = TARGET) -> tuple[list[Trial], Trial]:
    """(trials, chosen one): the effort grows until the index agrees with exact search on the sample.

    Chosen is the first trial that reaches the target, else the best, of equals the one of least effort; the index keeps
    that effort. Prints a sentence when the target is out of reach.
    """
    trials = []
    for effort in index.efforts():
        index.effort = effort
        answers, seconds = zip(*(_timed(lambda: index.search(sample.queries, 1)) for _ in range(ROUNDS)), strict=True)
        found = answers[0][1][:, 0]  # (S,)
        trials.append(Trial(effort, sample.agreement(found), 1000 * min(seconds) / len(found), found))
        if trials[-1].agreement >= target:
            break
    chosen = max(trials, key=lambda trial: trial.agreement)  # the first of equals
    index.effort = chosen.effort
    if chosen.agreement < target:
        knob = ENGINES[index.engine].knob
        at = f" at {knob} {chosen.effort}" if knob else ""
        found = f"the nearest image of {100 * chosen.agreement:.1f} % of {len(sample.queries)} queries{at}"
        print(f"{index.engine} cannot reach {100 * target:g} %: it finds {found}; use exact where that is too few")
    return trials, chosen


def measure_engines(
    engines: Sequence[str], city: SyntheticPlaces, sizes: Sequence[int], target: float = TARGET
) -> pd.DataFrame:
    """One row per trial of each engine on the first ``sizes`` images of a synthetic city.

    Columns: engine, images, effort, agreement (% of queries whose nearest image is found), recall (% of queries whose
    first image shows their place), ms (per query, all in one batch), chosen (the least effort that reaches the target,
    else the best), queries, threads, bytes_per_image and build_seconds. Meanwhile descriptors lie in the cache folder,
    2 D bytes per image; memory holds one index at a time.
    """
    shape, tables = (max(sizes), city.dim), []
    with scratch_folder(cache_root()) as folder:
        store = DescriptorStore.write(f"{folder}/descriptors.npy", city.database(shape[0]), shape)
        for images in sizes:
            queries, places = city.queries(SAMPLE, images)
            sample = Sample.of(queries, store.first(images))
            tables += [_measured(engine, sample, places, city.views, target) for engine in engines]
    return pd.concat(tables, ignore_index=True)


def extrapolate(trials: pd.DataFrame, sizes: Mapping[str, int]) -> pd.DataFrame:
    """One row per engine and named number of images, projected from the largest database that was measured.

    Columns: engine, database (name), images, gigabytes (bytes per image stay), law (of the time), ms_law (by that law),
    exponent (slope of log ms against log N over what was measured; NaN for one size), ms_trend (by that slope, or N if
    that is less: nothing is slower than looking at every image), build_law, build_hours.
    """
    rows = []
    for engine, measured in trials[trials.chosen].groupby("engine", sort=False):
        last = measured.loc[measured.images.idxmax()]
        law, build_law = LAWS[ENGINES[engine].knob]
        logs = np.log(measured.images), np.log(measured.ms)
        exponent = float(np.polyfit(*logs, 1)[0]) if len(measured) > 1 else float("nan")
        for name, images in sizes.items():
            row = {"engine": engine, "database": name, "images": images, "law": law, "build_law": build_law}
            row |= {"gigabytes": images * last.bytes_per_image / 1e9, "exponent": exponent}
            row["ms_law"] = last.ms * GROWTH[law](images) / GROWTH[law](last.images)
            row["ms_trend"] = last.ms * (images / last.images) ** min(exponent, 1.0)
            row["build_hours"] = last.build_seconds * GROWTH[build_law](images) / GROWTH[build_law](last.images) / 3600
            rows.append(row)
    return pd.DataFrame(rows)


def compare_disk(city: SyntheticPlaces, images: int, effort: int, memory_bytes: int = 64 * 2**20) -> pd.DataFrame:
    """What searching on disk costs, one row per engine: exact search, block by block, and an inverted file, mapped.

    Columns: engine, bytes (of the table or the index), memory_bytes (what exact search may use), ratio (of the time to
    the time in memory), gap (largest difference of a distance), alike (are all images found the same?).
    """
    queries, rows = city.queries(SAMPLE, images)[0], []
    with scratch_folder(cache_root()) as folder:
        store = DescriptorStore.write(f"{folder}/descriptors.npy", city.database(images), (images, city.dim))
        table = store[:].astype(np.float32)
        index = Index.build("ivf_flat", table)
        index.effort = effort
        file = Path(folder) / "index"
        with replacing(file) as unfinished, unfinished.open("wb") as opened:
            faiss.write_index(index.inner, faiss.PyCallbackIOWriter(opened.write))
        mapped = Index("ivf_flat", faiss.read_index(str(file), faiss.IO_FLAG_MMAP_IFC), effort)
        searches = (
            ("exact", lambda: exact(queries, table, 20), lambda: exact(queries, store, 20, memory_bytes)),
            ("ivf_flat", lambda: index.search(queries, 20), lambda: mapped.search(queries, 20)),
        )
        for (engine, in_memory, on_disk), size in zip(searches, (table.nbytes, file.stat().st_size), strict=True):
            on_disk()  # read from disk once, as in every later search
            (near, found), seconds = _timed(in_memory)
            (near_too, found_too), seconds_too = _timed(on_disk)
            row = {"engine": engine, "bytes": size, "memory_bytes": memory_bytes, "ratio": seconds_too / seconds}
            rows.append(row | {"gap": np.abs(near - near_too).max(), "alike": np.array_equal(found, found_too)})
    return pd.DataFrame(rows)


def _timed(search: Callable[[], tuple]) -> tuple[tuple, float]:
    """What a search returns, and the seconds that it took."""
    started = time.perf_counter()
    return search(), time.perf_counter() - started


def _measured(engine: str, sample: Sample, places: np.ndarray, views: int, target: float) -> pd.DataFrame:
    index = Index.build(engine, sample.database)
    trials, chosen = tune(index, sample, target)
    rows = [
        {
            "engine": engine,
            "images": len(index),
            "effort": trial.effort,
            "agreement": 100 * trial.agreement,
            "recall": 100 * np.mean(trial.found // views == places),
            "ms": trial.ms,
            "chosen": trial is chosen,
        }
        for trial in trials
    ]
    facts = {"queries": len(places), "threads": faiss.omp_get_max_threads()}
    facts |= {"bytes_per_image": index.bytes_per_image(), "build_seconds": index.build_seconds}
    return pd.DataFrame(rows).assign(**facts)


def _squared(queries: np.ndarray, database: Database, indices: np.ndarray) -> np.ndarray:
    """(S,) squared distances of each query to one database descriptor, by differences: exact where they are small."""
    return np.square(queries - np.asarray(database[indices], dtype=np.float32)).sum(axis=1, dtype=np.float64)
