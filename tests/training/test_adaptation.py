"""Domain adaptation in trainings: what rows gain, what counts as target, what is told, and exact resume."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.tiny import GROUPS, TINY, fit, fit_interrupted, rounds_on_disk
from vg_core.augmentation.by_name import make_augmentation
from vg_core.datasets.places import load_places
from vg_core.losses.domain import AADA, DomainHead
from vg_core.models import load_model
from vg_core.models.network import Encoded
from vg_core.models.precision import normalise
from vg_core.retrieval.feature_cache import StemCache
from vg_core.runs.experiments import run
from vg_core.training import trainer as training
from vg_core.training.adaptation import Adaptation, _not_normalised, with_adaptation
from vg_core.training.objective import RoundKey
from vg_core.training.objectives import make_objective

DA = GROUPS.replace(domain="gradient_reversal")
DOMAINS = ["gradient_reversal", "auto_encoder", "auto_encoder_fully_connected"]
LABELLED, UNLABELLED = 48, 5  # photographs of the street, and beside it


def adapted(config, channels=16):
    places = load_places(config, "train")
    return with_adaptation(make_objective(config, places, 8), config, places, SimpleNamespace(channels=channels))


def drawn(objective):
    return objective.draw(RoundKey(1, 1), np.random.default_rng(0), None)


def encode_as(maps):
    """Encoder of images (M, …) as maps, and their first channels as descriptors."""
    return lambda _pixels: Encoded(maps.mean((2, 3))[:, :8], maps)


@pytest.mark.parametrize("config", [DA, DA.replace(images_per_row=3), DA.replace(loss="geo_classification")])
def test_rows_gain_a_target_and_are_else_the_same(night_street, config):
    config = config.replace(domain="gradient_reversal", cache_refresh_rate=12, queries_per_epoch=12)
    plain, objective = (adapted(config.replace(domain=domain)) for domain in ("none", "gradient_reversal"))
    (rows, facts), (expected, same) = drawn(objective), drawn(plain)
    assert (rows[:, :-1] == expected).all() and facts == same and not isinstance(plain, Adaptation)
    assert rows.shape[1] == objective.images_per_row == plain.images_per_row + 1
    targets, counts = np.unique(rows[:, -1], return_counts=True)
    assert targets.tolist() == list(range(LABELLED, LABELLED + UNLABELLED)) and set(counts) == {2, 3}
    assert objective.most_rows == plain.most_rows and objective.rows_per_round == plain.rows_per_round


@pytest.mark.parametrize("domain", DOMAINS)
def test_photographs_made_night_count_as_targets(night_street, domain):
    objective = adapted(DA.replace(domain=domain, images_per_row=2))
    rows, _ = drawn(objective)
    rows, maps = rows[:4], torch.rand(12, 16, 4, 4)
    by_night = np.zeros((4, 3), dtype=bool)
    by_night[[0, 2], [1, 0]] = True
    found = objective.loss(encode_as(maps), None, objective.marked(rows, by_night))
    is_target = by_night.copy()
    is_target[:, -1] = True
    labelled = encode_as(maps.unflatten(0, (4, 3))[:, :2].flatten(0, 1))
    of_places = objective.inner.loss(labelled, None, rows[:, :2])
    of_domains = objective.domains.loss(maps[~is_target.ravel()], maps[is_target.ravel()])
    torch.testing.assert_close(found, of_places + of_domains)
    told = objective.seen()
    assert told == {name: pytest.approx(float(value)) for name, value in objective.domains.told.items()}
    assert not objective.seen()


def test_targets_get_every_augmentation_but_night(night_street):
    objective, pixels = adapted(DA.replace(images_per_row=2)), torch.full((60, 3, 8, 8), 100, dtype=torch.uint8)
    rows = np.arange(60).reshape(20, 3)
    augment = make_augmentation("synthetic_night+none")
    augment.parts[1] = (False, lambda images: images + 1)
    torch.manual_seed(0)
    marked = objective.augment(augment, pixels, rows)
    changed = (pixels.unflatten(0, rows.shape) != 101).flatten(2).any(2).numpy()
    assert (np.where(marked < 0, ~marked, marked) == rows).all()
    assert ((marked < 0) == changed).all() and not changed[:, 2].any() and 10 < changed.sum() < 30


SEPARATE = {"images_per_row": 2, "night_batches": "separate"}


@pytest.mark.parametrize("config", [GROUPS, GROUPS.replace(loss="geo_classification"), DA])
def test_of_separate_batches_the_second_photograph_of_each_row_is_made_night(night_street, config):
    objective = adapted(config.replace(augmentation="synthetic_night", **SEPARATE))
    rows = drawn(objective)[0]
    pixels = torch.full((rows.size, 3, 8, 8), 100, dtype=torch.uint8).contiguous(memory_format=torch.channels_last)
    objective.augment(make_augmentation("synthetic_night"), pixels, rows)
    changed = (pixels.unflatten(0, rows.shape) != 100).flatten(2).any(2)
    assert changed[:, 1].all() and changed.sum() == len(rows)


@pytest.mark.parametrize(("made_night", "shares"), [(True, (5, 5, 6)), (False, (5, 0, 11))])
def test_domains_of_separate_batches_have_the_shares_of_the_reference(night_street, made_night, shares):
    objective = adapted(DA.replace(train_batch_size=16, **SEPARATE))
    seen = []
    objective.domains.told = {}
    objective.domains.loss = lambda *maps: seen.append([group[:, 0, 0, 0] for group in maps]) or maps[0].sum()
    rows = np.resize(drawn(objective)[0], (16, 3))
    maps = torch.tensor([0.0, 1.0, 2.0]).repeat(16)[:, None, None, None].expand(48, 16, 2, 2)  # of each column
    by_night = np.tile([False, made_night, False], (16, 1))
    objective.loss(encode_as(maps), None, objective.marked(rows, by_night))
    (sources, targets), (day, night, target) = seen[0], shares
    assert sources.tolist() == day * [0.0]
    assert sorted(targets.tolist()) == night * [1.0] + target * [2.0]


def test_separate_batches_need_a_row_of_two_and_three_rows(night_street):
    with pytest.raises(ValueError, match=r"train: night_batches=separate .* a third of the rows, .* has 1; raise"):
        adapted(DA.replace(train_batch_size=4, accumulate=2, **SEPARATE))


def test_options_reach_the_losses_of_domains(night_street):
    made = adapted(DA.replace(domain_weight=0.3)).domains
    assert isinstance(made, DomainHead) and made.alpha == 0.3 and adapted(DA).domains.alpha == 0.1
    options = {"domain_weight": 0.2, "domain_margin": 5.0, "legacy_inert_margin": True}
    made = adapted(DA.replace(domain="auto_encoder", **options)).domains
    assert isinstance(made, AADA) and (made.gamma, made.margin, made.legacy_inert_margin) == (0.2, 5.0, True)
    usual = adapted(DA.replace(domain="auto_encoder_fully_connected")).domains
    assert (usual.gamma, usual.margin, usual.legacy_inert_margin) == (0.01, 0.5, False)
    assert len([*usual.auto_encoder.parameters()]) == 8 and usual.auto_encoder[2].in_features == 16
    first, same, other = (adapted(DA.replace(seed=seed)).domains.layers[0].weight for seed in (0, 0, 1))
    assert torch.equal(first, same) and not torch.equal(first, other)


def test_the_mismatch_of_the_study_shows_labelled_photographs_as_they_are(night_street):
    images = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    assert (normalise(_not_normalised(images)) - images / 255).abs().max() < 0.01
    seen = []

    def encode(pixels):
        seen.append(pixels)
        return encode_as(pixels.float().mean(1, keepdim=True).expand(-1, 16, -1, -1))(pixels)

    objective = adapted(DA.replace(images_per_row=2, legacy_normalisation=True))
    objective.loss(encode, images, drawn(objective)[0][:2])
    assert torch.equal(seen[0], images) and torch.equal(seen[1], _not_normalised(images[[0, 1, 3, 4]]))


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("options", [{}, {"legacy_normalisation": True}, {"augmentation": "fda_synthetic_night"}])
def test_interrupted_adaptation_goes_on_bit_for_bit(night_street, tmp_path, monkeypatch, domain, options):
    config = DA.replace(domain=domain, freeze="layer1", layer="layer2", fda_beta=0.2, **options)
    whole = fit(config, tmp_path / "whole")
    told = {"domain_accuracy"} if domain == "gradient_reversal" else {"source_error", "target_error"}
    assert all(told <= row.keys() and np.isfinite(row["loss"]) for row in whole.history)
    seen = fit_interrupted(config, tmp_path / "stopped", monkeypatch)
    assert rounds_on_disk(tmp_path / "stopped") == 1
    looked_at = torch.uint8 if options else torch.float32  # kept maps of frozen layers for neither of them
    assert {pixels.dtype for pixels in seen} == {looked_at}
    resumed = fit(config, tmp_path / "stopped")
    for name in ("loss", *told):
        assert [row[name] for row in resumed.history] == [row[name] for row in whole.history]
    states = [torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "stopped")]
    for part in ("model", "objective"):
        one, other = (state[part] for state in states)
        assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert not any("domains" in name for name in load_model(tmp_path / "whole" / "best.safetensors").state_dict())


@pytest.mark.parametrize("name", ["synthetic_night", "fda", "fda_synthetic_night"])
@pytest.mark.parametrize("config", [TINY, GROUPS], ids=["tuples", "groups"])
def test_any_training_can_name_a_night_and_never_learns_from_kept_maps_of_it(night_street, tmp_path, name, config):
    config = config.replace(augmentation=name, fda_beta=0.2, epochs_num=1, layer="layer2", freeze="layer1")
    sets = [load_places(config, split) for split in ("train", "val")]
    trainer = training.Trainer(config, tmp_path, *sets)
    assert isinstance(trainer.sources.mined, StemCache) and not isinstance(trainer.sources.learned, StemCache)
    first, same = (fit(config, tmp_path / part).history for part in ("one", "other"))
    plain = fit(config.replace(augmentation="none"), tmp_path / "plain").history
    losses = [[row["loss"] for row in history] for history in (first, same, plain)]
    assert losses[0] == losses[1] != losses[2]


def test_netvlad_starts_from_labelled_photographs(night_street, tmp_path):
    """So that it starts where the training without adaptation does."""
    config = DA.replace(pooling="netvlad", epochs_num=1)
    made = []
    for domain in ("gradient_reversal", "none"):
        some = config.replace(domain=domain)
        trainer = training.Trainer(some, tmp_path, *(load_places(some, split) for split in ("train", "val")))
        trainer.start()
        made.append(trainer.model.pooling.centroids)
    assert torch.equal(*made)


def test_emms_with_weight_0_is_cosface_bit_for_bit(street, tmp_path):
    states = []
    for options in ({}, {"loss": "emms", "emms_weight": 0.0}, {"loss": "emms"}, {"loss": "emms_log_of_sum"}):
        state = fit(GROUPS.replace(**options), tmp_path / f"{len(states)}")
        states.append(torch.load(tmp_path / f"{len(states)}" / "state.pt", weights_only=True))
        assert all(np.isfinite(row["loss"]) for row in state.history)
    same, *others = (
        all(
            torch.equal(states[0][part][name], one[part][name]) for part in ("model", "objective") for name in one[part]
        )
        for one in states[1:]
    )
    assert same and others == [False, False]


def test_emms_adds_the_softmax_of_raw_products(street):
    objective = make_objective(GROUPS.replace(loss="emms", emms_weight=1.5), load_places(GROUPS, "train"), 8)
    head, descriptors, labels = objective.heads[0], F.normalize(torch.randn(5, 8), dim=1), torch.arange(5)
    raw = F.cross_entropy(descriptors @ head.weight.T, labels)
    expected = F.cross_entropy(head(descriptors, labels), labels) + 1.5 * raw
    torch.testing.assert_close(head.loss(descriptors, labels), expected)
    with pytest.raises(ValueError, match="emms_weight does nothing to the loss 'arcface'; leave it out"):
        make_objective(GROUPS.replace(loss="arcface", emms_weight=1.0), load_places(GROUPS, "train"), 8)


# --- unlabelled photographs ----------------------------------------------------------------------------------------
NEEDY = {"fda": GROUPS.replace(augmentation="fda", fda_beta=0.2), "domain": DA}
needy = pytest.mark.parametrize("config", NEEDY.values(), ids=NEEDY)


@needy
def test_no_night_images_is_a_sentence(street, config):
    with pytest.raises(
        FileNotFoundError, match=r"dataset 'street' has no unlabelled photographs: expected .*unlabelled"
    ):
        run(config)
    (street / "images" / "unlabelled").mkdir()
    with pytest.raises(ValueError, match="unlabelled: no photograph there; fda and domain adaptation need some"):
        run(config)
    assert run(config.replace(epochs_num=0)).card["queries"] == 16  # the untrained network needs none
    places = load_places(GROUPS, "train")
    if config is DA:
        with pytest.raises(ValueError, match="street train: domain=gradient_reversal needs unlabelled photographs"):
            with_adaptation(make_objective(config, places, 8), config, places, SimpleNamespace(channels=8))


@needy
def test_an_unreadable_night_image_is_named_or_left_out(night_street, config):
    broken = night_street / "images" / "unlabelled" / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.jpg"):
        run(config.replace(epochs_num=1))
    places = load_places(config.replace(skip_unreadable=True), "train")
    assert len(places.unlabelled) == UNLABELLED and len(places.skipped) == 1


@needy
def test_photographs_of_the_test_are_targets_only_if_that_is_said(night_street, config):
    night = config.replace(targets="test/queries", epochs_num=1)
    with pytest.raises(ValueError, match="16 of 16 unlabelled photographs of street are photographs of the test; name"):
        run(night)
    shutil.copytree(night_street / "images" / "unlabelled", night_street / "images" / "test" / "night")
    with pytest.raises(ValueError, match="5 of 5 unlabelled photographs of street are photographs of the test"):
        run(night.replace(targets="test/night"))  # of another test than this run's
    told = [run(one).card for one in (night.replace(transductive=True), config.replace(epochs_num=1))]
    assert [(card["targets"], card["transductive"]) for card in told] == [("test/queries", True), ("unlabelled", False)]
    assert "targets" not in run(GROUPS.replace(epochs_num=1)).card


def test_a_folder_anywhere_and_names_without_places_will_do(night_street, tmp_path, write_photo):
    photo = write_photo(tmp_path / "mine", 0, 0, 5)
    photo.rename(tmp_path / "mine" / "holiday.jpg")
    places = load_places(DA.replace(targets=str(tmp_path / "mine")), "train")
    assert [Path(path).name for path in places.unlabelled] == ["holiday.jpg"]
    assert places.paths[LABELLED:] == list(places.unlabelled)
    plain = load_places(GROUPS, "train")
    assert replace(places, unlabelled=()).fingerprint == plain.fingerprint
    assert len({one.fingerprint for one in (places, plain, load_places(DA, "train"))}) == 3
