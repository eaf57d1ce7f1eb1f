"""Estimates before a run: counts and bytes as the run has them, refusals that say what fits, no trace left behind."""

import json
import os
from dataclasses import replace

import pandas as pd
import pytest
import torch

from tests.tiny import GROUPS, PLACES, TINY, fit
from vg_core.__main__ import main
from vg_core.datasets.places import PlaceSet
from vg_core.losses import LOSSES
from vg_core.runs.experiments import compared, run
from vg_core.system import own_files
from vg_core.system.devices import PEAK
from vg_core.training import cost, trainer
from vg_core.training import estimate as module
from vg_core.training.cost import Cost, measure_cost
from vg_core.training.estimate import expected, from_cost
from vg_core.training.taken import after_test, after_training, comparison

GB = 10**9
CPU = torch.device("cpu")
PLENTY = {"RAM": 100 * GB, "disk": 100 * GB}
ON_A_GPU = PLENTY | {"GPU memory": 80 * GB}
FROZEN = TINY.replace(layer="layer2", freeze="layer1")
TAKES = Cost(
    **{"values_per_descriptor": 64, "images": (48, 32), "bytes_cached": (0, 0)},
    **{"images_described_per_round": 32, "images_learned_per_round": 40},
    **{"bytes_of_model": 4 * 10**6, "bytes_beside_model": 4 * 10**6, "bytes_resting": 0},
    **{"bytes_to_describe": 2 * 10**7, "bytes_to_learn": 26 * 10**7, "bytes_to_learn_row": 6 * 10**7},
    **{"seconds_to_decode": 0.0, "seconds_to_describe": (0.0, 0.0, 0.0), "seconds_to_learn": 0.0},
)


@pytest.fixture
def sets(street):
    return [PlaceSet.load("street", split) for split in ("train", "val", "test")]


# --- what is measured -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mining", ["full", "partial", "random"])
def test_counts_are_those_of_the_run(sets, tmp_path, monkeypatch, mining):
    config, described, learned = TINY.replace(mining=mining), [], []
    takes = measure_cost(config, sets[:2], CPU)
    step, describe = trainer.Trainer.step, trainer.Trainer.describe

    def counted_step(self, pixels, rows):
        learned.append(rows.size)
        return step(self, pixels, rows)

    def counted(self, wanted):
        described.append(len(wanted))
        return describe(self, wanted)

    monkeypatch.setattr(trainer.Trainer, "step", counted_step)
    monkeypatch.setattr(trainer.Trainer, "describe", counted)
    fit(config, tmp_path / "run")
    assert takes.images_learned_per_round * 6 == sum(learned) and len(described) == 6
    mined = takes.images_described_per_round
    assert mined == max(described) if mining == "full" else abs(mined - max(described)) <= 8
    # a second for an image described, a minute for an image learned from
    takes = replace(takes, seconds_to_decode=0.0, seconds_to_describe=(1.0, 1.0, 1.0), seconds_to_learn=60.0)
    found = from_cost(config, sets, takes, PLENTY).minutes
    assert found["training"] == pytest.approx(sum(learned) + (6 * mined + 3 * 32) / 60)
    assert found["test"] == pytest.approx(32 / 60)


@pytest.mark.parametrize(
    "config",
    [*(TINY.replace(loss=loss) for loss in LOSSES), TINY.replace(loss="hphn_quadruplet", negs_num_per_query=2), PLACES],
    ids=lambda config: f"{config.task.loss}-{config.task.images_per_row}",
)
def test_every_loss_can_be_measured(sets, config):
    assert measure_cost(config, sets[:2], CPU).bytes_to_learn_row > 0


def test_frozen_layers_output_is_kept_as_the_training_keeps_it(sets):
    one = 4 * 64 * 8 * 8
    assert measure_cost(FROZEN, sets[:2], CPU).bytes_cached == (48 * one, 32 * one)
    assert measure_cost(FROZEN.replace(augmentation="hue"), sets[:2], CPU).bytes_cached == (48 * one, 32 * one)
    classes = measure_cost(TINY.replace(loss="geo_classification"), sets[:2], CPU)
    assert classes.bytes_cached == (0, 0) and classes.images_described_per_round == 0


def test_classifiers_that_rest_take_ram_and_disk_but_no_gpu_memory(sets):
    both, one = (measure_cost(config, sets[:2], CPU) for config in (GROUPS, GROUPS.replace(groups_num=1)))
    assert (both.bytes_resting, one.bytes_resting) == (3 * 4 * 6 * 64, 0)
    assert both.bytes_beside_model == one.bytes_beside_model and both.images_learned_per_round == 8
    many = replace(TAKES, bytes_resting=10**9)
    more, less = (from_cost(GROUPS, sets, takes, ON_A_GPU).bytes_needed for takes in (many, TAKES))
    assert {name: more[name] - less[name] for name in more} == pytest.approx(
        {"RAM": 1.3e9, "GPU memory": 0, "disk": 2e9}
    )


def test_what_helps_is_an_option_of_the_loss(sets):
    for config, option in ((TINY, "negs_num_per_query"), (GROUPS, "images_per_row")):
        with pytest.raises(ValueError, match=f"RAM is short: .*lower image_size, {option} or"):
            from_cost(config, sets, TAKES, PLENTY | {"RAM": 10**6}).check()


@pytest.mark.skipif(not PEAK.exists(), reason="the system does not forget earlier peaks")
def test_the_memory_of_a_training_is_foreseen(sets, tmp_path):
    config = FROZEN.replace(image_size=(96, 128), epochs_num=1)
    found = expected(config, sets)
    taken = max(row["peak_bytes"] for row in fit(config, tmp_path / "run").history)
    assert 0.8 * taken < 1e9 * found.training["GB of RAM in training"] < 1.5 * taken + 5 * 10**7


def test_measuring_leaves_no_trace(sets, tmp_path):
    config = TINY.replace(augmentation="hue", pooling="netvlad")
    before = torch.random.get_rng_state()
    measure_cost(config, sets[:2], CPU)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not list(tmp_path.rglob("*.pt")) and not list(tmp_path.rglob("*.npy"))
    again = fit(config, tmp_path / "after")
    assert [row["loss"] for row in fit(config, tmp_path / "alone").history] == [row["loss"] for row in again.history]


@pytest.mark.parametrize("free", [PLENTY["RAM"], 10**5])
def test_more_than_a_few_images_are_tried_only_where_they_fit(sets, monkeypatch, free):
    tried, step = [], trainer.Trainer.step
    monkeypatch.setattr(cost, "free_memory", lambda _device: free)
    monkeypatch.setattr(
        trainer.Trainer, "step", lambda self, pixels, rows: tried.append(len(pixels)) or step(self, pixels, rows)
    )
    takes = measure_cost(TINY, sets[:2], CPU)
    assert tried[:3] == [4, 4, 8] and tried[3:] == [12 if free > 10**5 else 8]
    assert takes.seconds_to_learn > 0 and takes.bytes_to_learn > 0


def test_memory_that_ends_while_measuring_is_a_refusal(street, monkeypatch):
    def without_room(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(cost, "describe_photographs", without_room)
    monkeypatch.setattr(module, "_measured", {})  # of tests before
    with pytest.raises(ValueError, match=r"^RAM is short: .* free .*; lower image_size"):
        run(TINY.replace(epochs_num=1))


# --- minutes ----------------------------------------------------------------------------------------------------------
def test_frozen_layers_run_once_where_their_output_is_cached(sets):
    takes = replace(TAKES, seconds_to_describe=(0.0, 0.0, 60.0), seconds_to_decode=0.6, bytes_cached=(1000, 1000))
    found = from_cost(FROZEN, sets, takes, PLENTY).minutes
    assert found == pytest.approx({"done once": 80.8, "training": 0, "test": 32.32})
    of_val = from_cost(
        FROZEN, sets, replace(takes, seconds_to_describe=(60.0, 0.0, 60.0), bytes_cached=(0, 1000)), PLENTY
    )
    assert of_val.minutes["done once"] == pytest.approx(32.8) and of_val.minutes["training"] == 6 * 32
    little = PLENTY | {"disk": 1000.0}  # too small for pixels: decoded where they are needed
    assert from_cost(FROZEN, sets, takes, little).minutes["training"] == 0
    everything = from_cost(
        FROZEN, sets, replace(takes, seconds_to_describe=(0.0, 0.0, 0.0), bytes_cached=(0, 0)), little
    ).minutes
    assert everything["done once"] == 0
    assert everything["training"] == pytest.approx((6 * (32 + 40) + 3 * 32) / 100)


def test_views_of_queries_count_in_the_test(sets):
    takes = replace(TAKES, seconds_to_describe=(60.0, 60.0, 60.0), values_per_descriptor=10**6)
    plain, many = (
        from_cost(TINY.replace(test_method=method), sets, takes, PLENTY)
        for method in ("hard_resize", "five_crops+multi_scale_concatenated+flip")
    )
    assert plain.minutes["test"] == 32 and many.minutes["test"] == pytest.approx(7 * (16 + 5 * 16))
    more = 1.3 * 4 * 10**6 * (3 * (16 + 5 * 16) - 32)
    assert many.bytes_needed["RAM"] - plain.bytes_needed["RAM"] == pytest.approx(more)


# --- bytes, and refusals ----------------------------------------------------------------------------------------------
def test_a_proposal_fits(sets):
    config = TINY.replace(train_batch_size=40)
    takes = replace(TAKES, bytes_to_learn=40 * TAKES.bytes_to_learn_row)
    found = from_cost(config, sets, takes, PLENTY)
    free = PLENTY | {"RAM": 0.5 * found.bytes_needed["RAM"]}
    with pytest.raises(
        ValueError, match=r"RAM is short: .*train_batch_size=(\d+) instead of 40 would fit, or"
    ) as refused:
        from_cost(config, sets, takes, free).check()
    size = int(str(refused.value).split("train_batch_size=")[1].split()[0])
    takes = replace(takes, bytes_to_learn=size * TAKES.bytes_to_learn_row)
    from_cost(config.replace(train_batch_size=size), sets, takes, free).check()
    with pytest.raises(ValueError, match=r"RAM is short: .*lower image_size"):
        from_cost(TINY, sets, TAKES, PLENTY | {"RAM": 10**6}).check()


def test_what_is_short_beside_a_gpu_is_named_with_what_helps(sets):
    config = TINY.replace(train_batch_size=40)
    takes = replace(TAKES, bytes_to_learn=40 * TAKES.bytes_to_learn_row)
    need = from_cost(config, sets, takes, ON_A_GPU).bytes_needed
    assert list(need) == ["RAM", "GPU memory", "disk"] and need["GPU memory"] > takes.bytes_to_learn > need["RAM"]
    for short, words in (("GPU memory", r"train_batch_size=\d+ instead of 40"), ("RAM", "decoded batches wait there")):
        with pytest.raises(ValueError, match=f"^{short} is short: .*{words}"):
            from_cost(config, sets, takes, ON_A_GPU | {short: 0.6 * need[short]}).check()
    large = TINY.replace(test_image_size=(640, 640))
    with pytest.raises(ValueError, match=r"RAM is short: .*its test: lower infer_batch_size"):
        from_cost(large, sets, TAKES, ON_A_GPU | {"RAM": 10**8}).check()


def test_descriptors_without_room_in_memory_count_for_the_disk(sets):
    takes = replace(TAKES, values_per_descriptor=10**8, images_described_per_round=0)
    much, little = (from_cost(TINY, sets, takes, PLENTY | {"RAM": memory}) for memory in (10**12, 10**8))
    assert little.bytes_needed["disk"] - much.bytes_needed["disk"] == 2 * 32 * 10**8  # as float16


def test_a_whitening_counts_in_the_test(sets):
    takes = replace(TAKES, seconds_to_describe=(0.0, 0.0, 60.0), values_per_descriptor=10**6)
    plain, short = (from_cost(TINY.replace(whitened_dim=dim), sets, takes, PLENTY) for dim in (0, 4))
    assert short.minutes["test"] - plain.minutes["test"] == 24  # the database of train
    weights = 4 * 23 * 10**6  # bytes, twice while they are replaced
    assert short.bytes_needed["disk"] - plain.bytes_needed["disk"] == 2 * weights
    assert short.bytes_needed["RAM"] - plain.bytes_needed["RAM"] > 4 * (24 + 23 - 1.3 * 32) * 10**6


def test_what_has_no_room_is_refused_in_notebooks_and_on_the_command_line(street, monkeypatch, capsys):
    monkeypatch.setattr(module, "_free_disk", lambda: 1000)
    with pytest.raises(ValueError, match=r"disk is short: .*VG_CACHE"):
        run(TINY.replace(epochs_num=1))
    run(TINY.replace(epochs_num=0))  # it trains nothing
    with pytest.raises(own_files.Damaged, match=r"estimate\.json"):
        compared(TINY.replace(epochs_num=0))
    words = "--profile smoke --dataset street --image_size 32 32 --layer layer1 --freeze none --epochs_num 1"
    assert main(["train", *words.split()]) == 1
    assert "error: disk is short" in capsys.readouterr().err


# --- what it took, beside it ------------------------------------------------------------------------------------------
def test_a_training_says_what_it_took_and_goes_on_whatever_the_estimate(street, monkeypatch, capsys):
    config = TINY.replace(epochs_num=1)

    def interrupted(_trainer):
        raise KeyboardInterrupt

    with monkeypatch.context() as meanwhile, pytest.raises(KeyboardInterrupt):
        meanwhile.setattr(trainer.Trainer, "training_round", interrupted)
        run(config)
    assert compared(config).taken.isna().all()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(module, "_free_disk", lambda: 1000)  # its own pixels have filled it
        run(config)
    printed = capsys.readouterr().out
    assert printed.count("expected need") == 1 and printed.count("minutes of training: ") == 1
    of_test = [f"{what} test street-32x32-hard_resize" for what in ("minutes of", "GB of disk with")]
    minutes = ["minutes done once", "minutes of training"]
    table = compared(config)
    assert list(table.index) == ["epochs", *minutes, "GB of RAM in training", *of_test]
    assert (table.taken >= 0).all() and table.taken["epochs"] == 1 and (table.taken[minutes] > 0).all()
    run(config.replace(test_method="five_crops"))  # another test of the same training: nothing was expected of it
    assert "taken" not in capsys.readouterr().out
    pd.testing.assert_frame_equal(compared(config), table)


def test_what_it_took_stands_beside_what_was_expected(sets, tmp_path, monkeypatch, capsys):
    found = from_cost(TINY, sets, replace(TAKES, seconds_to_learn=60.0, seconds_to_decode=6.0), PLENTY)
    found.save(tmp_path, "street-a")
    (before, since), filled = (tmp_path / "pixels" / name for name in ("before", "since")), [tmp_path / "pixels"]
    filled[0].mkdir()
    before.write_bytes(bytes(1000))
    os.utime(before, (0, 0))  # seconds since 1970
    since.touch()
    os.truncate(since, 3 * GB)  # a hole, which takes no place
    history = pd.DataFrame({"seconds": [60.0, 90.0], "seconds_decode": [90.0, 0], "peak_bytes": [2 * GB, 3 * GB]})
    after_training(tmp_path, history, pd.DataFrame({"epoch": [0, 1], "seconds": [3.0, 27.0]}))
    after_test(tmp_path, "street-a", 30.0, filled)
    after_test(tmp_path, "street-b", 30.0, filled)  # of which nothing was expected
    need = found.training["GB of RAM in training"]
    assert capsys.readouterr().out.splitlines() == [
        "epochs: 1.00 taken, 2.00 expected",
        "minutes done once: 1.50 taken, 8.00 expected",
        "minutes of training: 3.00 taken, 240.00 expected",
        f"GB of RAM in training: 3.00 taken, {need:.2f} expected",
        "minutes of test street-a: 0.50 taken, 3.20 expected",
        f"GB of disk with test street-a: 3.00 taken, {found.bytes_needed['disk'] / GB:.2f} expected",
    ]
    assert json.loads((tmp_path / "estimate.json").read_text())["taken"]["minutes of training"] == 3
    assert comparison(tmp_path).taken["GB of RAM in training"] == 3
