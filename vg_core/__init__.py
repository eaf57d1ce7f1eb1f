"""Visual geo-localization by retrieval. A notebook needs ``import vg_core as vg`` and pandas: what stands behind a name
is imported when it is first used, so that nobody waits for libraries that are not needed.
"""

from importlib import import_module

NAMES = {  # of the face, by the module that holds them
    "config": "Config OTHER_CITY PRESETS PROFILES",
    "config.night": "SOUPS night_study",
    "datasets.places": "PlaceSet load_places load_splits tables_by_area",
    "datasets.splits": "SPLITS",
    "datasets.photographs": "Photographs",
    "augmentation.by_name": "make_augmentation",
    "models": "GeoModel build_model load_model save_model",
    "cross_view": "PairSet polar",
    "cross_view.ranking": "one_percent",
    "losses.gradients": "FIGURE_3 check_gradients check_joint_losses force_table",
    "mining": "mine",
    "retrieval.descriptors": "describe",
    "retrieval.ranking": "search",
    "evaluation.ranks": "recall",
    "evaluation.divisibility": "impossible_cells",
    "evaluation.shares": "share_table",
    "evaluation.units": "worth",
    "evaluation.comparisons": "compare_all holm judge_predictions paired_gain recall_table",
    "evaluation.designs": "prospects smallest_decidable",
    "runs.experiments": "Run compared histories run sweep with_untrained",
    "runs.learning_rates": "choose_rates",
    "runs.attention": "attention_pictures attention_shares",
    "runs.effort": "effort",
    "runs.soups": "soup_ranks",
    "runs.label_audit": "label_audit recall_without_suspects suspect_matches",
    "runs.ensembles": "describe_costs ensemble_ranks",
    "training.lr_range": "steepest",
    "runs.probes": "learning_rate_range mined_negatives mined_positives photograph_classes positives_lost",
    "runs.examples": "augmented_query compare_heat force_explorer",
    "runs.pair_examples": "found_from_above pair_pictures position_weights",
    "models.saliency": "gradient_map occlusion_map",
    "figures.embedding": "embed thumbnail_map",
    "figures.galleries": "heat_gallery match_gallery photo_grid picture_columns retrieval_gallery",
    "figures.pairs": "aerial_gallery pair_gallery position_gallery",
    "figures.interactive_maps": "folium_map",
    "figures.static_maps": "class_map density_map static_map",
    "report": "Page findings",
    "system.scripts": "run_script",
}
MODULES = {"figures": "figures", "losses": "losses", "engines": "retrieval.engines", "paths": "system.paths"}
HOLDER = {name: module for module, names in NAMES.items() for name in names.split()}


def __getattr__(name: str):
    if name in MODULES:
        return import_module(f"{__name__}.{MODULES[name]}")
    if name not in HOLDER:
        raise AttributeError(f"vg_core has no {name}; it has: {', '.join(__dir__())}")
    return getattr(import_module(f"{__name__}.{HOLDER[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*HOLDER, *MODULES])
