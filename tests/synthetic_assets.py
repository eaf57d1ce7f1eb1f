"""What notebooks 00, 10, 30, 31, 33 and 34 export, with invented numbers: the names that the paper relies on, in one
place.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from vg_core.config import Config
from vg_core.evaluation.comparisons import judge_predictions
from vg_core.losses import LOSSES
from vg_core.report import Page
from vg_core.system import paths

TOY = {"toycity": "0123456789ab"}  # name and fingerprint
VARIANTS = ("GeM, untrained", "NetVLAD, untrained", "GeM", "NetVLAD")


def export(slug: str, datasets: Mapping, runs=(), figures=None, tables=None, numbers=None, profile: str = "smoke"):
    """Folder of a page with all of this on it."""
    page = Page(slug, profile)
    for name, figure in (figures or {}).items():
        page.figure(name, figure)
    for name, table in (tables or {}).items():
        page.table(name, table)
    page.close({"datasets": datasets, "runs": list(runs)}, **(numbers or {}))
    return paths.assets_folder(profile) / slug


def export_dataset(profile: str = "smoke", datasets=None, **changes):
    """Folder of 00_dataset; ``changes`` replace figures or tables as a whole."""
    size = {"map": (3.4, 3.2), "density": (3.4, 3.2), "nearest": (3.4, 2.3), "per_place": (3.4, 2.3)}
    size |= {"headings": (2.6, 2.6), "times": (7.0, 1.9)}
    counts = {"database": [480, 240, 360], "queries": [240, 120, 180], "queries_without_positives": [4, 0, 6]}
    means = {"positives_per_query": [21.4, 20.9, 22.0], "nearest_m": [3.0, 3.1, 3.2], "views_per_position": 6}
    exported = {
        "figures": {name: drawing(name, inches) for name, inches in size.items()} | {"photos": pictures(3, 8)},
        "tables": {
            "splits": pd.DataFrame(
                {"split": ["train", "val", "test"], "threshold_m": 25.0, "unit": "m"} | counts | means
            )
        },
    }
    return export("00_dataset", datasets=datasets or TOY, profile=profile, **exported | changes)


def export_baseline(profile: str = "smoke", datasets=None, **changes):
    """Folder of 10_baseline; ``changes`` replace figures, tables or numbers as a whole."""
    size = {"curves": (3.4, 2.3), "training": (3.4, 3.2), "hardness": (7.0, 1.9)}
    figures = {name: drawing(name, inches) for name, inches in size.items()}
    gains = gains_table().assign(queries=180, seeds=3)
    judged = judge_predictions(gains, dict.fromkeys(gains.variant, "better"))
    exported = {
        "figures": figures | {"gallery": pictures(4, 6)},
        "tables": {"recall": recall_table(), "gains": gains, "cards": cards_table(), "predictions": judged},
        "numbers": baseline_numbers(),
        "runs": [f"toycity-resnet18-{pooling}-triplet-seed0-0123456789" for pooling in ("gem", "netvlad")],
    }
    return export("10_baseline", datasets=datasets or TOY, profile=profile, **exported | changes)


def export_sare(profile: str = "smoke", rates=(0.5, 1.0), at_edge: int = 2):
    """Folder of 30_sare; so many of its learning rates lie at the end of the list."""
    variants = [f"NetVLAD, {loss}" for loss in ("triplet", "gaussian ind", "gaussian joint")]
    tables = {"recall": recall_table(variants), "gains": gains_table(variants[1:])}
    tables |= {"predictions": predictions_table(), "rates": rates_table(variants, rates, at_edge)}
    figures = {"forest": drawing("forest", (3.3, 2.6))}
    return export("30_sare", datasets=TOY, profile=profile, figures=figures, tables=tables)


def export_losses(profile: str = "smoke", rates=(0.5, 1.0), at_edge: int = 1):
    """Folder of 31_losses; so many of its learning rates lie at the end of the list."""
    variants = [loss.replace("_", " ") for loss in [*LOSSES, "geo_classification"]]
    tables = {"recall": recall_table(variants), "gains": gains_table(variants[1:])}
    tables |= {"against_untrained": gains_table(variants), "predictions": predictions_table()}
    tables |= {"rates": rates_table(variants, rates, at_edge)}
    figures = {name: drawing(name, (3.3, 2.6)) for name in ("trained", "forest")}
    numbers = {"config": Config.of("smoke", pooling="netvlad").options()}
    return export("31_losses", datasets=TOY, profile=profile, figures=figures, tables=tables, numbers=numbers)


def export_looks(profile: str = "smoke"):
    """Folders of 33_short_descriptors and 34_what_networks_see."""
    figures = {"dimensions": drawing("dimensions", (3.3, 2.6))}
    export("33_short_descriptors", TOY, figures=figures, tables={"predictions": predictions_table()}, profile=profile)
    figures = {name: pictures(3, 5) for name in ("heat", "covered", "tsne")}
    tables = {"agreement": pd.DataFrame({"correlation": [0.3, 0.8, 0.7]})}
    numbers = {"verdict": "confirmed", "agreement": "0.60 [0.52, 0.68] over 24 queries"}
    export("34_what_networks_see", TOY, figures=figures, tables=tables, numbers=numbers, profile=profile)


def predictions_table() -> pd.DataFrame:
    """Three predictions, one for each verdict."""
    rows = [("a", "better", 8.3, 3.5, 13.2, 6.8, "confirmed"), ("b", "better", -6.0, -9.1, -2.9, 4.4, "refuted")]
    rows.append(("c", "no better", 1.0, -2.0, 4.0, 4.2, "undecided"))
    return pd.DataFrame(rows, columns=["variant", "expected", "gain", "low", "high", "decidable", "verdict"])


def recall_table(variants=VARIANTS) -> pd.DataFrame:
    rows = []
    for i, variant in enumerate(variants):
        for n in (1, 5, 10, 20):
            recall = min(99.0, 31.234 + 11 * i + 6 * np.log2(n))
            row = {"variant": variant, "n": n, "recall": recall, "low": recall - 5.1, "high": recall + 4.9}
            rows.append(
                row | {"seed_std": 1.7, "seeds": 3, "queries": 180, "places": 60, "unit": "places", "units": 60}
            )
    return pd.DataFrame(rows)


def gains_table(variants=("GeM, trained", "NetVLAD, trained", "NetVLAD over GeM")) -> pd.DataFrame:
    """The last of the gains cannot be told from zero."""
    rows = [(variant, 22.0 - i, 15.5 - i, 28.4 - i, 0.0004 + i, "better") for i, variant in enumerate(variants)]
    rows[-1] = (variants[-1], 11.0, -0.6, 21.8, 0.061, "undecided")
    return pd.DataFrame(rows, columns=["variant", "gain", "low", "high", "p_holm", "verdict"]).assign(decidable=9.3)


def rates_table(variants, rates, at_edge: int) -> pd.DataFrame:
    """The first variants have chosen the highest rate, the others one in the middle of three."""
    tried = sorted({*rates, *(rates if len(rates) == 1 else [(rates[0] + rates[-1]) / 2])})
    choices = [tried[-1] if number < at_edge else tried[len(tried) // 2] for number in range(len(variants))]
    rows = [(v, rate, rate == choice) for v, choice in zip(variants, choices, strict=True) for rate in tried]
    return pd.DataFrame(rows, columns=["variant", "rate", "chosen"])


def cards_table() -> pd.DataFrame:
    costs = {"bytes_per_image": [1024, 16384], "search_ms_per_query": [0.021, 0.34]}
    return pd.DataFrame({"variant": ["GeM", "NetVLAD"], "database": 360} | costs)


def baseline_numbers() -> dict:
    training = {"active_first": 99.0, "active_last": 61.0, "mining_share": 27.0, "excluded": 143.2}
    return training | {"chance_r1": 5.8, "config": Config.of("smoke").options()}


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
