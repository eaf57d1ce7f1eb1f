"""Exports of every chapter in which all results point one way: what was hoped for, its reverse, or nothing decided."""

import pandas as pd
from matplotlib.figure import Figure

from tests.plot_tables import simulated
from tests.synthetic_assets import TOY, VARIANTS, baseline_numbers, cards_table, rates_table
from vg_core.config import Config
from vg_core.evaluation.comparisons import judge_predictions
from vg_core.report import Page

BETTER, OPEN, WORSE = 1, 0, -1  # where the interval of a gain lies: above zero, around it, below it
SARE = ("gaussian ind", "gaussian joint")
FIGURES = {
    "00_dataset": "map density nearest per_place headings times photos",
    "01_own_photographs": "map suspects",
    "10_baseline": "curves training hardness gallery",
    "20_optimizer": "range grid",
    "21_other_city": "curves errors",
    "22_train_distance": "positives",
    "23_test_distance": "metres",
    "24_augmentation": "examples home away",
    "25_image_size": "grid scatter",
    "30_sare": "forest",
    "31_losses": "trained forest",
    "32_gradients": "curves surfaces",
    "33_short_descriptors": "dimensions",
    "34_what_networks_see": "heat covered tsne",
    "40_backbone": "networks heads",
    "41_ensemble_multiscale": "forest",
    "42_attention": "examples forest",
    "43_mining": "effort pairs forest apart",
    "70_speed": "ratios phases",
    "71_scale": "pareto growth",
    "90_summary": "forest_1 forest_2 forest_3 forest_4 covered claims",
}


def export_all(sign: int) -> None:
    for (slug, figures), make in zip(FIGURES.items(), MAKERS, strict=True):
        page = Page(slug)
        tables, numbers = make(sign)
        for name in figures.split():
            page.figure(name, Figure(figsize=(3, 1)))
        for name, table in tables.items():
            page.table(name, table)
        page.close({"datasets": {} if slug == "32_gradients" else TOY}, **numbers)


def rows(**columns) -> pd.DataFrame:
    return pd.DataFrame(columns)


def gains(sign: int, *variants: str) -> pd.DataFrame:
    """A row for each variant, all with the interval that the sign asks for."""
    low, high, p, verdict = {
        BETTER: (4.0, 12.0, 0.001, "better"),
        OPEN: (-5.0, 6.0, 0.5, "undecided"),
        WORSE: (-12.0, -4.0, 0.001, "worse"),
    }[sign]
    change = {"gain": (low + high) / 2, "low": low, "high": high, "p_holm": p, "verdict": verdict}
    return rows(variant=list(variants), queries=180, seeds=3, decidable=7.5).assign(**change)


def predictions(sign: int, *variants: str) -> pd.DataFrame:
    """Every variant was hoped to be better."""
    return judge_predictions(gains(sign, *variants), dict.fromkeys(variants, "better"))


def recalls(sign: int, *variants: str) -> pd.DataFrame:
    """R@1 of about 55 %: later variants have more, less or the same."""
    table = pd.concat([rows(variant=list(variants), n=n) for n in (1, 5, 10)])
    table["recall"] = 55 + 8 * sign * table.index / len(variants) + table.n
    table = table.assign(low=table.recall - 5, high=table.recall + 5, seed_std=1.7)
    return table.assign(seeds=3, queries=180, places=60, unit="blocks of 50 m", units=24.0 if sign == BETTER else 7.0)


def dataset(sign: int) -> tuple[dict, dict]:
    counts = {"database": 360, "queries": 180, "queries_without_positives": 0 if sign == BETTER else 1}
    means = {"positives_per_query": 21.4, "nearest_m": 3.0, "views_per_position": 6 if sign == BETTER else 1}
    splits = pd.DataFrame(
        [{"split": s, "threshold_m": 25.0, "unit": "m"} | counts | means for s in ("train", "val", "test")]
    )
    return {"splits": splits}, {}


def own_photographs(sign: int) -> tuple[dict, dict]:
    fates = rows(fate=["kept", "guard"][: 2 - (sign == BETTER)], photographs=[1000, 60][: 2 - (sign == BETTER)])
    numbers = {"verdicts": ["refuted" if sign == WORSE else "confirmed"] * 2, "suspects": sign + 1}
    return {"fates": fates, "recall": recalls(sign, "as published", "without suspects")}, numbers


def baseline(sign: int) -> tuple[dict, dict]:
    named = ("GeM, trained", "NetVLAD, trained", "NetVLAD over GeM")
    weights = {BETTER: "imagenet", OPEN: "none", WORSE: "streets"}[sign]
    numbers = baseline_numbers() | {"config": Config.of("smoke").options() | {"weights": weights}}
    numbers |= {"active_first": 75 + 15 * sign, "active_last": 75 - 15 * sign, "chance_r1": 55 - 40 * sign}
    cards = cards_table().assign(search_ms_per_query=[0.02, 0.34][:: sign or 1])
    tables = {"recall": recalls(sign, *VARIANTS), "gains": gains(sign, *named)}
    return tables | {"predictions": predictions(sign, *named), "cards": cards}, numbers


def optimizer(sign: int) -> tuple[dict, dict]:
    usual, other = "Adam, lr 0.0003", "SGD, lr 0.03"
    numbers = {
        "best": other if sign == BETTER else usual,
        "baseline": usual,
        "variants": 2,
        "failed": int(sign == WORSE),
    }
    return {"recall": recalls(sign, usual, other), "predictions": predictions(sign, other)}, numbers


def other_city(sign: int) -> tuple[dict, dict]:
    tables = {"recall": recalls(sign, *VARIANTS), "predictions": predictions(sign, "GeM", "NetVLAD")}
    return tables, {"other": "toycity_drive"}


def train_distance(sign: int) -> tuple[dict, dict]:
    lost = rows(threshold=[1, 25], queries=240, lost=[0.0 if sign == WORSE else 80.0, 0.0], positives=[2.0, 20.0])
    picked = rows(threshold=["5 m", "20 m"], metres=[3.0, 14.0][:: sign or 1], distance=[0.4, 0.3])
    return {"lost": lost, "picked": picked, "predictions": predictions(sign, "5 m")}, {"usual": "10 m"}


def test_distance(sign: int) -> tuple[dict, dict]:
    curves = [recalls(sign, *VARIANTS).assign(threshold=metres) for metres in (10, 25)]
    return {"curves": pd.concat(curves), "predictions": predictions(sign, "GeM, judged at 10 m")}, {}


def augmentation(sign: int) -> tuple[dict, dict]:
    names = ("colour jitter", "rotation")
    both = [gains(sign, *names).assign(tested=place) for place in ("home", "away")]
    return {"gains": pd.concat(both), "predictions": predictions(sign, *names)}, {"other": "toycity_drive"}


def image_size(sign: int) -> tuple[dict, dict]:
    cost = recalls(sign, "half", "whole").query("n == 1").assign(height=[27, 54], width=[36, 72], factor=[0.5, 1.0])
    cost["describe_ms_per_image"] = [1.0, 3.0][:: sign or 1]
    return {"cost": cost, "predictions": predictions(sign, "train × 0.5, test × 0.5")}, {}


def sare(sign: int) -> tuple[dict, dict]:
    names = [f"NetVLAD, {loss}" for loss in ("triplet", *SARE)]
    tables = {"recall": recalls(sign, *names), "gains": gains(sign, *names[1:])}
    return tables | {"predictions": predictions(sign, *names[1:]), "rates": rates_table(names, (0.5, 1.0), 1)}, {}


def losses(sign: int) -> tuple[dict, dict]:
    names = ["triplet", *(f"sare {way}" for way in SARE), "geo classification"]
    tables = {"recall": recalls(sign, *names), "gains": gains(sign, *names[1:])}
    tables |= {"against_untrained": gains(sign, *names), "predictions": predictions(sign, *names)}
    return tables | {"rates": rates_table(names, (0.5, 1.0), 1)}, {
        "config": Config.of("smoke", pooling="netvlad").options()
    }


def gradients(sign: int) -> tuple[dict, dict]:
    verdict = "refuted" if sign == WORSE else "confirmed"
    peaks = rows(variant=["Gaussian", "Cauchy", "exponential"], b=[1.2, 0.8, 0.0][:: sign or 1], push=[1.5, 0.6, 0.8])
    values = rows(variant=["Gaussian", "Cauchy"], b=2, push=[0.5, 0.3][:: sign or 1])
    tables = {"checks": rows(deviation=[1e-15, 1e-3 if sign == WORSE else 2e-15]), "values": values, "peaks": peaks}
    tables = {name: table.assign(verdict=verdict) for name, table in tables.items()}
    return tables | {"control": rows(deviation=[2.2])}, {"verdict": verdict}


def short_descriptors(sign: int) -> tuple[dict, dict]:
    return {"predictions": predictions(sign, "NetVLAD, triplet, 16")}, {}


def what_networks_see(sign: int) -> tuple[dict, dict]:
    agreement = rows(correlation=[0.6 * sign, 0.8 * sign])
    numbers = {"verdict": "confirmed" if sign == BETTER else "refuted"}
    return {"agreement": agreement}, numbers | {"agreement": f"{0.7 * sign:.2f} [0.1, 0.9] over 24 queries"}


def backbones(sign: int) -> tuple[dict, dict]:
    tables = {}
    for end, names in (("", ("ResNet-18", "ViT, patches")), ("_heads", ("GeM", "NetVLAD", "SALAD"))):
        found = recalls(sign, *names).query("n == 1")
        tables[f"costs{end}"] = found.assign(describe_ms=[1.5, 3.0, 2.0][: len(names)], bytes_per_image=2048)
    named = ("ViT, patches", "NetVLAD", "SALAD")
    return tables | {"predictions": predictions(sign, *named), "rates": rates_table(named, (0.5, 1.0), 1)}, {}


def ensembles(sign: int) -> tuple[dict, dict]:
    names = ["NetVLAD", "flip", "3 scales, averaged", "2 NetVLADs", "GeM + NetVLAD"]
    tables = {"recall": recalls(sign, *names), "weights": rows(seed=[0, 1], weights=["0.5 : 0.5", "0.3 : 0.7"])}
    costs = tables["recall"].query("n == 1").assign(describe_ms=[1.0, 2.0, 4.0, 2.0, 1.5], bytes_per_image=1024)
    return tables | {"costs": costs, "gains": gains(sign, *names[1:]), "predictions": predictions(sign, *names[1:])}, {}


def attentions(sign: int) -> tuple[dict, dict]:
    """Where cars are is not known of the results that decide nothing."""
    names = ("CBAM", "CRN")
    shares = gains(-sign, *names, *(f"{name}, untrained" for name in names))
    verdict = "confirmed" if sign == BETTER else "refuted"
    shares = shares.assign(area=5.0, share=5.0 + shares.gain, unit="places", units=60, verdict=[verdict] * 2 + [""] * 2)
    tables = {"gains": gains(sign, *names), "predictions": predictions(sign, *names)}
    tables["rates"] = rates_table(names, (1.0, 10.0), 1)
    tables["shares"] = shares[:0] if sign == OPEN else shares
    return tables, {"faster": 10.0, "config": Config.of("smoke").options()}


def mining(sign: int) -> tuple[dict, dict]:
    """There are no batches of places, and no walls are known, of the results that decide nothing."""
    names = ["full 20", "random", *([] if sign == OPEN else ["places"])]
    first = recalls(sign, *names).query("n == 1")
    tables = {"recall": first, "spent": first.assign(learned=1920, described=960, minutes=0.5)}
    radii = ["beyond 10 m", "beyond 25 m"]
    tables["recall_apart"] = recalls(sign, *radii).query("n == 1")
    tables["false_negatives"] = rows(variant=radii, metres=[30, 50], false=None if sign == OPEN else 4.0)
    tables |= {"predictions": predictions(sign, *names[1:]), "rates": rates_table(names, (0.5, 1.0), 1)}
    return tables, {"usual": "full 20"}


def speed(sign: int) -> tuple[dict, dict]:
    ratio, around, bar, verdict = (2.5, 30.0, "missed", "refuted") if sign == WORSE else (1.0, 5.0, "met", "confirmed")
    names = [f"{pooling}, {way}" for pooling in ("GeM", "NetVLAD") for way in ("jittered", "kept")]
    phases = rows(variant=names, backward=1.0, total=[6.0, 3.0, 9.0, 4.0][:: sign or 1])
    tables = {"phases": phases, "bars": rows(name=["gem", "netvlad"], verdict=bar)}
    tables["estimates"] = rows(
        variant=names, expected=2.0, taken=2 * ratio, ratio=ratio, epoch_seconds=5.0, around=around
    )
    tables["verdicts"] = rows(what=["bars", "around", "kept", "estimate"], verdict=verdict)
    return tables, {"machine": "one machine, 2 threads"}


def scale(sign: int) -> tuple[dict, dict]:
    names = ["exact", "ivf_flat", "ivf_pq", "ivf_pq_refined"]
    times = [1.7, 0.8, 0.1, 0.2][:: sign or 1]
    engines = pd.concat([rows(engine=names, ms=times, ms_good=times, images=n) for n in (10_000, 30_000)])
    engines = engines.assign(queries=1000, threads=2, agreement=99.0, recall=70.0, bytes_per_image=500)
    ahead = [rows(engine=names, database=name, gigabytes=3.0, ms_law=9.0, ms_trend=90.0) for name in ("SF-XL", "1 G")]
    disk = rows(engine=["exact", "ivf_flat"], bytes=2e7, memory_bytes=6e7, ratio=2.0 - sign, alike=sign == BETTER)
    tables = {"engines": engines.assign(build_seconds=3.0), "extrapolated": pd.concat(ahead).assign(exponent=0.5)}
    tables |= {"disk": disk, "synthetic": rows(n=[1, 10], recall=[70.0, 90.0])}
    return tables, {"dim": 256, "target": 0.99, "verdict": "confirmed" if sign == BETTER else "refuted"}


def summary(sign: int) -> tuple[dict, dict]:
    published = rows(chapter=["10_baseline"], published="GeM", pitts30k_r1=75.4, pitts30k_r5=89.1, st_lucia_r1=48.9)
    tables = {"predictions": predictions(sign, "a", "b", "c"), "published": published, "simulated": simulated()}
    return tables, {"comparable": False}


MAKERS = [dataset, own_photographs, baseline, optimizer, other_city, train_distance, test_distance, augmentation]
MAKERS += [image_size, sare, losses, gradients, short_descriptors, what_networks_see, backbones, ensembles, attentions]
MAKERS += [mining, speed, scale, summary]
