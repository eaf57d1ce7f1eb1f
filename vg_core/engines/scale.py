"""What each engine costs as the database grows, measured; and how large databases would fare if that goes on."""

from collections.abc import Mapping, Sequence

import faiss
import numpy as np
import pandas as pd

from vg_core import paths
from vg_core.engines.index import ENGINES, Index
from vg_core.engines.store import DescriptorStore
from vg_core.engines.synthetic import SyntheticPlaces
from vg_core.engines.tuning import SAMPLE, TARGET, Sample, tune
from vg_core.files import scratch_folder

# how milliseconds a query and seconds of building are taken to grow with N images, by the knob of an engine
LAWS = {
    "": ("N", "N"),  # every image is looked at
    "nprobe": ("√N", "N√N"),  # 4 √N cells of √N / 4 images, as many of them probed; all cells compared with each image
    "efSearch": ("log N", "N log N"),  # Malkov and Yashunin, TPAMI 2020, section 4.2
}
GROWTH = {
    "N": lambda n: n,
    "√N": lambda n: n**0.5,
    "log N": np.log,
    "N log N": lambda n: n * np.log(n),
    "N√N": lambda n: n**1.5,
}


def measure(
    engines: Sequence[str], city: SyntheticPlaces, sizes: Sequence[int], target: float = TARGET
) -> pd.DataFrame:
    """One row a trial of each engine on the first ``sizes`` images of a synthetic city.

    Columns: engine, images, effort, agreement (% of queries whose nearest image is found), recall (% of queries whose
    first image shows their place), ms (a query, in a batch), chosen (the least effort that reaches the target, else the
    best), queries, threads, bytes_per_image and build_seconds. Meanwhile descriptors lie in the cache folder, 2 D bytes
    an image; memory holds one index at a time.
    """
    shape = (max(sizes), city.dim)
    with scratch_folder(paths.cache_root()) as folder:
        store = DescriptorStore.write(f"{folder}/descriptors.npy", city.database(shape[0]), shape)
        return pd.concat([_at(engines, city, store.first(images), target) for images in sizes], ignore_index=True)


def extrapolate(trials: pd.DataFrame, sizes: Mapping[str, int]) -> pd.DataFrame:
    """One row for each engine and each named number of images, from the largest database that was measured.

    Columns: engine, database (name), images, gigabytes (bytes an image stay), law (of the time), ms_law (by that law),
    exponent (slope of log ms against log N over what was measured; NaN for one size), ms_trend (by that slope, or N if
    that is less: nothing is slower than looking at every image), build_law, build_hours.
    """
    rows = []
    for engine, measured in trials[trials.chosen].groupby("engine", sort=False):
        last = measured.loc[measured.images.idxmax()]
        law, build_law = LAWS[ENGINES[engine].knob]
        exponent = _slope(measured.images, measured.ms)
        for name, images in sizes.items():
            row = {"engine": engine, "database": name, "images": images, "law": law, "build_law": build_law}
            row |= {"gigabytes": images * last.bytes_per_image / 1e9, "exponent": exponent}
            row["ms_law"] = last.ms * GROWTH[law](images) / GROWTH[law](last.images)
            row["ms_trend"] = last.ms * (images / last.images) ** min(exponent, 1.0)
            row["build_hours"] = last.build_seconds * GROWTH[build_law](images) / GROWTH[build_law](last.images) / 3600
            rows.append(row)
    return pd.DataFrame(rows)


def _at(engines: Sequence[str], city: SyntheticPlaces, store: DescriptorStore, target: float) -> pd.DataFrame:
    """Trials of all engines on one store."""
    queries, places = city.queries(SAMPLE, len(store))
    sample = Sample.of(queries, store)
    return pd.concat([_trials(engine, sample, places, city.views, target) for engine in engines])


def _trials(engine: str, sample: Sample, places: np.ndarray, views: int, target: float) -> pd.DataFrame:
    index = Index.build(engine, sample.database)
    tuning = tune(index, sample, target)
    rows = [
        {
            "engine": engine,
            "images": len(index),
            "effort": trial.effort,
            "agreement": 100 * trial.agreement,
            "recall": 100 * np.mean(trial.found // views == places),
            "ms": trial.ms,
            "chosen": trial is tuning.chosen,
        }
        for trial in tuning.trials
    ]
    costs = {"bytes_per_image": index.bytes_per_image(), "build_seconds": index.build_seconds}
    return pd.DataFrame(rows).assign(queries=tuning.queries, threads=faiss.omp_get_max_threads(), **costs)


def _slope(images: pd.Series, ms: pd.Series) -> float:
    return float(np.polyfit(np.log(images), np.log(ms), 1)[0]) if len(images) > 1 else float("nan")
