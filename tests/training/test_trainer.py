"""The loop: resumes bit for bit after SIGKILL, stops early by name, names the batch that diverged."""

import os
import signal
from pkgutil import resolve_name
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from tests.children import started
from tests.tiny import GROUPS, PLACES, TINY, fit, rounds_on_disk
from vg_core.datasets.places import PlaceSet
from vg_core.models import load_model
from vg_core.system import own_files
from vg_core.training import objectives
from vg_core.training import trainer as training
from vg_core.training.step import follow_schedule, make_optimizer, move_moments
from vg_core.training.trainer import Diverged


def weights(folder):
    return {name: value.clone() for name, value in load_model(folder / "best.safetensors").state_dict().items()}


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("mining", ["full", "partial", "random"])
@pytest.mark.parametrize("pooling", ["gem", "netvlad"])
def test_every_mining_trains_every_pooling(street, tmp_path, mining, pooling):
    state = fit(TINY.replace(mining=mining, pooling=pooling, epochs_num=1), tmp_path / "run")
    assert [row["round"] for row in state.history] == [1, 2, 3]
    assert [row["epoch"] for row in state.validation] == [0, 1]
    assert all(np.isfinite(row["loss"]) and 0 <= row["active"] <= 1 for row in state.history)
    assert state.best_epoch == 1


def test_no_mined_negative_is_ever_within_25_metres(street, tmp_path, monkeypatch):
    mined = []
    original = training.Trainer.fit

    def record(self, tuples, *tell):
        mined.append((tuples[:, 0] - self.objective.database, tuples[:, 1], tuples[:, 2:]))
        return original(self, tuples, *tell)

    monkeypatch.setattr(training.Trainer, "fit", record)
    # the first query loses its positives: misaligned lists would show in every later one
    first = PlaceSet.load("street", "train").queries.path[0]
    os.rename(first, first.replace("@0400003", "@0450003"))
    places = PlaceSet.load("street", "train")
    for mining in ("full", "partial", "random"):
        fit(TINY.replace(mining=mining, epochs_num=1), tmp_path / mining)
    database, queries = (t[["easting", "northing"]].to_numpy() for t in (places.database, places.queries))
    for chosen, positives, negatives in mined:
        metres = np.linalg.norm(database[negatives] - queries[chosen][:, None], axis=-1)
        assert metres.min() > 25
        assert np.linalg.norm(database[positives] - queries[chosen], axis=-1).max() <= 10
    assert len(mined) == 9


def test_frozen_layers_do_not_move(street, tmp_path):
    config = TINY.replace(layer="layer2", freeze="layer1", epochs_num=1)
    fit(config.replace(epochs_num=0), tmp_path / "untrained")
    fit(config, tmp_path / "trained")
    before, after = weights(tmp_path / "untrained"), weights(tmp_path / "trained")
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert not any(name.startswith(("backbone.conv1", "backbone.bn1", "backbone.layer1")) for name in moved)


def train_and_die(config, folder, place, calls):
    """Train, and die of SIGKILL in one of the calls of a function."""
    work, left = resolve_name(place), iter(range(calls))

    def die(*arguments):
        if next(left) == calls - 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return work(*arguments)

    pytest.MonkeyPatch().setattr(place.replace(":", "."), die)
    fit(config, folder)


@pytest.mark.parametrize("config", [TINY, GROUPS, PLACES], ids=["tuples", "groups", "places"])
def test_killed_run_ends_like_an_uninterrupted_one(street, tmp_path, config):
    whole = fit(config, tmp_path / "whole")
    step, save, validate = (f"vg_core.training.trainer:Trainer.{name}" for name in ("step", "save", "validate"))
    for place, calls, done in ((step, 4, 1), ("os:fsync", 2, 1), (save, 2, 2), (validate, 1, 3)):
        process, _ = started(train_and_die, config, tmp_path / "killed", place, calls)
        process.join(60)
        assert (process.exitcode, rounds_on_disk(tmp_path / "killed")) == (-signal.SIGKILL, done), place
    resumed = fit(config, tmp_path / "killed")
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    assert same(weights(tmp_path / "killed"), weights(tmp_path / "whole"))
    assert same(*(saved(tmp_path / name)["objective"] for name in ("killed", "whole")))


def saved(folder):
    return torch.load(folder / "state.pt", weights_only=True)


TRANSFORMER = TINY.replace(backbone="cct_2_3x2", layer="block1", freeze="block0", pooling="salad")  # drops at random


@pytest.mark.parametrize(
    "config",
    [TINY, TINY.replace(loss="geo_classification"), GROUPS, TRANSFORMER],
    ids=lambda c: f"{c.backbone} {c.task.loss}",
)
def test_interrupt_stops_with_a_sentence_and_goes_on(street, tmp_path, monkeypatch, config):
    config = config.replace(lr_halving_epochs=1, val_queries=9)
    whole = fit(config, tmp_path / "whole")
    original, calls = training.Trainer.step, []

    def interrupted(self, pixels, rows):
        calls.append(1)
        if len(calls) in (4, 9):  # in the first epoch, and after the round that goes on from there in the second
            try:
                raise KeyboardInterrupt
            except KeyboardInterrupt as stop:
                if len(calls) == 4:
                    raise
                raise SystemError("as code in C makes of it") from stop
        return original(self, pixels, rows)

    monkeypatch.setattr(training.Trainer, "step", interrupted)
    for done in (1, 3):
        with pytest.raises(KeyboardInterrupt, match="goes on from there"):
            fit(config, tmp_path / "stopped")
        assert rounds_on_disk(tmp_path / "stopped") == done
    resumed = fit(config, tmp_path / "stopped")
    assert same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    assert same(*(saved(tmp_path / name)["objective"] for name in ("stopped", "whole")))


def test_an_epoch_touches_one_classifier_and_its_moments(street, tmp_path):
    """The first learns in epochs 1 and 3, the second in epoch 2, after the rates have been halved once."""
    config, found = GROUPS.replace(lr_halving_epochs=1, classifiers_lr=0.02), []
    for epochs in range(4):
        fit(config.replace(epochs_num=epochs, patience=9), tmp_path / str(epochs))
        found.append(saved(tmp_path / str(epochs)))
    numbers = found[0]["optimizer"]["param_groups"][1]["params"]  # of the two, among all that is trained
    for head, turns in ((0, (1, 3)), (1, (2,))):
        for epoch in range(1, 4):
            before, after = (
                {"weight": state["objective"][f"heads.{head}.weight"]}
                | state["optimizer"]["state"].get(numbers[head], {})
                for state in found[epoch - 1 : epoch + 1]
            )
            if epoch in turns:
                assert not torch.equal(before["weight"], after["weight"]) and after["step"] == 6 * (1 + (epoch == 3))
            else:
                assert same(before, after)
    assert [group["lr"] for group in found[3]["optimizer"]["param_groups"]] == [2.5e-4, 0.005]
    assert [(row["lr"], row["group"], row["classes"]) for row in found[3]["history"][::3]] == [
        (1e-3, 1, 6),
        (5e-4, 2, 6),
        (2.5e-4, 1, 6),
    ]


def test_moments_move_with_their_weights():
    head = torch.nn.Linear(3, 2)
    optimizer = make_optimizer(GROUPS, head, objectives.Objective())
    head(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    elsewhere = torch.empty_like(head.weight, device="meta")
    optimizer.state[torch.nn.Parameter(elsewhere)] = dict(optimizer.state[head.weight])
    move_moments(optimizer)
    *here, there = ({value.device.type for value in state.values()} for state in optimizer.state.values())
    assert (here, there) == ([{"cpu"}] * 2, {"meta"})


def test_a_state_of_another_width_is_a_sentence(street, tmp_path):
    """Which a training by its name never finds: other options, another folder."""
    fit(GROUPS.replace(epochs_num=1), tmp_path)
    for options, part in (
        ({"groups_num": 1}, "objective"),
        ({"N": 1, "groups_num": 1}, "objective"),
        ({"fc_output_dim": 9}, "model"),
    ):
        with pytest.raises(
            ValueError, match=rf"state\.pt: the {part} in it is of another training \(.*\); delete .* again"
        ):
            fit(GROUPS.replace(**options), tmp_path)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_one_optimizer_with_groups_is_one_for_each_group(optimizer, weight_decay):
    """Whose classifier rests keeps its weights and its moments, bit for bit."""
    config = TINY.replace(optimizer=optimizer, weight_decay=weight_decay, lr_halving_epochs=2)
    rates, turns = (config.lr, 0.02, 0.3), [1, 1, 2, 2, 1, 2]  # which classifier learns in each step

    def layers():
        return [torch.nn.Linear(5, size).requires_grad_() for size in (4, 3, 2)]

    torch.manual_seed(0)
    together, apart = layers(), layers()
    for one, other in zip(together, apart, strict=True):
        other.load_state_dict(one.state_dict())
    objective = objectives.Objective()
    objective.parameter_groups = lambda: [
        {"params": list(layer.parameters()), "lr": lr} for layer, lr in zip(together[1:], rates[1:], strict=True)
    ]
    whole = make_optimizer(config, together[0], objective)
    single = [
        make_optimizer(config.replace(lr=lr), layer, objectives.Objective())
        for layer, lr in zip(apart, rates, strict=True)
    ]
    for step, turn in enumerate(turns):
        inputs = torch.randn(7, 5)
        for some, optimizers in ((together, [whole]), (apart, [single[0], single[turn]])):
            for one in optimizers:
                follow_schedule(one, config, 1 + step)
                one.zero_grad(set_to_none=True)
            (some[0](inputs).square().mean() + some[turn](inputs).square().mean()).backward()
            for one in optimizers:
                one.step()
        for one, other in zip(together, apart, strict=True):
            assert torch.equal(one.weight, other.weight) and torch.equal(one.bias, other.bias)
    for layer, other, alone in zip(together, apart, single, strict=True):
        assert all(torch.equal(whole.state[layer.bias][key], value) for key, value in alone.state[other.bias].items())


@pytest.mark.parametrize("loss", ["triplet", "sare_cauchy_joint", "geo_classification"])
def test_a_batch_in_parts_is_the_batch(street, tmp_path, loss):
    # all layers frozen but the pooling: batch norms would see the parts
    config = TINY.replace(pooling="netvlad", freeze="layer1", loss=loss, epochs_num=1, train_batch_size=4)
    sets = [PlaceSet.load("street", split) for split in ("train", "val")]
    found = []
    for parts in (1, 2, 3):
        trainer = training.Trainer(config.replace(accumulate=parts), tmp_path, *sets)
        trainer.start()
        rows, _ = trainer.mine(np.random.default_rng(0))
        loss_of_all = trainer.step(next(trainer.sources.learned.batches([rows[:4].ravel()])), rows[:4])
        found.append([loss_of_all, *(p.grad for p in trainer.learner.parameters() if p.requires_grad)])
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("selected_by", "best", "epoch"), [("recall_1", 30, 3), ("recall_5", 80, 1)])
def test_early_stop_follows_the_recall_that_selects(street, tmp_path, monkeypatch, selected_by, best, epoch):
    """Recall@5 falls from epoch to epoch, recall@1 rises until the third."""

    def evaluated(*_args, **_options):
        calls.append(1)
        first, misses = min(len(calls) - 1, 3), min(len(calls), 10)
        ranks = [1] * first + [3] * (10 - first - misses) + [0] * misses
        return SimpleNamespace(ranks=pd.DataFrame({"rank": ranks}), seconds={"search": 1})

    calls = []
    monkeypatch.setattr(training, "evaluate", evaluated)
    state = fit(TINY.replace(epochs_num=10, patience=2, selected_by=selected_by, queries_per_epoch=8), tmp_path / "run")
    assert (state.best, state.best_epoch, state.epoch, state.not_improved) == (best, epoch, epoch + 2, 2)


def test_a_loss_that_is_not_finite_names_the_batch(street, tmp_path, monkeypatch):
    undefined = SimpleNamespace(whole=lambda tuples: (tuples * float("nan")).sum())
    monkeypatch.setattr(objectives, "make_loss", lambda *_: undefined)
    with pytest.raises(Diverged, match=r"epoch 1, round 1, batch 1 \(with @04.*lower lr"):
        fit(TINY, tmp_path / "run")


def test_a_set_without_positives_is_refused(street, tmp_path):
    with pytest.raises(ValueError, match=r"no query has a database image within 0\.5 m"):
        fit(TINY.replace(train_positives_dist_threshold=0.5), tmp_path / "run")


def test_full_disk_keeps_the_last_state(street, tmp_path, monkeypatch):
    fit(TINY.replace(epochs_num=1), tmp_path / "run")
    before = (tmp_path / "run" / "state.pt").read_bytes()
    write = own_files._Sink.write

    def full(sink, data):
        if not sink.file.name.endswith(".pt"):
            return write(sink, data)
        sink.file.write(bytes(data)[: len(data) // 2])
        sink.error = OSError(28, "No space left on device")
        raise sink.error  # PyTorch makes a RuntimeError of it, or hides it behind one

    monkeypatch.setattr(own_files._Sink, "write", full)
    with pytest.raises(OSError, match=r"state\.pt could not be written.*free some space"):
        fit(TINY.replace(epochs_num=2), tmp_path / "run2")
    assert (tmp_path / "run" / "state.pt").read_bytes() == before
    assert [f.name for f in (tmp_path / "run2").iterdir() if f.name.startswith(".")] == []
