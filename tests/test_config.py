"""Configurations: every fault is a sentence, every round trip is exact."""

import json
from dataclasses import FrozenInstanceError
from typing import get_args, get_type_hints

import pandas as pd
import pytest
import torch

from vg_core.config import (
    PRESETS,
    PROFILES,
    ClassOptions,
    Config,
    GroupOptions,
    PairOptions,
    PlaceOptions,
    TupleOptions,
    names,
)
from vg_core.config.night import NIGHT_STUDY, SOUPS, night_study
from vg_core.models import build_model
from vg_core.retrieval.whitened import WIDEST
from vg_core.system.bounds import BOUNDS
from vg_core.system.paths import REPORTS


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_survive_a_round_trip(profile):
    config = Config.of(profile)
    assert Config.from_json(config.to_json()) == config
    assert config.profile == profile


def test_defaults_are_the_briefs():
    config = Config()
    assert (config.train_batch_size, config.task.negs_num_per_query, config.task.neg_samples_num) == (4, 10, 1000)
    assert (config.queries_per_epoch, config.cache_refresh_rate, config.epochs_num) == (5000, 1000, 50)
    assert (config.lr, config.task.margin, config.patience, config.optimizer) == (1e-5, 0.1, 3, "adam")
    assert (config.task.train_positives_dist_threshold, config.val_positives_dist_threshold) == (10, 25)


def test_a_config_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Config().lr = 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"poolng": "gem"}, "no option 'poolng'; did you mean pooling"),
        ({"pooling": "gemm"}, "pooling='gemm' is unknown; choose one of: average, max, gem, netvlad"),
        ({"mining": "hard"}, "choose one of: full, partial, msls_weighted, random"),
        ({"lr": 0}, "lr=0 must be from 1e-12 to 1000"),
        ({"queries_per_epoch": 1500}, "must be a multiple of cache_refresh_rate=1000"),
        ({"image_size": [480, 20]}, r"image_size=\(480, 20\) must be \(height, width\)"),
        ({"epochs_num": -1}, "epochs_num=-1 must be from 0 to 2147483647"),
        ({"whitened_dim": -1}, "whitened_dim=-1 must be from 0 to 4096"),
        ({"train_positives_min_dist": 10}, r"min_dist=10 must be below train_positives_dist_threshold=10\.0"),
        ({"joint_normaliser": "tuples"}, "choose one of: pairs, queries"),
        ({"preset": "sare"}, "preset 'sare' is unknown; choose one of: none, .*, pairs_rehearsal$"),
        ({"preset": "cosplace", "alpha": 50}, "alpha=50 must divide 360 degrees, as 30 does"),
        ({"preset": "cosplace", "L": 5}, "alpha=30 times L=5 must divide 360 .*choose an L that divides 12"),
        ({"preset": "cosplace", "L": 24}, "choose an L that divides 12"),
        ({"preset": "cosplace", "mining": "full"}, "mining does nothing to a loss of classes in groups; leave it out"),
        ({"preset": "cosplace", "loss": "triplet", "M": 5.0}, "M does nothing to a loss of tuples; leave it out"),
        ({"loss": "geo_classification", "groups_num": 1}, "groups_num does nothing to a loss of classes; leave it out"),
        ({"preset": "cosplace", "emms_weight": 1.0}, "emms_weight does nothing to the loss 'cosface'; leave it out"),
        ({"preset": "cosplace", "logit_scale": "30"}, "logit_scale='30' must be a number"),
        ({"preset": "cosplace", "margin_gradient": "both"}, "choose one of: straight_through, true"),
        ({"preset": "cosplace", "groups_order": "random"}, "choose one of: sorted, legacy"),
        ({"preset": "cosplace", "domain": "coral"}, "choose one of: none, gradient_reversal, auto_encoder"),
        ({"preset": "cosplace", "domain_weight": 0.0}, "domain_weight does nothing with domain=none; leave it out"),
        (
            {"preset": "cosplace", "domain": "gradient_reversal", "domain_margin": 1.0},
            "domain_margin does nothing with domain=gradient_reversal; leave it out",
        ),
        ({"preset": "cosplace", "legacy_normalisation": True}, "legacy_normalisation does nothing with domain=none"),
        ({"preset": "cosplace", "night_batches": "separate"}, "separate is a .*images_per_row=2"),
        ({"preset": "night_study", "night_batches": "separate"}, "separate does nothing without a domain, or an aug"),
        ({"domain": "gradient_reversal"}, "domain does nothing to a loss of tuples; leave it out"),
        ({"preset": "safa_cvusa", "mining": "full"}, "mining does nothing to a loss of pairs; leave it out"),
        ({"preset": "safa_cvusa", "pooling": "max"}, "pooling does nothing to a loss of pairs; leave it out"),
        ({"preset": "safa_cvusa", "whitened_dim": 8}, "whitened_dim does nothing to a loss of pairs; leave it out"),
        ({"preset": "safa_cvusa", "accumulate": 2}, "accumulate=2 would keep pairs of a batch apart, .* lower train"),
        ({"preset": "safa_cvusa", "test_image_size": (64, 64)}, r"\(64, 64\): a network of pairs takes .*\(112, 616\)"),
        ({"preset": "safa_cvusa", "test_method": "five_crops"}, "'five_crops' is not of pairs: choose hard_resize or "),
        ({"preset": "safa_cvusa", "orientation_maps": False}, "orientation_maps does nothing with network=safa; leave"),
        ({"preset": "oricnn", "position_maps": 0}, "position_maps does nothing with network=oricnn; leave it out"),
        ({"preset": "oricnn", "aerial_size": (64, 80)}, r"aerial_size=\(64, 80\) is no square, as aerial images are"),
        ({"preset": "oricnn", "polar": True}, "polar=True does not go with network=oricnn, .*: polar=False"),
        ({"preset": "safa_cvusa", "network": "cvft"}, "network='cvft' is unknown; choose one of: safa, oricnn"),
        ({"test_method": "hard_resize+any_heading"}, "any_heading does nothing without pairs"),
        ({"fda_beta": 1.01}, "fda_beta=1.01 must be from 0 to 1"),
        ({"epochs_num": "3"}, "epochs_num='3' must be a whole number"),
        ({"lr": "0.1"}, "lr='0.1' must be a number"),
        ({"weights": None}, "weights=None must be a text"),
        ({"image_size": 192}, r"image_size=192 must be \(height, width\) in whole pixels"),
        ({"profile": "smoke"}, "no option 'profile'"),
    ],
)
def test_bad_options_are_sentences(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        Config.of("full", **options)


NONE_BY_DEFAULT = dict.fromkeys(("logit_scale", "logit_margin", "emms_weight", "domain_weight", "domain_margin"), 0.4)
GROUPED = Config.of("full", "cosplace").options() | NONE_BY_DEFAULT
PAIRED = Config.of("full", "safa_cvusa").options()
NUMBERS = [name for name, default in (GROUPED | PAIRED | Config().options()).items() if type(default) in (int, float)]


def with_number(name, value):
    kind = {"loss": "emms", "domain": "auto_encoder"} if name in GROUPED else {"loss": "soft_margin"}
    return Config.of("full", **{} if name in Config().options() else kind, **{name: value})


def test_every_number_has_bounds():
    assert {*NUMBERS, "image_size", "test_image_size", "aerial_size"} <= BOUNDS.keys()
    assert BOUNDS["whitened_dim"][1] == WIDEST


@pytest.mark.parametrize(
    "value", ["nan", "inf", "-inf", "-1e-9", "1e300", -1, 2**31, 10**400, True], ids=lambda v: f"{v}"[:9]
)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_that_mean_nothing_are_sentences(name, value):
    with pytest.raises(ValueError, match=rf"^{name}=\S+ must be (from|a whole number|a number)"):
        with_number(name, float(value) if isinstance(value, str) else value)


@pytest.mark.parametrize("size", [(23, 640), (480, 16_385), (480, -1), (2**70, 480), (0, 0)])
@pytest.mark.parametrize("name", ["image_size", "test_image_size", "aerial_size"])
def test_sizes_that_mean_nothing_are_sentences(name, size):
    with pytest.raises(ValueError, match=rf"{name}=.* must be \(height, width\), each from 24 to 16384"):
        Config.of("full", "safa_cvusa" if name == "aerial_size" else "none", **{name: size})


TOGETHER = {
    "queries_per_epoch",
    "cache_refresh_rate",
    "train_positives_min_dist",
    "train_positives_dist_threshold",
    "L",
}


@pytest.mark.parametrize("name", sorted({*NUMBERS} - TOGETHER))
def test_numbers_at_their_bounds_are_good(name):
    for bound in BOUNDS[name]:
        assert with_number(name, bound).options()[name] == bound


def test_unknown_profile():
    with pytest.raises(ValueError, match="choose one of: smoke, full"):
        Config.of("fast")


def test_what_only_concerns_the_test_does_not_change_the_training():
    config = Config.of("smoke")
    tested = config.replace(test_dataset="elsewhere", test_image_size=(64, 64), whitened_dim=8)
    assert tested.training() == config
    assert config.replace(lr=0.5).training() != config


def test_the_preset_is_the_setting_of_the_paper():
    config = Config.of("full", preset="sare_paper")
    assert (config.backbone, config.layer, config.freeze, config.weights) == ("vgg16", "conv5_3", "pool4", "imagenet")
    assert (config.pooling, config.clusters, config.task.loss) == ("netvlad", 64, "sare_gaussian_ind")
    assert (config.optimizer, config.lr, config.momentum, config.weight_decay) == ("sgd", 0.001, 0.9, 0.001)
    assert (config.lr_halving_epochs, config.epochs_num, config.patience) == (5, 30, 30)
    assert (config.task.train_positives_min_dist, config.task.train_positives_dist_threshold) == (1, 10)
    assert (config.task.mining, config.task.neg_samples_num, config.task.negs_num_per_query) == ("full", 1000, 10)
    assert (config.val_positives_dist_threshold, config.val_queries) == (25, 1000)
    assert (config.train_batch_size, config.cache_refresh_rate, config.augmentation) == (4, 1000, "none")
    assert config.queries_per_epoch <= 7416 < config.queries_per_epoch + 1000  # of Pitts30k, whole rounds
    assert Config.from_json(config.to_json()) == config


def test_cosplace_is_the_setting_of_the_paper():
    config = Config.of("full", preset="cosplace")
    task = config.task
    assert (config.backbone, config.layer, config.freeze, config.pooling, config.l2) == (
        *("resnet18", "layer4", "layer2", "gem", "both"),
    )
    assert (config.fc_output_dim, config.image_size, config.weights) == (512, (512, 512), "imagenet")
    assert (task.loss, task.M, task.alpha, task.N, task.L) == ("cosface", 10, 30, 5, 2)
    assert (task.min_images_per_class, task.groups_num, task.images_per_row) == (10, 8, 1)
    assert (config.optimizer, config.lr, task.classifiers_lr, config.weight_decay) == ("adam", 1e-5, 0.01, 0)
    assert (config.train_batch_size, config.queries_per_epoch // 32, config.lr_halving_epochs) == (32, 10_000, 0)
    assert (config.epochs_num, config.patience, config.selected_by, config.val_queries) == (50, 50, "recall_1", 0)
    assert config.augmentation == "colour_jitter_any_order+random_resized_crop"
    fork = Config.of("full", preset="cosplace_fork")
    assert fork.replace(groups_num=8, epochs_num=50) == config and (fork.task.groups_num, fork.epochs_num) == (1, 3)


def test_presets_of_pairs_are_the_settings_of_the_papers():
    safa, cvact, ori = (Config.of("full", name) for name in ("safa_cvusa", "safa_cvact", "oricnn"))
    assert safa.replace(dataset="cvact", near_metres=25.0) == cvact
    for config, batch, batches in ((safa, 32, 1110), (ori, 12, 2961)):
        assert (config.optimizer, config.lr, config.lr_halving_epochs, config.weight_decay) == ("adam", 1e-5, 0, 0)
        assert (config.train_batch_size, config.queries_per_epoch / batch) == (batch, batches)  # of 35,532 pairs
        assert config.cache_refresh_rate % batch == 0
        assert (config.epochs_num, config.patience, config.selected_by) == (100, 100, "recall_1")
        assert (config.task.soft_margin_alpha, config.task.batch_hard_count, config.task.near_metres) == (10, 0, 0)
    assert safa.task.sizes(safa.image_size) == {"aerial": (112, 616), "ground": (112, 616)}
    assert safa.replace(polar=False).task.sizes(safa.image_size)["aerial"] == (256, 256)
    assert (safa.task.position_maps, safa.task.reduce, safa.weights) == (8, "mean", "imagenet")
    assert ori.task.sizes(ori.image_size) == {"aerial": (512, 512), "ground": (224, 1232)}
    assert ori.task.orientation_maps and not ori.task.legacy_batch_statistics and ori.weights == "none"


@pytest.mark.parametrize("row", NIGHT_STUDY)
def test_rows_of_the_night_study_learn_from_as_many_photographs(row):
    plain = Config.of("full", "night_study")
    config = night_study(plain)[row]
    assert Config.from_json(config.to_json()) == config
    assert config.train_batch_size * config.task.images_per_row == 32 and config.queries_per_epoch // 16 == 10_000
    same = {"pooling", "lr", "groups_num", "epochs_num", "images_per_row", "train_batch_size", "queries_per_epoch"}
    assert all(config.options()[name] == plain.options()[name] for name in same)
    assert config.uses_targets == (("FDA" in row and row != "FDA on test") or row in ("DA", "AE"))


def test_rows_of_the_night_study_follow_what_they_are_changed_from():
    base = Config.of("smoke", "night_study", augmentation="none", fda_beta=0.1)
    rows = night_study(base)
    assert rows["CosFace"] == base and rows["FDA+PP"] == base.replace(augmentation="fda_synthetic_night")
    assert rows["FDA+PP+DA (beta = 0.09)"].fda_beta == pytest.approx(0.9)
    jittered = night_study(base.replace(augmentation="hue"))["PP"]
    assert jittered == base.replace(augmentation="synthetic_night_mild+hue")
    study = night_study(Config.of("full", "night_study"))
    assert study["FDA+PP+colorjitter+EMMS"].augmentation == study["FDA+PP"].augmentation
    assert night_study(Config.of("smoke", "night_rehearsal"))["FDA+PP+DA (beta = 0.09)"].fda_beta == 1


def test_soups_of_the_night_study_are_made_of_its_rows():
    table = set(pd.read_csv(REPORTS / "published_night.csv").query("source == 'README'").method)
    assert table == {*NIGHT_STUDY, *SOUPS}
    assert {row for rows in SOUPS.values() for row in rows} <= NIGHT_STUDY.keys()


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("profile", PROFILES)
def test_every_preset_goes_with_every_profile(profile, preset):
    config, plain = Config.of(profile, preset), Config.of(profile)
    assert Config.from_json(config.to_json()) == config
    same = (config.dataset, config.weights) == (plain.dataset, plain.weights)
    assert config.profile == profile and (same or config.task.kind == "pairs")  # of pairs there are few datasets


def test_losses_of_other_kinds_start_from_their_defaults_with_as_many_images():
    config = Config.of("smoke", negs_num_per_query=5)
    kinds = {"triplet": TupleOptions, "geo_classification": ClassOptions, "cosface": GroupOptions}
    for loss, kind in kinds.items():
        assert type(config.replace(loss=loss).task) is kind and config.replace(loss=loss).task.images_per_row == 7
    assert config.replace(loss="multi_similarity_of_places").task == PlaceOptions(images_per_row=4)
    assert config.replace(loss="soft_margin").task == PairOptions() and PairOptions.images_per_row == 2
    arc = Config.of("smoke", "cosplace", M=20.0).replace(loss="arcface")
    assert (arc.task.loss, arc.task.M, arc.task.logit_scale) == ("arcface", 20, None)
    assert Config.of("smoke", "cosplace", alpha=360).task.L == 2  # without directions there is nothing to part


def test_options_replace_those_of_the_preset_and_it_those_of_the_profile():
    config = Config.of("smoke", preset="sare_paper", clusters=8)
    assert (config.dataset, config.weights, config.backbone, config.clusters) == ("toycity", "streets", "vgg16", 8)


def test_the_network_of_the_preset():
    model = build_model(Config.of("full", preset="sare_paper", weights="none"))
    assert model.dim == 32_768
    assert list(dict(model.backbone.named_children()))[-1] == "conv5_3"
    trained = {name.split(".")[1] for name, p in model.backbone.named_parameters("backbone") if p.requires_grad}
    assert trained == {"conv5_1", "conv5_2", "conv5_3"}
    with torch.inference_mode():
        images = torch.randn(1, 3, 48, 64)
        descriptor, maps = model.eval()(images), model.backbone(images)
    assert maps.min() < 0  # before the ReLU
    assert descriptor.shape == (1, 32_768)
    assert descriptor.norm().item() == pytest.approx(1, abs=1e-5)


def test_every_pooling_that_may_be_asked_for_exists():
    widths = {"netvlad": 2 * 64, "mixvpr": 4 * 64, "boq": 32 * 64 // 2, "salad": 256 + 2 * 128, "cls": 384}
    for pooling in get_args(get_type_hints(Config)["pooling"]):
        config = Config.of("smoke", pooling=pooling, weights="none", layer="layer1", freeze="none", clusters=2)
        if pooling == "cls":  # of a backbone that has one
            config = config.replace(backbone="dinov2_vits14", layer="patches")
        assert build_model(config).dim == widths.get(pooling, 64)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[]", r"a configuration is a JSON object of options, not \[\]"),
        ("null", "not None"),
        ('"x"', "not 'x'"),
        ("1", "not 1"),
        ("NaN", "not nan"),
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[" * 100_000, "a configuration is a JSON object of options: "),
        ('{"lr":' * 100_000, "a configuration is a JSON object of options: "),
        ('{"lr": ' + "[" * 300 + "]" * 300 + "}", r"lr=.* must be a number"),
        ('{"lr": {"lr": 1}}', r"lr=\{'lr': 1\} must be a number"),
        ('{"lr": 1, "lr": 2}', "'lr' stands there twice"),
        ('{"lr": 1, "seed": 1, "margin": 1, "momentum": 1, "clusters": 1, "patience": 1, "seed": 1}', "'seed' stands"),
        ('{"lr": NaN}', "lr=nan must be from"),
        ('{"lr": -Infinity}', "lr=-inf must be from"),
        ('{"margin": 1e999}', "margin=inf must be from"),
        ('{"seed": 1' + "0" * 4000 + "}", "seed=10000.*00000 must be from"),
        ('{"seed": 1' + "0" * 5000 + "}", "a configuration is a JSON object of options: "),
        ('{"seed": 1.0}', "seed=1.0 must be a whole number"),
        ('{"compile": 1}', "compile=1 must be true or false"),
        ('{"clusters": 1000000000000}', "clusters=1000000000000 must be from 1 to 65536"),
        ('{"image_size": [1000000, 1000000]}', "each from 24 to 16384"),
        ('{"image_size": [[1], {}]}', r"must be \(height, width\)"),
        ('{"image_size": [480, 640, 3]}', r"must be \(height, width\)"),
        ('{"test_image_size": "480"}', r"must be \(height, width\)"),
        ('{"pooling": []}', r"pooling=\(\) must be a text"),
        ('{"profile": []}', r"profile \[\] is unknown"),
        ('{"preset": {}}', r"preset \{\} is unknown"),
        ('{"cls": 1}', "no option 'cls'"),
        ('{"": 1}', "no option ''"),
        ('{"poolng": "gem"}', "no option 'poolng'; did you mean pooling"),
        ('{"%s": 1}' % ("x" * 100_000), r"no option 'x+\.\.\.x+'"),
    ],
    ids=lambda text: text[:24],
)
def test_a_json_that_is_no_configuration_is_a_short_sentence(text, sentence):
    with pytest.raises(ValueError, match=sentence) as error:
        Config.from_json(text)
    assert len(str(error.value)) < 1500


def test_json_holds_every_field():
    assert json.loads(Config().to_json()).keys() == {*names(Config), *names(TupleOptions)}
