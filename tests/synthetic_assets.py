"""What notebooks 00, 10, 30 and 31 export, with invented numbers: the names that the paper relies on, in one place."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vg_core.config import Config
from vg_core.losses import LOSSES
from vg_core.report import export

TOY = {"toycity": "0123456789ab"}  # name and fingerprint
VARIANTS = ("GeM untrained", "NetVLAD untrained", "GeM", "NetVLAD")


def export_dataset(profile: str = "smoke", datasets=None, **changes):
    """Folder of 00_dataset; ``changes`` replace figures, tables or numbers as a whole."""
    size = {"map": (3.4, 3.2), "density": (3.4, 3.2), "nearest": (3.4, 2.3), "per_place": (3.4, 2.3)}
    size |= {"headings": (2.6, 2.6), "times": (7.0, 1.9)}
    splits = pd.DataFrame(
        {
            "split": ["train", "val", "test"],
            "database": [480, 240, 360],
            "queries": [240, 120, 180],
            "without_positive": [4, 0, 6],
            "positives_per_query": [21.4, 20.9, 22.0],
        }
    )
    numbers = {"city": "the toy city", "database": 360, "queries": 180, "without_positives": 6}
    numbers |= {"threshold_m": 25.0, "nearest_m": 3.2, "views_per_position": 6}
    exported = {
        "figures": {name: drawing(name, inches) for name, inches in size.items()} | {"photos": pictures(3, 8)},
        "tables": {"splits": splits},
        "numbers": numbers,
    }
    return export("00_dataset", datasets=datasets or TOY, profile=profile, **exported | changes)


def export_baseline(profile: str = "smoke", datasets=None, **changes):
    """Folder of 10_baseline; ``changes`` replace figures, tables or numbers as a whole."""
    size = {"curves": (3.4, 2.3), "training": (3.4, 3.2), "hardness": (7.0, 1.9)}
    figures = {name: drawing(name, inches) for name, inches in size.items()}
    exported = {
        "figures": figures | {"gallery": pictures(4, 6)},
        "tables": {"recall": recall_table(), "gains": gains_table()},
        "numbers": baseline_numbers(),
        "runs": [f"toycity-resnet18-{pooling}-triplet-seed0-0123456789" for pooling in ("gem", "netvlad")],
    }
    return export(
        "10_baseline", datasets=datasets or {"toycity": "0123456789ab"}, profile=profile, **exported | changes
    )


def export_sare(profile: str = "smoke", **numbers):
    """Folder of 30_sare; ``numbers`` replace single ones."""
    pair = {"netvlad_triplet": head(25.5), "netvlad_gaussian_ind": head(33.9)}
    pair["netvlad_gaussian_ind_gain"] = {"gain": 8.3, "gain_low": 3.5, "gain_high": 13.2}
    figures = {name: drawing(name, (3.3, 2.6)) for name in ("forest", "dimensions")} | {"heat": pictures(3, 5)}
    return export(
        "30_sare",
        datasets=TOY,
        profile=profile,
        figures=figures,
        tables={"predictions": predictions_table()},
        numbers=pair | {"seeds": 3, "rates": [0.5, 1.0], "at_edge": 2, "decided": 6, "compared": 12} | numbers,
    )


def export_losses(profile: str = "smoke", **numbers):
    """Folder of 31_losses; ``numbers`` replace single ones."""
    variants = [loss.replace("_", " ") for loss in [*LOSSES, "geo_classification"]]
    gains = pd.DataFrame({"variant": variants, "low": np.arange(len(variants)) - 0.5})
    counts = {"losses": len(variants), "rates": [0.5, 1.0], "at_edge": 1, "beat_untrained": 9, "decided": 1}
    pair = {"triplet": head(35.5), "sare_gaussian_ind": head(33.9), "backbone": "resnet18", "pooling": "netvlad"}
    return export(
        "31_losses",
        datasets=TOY,
        profile=profile,
        figures={name: drawing(name, (3.3, 2.6)) for name in ("trained", "forest")},
        tables={
            "against_untrained": gains.assign(high=gains.low + 9),
            "predictions": predictions_table(),
            "recall": recall_table(variants),
        },
        numbers=counts | pair | numbers,
    )


def predictions_table() -> pd.DataFrame:
    """Three predictions, one for each verdict."""
    rows = [("a", "better", 8.3, 3.5, 13.2, "confirmed"), ("b", "better", -6.0, -9.1, -2.9, "refuted")]
    rows.append(("c", "no better", 1.0, -2.0, 4.0, "undecided"))
    return pd.DataFrame(rows, columns=["variant", "expected", "gain", "low", "high", "verdict"])


def recall_table(variants=VARIANTS) -> pd.DataFrame:
    rows = []
    for i, variant in enumerate(variants):
        for n in (1, 5, 10, 20):
            recall = min(99.0, 31.234 + 11 * i + 6 * np.log2(n))
            row = {"variant": variant, "n": n, "recall": recall, "low": recall - 5.1, "high": recall + 4.9}
            rows.append(row | {"seed_std": 1.7, "seeds": 3, "queries": 180, "places": 60})
    return pd.DataFrame(rows)


def gains_table() -> pd.DataFrame:
    rows = [("GeM, trained", 22.0, 15.5, 28.4, 0.0004), ("NetVLAD, trained", 22.4, 16.0, 28.0, 0.0006)]
    rows.append(("NetVLAD over GeM", 11.0, -0.6, 21.8, 0.061))
    return pd.DataFrame(rows, columns=["variant", "gain", "low", "high", "p_holm"])


def head(r1: float, **others) -> dict:
    return {"r1": r1, "r1_low": r1 - 5.1, "r1_high": r1 + 4.9} | others


def baseline_numbers() -> dict:
    trained = {"r5": 71.2, "r10": 80.0, "gain": 22.0, "gain_low": 15.5, "gain_high": 28.4}
    config = Config.of("smoke").options()
    return {
        "gem": head(53.2, bytes_per_image=1024, **trained),
        "netvlad": head(64.2, bytes_per_image=16384, **trained),
        "gem_untrained": head(31.2),
        "netvlad_untrained": head(42.2),
        "netvlad_over_gem": {"gain": 11.0, "gain_low": -0.6, "gain_high": 21.8},
        "queries": 180,
        "places": 60,
        "seeds": 3,
        "threshold_m": 25.0,
        "image_height": 96,
        "image_width": 128,
        "database": 360,
        "chance_r1": 5.8,
        "search_ms": {"gem": 0.021, "netvlad": 0.34},
        "active_first": 99.0,
        "active_last": 61.0,
        "mining_share": 27.0,
        "excluded": 143.2,
        "config": config,
    }


def drawing(name: str, inches: tuple[float, float]) -> Figure:
    figure = Figure(figsize=inches, layout="constrained")
    ax = figure.subplots()
    steps = np.arange(20)
    for k in range(3):
        ax.plot(steps, np.sqrt(steps + k) * (k + 1), label=f"series {k + 1}")
    ax.set(title=name, xlabel="metres", ylabel="images")
    ax.legend(fontsize=7)
    return figure


def pictures(rows: int, columns: int) -> Figure:
    """A gallery: smooth random colours stand in for photographs."""
    rng = np.random.default_rng(0)
    figure = Figure(figsize=(6.9, 6.9 * rows / columns * 0.8), layout="constrained")
    for ax in figure.subplots(rows, columns).flat:
        ax.imshow(rng.random((4, 6, 3)), interpolation="bicubic")
        ax.set_axis_off()
    return figure
