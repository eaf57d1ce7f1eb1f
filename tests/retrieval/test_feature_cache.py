"""Kept output of frozen layers: the same numbers as without it, only where nothing is augmented and memory allows."""

from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from torch._inductor import config as inductor

import vg_core.retrieval.descriptors
from tests.tiny import TINY, fit, fit_interrupted
from vg_core.datasets.photographs import Photographs
from vg_core.datasets.places import PlaceSet
from vg_core.models import build_model, load_model
from vg_core.models.network import Encoded, frozen_stem, inference_copy
from vg_core.retrieval import feature_cache
from vg_core.retrieval.descriptors import describe_photographs, photographs_of
from vg_core.retrieval.feature_cache import (
    DeviceCache,
    StemCache,
    descriptors_of,
    keep_pixels,
    keep_stems,
    pixels_fit,
    shared_stems,
    stems_if_shared,
)
from vg_core.runs import making
from vg_core.runs.experiments import run
from vg_core.system import paths
from vg_core.training import trainer as training
from vg_core.training.step import can_compile

FROZEN = TINY.replace(layer="layer2", freeze="layer1", epochs_num=1)
TOKENS = {"backbone": "dinov2_vits14", "layer": "block1", "freeze": "block0", "pooling": "cls"}
PLENTY = 10**9


@pytest.fixture
def model():
    return build_model(FROZEN)


@pytest.fixture
def photographs(street):
    return photographs_of(PlaceSet.load("street", "val"), (32, 32))


@pytest.fixture
def budget(monkeypatch):
    """Function that sets the bytes a training may keep stems in; none are shared with trainings before."""
    monkeypatch.setattr(vg_core.retrieval.feature_cache, "_shared", {})
    return lambda count: monkeypatch.setattr(feature_cache, "keep_stems", partial(keep_stems, budget=count))


def test_maps_are_what_the_frozen_layers_make(model, photographs):
    cache = StemCache(model, photographs, 5)
    (maps,) = cache.batches([[3, 0, 31]])
    assert maps.shape == (3, 64, 8, 8) and maps.dtype == torch.float32
    assert maps.is_contiguous(memory_format=torch.channels_last)
    assert cache.nbytes == cache.maps.nbytes == 32 * 64 * 8 * 8 * 4
    plain = describe_photographs(model, photographs, 4, np.array([3, 0, 31]))
    torch.testing.assert_close(describe_photographs(model, cache, 4, np.array([3, 0, 31])), plain, atol=1e-6, rtol=0)


def test_frozen_layers_run_once_and_in_eval_mode(model, photographs, monkeypatch):
    cache, seen = StemCache(model.train(), photographs, 7), []
    original = cache.stem
    monkeypatch.setattr(cache, "stem", lambda images: seen.append(len(images)) or original(images))
    first = [maps.clone() for maps in cache.batches([[1, 2], [5]])]
    again = list(cache.batches([[1, 2], [5]]))
    assert seen == [7, 7, 7, 7, 4]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    torch.testing.assert_close(first[1], build_and_eval(photographs)[5:6], atol=1e-5, rtol=0)  # folded, so rounded anew


def build_and_eval(photographs: Photographs) -> torch.Tensor:
    network = build_model(FROZEN).eval()
    return network.stem(feature_cache.normalise(photographs.batch(range(len(photographs)))))


def test_what_inference_asked_for_can_be_trained_on(model, photographs):
    cache = StemCache(model, photographs, 8)
    describe_photographs(model, cache, 8)
    (maps,) = cache.batches([[0, 1]])
    model.train().encode(maps).descriptors.square().sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_sets_are_kept_in_order_while_the_budget_lasts(model, photographs, capsys):
    one = StemCache(model, photographs, 8).nbytes
    for budget, kinds in ((0, [Photographs] * 2), (one, [StemCache, Photographs]), (2 * one, [StemCache] * 2)):
        assert [type(kept) for kept in keep_stems(model, [photographs] * 2, 8, budget)] == kinds
        assert capsys.readouterr().out.count("on every pass instead") == kinds.count(Photographs)


def test_a_network_without_frozen_layers_keeps_nothing(photographs):
    assert keep_stems(build_model(TINY), [photographs], 8, PLENTY) == [photographs]


@pytest.mark.parametrize("loss", ["triplet", "geo_classification"])
@pytest.mark.parametrize(
    "options", [{"pooling": "gem"}, {"pooling": "netvlad"}, TOKENS], ids=lambda one: one["pooling"]
)
def test_training_comes_out_the_same(street, tmp_path, budget, loss, options):
    config = FROZEN.replace(loss=loss, **options)
    budget(0)
    plain = fit(config, tmp_path / "plain")
    budget(PLENTY)
    kept = fit(config, tmp_path / "kept")
    losses = [[row["loss"] for row in state.history] for state in (plain, kept)]
    np.testing.assert_allclose(*losses, atol=1e-5)
    for a, b in zip(plain.validation, kept.validation, strict=True):
        assert [a[f"recall_{n}"] for n in (1, 5, 10)] == [b[f"recall_{n}"] for n in (1, 5, 10)]  # of 16 images


def test_a_step_is_that_of_layers_that_were_not_folded(street, tmp_path):
    trainer = training.Trainer(FROZEN, tmp_path, *(PlaceSet.load("street", split) for split in ("train", "val")))
    for norm in trainer.model.backbone.frozen_layers.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):  # as after a training, not as initialised
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 1.5)
    rows = trainer.mine(np.random.default_rng(0))[0][:4]
    pixels, found = trainer.images.batch(rows.ravel()), []
    trainer.model.train()
    for descriptors in (None, trainer.model(feature_cache.normalise(pixels))):
        whole = descriptors is None
        encode = trainer.learner.encode if whole else lambda _pixels, found=descriptors: Encoded(found, None)
        loss = trainer.objective.loss(encode, pixels, rows)
        trainer.optimizer.zero_grad()
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in trainer.model.parameters() if p.requires_grad)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_an_interrupted_training_goes_on_with_the_same_numbers(street, tmp_path, budget, monkeypatch):
    budget(PLENTY)
    whole = fit(FROZEN, tmp_path / "whole")
    seen = fit_interrupted(FROZEN, tmp_path / "stopped", monkeypatch)
    resumed = fit(FROZEN, tmp_path / "stopped")
    assert {pixels.shape[1] for pixels in seen} == {64}  # maps, no pixels
    assert [row["loss"] for row in resumed.history] == [row["loss"] for row in whole.history]
    assert resumed.best == whole.best


def test_augmented_images_are_not_kept_but_those_of_validation_are(street, tmp_path, budget):
    budget(PLENTY)
    sets = [PlaceSet.load("street", split) for split in ("train", "val")]
    trainer = training.Trainer(FROZEN.replace(augmentation="brightness"), tmp_path, *sets)
    learned, mined, validated = trainer.sources
    assert isinstance(learned, Photographs) and isinstance(mined, StemCache) and isinstance(validated, StemCache)


# --- pixels on a GPU -------------------------------------------------------------------------------------------------
def test_kept_pixels_are_the_photographs(photographs):
    kept, wanted = DeviceCache(photographs, torch.device("cpu"), 5), [[3, 0, 31], [7]]
    for one, other in zip(kept.batches(wanted), photographs.batches(wanted), strict=True):
        assert one.dtype == torch.uint8 and torch.equal(one, other)
        one.zero_()  # as augmentation writes into a batch: what is kept stays
    assert torch.equal(next(kept.batches([[3]])), photographs.batch([3]))
    assert kept.nbytes == photographs.nbytes == kept.maps.nbytes


def test_pixels_are_kept_on_a_gpu_with_room(model, photographs, monkeypatch):
    cuda, cpu, size = torch.device("cuda"), torch.device("cpu"), photographs.nbytes
    assert (
        pixels_fit(size, cuda, 4 * size) and not pixels_fit(size, cuda, 4 * size - 1) and not pixels_fit(1, cpu, PLENTY)
    )
    assert keep_pixels(photographs, cpu, 8) is photographs
    monkeypatch.setattr(feature_cache, "pixels_fit", lambda *_: True)
    assert isinstance(keep_pixels(photographs, cpu, 8), DeviceCache)
    stems = StemCache(model, photographs, 8)
    assert keep_pixels(stems, cpu, 8) is stems


def test_an_augmented_training_from_kept_pixels_is_the_same(street, tmp_path, monkeypatch):
    config = FROZEN.replace(augmentation="brightness", epochs_num=1)
    plain = fit(config, tmp_path / "plain")
    monkeypatch.setattr(feature_cache, "pixels_fit", lambda *_: True)
    kept = fit(config, tmp_path / "kept")
    assert [row["loss"] for row in kept.history] == [row["loss"] for row in plain.history]


# --- compiled ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("pooling", ["average", "max", "gem", "netvlad"])
def test_a_network_is_compiled_in_one_piece(pooling):
    """What cannot be compiled would cut it in pieces, silently but for a warning; here it is an error."""
    torch.compiler.reset()  # what other tests compiled counts towards the compiler's limit
    model = build_model(TINY.replace(freeze="conv1", pooling=pooling)).train()
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    whole = torch.compile(feature_cache._descriptors_of, fullgraph=True, backend="eager")
    for network, stem in ((model, frozen_stem(model)), (inference_copy(model), inference_copy(model).stem)):
        plain = feature_cache._descriptors_of(network, pixels, stem)
        torch.testing.assert_close(whole(network, pixels, stem), plain, atol=1e-5, rtol=0)


def test_each_network_of_a_sweep_is_compiled(monkeypatch):
    """One function stands for all networks, and PyTorch gives up on a function that it has compiled too often."""
    compiled = []

    def count(graph, _inputs):
        compiled.append(graph)
        return graph.forward

    torch.compiler.reset()
    feature_cache._compiled.cache_clear()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=count))
    pixels = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    for l2, pooling in product(("before_pool", "after_pool", "both"), ("average", "max", "gem")):
        before = len(compiled)
        descriptors_of(build_model(TINY.replace(compile=True, layer="conv1", l2=l2, pooling=pooling)), pixels)
        assert len(compiled) == before + 1
    feature_cache._compiled.cache_clear()


@pytest.mark.skipif(not can_compile(), reason="needs a C++ compiler")
def test_a_compiled_training_is_the_same_up_to_rounding(street, tmp_path):
    config = TINY.replace(layer="conv1", mining="full", epochs_num=1, infer_batch_size=8)  # all batches of one size
    plain = fit(config, tmp_path / "plain")
    feature_cache._compiled.cache_clear()
    plainly = {"cpp.vec_isa_ok": False, "compile_threads": 1}  # to ask what the processor has takes longer than this
    with inductor.patch(plainly):
        compiled = fit(config.replace(compile=True), tmp_path / "compiled")
    assert feature_cache._compiled.cache_info().hits > 0
    losses = [[row["loss"] for row in state.history] for state in (compiled, plain)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    assert not load_model(tmp_path / "compiled" / "best.safetensors").config.compile, "a choice of that training"


def test_a_history_says_where_the_time_went(street, tmp_path, budget):
    budget(PLENTY)
    history = fit(FROZEN, tmp_path / "run").history
    assert history[0]["seconds_decode"] > 0, "before the first round"
    assert not any(row["seconds_decode"] for row in history[1:])
    for row in history:
        parts = {
            name: row[f"seconds_{name}"] for name in training.Clock(torch.device("cpu")).seconds if name != "decode"
        }
        assert all(seconds > 0 for seconds in parts.values())
        assert sum(parts.values()) <= row["seconds"] and row["seconds_training"] <= row["seconds"]
        assert parts["forward"] + parts["backward"] <= row["seconds_training"]


@pytest.mark.parametrize("loss", ["triplet", "geo_classification"])
def test_each_second_of_a_training_is_that_of_a_phase_or_of_a_validation(street, tmp_path, budget, monkeypatch, loss):
    """On a clock that stands still but for a second in each call that is named here."""
    budget(PLENTY)
    once = (vg_core.retrieval.descriptors, "Photographs"), (training, "local_descriptors"), (StemCache, "make")
    again = (training, "describe_photographs"), (training.Learner, "forward"), (training, "evaluate")
    calls = []
    for owner, name in (*once, *again):
        done = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, done=done, name=name, **o: calls.append(name) or done(*a, **o))
    monkeypatch.setattr("time.monotonic", lambda: float(len(calls)))
    state = fit(FROZEN.replace(loss=loss, pooling="netvlad"), tmp_path / "run")
    phases = pd.DataFrame(state.history).filter(regex="^seconds_").drop(columns="seconds_training")
    assert phases.sum().sum() + sum(row["seconds"] for row in state.validation) == len(calls)
    of_once = [name for name in calls if name in {name for _, name in once}]
    assert phases.seconds_decode.tolist() == [len(of_once), 0, 0] and len(set(of_once)) == 3
    assert phases.drop(columns="seconds_decode").sum(axis=1).tolist() == [row["seconds"] for row in state.history]


# --- shared by the runs of a process ---------------------------------------------------------------------------------
@pytest.fixture
def shared(monkeypatch):
    monkeypatch.setattr(feature_cache, "_shared", {})
    return feature_cache._shared


def test_runs_with_the_same_frozen_layers_share_what_these_make(model, photographs, shared):
    first = shared_stems(model, photographs, 8)
    other = build_model(FROZEN.replace(seed=1))
    assert shared_stems(other, photographs, 8) is not first, "its frozen layers are others"
    other.backbone.frozen_layers.load_state_dict(model.backbone.frozen_layers.state_dict())
    assert shared_stems(other, photographs, 8) is first, "what is trained makes no difference"
    assert shared_stems(model, photographs, 4) is not first, "batches of another size may differ in the last digit"
    assert shared_stems(model, photographs_of(PlaceSet.load("street", "train"), (32, 32)), 8) is not first


def test_those_used_last_are_held_as_long_as_they_are_small(model, photographs, shared, monkeypatch):
    one = shared_stems(model, photographs, 8)
    shared.clear()
    monkeypatch.setattr(feature_cache, "free_memory", lambda _: 2.5 * one.nbytes / feature_cache.SHARED_SHARE)
    first, _ = (shared_stems(model, photographs, size) for size in (3, 4))
    assert shared_stems(model, photographs, 3) is first
    third = shared_stems(model, photographs, 5)
    assert [*shared.values()] == [first, third], "the second was not used for longest"
    monkeypatch.setattr(feature_cache, "free_memory", lambda _: 0.5 * one.nbytes / feature_cache.SHARED_SHARE)
    assert stems_if_shared(model, photographs, 8) is photographs and not shared


def test_a_test_from_shared_stems_retrieves_the_same(street, shared, monkeypatch):
    config = FROZEN.replace(epochs_num=0)
    kept = run(config)
    monkeypatch.setattr(making, "stems_if_shared", lambda _model, photographs, _size: photographs)
    assert shared and (paths.runs_folder("smoke") / kept.id / kept.test / "ranks.parquet").unlink() is None
    assert run(config).ranks.equals(kept.ranks)
