"""Small tables that plots are tried on."""

import numpy as np
import pandas as pd

NAMES = ["untrained", "GeM", "NetVLAD", "SGD", "Adam", "crops", "jitter", "flip", "resize", "night", "VGG", "R50"]
AT = (1, 5, 10, 20)


def recalls(count: int) -> pd.DataFrame:
    """Recall table of the first variants: 10, 14, … % at N = 1, and 15 points more at each N."""
    rows = [
        {"variant": name, "n": n, "recall": 10.0 + 4 * i + 15 * k, "low": 8.0 + 4 * i + 15 * k, "queries": 315}
        for i, name in enumerate(NAMES[:count])
        for k, n in enumerate(AT)
    ]
    table = pd.DataFrame(rows, columns=["variant", "n", "recall", "low", "queries"])
    return table.assign(high=table.recall + 3, seed_std=1.0, seeds=3)


def comparison() -> pd.DataFrame:
    rows = [("GeM", 4.0, 1.0, 7.0, 0.0004), ("SGD", -5.0, -8.0, -2.0, 0.01), ("jitter", 1.0, -2.0, 4.0, 0.6)]
    return pd.DataFrame(rows, columns=["variant", "gain", "low", "high", "p_holm"])


def history(*variants: str, seeds: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Two epochs of two rounds, and the validations around them; the best recall@5 is that of epoch 1."""
    runs = [{"variant": variant, "seed": seed} for variant in variants for seed in range(seeds)]
    rounds = [
        run | {"epoch": e, "round": r, "loss": 0.5 / (2 * e + r), "active": 0.9 / e, "excluded": 7}
        | {"positive_distance": 0.5, "negative_distance": 0.6}
        for run in runs for e in (1, 2) for r in (1, 2)
    ]  # fmt: skip
    epochs = [
        run | {"epoch": e, "recall_1": 20.0 + e, "recall_5": (40.0, 60.0, 55.0)[e]} for run in runs for e in range(3)
    ]
    return pd.DataFrame(rounds), pd.DataFrame(epochs)


def grid() -> pd.DataFrame:
    rows = [("SGD", 0.1, np.nan), ("SGD", 0.01, 50.0), ("Adam", 0.01, 40.0)]
    return pd.DataFrame(rows, columns=["optimizer", "lr", "recall_1"])


def images(**columns) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    facts = {
        "easting": 500_000 + rng.uniform(0, 200, 90),
        "northing": 5_000_000 + rng.uniform(0, 100, 90),
        "heading": np.where(np.arange(90) < 9, np.nan, 350.0 + np.arange(90) % 20),
        "timestamp": ["20240611_103000"] * 40 + ["20240612_210000"] * 30 + [""] * 20,
        "nearest_m": np.linspace(0, 90, 90),
    }
    return pd.DataFrame(facts | columns)


def metres() -> pd.DataFrame:
    rows = [(v, t, 1, 40 + t / 2 + i) for i, v in enumerate(NAMES[:2]) for t in (1.0, 10.0, 25.0, 100.0)]
    table = pd.DataFrame(rows, columns=["variant", "threshold", "n", "recall"])
    return table.assign(low=table.recall - 1, high=table.recall + 1)


def rates() -> pd.DataFrame:
    return pd.DataFrame({"lr": [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], "loss": [0.1, 0.08, 0.05, 40.0, np.nan]})


def forces(variants: int = 2, far: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)) -> pd.DataFrame:
    """Pull and push over a grid of distances: a + b and |a - b|, which is 0 on the diagonal."""
    rows = [{"variant": name, "a": a, "b": b} for name in NAMES[:variants] for a in far for b in (0.5, 1.0, 1.5, 2.0)]
    table = pd.DataFrame(rows, columns=["variant", "a", "b"])
    table = table.assign(pull=table.a + table.b, push=(table.a - table.b).abs())
    return table.assign(pull_formula=table.pull, push_formula=table.push)


def field(variants: int = 2) -> pd.DataFrame:
    """A tuple of four points; each variant doubles the forces of the one before."""
    points = [("query", 0.0, 0.0), ("positive", 1.0, 0.0), ("negative", 0.0, 0.5), ("negative", -2.0, 0.0)]
    rows = [
        (name, 0.5 * i, *point, 0.1 * 2**i, -(0.2 * 2**i))
        for i, name in enumerate(NAMES[:variants])
        for point in points
    ]
    return pd.DataFrame(rows, columns=["variant", "loss", "role", "x", "y", "force_x", "force_y"])


def trials() -> pd.DataFrame:
    """Two engines, two sizes, two efforts of which the second is chosen; time grows with the images."""
    sizes = (10_000, 100_000)
    rows = [
        (engine, n, e, 80.0 + e, n * e * 1e-6 / i)
        for i, engine in enumerate(("exact", "hnsw"), 1)
        for n in sizes
        for e in (8, 16)
    ]
    table = pd.DataFrame(rows, columns=["engine", "images", "effort", "agreement", "ms"])
    return table.assign(chosen=table.effort == 16)


def extrapolated() -> pd.DataFrame:
    rows = [("exact", 10**9, 1600.0, 1600.0), ("hnsw", 10**6, 1.0, 8.0), ("hnsw", 10**9, 1.6, 800.0)]
    return pd.DataFrame(rows, columns=["engine", "images", "ms_law", "ms_trend"])


def spent() -> pd.DataFrame:
    """Two variants of two seeds, two epochs of two rounds; the second takes twice as long, and only trains."""
    phases = {"decode": 0.5, "waiting": 1.0, "extraction": 2.0, "mining": 0.5, "forward": 2.0, "backward": 4.0}
    mined = {"seconds": 10.0} | {f"seconds_{phase}": seconds for phase, seconds in phases.items()}
    classes = {**dict.fromkeys(mined, 0.0), "seconds": 20.0, "seconds_forward": 8.0, "seconds_backward": 12.0}
    rows = [
        {"variant": variant, "seed": seed, "epoch": epoch, "round": number} | seconds
        for variant, seconds in (("mined", mined), ("classes", classes))
        for seed in (0, 1)
        for epoch in (1, 2)
        for number in (1, 2)
    ]
    return pd.DataFrame(rows)


def results() -> pd.DataFrame:
    """Lines of a benchmark: a row that meets two of its three bars, one that misses its only one, one run quickly."""
    rows = [
        ("netvlad", False, 0.05, 0.04, 0.07, 0.06, 2.0, 2.5, 0.08, 0.06),
        ("full_mining", False, 0.5, 0.4, 0.6, 0.04, *[np.nan] * 4),
        ("gem", True, 0.3, 0.2, 0.4, 0.45, *[np.nan] * 4),
    ]
    columns = "row quick ratio ratio_low ratio_high bar floor_ratio floor_bar memory_ratio memory_bar"
    return pd.DataFrame(rows, columns=columns.split())


def simulated() -> pd.DataFrame:
    """What benchmarks/coverage.py writes: cities of 12 and 100 places, comparisons with one seed and with three."""
    recalls = [("recall", metres, places, 0.95) for metres in (0.0, 25.0) for places in (12.0, 100.0)]
    gains = [("gain", seeds, variants, run, 0.05 + 0.1 * run * (seeds == 1))
             for seeds in (1, 3) for variants in (2, 6) for run in (0, 1)]  # fmt: skip
    table = pd.DataFrame(gains, columns=["kind", "seeds", "variants", "run", "false_claims"]).assign(power=0.7)
    covered = pd.DataFrame(recalls, columns=["kind", "metres", "independent", "covered"])
    return pd.concat([covered, table], ignore_index=True).assign(replicates=300)
