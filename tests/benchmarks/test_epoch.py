"""The ladder from the reference loop to the Trainer: rungs agree, are timed in parts, and are kept in a CSV."""

import re
import shutil
from dataclasses import astuple
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import agreement, epoch, ladder, reference
from benchmarks.agreement import compare
from benchmarks.epoch import PARTS, configure, load, main, parser, seconds_of, warm_up
from benchmarks.ladder import RUNGS, SWITCHES, LoopedTuples, Switches, make_runner
from benchmarks.measure import Disagreement
from benchmarks.prediction import CHANGES, GOALS, predicted
from vg_core.datasets.places import PlaceSet
from vg_core.models import build_model
from vg_core.retrieval import feature_cache
from vg_core.retrieval.feature_cache import DeviceCache
from vg_core.training.objectives import Tuples
from vg_core.training.progress import Progress
from vg_core.training.trainer import FIRST, Trainer

TINY = {"clusters": 4, "queries_per_epoch": 16, "cache_refresh_rate": 8, "negs_num_per_query": 3, "neg_samples_num": 12}
ON_CPU = [rung for rung in RUNGS if rung not in ("bf16", "device_pixels")]


@pytest.fixture
def city(street, monkeypatch):
    """The street by path, with enough images to validate on; arguments of a tiny epoch, without processes that read."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(ladder, "WORKERS", 0)
    shutil.rmtree(street / "images" / "val")
    shutil.copytree(street / "images" / "train", street / "images" / "val")
    return ["--dataset", str(street), *(word for name, value in TINY.items() for word in (f"--{name}", str(value)))]


@pytest.fixture
def compiled(monkeypatch):
    """The calls for compiled code, in whose place stays what would take minutes to compile; a compiler is there."""
    calls = []
    monkeypatch.setattr(feature_cache, "_compiled", lambda work: calls.append(work) or work)
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/g++")
    return calls


def setup(city, *more):
    """(config, sets) of a command."""
    args = parser().parse_args([*city, *more])
    sets = load(args.dataset)
    return configure(args, sets), sets


# --- the command ---------------------------------------------------------------------------------------------------
def test_every_rung_agrees_is_timed_and_is_kept(city, compiled, tmp_path, monkeypatch, capsys):
    file = tmp_path / "epoch.csv"
    command = [*city, "--rounds", "1", "--output", str(file)]
    assert main(command) == 0
    lines = pd.read_csv(file)
    assert list(lines.rung) == ON_CPU and compiled
    assert lines[list(PARTS)].sum(axis=1).to_numpy() == pytest.approx(lines.seconds.to_numpy())
    assert (lines[["extraction", "forward", "backward", "validation"]] > 0).all(axis=None)
    assert lines.factor.to_numpy() == pytest.approx(lines.seconds[0] / lines.seconds.to_numpy())
    assert (lines.described == lines.described[0]).all() and lines.described[0] > 2 * (
        8 + 12
    )  # two rounds of queries and pool
    assert (lines.same_tuples == 1).all() and (lines.loss_apart[lines.rung != "augmented"] < 1e-3).all()
    printed = capsys.readouterr().out
    assert "bf16: left out, this device" in printed and "device_pixels: left out, a CPU has" in printed
    assert "timed: 1 of 2 rounds of each epoch" in printed
    assert re.search(r"reference: [\d.]+ s an epoch; at most about \d+ min left", printed)
    assert re.search(r"^ *trainer +[\d.]+ +[\d.]+", printed, re.MULTILINE)

    monkeypatch.setattr(epoch, "timed", lambda *_: pytest.fail("timed again"))
    monkeypatch.setattr(epoch, "compare", lambda *_: pytest.fail("compared again"))
    assert main(command) == 0
    assert pd.read_csv(file).equals(lines)


def test_lines_of_other_settings_stay_and_those_of_the_same_are_replaced(city, tmp_path, monkeypatch):
    file, spent = tmp_path / "epoch.csv", iter([8.0, 2.0, 4.0, 5.0])
    monkeypatch.setattr(epoch, "compare", lambda rungs, *_: {rung: {} for rung in rungs})
    parts = dict.fromkeys(PARTS, 0.0)
    monkeypatch.setattr(epoch, "timed", lambda rung, *_: {"rung": rung, "seconds": next(spent), **parts})
    command = [*city, "--output", str(file), "--rungs"]
    assert main([*command, "trainer", "reference"]) == 0  # in the order of the ladder
    assert main([*command, "trainer", "--again"]) == 0
    assert main([*command, "trainer", "--clusters", "5"]) == 0
    lines = pd.read_csv(file)
    assert lines[["rung", "seconds"]].to_numpy().tolist() == [["reference", 8.0], ["trainer", 4.0], ["trainer", 5.0]]
    assert lines.factor.tolist()[:2] == [1, 2] and np.isnan(lines.factor[2])  # no reference of its own
    assert "clusters=4" in lines.options[1] and "clusters=5" in lines.options[2]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--rungs", "speed"], r"no rung is called 'speed'; choose one of: reference, mining"),
        (["--rounds", "3"], r"rounds=3 must be 1 to 2, which make one epoch"),
        (["--mining", "random"], r"mining=random compares no descriptors"),
        (["--cache_refresh_rate", "5"], r"queries_per_epoch=16 must be a multiple of"),
        (["--cache_refresh_rate", "48", "--queries_per_epoch", "48"], r"24 queries with a positive, a round takes 48"),
        (["--dataset", "toycity"], r"there is no toycity in .*; draw it: .*toy_city\.py --city toycity --size large"),
        (["--dataset", "elsewhere"], r"dataset 'elsewhere' has no train split"),
    ],
)
def test_bad_input_is_a_sentence(city, more, message, capsys):
    assert main([*city, *more]) == 1
    assert re.search(message, capsys.readouterr().err)


def test_faults_of_files(city, street, tmp_path, write_photo, capsys):
    table = tmp_path / "other.csv"
    table.write_text("a,b\n1,2\n")
    assert main([*city, "--output", str(table)]) == 1
    assert "other.csv is no table of rungs; give another --output" in capsys.readouterr().err
    write_photo(street / "images" / "train" / "queries", 400_001, 5_000_000, size=(50, 60))
    assert main(city) == 1
    assert "photographs of 2 sizes, and the reference loop resizes none" in capsys.readouterr().err


def test_an_interrupt_says_how_to_go_on(city, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(epoch, "compare", interrupted)
    assert main([*city, "--output", str(tmp_path / "epoch.csv")]) == 130
    assert "the same command goes on" in capsys.readouterr().err


# --- rungs ---------------------------------------------------------------------------------------------------------
def test_each_rung_adds_one_switch_and_the_last_are_the_trainer(city, tmp_path):
    ladder = [astuple(kind) for kind in RUNGS.values() if isinstance(kind, Switches)]
    assert [sum(switches) for switches in ladder] == list(range(1 + len(SWITCHES)))
    assert all(set(a) <= {False, True} and a <= b for a, b in pairwise(ladder))
    config, sets = setup(city)
    last = [make_runner(rung, config, tmp_path, *sets) for rung in ("augmented", "trainer")]
    assert [type(runner) for runner in last] == [Trainer, Trainer]
    assert [runner.config.augmentation for runner in last] == ["colour_jitter", "none"]


@pytest.mark.parametrize("mining", ["partial", "full"])
def test_looped_tuples_are_those_of_one_product_also_at_the_second_visit(city, mining):
    config, (places, _) = setup(city, "--mining", mining, "--cache_refresh_rate", "16")
    dim = build_model(config).dim
    table = torch.nn.functional.normalize(torch.randn(48, dim, generator=torch.Generator().manual_seed(0)), dim=1)
    objectives = [kind(config, places, dim) for kind in (Tuples, LoopedTuples)]
    for visit in range(3):
        drawn = [one.draw(FIRST, np.random.default_rng(visit), lambda wanted: table[wanted])[0] for one in objectives]
        assert np.array_equal(*drawn)


def test_rungs_draw_the_same_queries_in_an_epoch(city, tmp_path, monkeypatch):
    config, sets = setup(city)
    drawn = {"reference": [], "trainer": []}
    for rung, rounds in drawn.items():
        runner = make_runner(rung, config, tmp_path, *sets)
        monkeypatch.setattr(runner, "fit", lambda rows, *_, rounds=rounds: rounds.append(rows[:, 0]) or 0.0)
        runner.progress = Progress(rung, 2)
        runner.start()
        runner.run(2)
    assert np.array_equal(*drawn.values()) and np.shape(drawn["trainer"]) == (2, 8)


@pytest.mark.parametrize("rung", ["reference", "folded", "augmented", "trainer"])
def test_a_warm_up_changes_no_tuple_and_no_loss(city, tmp_path, rung):
    config, sets = setup(city)
    histories = []
    for warmed in (False, True):
        runner = make_runner(rung, config, tmp_path, *sets)
        runner.start()
        if warmed:
            warm_up(runner, "to warm up", config.infer_batch_size)
        runner.progress = Progress(rung, 2)
        runner.run(2)
        histories.append([(row["round"], row["loss"]) for row in runner.state.history])
    assert histories[0] == histories[1] and len(histories[1]) == 2


def test_pixels_are_kept_on_a_gpu(city, monkeypatch):
    config, sets = setup(city)
    assert not isinstance(make_runner("device_pixels", config, None, *sets).images, DeviceCache), "this is a CPU"
    monkeypatch.setattr(feature_cache, "pixels_fit", lambda *_: True)
    runner = make_runner("device_pixels", config, None, *sets)
    assert isinstance(runner.images, DeviceCache) and isinstance(runner.val_images, DeviceCache)
    runner.start()
    assert all("maps" in vars(images) for images in (runner.images, runner.val_images)), "before anything is timed"
    assert compare(["device_pixels"], config, sets[0])["device_pixels"]["same_tuples"] == 1


def test_what_cannot_be_compiled_is_left_out(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    chosen = epoch.chosen_rungs(["folded", "compiled", "trainer"], torch.device("cpu"))
    assert (
        chosen == ["folded", "trainer"] and "compiled: left out, torch.compile needs a C++" in capsys.readouterr().out
    )


def test_the_reference_pins_its_batches_where_there_is_a_gpu(city, monkeypatch):
    assert not reference.batches(["a.jpg"], [0], 1, 0).pin_memory
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert reference.batches(["a.jpg"], [0], 1, 0).pin_memory


# --- agreement -----------------------------------------------------------------------------------------------------
def test_what_disagrees_is_neither_timed_nor_written(city, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(epoch, "timed", lambda *_: pytest.fail("timed"))
    monkeypatch.setattr(reference, "triplet", lambda *_, of=reference.triplet: 1.01 * of(*_))
    file = tmp_path / "epoch.csv"
    assert main([*city, "--output", str(file), "--rungs", "netvlad", "loss"]) == 1
    assert re.search(
        r"error: loss mines 100\.0% .* its loss lies 0\.0099 of .* Nothing was timed", capsys.readouterr().err
    )
    assert not file.exists()


def test_a_wrong_step_shows_in_the_second_loss(city, monkeypatch):
    config, (places, _) = setup(city)
    monkeypatch.setattr(Trainer, "step", lambda self, *_, of=Trainer.step: _still(self, of, *_))
    with pytest.raises(Disagreement, match=r"trainer mines 100\.0%"):
        compare(["trainer"], config, places)


def test_other_tuples_are_a_disagreement():
    with pytest.raises(Disagreement, match=r"pixels mines 50\.0% of the reference's images"):
        agreement.judge("pixels", 0.5, 0.0)
    with pytest.raises(Disagreement):
        agreement.judge("pixels", 1.0, float("nan"))
    agreement.judge("augmented", 1.0, 0.4)


def test_few_photographs_hold_all_positives(city, street):
    places = PlaceSet.load(str(street), "train")
    small = agreement.few(places, 3, 10.0)
    assert len(small.queries) == 3 and list(small.queries.path) == list(places.queries.path[:3])
    assert [len(near) for near in small.neighbours(10.0)] == [len(near) for near in places.neighbours(10.0)[:3]]


def _still(trainer, step, *batch):
    """A step after which the weights are what they were."""
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    loss = step(trainer, *batch)
    trainer.model.load_state_dict(before)
    return loss


# --- prediction ----------------------------------------------------------------------------------------------------
def test_no_rung_is_predicted_to_be_slower_than_the_one_before():
    assert CHANGES.keys() <= RUNGS.keys() and GOALS.keys() <= RUNGS.keys()
    counted = [predicted(rung, 5000, 43_000, 60_000, 17_608) for rung in RUNGS]  # of Pitts30k with its defaults
    assert counted == sorted(counted, reverse=True)


def test_seconds_of_rounds_are_scaled_to_an_epoch_and_validation_is_not():
    history = pd.DataFrame([{f"seconds_{phase}": 1.0 for phase in ("decode", *PARTS[:-2])} | {"seconds": 6.0}] * 2)
    assert seconds_of(history, 3.0, 2.5) == dict.fromkeys(PARTS[:-1], 5.0) | {"validation": 3.0}
