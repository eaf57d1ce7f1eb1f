"""Pairs in trainings: rows, loss, what is refused; runs that resume, are read back, tested anew and located by."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tiny import TINY, rounds_on_disk
from vg_core.__main__ import main
from vg_core.config import Config
from vg_core.cross_view.branches import Sides
from vg_core.cross_view.pictures import read_aerial, read_ground
from vg_core.cross_view.polar import PUBLISHED, polar
from vg_core.cross_view.soft_margin import near_pairs, soft_margin
from vg_core.datasets import photographs
from vg_core.datasets.checks import oddities
from vg_core.datasets.labels import Label, format_name
from vg_core.datasets.places import load_places
from vg_core.models import build_model, load_model, save_model
from vg_core.models.network import Encoded
from vg_core.retrieval.descriptors import describe, photographs_of
from vg_core.runs.experiments import run, sweep
from vg_core.runs.pair_examples import found_from_above, pair_pictures, position_weights
from vg_core.system import processes
from vg_core.system.paths import data_root, pixels_folder
from vg_core.training import trainer as training
from vg_core.training.objective import RoundKey
from vg_core.training.objectives import make_objective
from vg_core.training.progress import Progress
from vg_core.training.trainer import train

VIEWS = Config.of(
    *("smoke", "pairs_rehearsal"),
    **{"dataset": "views", "image_size": (24, 64), "aerial_size": (32, 32), "lr": 3e-3},
    **{"train_batch_size": 6, "queries_per_epoch": 18, "cache_refresh_rate": 6, "epochs_num": 2, "patience": 9},
)
ORIENTED = VIEWS.replace(network="oricnn", polar=False)


@pytest.fixture(scope="session")
def drawn_views(tmp_path_factory) -> Path:
    """A dataset of pairs 10 m apart: tiles of blurred noise, and what is seen around their middles, in other light."""
    root = tmp_path_factory.mktemp("pairs") / "views"
    for number, (split, count) in enumerate({"train": 18, "val": 7, "test": 8}.items()):
        for place in range(count):
            name = format_name(Label(450_000 + 1000 * number + 10 * place, 4_800_000, zone_number=32, zone_letter="T"))
            noise = np.random.default_rng([number, place]).integers(0, 256, (5, 5, 3), dtype=np.uint8)
            tile = Image.fromarray(noise).resize((48, 48), Image.Resampling.BICUBIC)
            around = polar(torch.from_numpy(np.array(tile)).permute(2, 0, 1)[None], (24, 64))[0].permute(1, 2, 0)
            seen = Image.fromarray((200 - 0.5 * around.numpy()).astype(np.uint8))
            for side, image in (("aerial", tile), ("ground", seen)):
                folder = root / "images" / split / side
                folder.mkdir(parents=True, exist_ok=True)
                image.save(folder / Path(name).with_suffix(".png"))
    return root


@pytest.fixture
def views(drawn_views):
    """Dataset ``views`` below VG_DATA, which tests leave as it is."""
    data_root().mkdir(exist_ok=True)
    os.symlink(drawn_views, data_root() / "views")
    return drawn_views


def fit(config, folder):
    return train(config, folder, *(load_places(config, split) for split in ("train", "val")), Progress)


def weights(folder):
    return load_model(folder / "best.safetensors").state_dict()


# --- what is learned from ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("rows", "rounds"), [(6, 3), (9, 2), (18, 1), (100, 1)])
def test_an_epoch_has_each_pair_once_in_another_order(views, rows, rounds):
    config = VIEWS.replace(cache_refresh_rate=rows, queries_per_epoch=rows * rounds)
    objective = make_objective(config, load_places(config, "train"), 8)
    for epoch in (1, 2):
        drawn = [objective.draw(RoundKey(epoch, number), None, None)[0] for number in range(1, rounds + 1)]
        assert {len(one) for one in drawn} == {min(rows, 18)} == {objective.rows_per_round}
        aerial, ground = np.concatenate(drawn).T
        assert sorted(aerial) == list(range(18)) and (ground == 18 + aerial).all()
    again = objective.draw(RoundKey(2, 1), None, None)[0]
    assert np.array_equal(again, drawn[0]) and not np.array_equal(again, objective.draw(RoundKey(1, 1), None, None)[0])
    more = objective.draw(RoundKey(2, rounds + 1), None, None)[0]  # all have been drawn: they are shuffled again
    assert len(np.unique(more)) == more.size and not np.array_equal(more, drawn[0])


@pytest.mark.parametrize("options", [{}, {"near_metres": 25.0}, {"batch_hard_count": 2, "soft_margin_alpha": 3.0}])
def test_options_reach_the_loss(views, options):
    places = load_places(VIEWS, "train")
    objective = make_objective(VIEWS.replace(**options), places, 8)
    rows = objective.draw(RoundKey(1, 1), None, None)[0]
    found = torch.nn.functional.normalize(torch.randn(2 * len(rows), 8, generator=torch.Generator().manual_seed(0)))
    positions = places.ground[["easting", "northing"]].to_numpy()[rows[:, 0]]  # (B, 2)
    near = near_pairs(positions) if "near_metres" in options else None
    alpha, hardest = options.get("soft_margin_alpha", 10.0), options.get("batch_hard_count", 0)
    expected = soft_margin(found[len(rows) :], found[: len(rows)], alpha, near, hardest)
    assert objective.loss(lambda _pixels: Encoded(found, None), None, rows) == expected
    assert not options or expected != soft_margin(found[len(rows) :], found[: len(rows)])


@pytest.mark.parametrize(("as_polar", "stretch"), [(True, False), (True, True), (False, False)])
def test_each_side_is_decoded_to_its_own_size(views, as_polar, stretch):
    config, places = VIEWS.replace(polar=as_polar, stretch=stretch), load_places(VIEWS, "val")
    images = photographs_of(places, config.image_size, config.task)
    aerial = read_aerial(places.aerial.path[2], (24, 64) if as_polar else (32, 32), as_polar, stretch)
    assert not stretch or (aerial.min(), aerial.max()) == (0, 255)
    ground = read_ground(places.ground.path[4], (24, 64))
    for source in (images, photographs_of(places, config.image_size, config.task)):  # decoded, and from the cache
        first, batch, last = source.batches([[2], [2, 11, 5, 7], [13]])
        assert [len(first), len(batch), len(last)] == [1, 4, 1]
        assert {side: len(some) for side, some in batch.images.items()} == {"aerial": 2, "ground": 2}
        assert np.array_equal(batch.images["aerial"][0].permute(1, 2, 0), aerial)
        assert np.array_equal(batch.images["ground"][0].permute(1, 2, 0), ground)
    assert images.paths == places.paths and len(images) == 14


def test_pixels_that_were_read_otherwise_lie_in_other_files(views, monkeypatch):
    places = load_places(VIEWS, "val")
    plain = VIEWS.replace(polar=False, aerial_size=(64, 64), image_size=(64, 64))
    for config in (VIEWS, VIEWS.replace(stretch=True), plain):
        photographs_of(places, (64, 64), config.task)
    assert len([*pixels_folder().iterdir()]) == 4  # polar, polar stretched, plain, and panoramas
    monkeypatch.setattr(photographs, "MAPPED_SHARE_OF_DISK", 0.0)  # where there is no room, each batch is decoded
    whole = photographs_of(places, VIEWS.image_size, VIEWS.task)
    assert [len(batch) for batch in whole.batches([[2], [], [13, 8]])] == [1, 0, 2]
    assert not whole.sides[0].pixels


def test_nobody_is_told_that_tiles_or_panoramas_are_squashed(views):
    assert oddities([load_places(VIEWS, "val")], (64, 24)) == []


def test_a_batch_is_encoded_in_its_order_by_the_branch_of_each_side(views):
    model, places = build_model(VIEWS).eval(), load_places(VIEWS, "val")
    (batch,) = photographs_of(places, VIEWS.image_size, VIEWS.task).batches([range(14)])
    assert isinstance(batch, Sides)
    with torch.inference_mode():
        found = model.encode(batch).descriptors
        for side, part in (("aerial", found[:7]), ("ground", found[7:])):
            torch.testing.assert_close(part, model(batch.images[side], side))
    listed = describe(model, places.ground.path, VIEWS.image_size, 3, side="ground")
    np.testing.assert_allclose(listed, found[7:], atol=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train_batch_size": 1}, "views train: a batch of one pair has no wrong ones; train_batch_size, "),
        ({"cache_refresh_rate": 1}, "a batch of one pair has no wrong ones"),
        ({"batch_hard_count": 7}, "views train: batch_hard_count=7 is above the 6 pairs of a batch"),
        ({"weights": "imagenet"}, "no weights for the backbone 'small': weights='none' starts from random ones"),
        ({"network": "oricnn", "polar": False, "weights": "imagenet"}, "OriCNN starts from random weights"),
        ({"dataset": "street"}, r"street has no train split of pairs: expected .*train/aerial and …/ground"),
        ({"test_queries": "night"}, "test_queries='night': of pairs it is queries, which are panoramas, or aerial"),
    ],
)
def test_what_cannot_be_learned_from_is_a_sentence(views, street, options, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        run(VIEWS.replace(**options))


def test_pairs_of_unknown_places_have_none_near(views):
    places = load_places(VIEWS, "train")
    unknown = replace(places, queries=places.queries.assign(easting=np.nan))
    make_objective(VIEWS, unknown, 8)
    with pytest.raises(ValueError, match=r"where pairs were taken is not known; leave near_metres=25 out"):
        make_objective(VIEWS.replace(near_metres=25.0), unknown, 8)


def test_several_processes_are_refused(views, monkeypatch):
    monkeypatch.setattr(processes, "size", lambda: 2)
    with pytest.raises(ValueError, match="pairs are learned by one process, as all of a batch are compared"):
        make_objective(VIEWS, load_places(VIEWS, "train"), 8)


# --- runs -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("config", [VIEWS, ORIENTED], ids=["safa", "oricnn"])
def test_an_interrupted_training_ends_like_a_whole_one(views, tmp_path, monkeypatch, config):
    whole = fit(config, tmp_path / "whole")
    original, calls = training.Trainer.step, []

    def interrupted(self, pixels, rows):
        calls.append(1)
        if len(calls) == 5:  # the second of the second epoch
            raise KeyboardInterrupt
        return original(self, pixels, rows)

    monkeypatch.setattr(training.Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt, match=r"views .* soft_margin seed 0 stopped in epoch 2 after 1 of 3 rounds"):
        fit(config, tmp_path / "stopped")
    assert rounds_on_disk(tmp_path / "stopped") == 4
    resumed = fit(config, tmp_path / "stopped")
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    ends, expected = (weights(tmp_path / name) for name in ("stopped", "whole"))
    assert all(torch.equal(ends[name], expected[name]) for name in expected)


def test_a_run_learns_and_tests_of_it_never_train_again(views, monkeypatch, capsys):
    config = VIEWS.replace(epochs_num=12, queries_per_epoch=18, cache_refresh_rate=18)
    found = run(config)
    losses = found.history.loss
    assert losses.iloc[-3:].mean() < 0.7 * losses.iloc[:3].mean()
    assert "expected minutes" not in capsys.readouterr().out  # nothing is foreseen, rather than something wrong
    assert found.id.startswith("views-safa-soft_margin-seed0-")
    assert (found.card["k_of_top_1_percent"], found.card["threshold_m"]) == ([1, 1], 0.0)
    assert found.card["top_1_percent"] == [pytest.approx(100 * (found.ranks["rank"] == 1).mean())] * 2
    monkeypatch.setattr(training.Trainer, "fit", None)
    variants = {"twins": config, "from above": config.replace(test_queries="aerial")}
    variants |= {"any heading": config.replace(test_method="hard_resize+any_heading")}
    table = sweep(variants, cluster="here")
    assert table[table.variant == "twins"]["rank"].tolist() == found.ranks["rank"].tolist()
    assert not np.array_equal(run(variants["any heading"]).retrieved(), found.retrieved())
    assert {*table.attrs["origin"]["runs"]} == {found.id} and not table.attrs["failed"]
    above = run(variants["from above"])
    assert above.card["queries_folder"] == "aerial" and above.checkpoint == found.checkpoint
    assert {*above.ranks.top_1} <= {*os.listdir(views / "images" / "test" / "ground")}
    places, rows = load_places(config, "test"), found.examples(count=8, shown=3)
    for row in rows:
        assert row["correct"] == [Path(row["query"]).name == Path(one).name for one in row["retrieved"]]
    for row in found_from_above(found, count=4, shown=8):
        assert row["correct"].index(True) == row["rank"] - 1 and sum(row["correct"]) == 1
        twin = [read_ground(path).tolist() for path in places.ground.path].index(row["query"].tolist())
        assert np.array_equal(row["retrieved"][row["rank"] - 1], read_aerial(places.aerial.path[twin]))


def test_examples_show_what_the_network_sees(views):
    config = VIEWS.replace(epochs_num=0)
    row = pair_pictures(config, count=2)[-1]
    places = load_places(config, "train")
    assert np.array_equal(row["ground"], read_ground(places.ground.path[17]))
    assert np.array_equal(row["polar"], read_aerial(places.aerial.path[17], PUBLISHED, True))
    pictures, maps = position_weights(run(config), number=3)
    places, model = load_places(config, "test"), run(config).model()
    for side, picture, weights in zip(("ground", "aerial"), pictures.values(), maps.values(), strict=True):
        images = torch.from_numpy(picture).permute(2, 0, 1)[None]
        branch = model.get_submodule(side)
        features = branch.feature_maps(images).flatten(2)[0]  # (C, H · W)
        descriptor = torch.nn.functional.normalize((torch.from_numpy(weights).flatten(1) @ features.T).flatten(), dim=0)
        described = describe(model, [getattr(places, side).path[3]], config.image_size, side=side)[0]
        np.testing.assert_allclose(descriptor.detach().numpy(), described, atol=1e-5)


def test_the_other_way_round_distances_are_the_same(views):
    model = build_model(VIEWS)
    places = load_places(VIEWS, "test"), load_places(VIEWS.replace(test_queries="aerial"), "test")
    found = [training.evaluate(model, one, VIEWS.image_size, None) for one in places]
    assert [len(one.ranks) for one in found] == [8, 8] and [*places[1].sides] == ["ground", "aerial"]
    tables = [np.full((8, 8), np.nan) for _ in found]
    for table, one in zip(tables, found, strict=True):
        np.put_along_axis(table, one.indices, one.distances, axis=1)
    np.testing.assert_allclose(tables[0], tables[1].T, atol=1e-5)
    assert [*places[1].queries.path] == [*places[0].aerial.path] == [*places[1].aerial.path]


def test_panoramas_of_unknown_heading_are_turned_each_by_the_same_angle_always(views):
    places = load_places(VIEWS, "test")
    plain, turned, again = (
        next(photographs_of(places, VIEWS.image_size, VIEWS.task, flag).batches([range(16)])).images
        for flag in (False, True, True)
    )
    assert torch.equal(turned["ground"], again["ground"]) and torch.equal(plain["aerial"], turned["aerial"])
    columns = set()
    for before, after in zip(plain["ground"], turned["ground"], strict=True):
        (column,) = [k for k in range(64) if torch.equal(before.roll(k, 2), after)]
        columns.add(column)
    assert len(columns) > 4


@pytest.mark.parametrize("options", [{}, {"legacy_batch_statistics": True}, {"orientation_maps": False}])
def test_a_checkpoint_brings_back_the_network(views, tmp_path, options):
    model, places = build_model(ORIENTED.replace(**options)), load_places(ORIENTED, "val")
    save_model(model, tmp_path / "model.safetensors", epoch=3)
    again = load_model(tmp_path / "model.safetensors")
    assert again.config == model.config and again.config.task.network == "oricnn"
    found, expected = (
        describe(one, places.aerial.path, ORIENTED.image_size, 7, side="aerial") for one in (again, model.eval())
    )
    np.testing.assert_array_equal(found, expected)


# --- the command line -------------------------------------------------------------------------------------------------
LINE = "--profile smoke --preset pairs_rehearsal --dataset views --image_size 24 64 --train_batch_size 6"
SMALL = [*LINE.split(), "--queries_per_epoch", "18", "--cache_refresh_rate", "18", "--epochs_num", "1"]


def test_pairs_are_trained_tested_and_located_by_commands(views, capsys, tmp_path):
    assert main(["train", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "k_of_top_1_percent         [1, 1]\n" in printed and "R@1" in printed
    model = printed.split("model: ")[1].strip()
    recalls = [line for line in printed.splitlines() if line.startswith("R@")]
    assert main(["test", "--model", model]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line.startswith("R@")] == recalls
    assert main(["test", "--model", model, "--test_queries", "aerial", "--test_method", "hard_resize+any_heading"]) == 0
    assert "queries_folder             aerial\n" in capsys.readouterr().out
    split = views / "images" / "test"
    photo = sorted((split / "ground").iterdir())[3]
    command = ["locate", str(photo), "--model", model, "--database", str(split / "aerial"), "--top", "8"]
    assert main(command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 8 and sum("0 m from where it was taken" in line for line in lines) >= 1
    ranks = run(load_model(model).config).ranks.set_index("query")
    place = int(ranks["rank"][photo.name]) - 1
    assert lines[place].endswith(str(split / "aerial" / photo.name))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("describe --images {0}/images/test/ground --output {1}/d.npz", "a network of pairs has to know which images"),
        ("benchmark --name oxford5k --folder {1}", "a network of pairs has to know which images are aerial and which"),
        ("benchmark --name oxford5k --folder {1} --whitened_dim 8", "whitened_dim does nothing to a loss of pairs"),
        ("test --dataset street", "street has no test split of pairs"),
        ("test --image_size 32 80", "a network of pairs takes images of the size that it was built for"),
        ("test --whitened_dim 8", "whitened_dim does nothing to a loss of pairs; leave it out"),
        ("test --test_method five_crops", "test_method='five_crops' is not of pairs"),
    ],
)
def test_what_a_network_of_pairs_cannot_do_is_a_sentence(views, street, tmp_path, capsys, words, said):
    save_model(build_model(VIEWS), tmp_path / "model.safetensors")
    command, *options = words.format(views, tmp_path).split()
    assert main([command, "--model", str(tmp_path / "model.safetensors"), *options]) == 1
    assert said in capsys.readouterr().err


def test_other_networks_know_no_headings_and_no_pairs(views, street, tmp_path, capsys):
    save_model(build_model(TINY), tmp_path / "model.safetensors")
    command = ["test", "--model", str(tmp_path / "model.safetensors")]
    assert main([*command, "--test_method", "hard_resize+any_heading"]) == 1
    assert "any_heading does nothing without pairs" in capsys.readouterr().err
    assert main([*command, "--dataset", "views"]) == 1
    assert "dataset 'views' has no test split" in capsys.readouterr().err
