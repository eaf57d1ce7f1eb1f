"""Several processes: shares make a whole, two learn as one does, and one that is killed ends in a sentence."""

import os
import re
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.children import several
from tests.tiny import GROUPS, TINY, fit, rounds_on_disk
from vg_core.__main__ import main
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.models import build_model, load_model
from vg_core.models.norms import share_batch_norms
from vg_core.models.precision import normalise
from vg_core.retrieval import descriptors, feature_cache, ranking
from vg_core.retrieval.descriptors import photographs_of
from vg_core.retrieval.engines import DescriptorStore
from vg_core.retrieval.strategies import STRATEGIES
from vg_core.runs.experiments import read_back, run
from vg_core.runs.record import Job
from vg_core.system import devices, paths, processes
from vg_core.training.step import check_resources
from vg_core.training.trainer import Trainer

CONFIG = TINY.replace(freeze="conv1", layer="layer2", pooling="netvlad", train_batch_size=3)
CONFIG = CONFIG.replace(optimizer="sgd", lr=0.01)  # Adam's steps are nearly the same with gradients of a wrong length
TURNS = GROUPS.replace(train_batch_size=3)
ADAPTED = GROUPS.replace(train_batch_size=4, epochs_num=1)
DOMAINS = {"gradient_reversal": ["domain_accuracy"], "auto_encoder": ["source_error", "target_error"]}


def torchrun(config):
    """The started launcher of two processes that train on the CPU."""
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    return subprocess.Popen(
        [sys.executable, *launcher, "-m", "vg_core", *command(config)],
        env=os.environ | {"CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": str(paths.ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(config):
    """The words that train with these options: all of them, since those of the command line's profile are others."""
    given = {name: value for name, value in config.options().items() if value is not False and value not in ("", None)}
    return ["train", *(word for name, value in given.items() for word in (f"--{name}", *_words(value)))]


def _words(value):
    return [str(part) for part in value] if isinstance(value, tuple) else [str(value)]


@pytest.fixture
def alone(street, tmp_path, monkeypatch):
    """The same run by one process, in a cache of its own; and back in the test's cache."""
    before = os.environ["VG_CACHE"]

    def train(config):
        monkeypatch.setenv("VG_CACHE", str(tmp_path / "alone"))
        found = run(config)
        monkeypatch.setenv("VG_CACHE", before)
        return found, load_model(tmp_path / "alone" / Path(found.checkpoint).relative_to(before)).state_dict()

    return train


# --- shares ---------------------------------------------------------------------------------------------------------
@given(count=st.integers(0, 60), unit=st.integers(1, 7), many=st.integers(1, 9))
def test_shares_make_the_whole_in_order_and_cut_no_unit(count, unit, many):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "size", lambda: many)
        parts = processes._parts(count, unit)
    assert [i for part in parts for i in range(count)[part]] == list(range(count))
    assert all(part.start % unit == 0 or part.start == count for part in parts)
    units = [-(-(part.stop - part.start) // unit) for part in parts]
    assert max(units) - min(units) <= 1


def test_alone_everything_is_ones_own():
    rows = torch.arange(6.0).view(3, 2)
    with processes.joined(), processes.one_goes_ahead():
        assert (processes.rank(), processes.size(), processes.first()) == (0, 1, True)
        assert processes.share(3) == slice(0, 3) and processes.together(rows, 3) is rows
        assert processes.agreed("this") == "this"
    layer = nn.Linear(2, 2)
    assert processes.averaging(layer) is layer
    assert torch.equal(processes.mean(rows), rows)


def test_a_batch_that_cannot_be_shared_out_is_an_error(monkeypatch):
    monkeypatch.setattr(processes, "size", lambda: 4)
    with pytest.raises(ValueError, match=r"batches of 3 rows .* cannot be cut for accumulate=1 and 4 processes"):
        check_resources(CONFIG, rows=3)
    check_resources(CONFIG, rows=4)
    check_resources(CONFIG.replace(epochs_num=0), rows=0)
    with pytest.raises(ValueError, match="accumulate=2 and 4 processes"):
        check_resources(CONFIG.replace(accumulate=2), rows=7)
    with pytest.raises(ValueError, match="compile=True does not go with several processes"):
        check_resources(CONFIG.replace(compile=True), rows=4)


def check_collectives():
    with processes.joined():
        for count, unit in ((7, 1), (7, 3), (1, 1), (2, 4)):
            rows = torch.arange(2.0 * count).view(count, 2)
            own = processes.share(count, unit)
            assert torch.equal(processes.together(rows[own], count, unit), rows), (count, unit)
            whole = torch.full_like(rows, -1)
            whole[own] = rows[own]
            assert processes.complete(whole, unit) is whole and torch.equal(whole, rows)
        layer = nn.BatchNorm1d(2)
        layer.running_mean += processes.rank()
        assert processes.same(layer).running_mean.tolist() == [0, 0]
        assert processes.agreed(processes.rank()) == 0
        assert processes.mean(torch.tensor(float(processes.rank()))) == 0.5
        if devices.PEAK.exists():  # completing 256 MiB takes far less than another 256 MiB
            whole = torch.ones(2**20, 64)
            assert devices.peak_of(lambda: processes.complete(whole), torch.device("cpu")) < 2**26
        check_batch_norm()


def check_batch_norm():
    """That of a whole batch and that of its parts, of unequal size, in both directions."""
    torch.manual_seed(0)
    maps, weights = torch.randn(5, 3, 4, 6) * 3 + 20, torch.randn(5, 3, 4, 6)
    whole, shared = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    nn.init.normal_(whole.weight)
    shared.load_state_dict(whole.state_dict())
    share_batch_norms(shared)
    own = processes.share(5)
    a, b = maps.clone().requires_grad_(), maps[own].clone().requires_grad_()
    left, right = whole(a), shared(b)
    (left * weights).sum().backward()
    (right * weights[own]).sum().backward()
    torch.testing.assert_close(right, left[own], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(b.grad, a.grad[own], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(shared.running_mean, whole.running_mean)
    torch.testing.assert_close(shared.running_var, whole.running_var)
    torch.testing.assert_close(shared.eval()(b), whole.eval()(a)[own])


def test_collectives_and_the_shared_batch_norm():
    several(check_collectives)


def check_what_is_kept():
    with processes.joined():
        photographs = photographs_of(PlaceSet.load("street", "val"), (32, 32))
        feature_cache.free_memory = lambda _device: 10**9 if processes.first() else 0
        model = build_model(TINY.replace(layer="layer2", freeze="layer1"))
        (kept,) = feature_cache.keep_stems(model, [photographs], 5)
        stem, made = kept.stem, []
        kept.stem = lambda pixels: made.append(len(pixels)) or stem(pixels)
        parts = torch.arange(32).split(5)
        alone = torch.cat([stem(normalise(photographs.batch(part.tolist()))) for part in parts])
        assert torch.equal(next(kept.batches([range(32)])), alone)
        assert made == ([5, 5, 5], [5, 5, 5, 2])[processes.rank()]

        feature_cache.pixels_fit = lambda *_: processes.first()
        pixels = feature_cache.keep_pixels(photographs, torch.device("cpu"), 40)  # fewer batches than processes
        assert isinstance(pixels, feature_cache.DeviceCache)
        assert torch.equal(next(pixels.batches([range(32)])), photographs.batch(range(32)))


@pytest.mark.usefixtures("street")
def test_what_is_kept_is_made_by_all_processes_and_is_the_same():
    several(check_what_is_kept)


def evaluations():
    """What is found by each strategy, and how many files of descriptors were written and photographs cut till then."""
    described, cut = [], descriptors._pictures
    descriptors._pictures = lambda path, **options: described.append(path) or cut(path, **options)
    written, write = [], DescriptorStore.write
    ranking.DescriptorStore.write = lambda file, parts, shape: written.append(file) or write(file, parts, shape)
    ranking.MEMORY_SHARE, ranking.STORED_AT_ONCE = 0, 5
    with processes.joined():
        return [(_evaluated(strategy), len(written), len(described)) for strategy in (None, STRATEGIES["five_crops"])]


def _evaluated(strategy):
    places = PlaceSet.load("street", "test")
    found = ranking.evaluate(build_model(TINY), places, (32, 32), Within(25.0), 6, strategy)
    return found.distances, found.ranks["rank"].tolist()


@pytest.mark.usefixtures("street")
def test_all_processes_describe_and_the_first_writes_descriptors_that_have_no_room():
    found = several(evaluations)
    # of 16 queries and 16 database images: the third batch of each is the last process's
    assert [[counts for _, *counts in own] for own in found] == [[[1, 0], [2, 12]], [[0, 0], [0, 20]]]
    for own in found:
        for (one, *_), strategy in zip(own, (None, STRATEGIES["five_crops"]), strict=True):
            distances, ranks = _evaluated(strategy)
            np.testing.assert_allclose(one[0], distances, atol=2e-3)
            assert one[1] == ranks


# --- training -------------------------------------------------------------------------------------------------------
def by_command(words):
    """(exit status, what was said) of a command line."""
    with redirect_stdout(StringIO()) as said:
        return main(words), said.getvalue()


@pytest.mark.parametrize(
    "choices",
    [{"mining": "full", "margin": 0.5}, {"mining": "partial", "loss": "sare_gaussian_joint", "train_batch_size": 5}],
    ids=["full", "partial"],
)
def test_two_processes_learn_what_one_does(alone, choices):
    config = CONFIG.replace(**choices)
    one, weights = alone(config)
    first, second = several(by_command, command(config))
    assert first[0] == second[0] == 0
    assert "after epoch 2" in first[1] and "\nR@10" in first[1] and second[1] == "", "only the first process speaks"
    two = read_back(config)
    pd.testing.assert_frame_equal(
        _facts(two.history), _facts(one.history), rtol=1e-3, atol=1e-4
    )  # of losses from 0.27 to 0.004
    start, found = build_model(config).state_dict(), load_model(two.checkpoint).state_dict()
    for name in ("backbone.layer1.0.conv1.weight", "backbone.layer2.1.bn2.weight", "backbone.layer2.0.bn1.running_var"):
        learned = weights[name] - start[name]
        assert learned.norm() > 1e-4, "something was learned"
        assert (found[name] - weights[name]).norm() < 0.02 * learned.norm()
    pd.testing.assert_series_equal(two.ranks["rank"], one.ranks["rank"])


def _facts(history):
    return history[["epoch", "round", "lr", "loss", "active", "positive_distance", "negative_distance"]]


def train_in_turns(folder):
    """A training by turns; one that is interrupted in its second epoch and goes on; one of a single epoch."""
    step, steps = Trainer.step, []

    def interrupted(trainer, pixels, rows):
        steps.append(1)
        if len(steps) == 9:  # of two in each of three rounds, in the second epoch
            raise KeyboardInterrupt
        return step(trainer, pixels, rows)

    with processes.joined():
        fit(TURNS, folder / "whole")
        Trainer.step = interrupted
        try:
            fit(TURNS, folder / "stopped")
        except KeyboardInterrupt:
            processes.wait()
        fit(TURNS, folder / "stopped")
        fit(TURNS.replace(epochs_num=1), folder / "half")


def test_a_classifier_that_rests_rests_in_all_processes(street, tmp_path):
    several(train_in_turns, tmp_path)
    whole, stopped, half = (
        torch.load(tmp_path / name / "state.pt", weights_only=True) for name in ("whole", "stopped", "half")
    )
    assert [row["loss"] for row in whole["history"]] == [row["loss"] for row in stopped["history"]]
    for part in ("model", "objective"):
        assert all(torch.equal(whole[part][name], stopped[part][name]) for name in whole[part])
    first, second = (f"heads.{number}.weight" for number in range(2))
    assert torch.equal(whole["objective"][first], half["objective"][first])
    assert not torch.equal(whole["objective"][second], half["objective"][second])
    alone = fit(TURNS, tmp_path / "alone")
    np.testing.assert_allclose(
        [row["loss"] for row in whole["history"]], [row["loss"] for row in alone.history], rtol=1e-2
    )


def train_adapted(folder):
    with processes.joined():
        return [fit(ADAPTED.replace(domain=domain), folder / domain).history for domain in DOMAINS]


def test_two_processes_tell_domains_apart_as_one_does(night_street, tmp_path):
    first, second = several(train_adapted, tmp_path)
    for number, domain in enumerate(DOMAINS):
        alone = fit(ADAPTED.replace(domain=domain), tmp_path / f"alone_{domain}").history
        for name in ("loss", *DOMAINS[domain]):
            one, other, expected = (
                [row[name] for row in history] for history in (first[number], second[number], alone)
            )
            assert one == other
            np.testing.assert_allclose(one, expected, rtol=1e-2)


def test_a_killed_process_ends_in_a_sentence_and_the_run_goes_on(alone):
    config = CONFIG.replace(epochs_num=4, margin=0.5)
    one, _ = alone(config)
    folder = Job.open(config).checkpoints
    process, deadline = torchrun(config), time.monotonic() + 120
    while rounds_on_disk(folder) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()[1]
    workers = [child for child in psutil.Process(process.pid).children() if "vg_core" in child.cmdline()]
    workers[-1].kill()
    _, complaint = process.communicate(timeout=120)
    assert process.returncode != 0
    assert re.search(r"goes on from (there|the last round)", complaint), complaint
    assert "vg_core/training/trainer.py" not in complaint  # the launcher's own traceback is not ours to hide
    done = rounds_on_disk(folder)
    assert 2 <= done < 12
    again = run(config)  # by one process, which may go on with what two began
    pd.testing.assert_frame_equal(_facts(again.history), _facts(one.history), rtol=1e-2, atol=1e-4)


def test_more_processes_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    refused = pytest.raises(ValueError, match="process 2 of this machine, which has 1 GPUs: lower --nproc-per-node")
    with refused, processes.joined():
        pass


@pytest.mark.parametrize("kind", [dist.DistNetworkError, dist.DistStoreError, dist.DistBackendError])
def test_a_lost_process_is_known_by_its_class_too(kind):
    assert processes._is_connection(kind("a message of another version"))
    assert not processes._is_connection(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
