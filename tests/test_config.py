"""Configurations: every fault is a sentence, every round trip is exact."""

from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import get_args, get_type_hints

import pytest
import torch

from vg_core.config import PROFILES, Config
from vg_core.models import build_model


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_survive_a_round_trip(profile):
    config = Config.of(profile)
    assert Config.from_json(config.to_json()) == config
    assert config.profile == profile


def test_defaults_are_the_briefs():
    config = Config()
    assert (config.train_batch_size, config.negs_num_per_query, config.neg_samples_num) == (4, 10, 1000)
    assert (config.queries_per_epoch, config.cache_refresh_rate, config.epochs_num) == (5000, 1000, 50)
    assert (config.lr, config.margin, config.patience, config.optimizer) == (1e-5, 0.1, 3, "adam")
    assert (config.train_positives_dist_threshold, config.val_positives_dist_threshold) == (10, 25)


def test_a_config_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        Config().lr = 1


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"poolng": "gem"}, "no option 'poolng'; did you mean pooling"),
        ({"pooling": "gemm"}, "pooling='gemm' is unknown; choose one of: average, max, gem, netvlad"),
        ({"mining": "hard"}, "choose one of: full, partial, random"),
        ({"lr": 0}, "lr=0 must be above zero"),
        ({"queries_per_epoch": 1500}, "must be a multiple of cache_refresh_rate=1000"),
        ({"image_size": [480, 20]}, r"image_size=\(480, 20\) must be \(height, width\)"),
        ({"epochs_num": -1}, "must not be negative"),
        ({"whitened_dim": -1}, "whitened_dim=-1 must not be negative"),
        ({"train_positives_min_dist": 10}, r"min_dist=10 must be below train_positives_dist_threshold=10\.0"),
        ({"joint_normaliser": "tuples"}, "choose one of: pairs, queries"),
        ({"preset": "sare"}, "preset 'sare' is unknown; choose one of: none, sare_paper"),
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


def test_unknown_profile():
    with pytest.raises(ValueError, match="choose one of: smoke, full"):
        Config.of("fast")


def test_what_only_concerns_the_test_does_not_change_the_training():
    config = Config.of("smoke")
    tested = replace(config, test_dataset="elsewhere", test_image_size=(64, 64), whitened_dim=8)
    assert tested.training() == config
    assert replace(config, lr=0.5).training() != config


def test_the_preset_is_the_setting_of_the_paper():
    config = Config.of("full", preset="sare_paper")
    assert (config.backbone, config.layer, config.freeze, config.weights) == ("vgg16", "conv5_3", "pool4", "imagenet")
    assert (config.pooling, config.clusters, config.loss) == ("netvlad", 64, "sare_gaussian_ind")
    assert (config.optimizer, config.lr, config.momentum, config.weight_decay) == ("sgd", 0.001, 0.9, 0.001)
    assert (config.lr_halving_epochs, config.epochs_num, config.patience) == (5, 30, 30)
    assert (config.train_positives_min_dist, config.train_positives_dist_threshold) == (1, 10)
    assert (config.mining, config.neg_samples_num, config.negs_num_per_query) == ("full", 1000, 10)
    assert (config.val_positives_dist_threshold, config.val_queries) == (25, 1000)
    assert (config.train_batch_size, config.cache_refresh_rate, config.augmentation) == (4, 1000, "none")
    assert config.queries_per_epoch <= 7416 < config.queries_per_epoch + 1000  # of Pitts30k, whole rounds
    assert Config.from_json(config.to_json()) == config


def test_options_replace_those_of_the_preset_and_it_those_of_the_profile():
    config = Config.of("smoke", preset="sare_paper", clusters=8)
    assert (config.dataset, config.weights, config.backbone, config.clusters) == ("toycity", "none", "vgg16", 8)


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
    for pooling in get_args(get_type_hints(Config)["pooling"]):
        config = Config.of("smoke", pooling=pooling, layer="layer1", clusters=2)
        assert build_model(config).dim == (128 if pooling == "netvlad" else 64)


def test_json_holds_every_field():
    assert asdict(Config()).keys() == {field.name for field in fields(Config)}
