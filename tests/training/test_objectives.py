"""What a training learns from: which positives count, places as classes, one budget for all, schedule and subset."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from tests.tiny import GROUPS, TINY, fit
from vg_core.augmentation.by_name import make_augmentation
from vg_core.datasets.places import PlaceSet
from vg_core.figures import mining_hardness, training_curves
from vg_core.losses import LOSSES
from vg_core.models import build_model, load_model
from vg_core.models.network import Encoded
from vg_core.runs.experiments import histories, run, sweep, with_untrained
from vg_core.runs.probes import learning_rate_range
from vg_core.training import trainer
from vg_core.training.classes import GeoClassification
from vg_core.training.objective import Objective, RoundKey
from vg_core.training.objectives import hard_positives, make_objective, rarity
from vg_core.training.progress import Progress
from vg_core.training.step import follow_schedule, make_optimizer

GEO = TINY.replace(loss="geo_classification")


@pytest.fixture
def places(street):
    return PlaceSet.load("street", "train")


def drawn(objective, seed=0, epoch=1):
    """Rows of a round; descriptors, where they are needed, are random."""
    generator = torch.Generator().manual_seed(seed)

    def describe(wanted):
        return torch.randn(len(wanted), 8, generator=generator)

    return objective.draw(RoundKey(epoch, 1), np.random.default_rng(seed), describe)


def loss_of(objective, descriptors, rows):
    """Of descriptors (B, P, D), whatever the pixels."""
    return objective.loss(lambda _pixels: Encoded(descriptors.flatten(0, 1), None), None, rows)


# --- tuples --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("least", "left"), [(0, 24), (1, 24), (4.5, 24), (5, 12), (6, 0)])
def test_positives_that_are_too_near_are_left_out(places, least, left):
    """On the street one query of a place is √20 m and 5 m from its database views, the other 5 m and √32 m."""
    config = TINY.replace(train_positives_min_dist=least)
    found = hard_positives(config, places)
    here, there = (table[["easting", "northing"]].to_numpy() for table in (places.queries, places.database))
    for query, positives in enumerate(found):
        metres = np.linalg.norm(there - here[query], axis=1)
        np.testing.assert_array_equal(positives, np.flatnonzero((metres <= 10) & ((metres > least) | (least == 0))))
    assert sum(len(positives) > 0 for positives in found) == left


def test_no_positive_between_the_two_distances_is_a_sentence(places):
    with pytest.raises(ValueError, match="no query has a database image more than 6 m and within 10 m"):
        make_objective(TINY.replace(train_positives_min_dist=6), places, 8)


def test_of_a_split_without_queries_every_photograph_is_one(places, street, tmp_path):
    flat = replace(places, queries=places.queries.iloc[:0])
    count, positions = len(places.database), places.database[["easting", "northing"]].to_numpy()
    rows, _ = drawn(make_objective(TINY.replace(cache_refresh_rate=99, queries_per_epoch=99), flat, 8))
    assert sorted(rows[:, 0]) == list(range(count)) and (rows[:, 0] != rows[:, 1]).all()
    metres = np.linalg.norm(positions[rows[:, :1]] - positions[rows], axis=2)  # (R, P)
    assert (metres[:, 1] <= 10).all() and (metres[:, 2:] > 25).all()
    rows, _ = drawn(make_objective(GEO, flat, 8))
    assert set(rows.ravel()) == set(range(count))
    assert trainer.train(TINY, tmp_path, flat, PlaceSet.load("street", "val"), Progress).finished


# On the street database images stand in pairs 30 m apart, so each query has two positives and ten images beyond 25 m.
def test_a_database_of_too_few_negatives_is_a_sentence_before_anything_is_mined(places):
    beyond = len(places.database) - max(len(near) for near in places.neighbours(25))
    make_objective(TINY.replace(negs_num_per_query=beyond), places, 8)
    make_objective(TINY.replace(negs_num_per_query=99, epochs_num=0), places, 8)  # nothing is mined
    with pytest.raises(
        ValueError, match="street train: a database of 24 leaves fewer than negs_num_per_query"
    ) as error:
        make_objective(TINY.replace(negs_num_per_query=beyond + 1), places, 8)
    said = str(error.value)
    assert any(Path(path).name in said for path in places.queries.path)
    assert said.endswith("; lower negs_num_per_query") and "neg_samples_num" not in said


@pytest.mark.parametrize("mining", ["full", "partial"])
def test_a_pool_of_too_few_negatives_names_the_photograph_and_what_helps(places, mining):
    objective = make_objective(TINY.replace(negs_num_per_query=4, neg_samples_num=4, mining=mining), places, 8)
    with pytest.raises(
        ValueError, match=r"neg_samples_num=4 leaves fewer than negs_num_per_query=4 .* 25 m from @"
    ) as error:
        for seed in range(99):
            drawn(objective, seed)
    said = str(error.value)
    assert sum(Path(path).name in said for path in places.queries.path) == 1
    assert "raise neg_samples_num, to 24 at most, or lower negs_num_per_query" in said


def test_other_faults_of_mining_blame_no_option(places):
    with pytest.raises(ValueError, match=r"street train: .* is not finite") as error:
        make_objective(TINY, places, 8).draw(
            RoundKey(1, 1), np.random.default_rng(0), lambda wanted: torch.full((len(wanted), 8), torch.nan)
        )
    assert "neg" not in str(error.value)


def test_the_normaliser_reaches_the_loss(places):
    tuples = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    losses = [
        loss_of(
            make_objective(TINY.replace(loss="sare_gaussian_joint", joint_normaliser=way), places, 8),
            tuples,
            np.zeros((2, 5)),
        )
        for way in ("pairs", "queries")
    ]
    assert losses[1].item() == pytest.approx(3 * losses[0].item())
    with pytest.raises(ValueError, match="normaliser=queries does nothing to the loss 'n_pair'"):
        make_objective(TINY.replace(loss="n_pair", joint_normaliser="queries"), places, 8)


def test_queries_by_night_and_sideways_come_more_often(places):
    """Of ten, two by night and four sideways: 1 + 10/2 and 1 + 10/4 times as often as others, both added up."""
    notes = ["night_forward", "night_sideways_oslo", *["Day_Sideways"] * 3, *["day_forward"] * 4, ""]
    chances = rarity(pd.Series(notes), "street train")
    np.testing.assert_allclose(chances, np.array([6, 8.5, *[3.5] * 3, *[1] * 5]) / 30)
    tagged = replace(places, queries=places.queries.assign(note=["night_forward"] * 2 + ["day_forward"] * 22))
    config = TINY.replace(mining="msls_weighted", cache_refresh_rate=8, neg_samples_num=24)
    objective, shown = make_objective(config, tagged, 8), np.zeros(24)
    for seed in range(200):
        rows, _ = drawn(objective, seed)
        assert len({*rows[:, 0]}) == 8
        shown[rows[:, 0] - 24] += 1
    assert shown[:2].min() > 1.5 * shown[2:].max()
    with pytest.raises(ValueError, match="street train: no query's name has a note of night or sideways"):
        make_objective(config, places, 8)


@pytest.mark.parametrize("mining", ["full", "random"])
def test_the_last_of_a_quadruplet_is_near_none_of_the_others(places, mining):
    config = TINY.replace(loss="hphn_quadruplet", mining=mining)
    objective = make_objective(config, places, 8)
    positions = np.concatenate([table[["easting", "northing"]] for table in (places.database, places.queries)])
    for seed in range(5):
        rows, _ = drawn(objective, seed)
        assert rows.shape == (8, 5) and objective.previous.shape[1] == 2
        metres = np.linalg.norm(positions[rows] - positions[rows[:, -1:]], axis=2)  # (R, P), from n*
        assert (metres[:, [0, 2, 3]] > 25).all() and (metres[:, -1] == 0).all()
    tuples = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    assert loss_of(objective, tuples, np.zeros((2, 5))) == LOSSES["hphn_quadruplet"].whole(tuples)


def test_a_quadruplet_without_another_place_is_a_sentence(places):
    with pytest.raises(
        ValueError, match=r"of hphn_quadruplet one negative is n.; negs_num_per_query must be 2 or more"
    ):
        make_objective(TINY.replace(loss="hphn_quadruplet", negs_num_per_query=1), places, 8)
    objective = make_objective(
        TINY.replace(loss="hphn_quadruplet", negs_num_per_query=22, neg_samples_num=24), places, 8
    )
    with pytest.raises(ValueError, match=r"every database image is near @.* or one of its negatives"):
        for seed in range(9):
            drawn(objective, seed)


def test_the_weight_of_second_order_similarity_reaches_the_loss(places):
    tuples = torch.randn(2, 5, 8, generator=torch.Generator().manual_seed(0))
    values = [
        loss_of(make_objective(TINY.replace(loss="sos", sos_lambda=weight), places, 8), tuples, np.zeros((2, 5)))
        for weight in (1, 5, 10)
    ]
    assert (values[2] - values[1]).item() == pytest.approx(1.25 * (values[1] - values[0]).item())
    with pytest.raises(ValueError, match="the loss sos is one of a whole batch, which accumulate=2 and 1 processes"):
        make_objective(TINY.replace(loss="sos", accumulate=2), places, 8)


def test_an_unknown_loss_lists_all_there_are(places):
    with pytest.raises(KeyError) as error:
        make_objective(TINY.replace(loss="sare"), places, 8)
    assert all(name in str(error.value) for name in (*LOSSES, "geo_classification"))


# --- geo-classification --------------------------------------------------------------------------------------------
def test_classes_are_the_cells_of_the_database(street, write_photo):
    far = write_photo(street / "images" / "train" / "queries", 400_900, 5_000_004)  # no database image there
    places = PlaceSet.load("street", "train")
    objective = make_objective(GEO, places, 8)
    assert isinstance(objective, GeoClassification)
    paths = [*places.database.path, *places.queries.path]
    easting = np.concatenate([places.database.easting, places.queries.easting])
    labels = objective.labels.numpy()
    assert objective.head.out_features == len({math.floor(east / 25) for east in places.database.easting})
    assert labels[paths.index(str(far))] == -1
    assert set(labels[: len(places.database)]) == set(range(objective.head.out_features))
    for one, other in np.argwhere(labels[:, None] == labels)[::7]:
        if labels[one] >= 0:
            assert easting[one] // 25 == easting[other] // 25
    assert paths.index(str(far)) not in objective.images
    np.testing.assert_array_equal(objective.images, np.flatnonzero(labels >= 0))


def test_a_round_holds_as_many_images_as_one_of_tuples(places):
    tuples, rows = drawn(make_objective(TINY, places, 8))[0], drawn(make_objective(GEO, places, 8))[0]
    assert tuples.shape == rows.shape == (8, 5)
    assert len(np.unique(rows)) == rows.size  # none twice before all were drawn
    many, _ = drawn(make_objective(GEO.replace(images_per_row=12, cache_refresh_rate=24), places, 8))
    assert set(np.unique(many, return_counts=True)[1]) == {6}
    assert not np.array_equal(drawn(make_objective(GEO, places, 8), seed=1)[0], rows)


def test_the_loss_is_that_of_the_right_class(places):
    objective = make_objective(GEO, places, 8)
    rows, _ = drawn(objective)
    descriptors = torch.randn(8, 5, 8)
    scores = objective.head(descriptors).log_softmax(dim=-1)
    expected = -np.mean([scores[i, j, objective.labels[rows[i, j]]].item() for i in range(8) for j in range(5)])
    assert loss_of(objective, descriptors, rows).item() == pytest.approx(expected, rel=1e-5)


def test_the_classifier_is_kept_for_the_training_and_not_in_the_model(street, tmp_path):
    state = fit(GEO, tmp_path)
    assert [row["round"] for row in state.history] == [1, 2, 3] * 2
    assert state.history[-1]["loss"] < state.history[0]["loss"] < math.log(30)
    saved = torch.load(tmp_path / "state.pt", weights_only=True)
    assert set(saved["objective"]) == {"head.weight", "head.bias"}
    assert load_model(tmp_path / "best.safetensors").state_dict().keys() == build_model(GEO).state_dict().keys()


@pytest.mark.parametrize("option", ["margin", "joint_normaliser", "mining"])
def test_options_that_do_nothing_are_refused(option):
    with pytest.raises(ValueError, match=f"{option} does nothing to a loss of classes"):
        GEO.replace(**{option: getattr(TINY.task, option)})


def test_a_single_cell_is_nothing_to_tell_apart(places):
    corner = places.database.assign(easting=400_001.0)
    with pytest.raises(ValueError, match="all database images lie in one cell of 25 m"):
        make_objective(GEO, replace(places, database=corner), 8)


def test_sweeps_pictures_and_the_untrained_network(street):
    objectives = {"triplet": TINY, "classes": GEO, "groups": GROUPS}
    variants = with_untrained({name: config.replace(epochs_num=1) for name, config in objectives.items()})
    ranks = sweep(variants, cluster="here")
    first, *others = (run(variants[f"{name}, untrained"]) for name in objectives)
    for other in others:
        assert first.ranks.equals(other.ranks)
        both = zip(*(one.model().state_dict().values() for one in (first, other)), strict=True)
        assert all(torch.equal(a, b) for a, b in both)
    assert set(ranks.variant) == {*variants}
    history, validation = histories(variants)
    assert history.groupby("variant").size().to_dict() == dict.fromkeys(objectives, 3)
    assert (history.seconds_extraction[history.variant != "triplet"] == 0).all()
    for figure in (training_curves(history, validation), mining_hardness(history)):
        assert figure.axes[0].has_data()


def test_learning_rates_are_tried_on_it_too(street):
    assert learning_rate_range(GEO, 1e-5, 1e-3, 4).loss.between(0, math.log(30)).all()


# --- classes in groups ---------------------------------------------------------------------------------------------


def turned(places, headings):
    """The set with these headings of its database images; those of its queries are unknown."""
    queries = places.queries.assign(heading=np.nan)
    return replace(places, database=places.database.assign(heading=headings), queries=queries)


def test_groups_of_classes_take_turns_and_classes_are_equally_likely(places):
    few = places.database.drop(index=[0, 4, 5])  # of the first and of the third place, database first
    objective = make_objective(
        GROUPS.replace(min_images_per_class=2, queries_per_epoch=600, cache_refresh_rate=600),
        replace(places, database=few),
        8,
    )
    assert [head.weight.shape for head in objective.heads] == [(6, 8), (6, 8)]
    paths, at = [*few.path, *places.queries.path], np.concatenate([few.easting, places.queries.easting]) // 30
    assert len(paths) == len(objective.labels)
    for epoch in (1, 2, 3):
        rows, facts = drawn(objective, epoch=epoch)
        assert rows.shape == (600, 1) and facts == {"group": 2 - epoch % 2, "classes": 6}
        assert len(np.unique(at[rows] % 2)) == 1  # every second place
        labels = objective.labels[rows[:, 0]].numpy().reshape(-1, 6)
        assert (np.sort(labels, axis=1) == range(6)).all()  # none twice before all
        assert len({*map(tuple, labels)}) > 50
        _, shown = np.unique(rows, return_counts=True)
        for place in np.unique(at[rows]):
            own = shown[at[np.unique(rows)] == place]  # 100 in all, each photograph as often as another, by chance
            expected = 100 / np.count_nonzero(at == place)
            assert ((own - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees of freedom: 1 in 1000
    assert not np.array_equal(drawn(objective, 0)[0], drawn(objective, 1)[0])


def test_a_batch_has_no_more_photographs_than_a_group_has_classes(street, places, tmp_path):
    objective = make_objective(GROUPS.replace(images_per_row=4), places, 8)
    assert objective.most_rows == 1
    steps = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "step", lambda self, pixels, rows: steps.append(len(rows)) or torch.zeros(()))
        fit(GROUPS.replace(train_batch_size=100, epochs_num=1), tmp_path)
    assert steps == [6] * 3  # of 8 in each of three rounds: an incomplete last batch is dropped


def test_each_group_is_told_apart_by_its_own_classifier(places):
    objective = make_objective(GROUPS, places, 8)
    for epoch, head in enumerate(objective.heads, start=1):
        rows, _ = drawn(objective, epoch=epoch)
        descriptors = torch.randn(8, 1, 8)
        expected = head.loss(descriptors[:, 0], objective.labels[rows[:, 0]])
        assert loss_of(objective, descriptors, rows).item() == expected.item()
    first, same = (make_objective(GROUPS, places, 8).heads[0].weight for _ in range(2))
    assert torch.equal(first, same) and not torch.equal(
        first, make_objective(GROUPS.replace(seed=1), places, 8).heads[0].weight
    )


def test_photographs_without_a_heading_are_counted_and_left_out(places, capsys):
    headings = np.where(np.arange(24) < 20, 45.0, 200.0)
    headings[:2] = np.nan
    objective = make_objective(GROUPS.replace(alpha=30, N=1, L=2, min_images_per_class=2), turned(places, headings), 8)
    assert (
        capsys.readouterr().out
        == "street train: 22 of 48 photographs make 11 classes in 2 groups, 26 have no heading\n"
    )
    assert (objective.labels < 0).nonzero()[:, 0].tolist() == [0, 1, *range(24, 48)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"alpha": 30}, "none of 48 photographs has a heading in its name, so there are no classes; alpha=360 makes"),
        (
            {"min_images_per_class": 5},
            "no class has min_images_per_class=5 photographs, the largest has 4; lower it, or",
        ),
        ({"groups_num": 3}, "there are 2 groups of two classes or more, fewer than groups_num=3; lower groups_num"),
        ({"N": 12, "groups_num": 1}, "there are 0 groups of two classes or more"),
        ({"loss": "softmax", "logit_margin": 0.1}, "logit_margin does nothing to the loss 'softmax'"),
    ],
)
def test_classes_that_cannot_be_learned_are_sentences(places, options, said):
    with pytest.raises(ValueError, match=said):
        make_objective(GROUPS.replace(**options), places, 8)


def test_the_untrained_network_needs_no_classes(places):
    assert not make_objective(GROUPS.replace(alpha=30, epochs_num=0), places, 8).heads


@pytest.mark.parametrize("loss", ["cosface", "arcface", "sphereface", "softmax"])
def test_every_margin_learns(street, tmp_path, loss):
    state = fit(GROUPS.replace(loss=loss, groups_num=1, epochs_num=3, patience=9, queries_per_epoch=48), tmp_path)
    losses = [row["loss"] for row in state.history]
    assert np.mean(losses[-6:]) < 0.7 * np.mean(losses[:6])


# --- schedule and validation ---------------------------------------------------------------------------------------
def test_the_learning_rate_halves_at_epochs_6_and_11():
    config = TINY.replace(lr=0.001, lr_halving_epochs=5)
    optimizer = make_optimizer(config, nn.Linear(1, 1), Objective())
    rates = {epoch: follow_schedule(optimizer, config, epoch) for epoch in (1, 5, 6, 10, 11, 30)}
    assert rates == {1: 0.001, 5: 0.001, 6: 0.0005, 10: 0.0005, 11: 0.00025, 30: 0.001 / 32}
    assert follow_schedule(optimizer, config.replace(lr_halving_epochs=0), 50) == 0.001


def test_the_optimiser_follows_the_schedule(street, tmp_path):
    state = fit(TINY.replace(lr_halving_epochs=1, epochs_num=3, patience=9, queries_per_epoch=16), tmp_path)
    assert [row["lr"] for row in state.history] == [1e-3] * 2 + [5e-4] * 2 + [2.5e-4] * 2
    optimizer = torch.load(tmp_path / "state.pt", weights_only=True)["optimizer"]
    assert {group["lr"] for group in optimizer["param_groups"]} == {2.5e-4}


def test_validation_sees_the_same_few_queries_each_time(street, tmp_path, monkeypatch):
    seen = []
    original = trainer.evaluate

    def record(model, places, *rest, **given):
        seen.append(places)
        return original(model, places, *rest, **given)

    monkeypatch.setattr(trainer, "evaluate", record)
    fit(TINY.replace(val_queries=5), tmp_path / "one")
    fit(TINY.replace(val_queries=5, seed=1, pooling="max"), tmp_path / "other")
    everything = PlaceSet.load("street", "val")
    assert len(seen) == 6
    assert all(list(places.queries.path) == list(seen[0].queries.path) for places in seen)
    assert len(seen[0].queries) == 5 and set(seen[0].queries.path) < set(everything.queries.path)
    assert all(places.database.equals(everything.database) for places in seen)
    seen.clear()
    for count in (0, 1000):
        fit(TINY.replace(val_queries=count, epochs_num=0), tmp_path / str(count))
    assert all(places.queries.equals(everything.queries) for places in seen)


def test_every_image_is_augmented_or_only_the_queries(places):
    def changed(config):
        """Images of two rows of five that an augmentation changes."""
        pixels = torch.zeros(10, 3, 2, 2, dtype=torch.uint8)
        rows = np.zeros((2, 5), dtype=int)
        augment = make_augmentation("none")
        augment.parts = [(False, lambda images: images + 1)]
        assert make_objective(config, places, 8).augment(augment, pixels, rows) is rows
        return pixels[:, 0, 0, 0].nonzero()[:, 0].tolist()

    assert changed(TINY) == [0, 5]
    assert changed(GEO) == list(range(10))
