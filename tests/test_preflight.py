"""Estimates before a run: counts of images as the run has them, arithmetic of bytes, refusals that say what fits."""

import json
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from tests.tiny import TINY, fit
from vg_core import batch_cost, needs, own_files, paths, tasks, training
from vg_core import preflight as module
from vg_core.__main__ import main
from vg_core.batch_cost import Batch, measure
from vg_core.devices import PEAK, RAM, forget_peak, free_memory, used_memory
from vg_core.engines.exact import MEMORY_BYTES
from vg_core.models import GeoModel, build_model
from vg_core.models.whitening import learning_bytes
from vg_core.preflight import after_test, after_training, compared, preflight
from vg_core.records import load_places, run_id
from vg_core.runs import run
from vg_core.tasks import make_task
from vg_core.workload import mined

GB = 10**9
PLENTY = {"RAM": 100 * GB, "disk": 100 * GB}
FROZEN = TINY.replace(layer="layer2", freeze="layer1", test_dataset="street")
BATCH = Batch(
    **{"dim": 64, "weights": 4 * 10**6, "trained": 10**6, "kept": 10**7, "largest": 10**6, "stem": 0},
    **{"decode_seconds": 0.0, "stem_seconds": 0.0, "tail_seconds": 0.0, "train_seconds": 0.0},
)


def interrupted(_trainer):
    raise KeyboardInterrupt


CUDA = torch.device("cuda")
ON_A_GPU = PLENTY | {"GPU memory": 80 * GB}


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch):
    monkeypatch.setattr(module, "pick_device", lambda: torch.device("cpu"))


@pytest.fixture
def on_a_gpu(on_a_cpu, monkeypatch):
    monkeypatch.setattr(module, "pick_device", lambda: CUDA)


def described_in_a_round(config):
    """Images at most, and usually."""
    return mined(make_task(config, load_places(config, "train"), 64))


@pytest.mark.parametrize("mining", ["full", "partial", "random"])
def test_counts_are_those_of_the_run(street, tmp_path, monkeypatch, mining):
    config, described, learned = TINY.replace(mining=mining), [], []
    step, describe = training.Trainer.step, training.Trainer.describe

    def counted_step(self, pixels, rows):
        learned.append(rows.size)
        return step(self, pixels, rows)

    def counted(self, wanted):
        described.append(len(wanted))
        return describe(self, wanted)

    monkeypatch.setattr(training.Trainer, "step", counted_step)
    monkeypatch.setattr(training.Trainer, "describe", counted)
    fit(config, tmp_path / "run")
    most, usual = described_in_a_round(config)
    assert max(described) <= most and (mining != "full" or set(described) == {most})
    # a second for an image described, a minute for an image learned from
    expected = preflight(config, replace(BATCH, tail_seconds=1.0, train_seconds=60.0), PLENTY).minutes
    validated = 3 * 32
    assert expected["training"] == pytest.approx(sum(learned) + (6 * usual + validated) / 60)
    assert expected["test"] == pytest.approx(32 / 60)
    assert len(described) == 6


def test_frozen_layers_run_once_where_their_output_is_kept(street):
    batch = replace(BATCH, stem=1000, stem_seconds=60.0, decode_seconds=0.6)
    assert preflight(FROZEN, batch, PLENTY).minutes == pytest.approx({"done once": 80.8, "training": 0, "test": 32.32})
    described, learned = 6 * described_in_a_round(FROZEN)[1], 48 * 5
    augmented = preflight(FROZEN.replace(augmentation="hue"), batch, PLENTY)
    assert augmented.minutes["training"] == pytest.approx(described + learned)
    assert augmented.minutes["done once"] == pytest.approx(32.8)
    little = preflight(FROZEN, batch, PLENTY | {"disk": 1000.0})  # too small for pixels: decoded where they are needed
    assert little.minutes == pytest.approx({"done once": 80.8, "training": 0, "test": 32.32})
    everything = preflight(
        FROZEN.replace(freeze="none"), replace(batch, stem=0, stem_seconds=0.0), PLENTY | {"disk": 1000.0}
    )
    assert everything.minutes["done once"] == 0
    assert everything.minutes["training"] == pytest.approx((described + learned + 3 * 32) / 100)


def test_classification_mines_nothing(street):
    assert described_in_a_round(TINY.replace(loss="geo_classification")) == (0, 0)


@pytest.fixture
def some_without_positives(street, monkeypatch):
    """Half of the 24 queries of train show no place of the database; the others' positives are many or few."""
    lists = [np.arange(0)] * 12 + [np.arange(1)] * 6 + [np.arange(9)] * 6
    monkeypatch.setattr(tasks, "hard_positives", lambda *_: lists)


@pytest.mark.parametrize("mining", ["full", "partial", "random"])
def test_queries_without_positives_are_not_described(some_without_positives, mining):
    config = TINY.replace(mining=mining, neg_samples_num=1, negs_num_per_query=1, cache_refresh_rate=8)
    task = make_task(config, load_places(config, "train"), 64)
    task.database = 1000
    drawn = {"full": 1000, "partial": 1, "random": 0}[mining]
    most, usual = (min(1000, drawn + positives + 8) + 8 for positives in (6 * 9 + 2 * 1, 8 * 5))
    assert mined(task) == (most, usual)


def test_rounds_are_no_longer_than_there_are_queries_to_learn_from(some_without_positives, tmp_path, monkeypatch):
    config, learned = TINY.replace(cache_refresh_rate=24), []
    monkeypatch.setattr(training.Trainer, "fit", lambda _self, rows: learned.append(rows.size) or 0.0)
    fit(config, tmp_path / "run")
    expected = preflight(config, replace(BATCH, train_seconds=60.0), PLENTY)
    assert expected.minutes["training"] == sum(learned) == 2 * 12 * 5


def test_memory_grows_with_the_batch_and_the_proposal_fits(street):
    small, large = (preflight(TINY.replace(train_batch_size=size), BATCH, PLENTY) for size in (1, 40))
    a_tuple = 1.3 * 5 * (10**7 + 2 * 10**6)
    assert large.needed["RAM"] - small.needed["RAM"] == pytest.approx(39 * a_tuple, rel=0.05)
    free = PLENTY | {"RAM": 0.5 * large.needed["RAM"]}
    short = preflight(TINY.replace(train_batch_size=40), BATCH, free)
    with pytest.raises(
        ValueError, match=rf"RAM is short: .*train_batch_size={short.needs.fitting} instead of 40 would fit"
    ):
        short.check()
    fitting = short.needs.fitting
    preflight(TINY.replace(train_batch_size=fitting), BATCH, free).check()
    preflight(TINY.replace(train_batch_size=40, accumulate=-(-40 // fitting)), BATCH, free).check()


@pytest.mark.parametrize("test_method", ["hard_resize", "five_crops"])
def test_processes_share_the_batch_and_the_minutes(test_method, street, monkeypatch):
    config = TINY.replace(test_method=test_method)
    batch = replace(BATCH, tail_seconds=1.0, train_seconds=1.0)
    one = preflight(config, batch, PLENTY)
    fitting = one.needs.fitting
    monkeypatch.setattr(module.processes, "size", lambda: 4)
    four = preflight(config, batch, PLENTY)
    assert four.minutes == pytest.approx({part: minutes / 4 for part, minutes in one.minutes.items()})
    less = 3 * 1.3 * 5 * (10**7 + 2 * 10**6)
    assert one.needed["RAM"] - four.needed["RAM"] == pytest.approx(less, rel=0.01)  # and fewer pixels wait
    assert four.needs.fitting == pytest.approx(4 * fitting, abs=4)


def test_processes_share_what_frozen_layers_make(street, monkeypatch):
    batch = replace(BATCH, stem=1000, stem_seconds=1.0, tail_seconds=1.0, train_seconds=1.0, decode_seconds=60.0)
    one = preflight(FROZEN, batch, PLENTY).minutes
    monkeypatch.setattr(module.processes, "size", lambda: 4)
    four = preflight(FROZEN, batch, PLENTY)
    assert four.needs.stems == (48 * 1000, 32 * 1000)
    decoded = {"done once": 80, "training": 0, "test": 32}  # by all threads of the machine, whoever starts them
    assert min(one[part] - alone for part, alone in decoded.items()) > 0
    assert four.minutes == pytest.approx({part: alone + (one[part] - alone) / 4 for part, alone in decoded.items()})


def test_a_classifier_counts_with_its_gradients_and_moments(street):
    """12 cells of 25 m hold a database image; loss and mining of tuples take nothing of the kind."""
    batch = replace(BATCH, dim=10**5)
    tuples, classes = (
        preflight(TINY.replace(mining="random").replace(loss=loss), batch, PLENTY)
        for loss in ("triplet", "geo_classification")
    )
    head = 4 * (10**5 + 1) * len(make_task(classes.needs.config, load_places(TINY, "train"), 1).head.bias)
    mining = 1.3 * 4 * 10**5 * max(0, tuples.needs.mined[0] - 32)  # beyond a validation's descriptors
    assert classes.needs.training - tuples.needs.training == pytest.approx(1.3 * 4 * head - mining)
    assert classes.needed["disk"] - tuples.needed["disk"] == 2 * 3 * head  # with two moments, written beside the old
    assert classes.needs.testing == tuples.needs.testing, "it is dropped before"


# --- on a GPU, without one --------------------------------------------------------------------------------------------
def test_a_gpu_holds_the_network_and_ram_what_waits(street, on_a_gpu):
    gpu = preflight(TINY, BATCH, ON_A_GPU)
    assert list(gpu.needed) == ["RAM", "GPU memory", "disk"]
    pixels, descriptors = 3 * 48 * 32 * 32, 4 * 64 * max(gpu.needs.mined[0], 32)
    network = 1.3 * (4 * 10**6 + 3 * 10**6 + descriptors) + pixels  # with gradients and moments of what is trained
    assert gpu.needs.training == pytest.approx(network + 4 * 1.3 * 5 * (10**7 + 2 * 10**6))
    batches = gpu.needs._queued(1) / (3 * 32 * 32)
    assert gpu.needed["RAM"] == batches * 4 * 5 * 3 * 32 * 32


def test_in_ram_beside_a_gpu_wait_the_batches_of_training_or_those_of_the_test(street, on_a_gpu):
    plain, small, large = (
        preflight(TINY.replace(image_size=(64, 64), test_image_size=size), BATCH, ON_A_GPU).needed["RAM"]
        for size in (None, (32, 32), (640, 640))
    )
    assert small == plain, "a tuple's images are as large as ever"
    assert large == pytest.approx(plain * 16 / 20 * 100), "infer_batch_size images, of 4 tuples of 5"


def test_descriptors_of_views_lie_in_ram_beside_a_gpu(street, on_a_gpu):
    batch = replace(BATCH, dim=10**6)
    plain, views = (
        preflight(TINY.replace(test_method=method), batch, ON_A_GPU).needs for method in ("hard_resize", "five_crops")
    )
    assert views.testing["RAM"] - plain.testing["RAM"] == pytest.approx(1.3 * 4 * 10**6 * (16 + 5 * 16))
    assert plain.testing["GPU memory"] - views.testing["GPU memory"] == pytest.approx(1.3 * 4 * 10**6 * 32)


def test_what_is_short_beside_a_gpu_is_named_with_what_helps(street, on_a_gpu):
    config = TINY.replace(train_batch_size=40)
    for short, words in (("GPU memory", r"train_batch_size=\d+ instead of 40"), ("RAM", "decoded batches wait there")):
        need = preflight(config, BATCH, ON_A_GPU).needed[short]
        with pytest.raises(ValueError, match=f"^{short} is short: .*{words}"):
            preflight(config, BATCH, ON_A_GPU | {short: 0.6 * need}).check()
    with pytest.raises(ValueError, match=r"^RAM is short: .*its test: lower infer_batch_size"):
        preflight(TINY.replace(test_image_size=(640, 640)), BATCH, ON_A_GPU | {"RAM": 10**6}).check()


# --- what it took, beside it ------------------------------------------------------------------------------------------


def test_where_not_one_tuple_fits_other_options_are_named(street):
    with pytest.raises(ValueError, match=r"RAM is short: .*lower image_size"):
        preflight(TINY, BATCH, PLENTY | {"RAM": 10**6}).check()


def test_descriptors_without_room_in_memory_count_for_the_disk(street, monkeypatch):
    monkeypatch.setattr(needs, "STORED_AT_ONCE", 1)
    config, batch = TINY.replace(loss="geo_classification"), replace(BATCH, dim=10**8)  # it has no mining's at hand
    much, little = (preflight(config, batch, PLENTY | {"RAM": memory}) for memory in (10**12, 10**8))
    assert little.needed["disk"] - much.needed["disk"] == 2 * 16 * 10**8  # the database; queries stay in memory
    assert much.needed["RAM"] - little.needed["RAM"] == pytest.approx(1.3 * (4 * 15 * 10**8 - MEMORY_BYTES), rel=0.01)


def test_what_has_no_room_is_refused_in_notebooks_too(street, monkeypatch):
    monkeypatch.setattr(module, "_free", lambda *_: PLENTY | {"disk": 1000})
    with pytest.raises(ValueError, match=r"disk is short: .*VG_CACHE"):
        run(TINY.replace(epochs_num=1))
    run(TINY.replace(epochs_num=0))  # it trains nothing


def test_a_training_says_what_it_took_and_goes_on_whatever_the_estimate(street, monkeypatch, capsys):
    config = TINY.replace(epochs_num=1)
    with monkeypatch.context() as meanwhile, pytest.raises(KeyboardInterrupt):
        meanwhile.setattr(training.Trainer, "training_round", interrupted)
        run(config)
    assert compared(config).taken.isna().all()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(module, "_free", lambda *_: PLENTY | {"disk": 1000})  # its own pixels have filled it
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


def test_pages_of_photographs_and_libraries_are_no_memory_of_a_gpu(street, on_a_gpu, tmp_path):
    """Nor are pages where the disk has no room for them."""
    config = TINY.replace(epochs_num=1)
    expected = preflight(config, BATCH, ON_A_GPU)
    expected.save(tmp_path)
    known = own_files.read(tmp_path / "estimate.json", "")["expected"]
    assert known["GB of GPU memory in training"] == expected.needs.training / GB
    in_ram = replace(expected.needs, device=torch.device("cpu"))
    beside = expected.needs.training - 3 * 48 * 32 * 32  # a GPU keeps the pixels
    assert in_ram.training - in_ram._waiting - beside == pytest.approx(
        needs.LIBRARIES + 2 * BATCH.weights + 1.3 * 16 * 2 * BATCH.largest  # what a pass frees stays in pieces
    )
    assert preflight(config, BATCH, ON_A_GPU | {"disk": 1000}).needs.mapped == 0


def test_a_run_that_trains_nothing_has_no_estimate(street):
    run(TINY.replace(epochs_num=0))
    with pytest.raises(own_files.Damaged, match=r"estimate\.json"):
        compared(TINY.replace(epochs_num=0))


def test_the_peak_is_that_of_the_training():
    device = torch.device("cpu")
    torch.ones(2**26).sum()  # 256 MiB, given back before the training
    before = forget_peak(device)
    torch.ones(2**24).sum()
    grown = used_memory(device)[1] - before
    assert PEAK.exists() <= (2**25 < grown < 2**27)


def test_a_full_disk_is_refused_on_the_command_line(street, monkeypatch, capsys):
    monkeypatch.setattr(module, "_free", lambda *_: PLENTY | {"disk": 1000})
    words = "--profile smoke --dataset street --image_size 32 32 --layer layer1 --epochs_num 1"
    assert main(["train", *words.split()]) == 1
    printed = capsys.readouterr()
    assert printed.out.count("expected minutes") == 1
    assert "error: disk is short" in printed.err and "VG_CACHE" in printed.err


@pytest.mark.parametrize("pooling", ["gem", "netvlad"])
def test_a_batch_is_measured(street, pooling):
    config = FROZEN.replace(pooling=pooling)
    batch = measure(config, load_places(config, "train"), torch.device("cpu"))
    assert batch.stem == 64 * 8 * 8 * 4 and batch.largest == 64 * 16 * 16 * 4
    assert 0 < batch.trained < batch.weights and batch.dim == {"gem": 128, "netvlad": 512}[pooling]
    # the input of layer2 and of its second block, and some maps between, all known: 128 x 4 x 4 values each
    one = partial(batch_cost._kept_for_backward, build_model(config).to(memory_format=torch.channels_last))
    maps = torch.rand(3, 64, 8, 8)
    assert batch.kept == pytest.approx((one(maps) - one(maps[:1].clone())) / 2, abs=64)
    assert batch.stem + 4 * 128 * 4 * 4 * 4 < batch.kept < batch.stem + 20 * 128 * 4 * 4 * 4 + 10**4
    assert min(batch.decode_seconds, batch.stem_seconds, batch.tail_seconds, batch.train_seconds) > 0


def test_what_it_took_stands_beside_what_was_expected(street, monkeypatch, capsys):
    config = TINY.replace(test_image_size=(640, 640))  # its test takes more memory than its training
    expected = preflight(config, replace(BATCH, train_seconds=60.0, decode_seconds=6.0), PLENTY)
    assert expected.needs.training < expected.needed["RAM"]
    folder = paths.runs_folder("smoke") / run_id(config)
    expected.save(folder)
    monkeypatch.setattr(module, "_free_disk", lambda: PLENTY["disk"] - 3 * GB)
    history = pd.DataFrame({"seconds": [60.0, 90.0], "seconds_decode": [90.0, 0], "peak_bytes": [2 * GB, 3 * GB]})
    validation = pd.DataFrame({"epoch": [0, 1], "seconds": [3.0, 27.0]})
    after_training(folder, history, validation)
    after_test(folder, config, seconds=30.0)
    assert expected.needs.mapped == 3 * (48 + 32) * 32 * 32  # pages of files, which count to what is taken
    need, disk = (expected.needs.training + expected.needs.mapped) / GB, expected.needed["disk"] / GB
    assert capsys.readouterr().out.splitlines() == [
        "epochs: 1.00 taken, 2.00 expected",
        "minutes done once: 1.50 taken, 8.00 expected",
        "minutes of training: 3.00 taken, 240.00 expected",
        f"GB of RAM in training: 3.00 taken, {need:.2f} expected",
        "minutes of test street-640x640-hard_resize: 0.50 taken, 3.20 expected",
        f"GB of disk with test street-640x640-hard_resize: 3.00 taken, {disk:.2f} expected",
    ]
    assert json.loads((folder / "estimate.json").read_text())["taken"]["minutes of training"] == 3
    assert compared(config).taken["GB of RAM in training"] == 3


def test_views_of_queries_count_in_the_test(street):
    plain, many = (
        preflight(TINY.replace(test_method=method), replace(BATCH, tail_seconds=60.0, dim=10**6), PLENTY)
        for method in ("hard_resize", "five_crops+multi_scale_concatenated+flip")
    )
    assert plain.minutes["test"] == 32 and many.minutes["test"] == pytest.approx(7 * (16 + 5 * 16))
    assert many.needed["RAM"] == pytest.approx(1.3 * (4 * 10**6 + 4 * 10**6 * 3 * (16 + 5 * 16)), rel=0.03)


def test_larger_images_of_the_test_take_more_memory(street):
    small, large = (preflight(TINY.replace(test_image_size=(size, size)), BATCH, PLENTY) for size in (32, 640))
    assert large.needed["RAM"] > 100 * 1.3 * 16 * 2 * 10**6 > small.needed["RAM"]
    with pytest.raises(ValueError, match=r"RAM is short: .*its test: lower infer_batch_size, test_image_size"):
        preflight(TINY.replace(test_image_size=(640, 640)), BATCH, PLENTY | {"RAM": GB}).check()


def test_a_whitening_counts_in_the_test(street):
    batch = replace(BATCH, tail_seconds=60.0, dim=10**6)
    plain, short = (preflight(TINY.replace(whitened_dim=dim), batch, PLENTY) for dim in (0, 4))
    assert short.minutes["test"] - plain.minutes["test"] == 24  # the database of train
    weights = 4 * 23 * 10**6
    assert short.needed["disk"] - plain.needed["disk"] == weights
    network = 1.3 * (4 * 10**6 + weights + 16 * 2 * 10**6)  # and a batch on its way
    learning = 4 * 24 * 10**6 + learning_bytes(24, 10**6, 23)
    assert short.needs.testing["RAM"] == pytest.approx(learning + network, rel=0.01)


def test_a_run_may_be_given_a_part_of_the_memory(monkeypatch):
    cpu, own = torch.device("cpu"), psutil.Process().memory_info().rss
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=20 * GB))
    assert free_memory(cpu) == 20 * GB
    monkeypatch.setenv(RAM, str(8 * GB))
    assert free_memory(cpu) == pytest.approx(8 * GB - own, abs=GB / 10)  # what it has taken is taken
    monkeypatch.setenv(RAM, "1000")
    assert free_memory(cpu) == 0
    monkeypatch.setenv(RAM, str(100 * GB))
    assert free_memory(cpu) == 20 * GB


def test_validation_counts_the_queries_that_it_draws(street):
    batch = replace(BATCH, stem=10**6, stem_seconds=60.0)
    all_of_them, some = (preflight(FROZEN.replace(val_queries=count), batch, PLENTY) for count in (0, 4))
    assert all_of_them.minutes["done once"] - some.minutes["done once"] == 12
    assert all_of_them.needed["RAM"] - some.needed["RAM"] == 12 * 10**6


def test_what_frozen_layers_leave_is_the_room_of_validations(street):
    """Their output takes 8 of 20 GB, the classifier 6; half of what is left does not hold the descriptors of val."""
    config, free = FROZEN.replace(loss="geo_classification"), PLENTY | {"RAM": 2 * 10**10}
    sizes = {"dim": 10**8 // 4, "stem": 10**8}
    beside, alone = (preflight(config, replace(BATCH, **sizes | {"stem": stem}), free) for stem in (sizes["stem"], 0))
    stored = 2 * 16 * sizes["dim"]  # of the database
    assert beside.needed["disk"] - alone.needed["disk"] == stored
    beside.check()


@pytest.mark.parametrize(("free", "most"), [(PLENTY["RAM"], 5), (10**5, 2)])
def test_a_whole_tuple_is_measured_only_where_it_fits(street, monkeypatch, free, most):
    seen, tail = [], GeoModel.tail

    def counted(self, maps):
        seen.append(len(maps))
        return tail(self, maps)

    monkeypatch.setattr(GeoModel, "tail", counted)
    monkeypatch.setattr(batch_cost, "free_memory", lambda _device: free)
    batch = measure(FROZEN, load_places(FROZEN, "train"), torch.device("cpu"))
    assert max(seen) == most and max(seen[:3]) == 2, "few come first"
    assert batch.train_seconds > 0


def test_memory_that_ends_while_measuring_is_a_refusal(street, monkeypatch):
    def without_room(_layer, maps):
        raise torch.OutOfMemoryError(f"CUDA out of memory: {len(maps)} images")

    monkeypatch.setattr(GeoModel, "tail", without_room)
    with pytest.raises(ValueError, match=r"^RAM is short: .* free .*; lower image_size"):
        run(TINY.replace(epochs_num=1))


def test_weights_in_two_precisions_are_no_maps(street, monkeypatch):
    config = FROZEN.replace(pooling="netvlad")
    places = load_places(config, "train")
    plain = measure(config, places, torch.device("cpu")).kept
    half = partial(torch.autocast, "cpu", torch.bfloat16)
    monkeypatch.setattr("vg_core.batch_cost.fast", lambda _device: half())
    assert measure(config, places, torch.device("cpu")).kept < plain
