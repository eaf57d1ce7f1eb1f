"""Whitened tests of a trained network: learned once, cut to any size, equal to doing it by hand."""

import numpy as np
import pytest
import torch

from tests.tiny import TINY
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.models import load_model, save_model
from vg_core.models.checkpoint import whitened_file
from vg_core.models.whitening import Whitening
from vg_core.retrieval import whitened as dimensions
from vg_core.retrieval.descriptors import describe
from vg_core.retrieval.ranking import evaluate
from vg_core.runs import identity, making
from vg_core.runs.experiments import run, sweep
from vg_core.system.own_files import Damaged

SHORT = TINY.replace(epochs_num=1, queries_per_epoch=8, weight_decay=0.25)


def no_work(*_):
    pytest.fail("done again")


def whitened_by_hand(plain, dim):
    """The model of a run with a whitening learned here, with ``dim`` directly."""
    database = list(PlaceSet.load("street", "train").database.path)
    model = plain.model()
    model.whiten(Whitening.learn(describe(model, database, (32, 32)), dim))
    return model


@pytest.mark.parametrize("pooling", ["gem", "netvlad"])  # 64 and 256 values from 24 images
def test_recall_is_that_of_a_model_whitened_by_hand(street, pooling):
    plain, short = run(SHORT.replace(pooling=pooling)), run(SHORT.replace(pooling=pooling, whitened_dim=6))
    by_hand = whitened_by_hand(plain, 6)
    found = evaluate(by_hand, PlaceSet.load("street", "test"), (32, 32), Within(25.0))
    assert short.ranks.equals(found.ranks)
    assert not short.ranks.equals(plain.ranks)
    images = torch.randn(3, 3, 32, 32)
    model = short.model()
    assert (model.dim, short.card["descriptor_dim"], short.card["bytes_per_image"]) == (6, 6, 24)
    assert (short.card["whitened"], plain.card["whitened"]) == (True, False)
    with torch.inference_mode():
        one, other = model(images), by_hand(images)
    signs = (one * other).sum(dim=0).sign()  # eigenvectors point either way
    torch.testing.assert_close(one * signs, other, atol=1e-4, rtol=0)


def test_learned_once_and_cut_for_other_sizes(street, monkeypatch):
    first = run(SHORT.replace(whitened_dim=23))
    file = whitened_file(first.checkpoint)
    assert load_model(file).whitening.dim == 23  # as long as 24 images allow, whatever was asked for
    before = file.stat().st_mtime_ns
    monkeypatch.setattr(making, "train", no_work)
    monkeypatch.setattr(Whitening, "learn", no_work)
    for dim in (12, 3):
        again = run(SHORT.replace(whitened_dim=dim))
        assert again.id == first.id
        assert again.card["checkpoint"] == first.card["checkpoint"]
        assert again.model().dim == dim
        cut = load_model(file).whitening.truncated(dim)
        assert torch.equal(again.model().whitening.weight, cut.weight)
    assert file.stat().st_mtime_ns == before


def test_names_stay_without_whitening_and_differ_with_it():
    assert identity.test_name(TINY) == "street-32x32-hard_resize"
    assert identity.test_name(TINY.replace(whitened_dim=8)) == "street-32x32-hard_resize-whitened8"


def test_a_sweep_over_sizes_trains_once(street):
    variants = {f"{dim}": SHORT.replace(whitened_dim=dim) for dim in (0, 4, 16)}
    ranks = sweep(variants, cluster="here")
    assert set(ranks.variant) == {"0", "4", "16"}
    assert len(set(ranks.attrs["origin"]["runs"])) == 1


def test_too_many_values_are_refused_before_the_training(street, monkeypatch):
    monkeypatch.setattr(making, "train", no_work)
    sentence = "whitened_dim=24 is above 23, the most that descriptors of 64 values, learned from 24 database images"
    with pytest.raises(ValueError, match=sentence):
        run(SHORT.replace(whitened_dim=24))
    assert dimensions.widest(32_768, 10_000) == 4096
    assert dimensions.widest(256, 10_000) == 256
    assert dimensions.widest(32_768, 20_000) == 4096
    assert dimensions.widest(32_768, 600) == 599


def test_a_checkpoint_that_is_whitened_already_is_only_cut(street, tmp_path, monkeypatch):
    plain = run(SHORT)
    by_hand = whitened_by_hand(plain, 10)
    save_model(by_hand, tmp_path / "model.safetensors")
    monkeypatch.setattr(Whitening, "learn", no_work)
    found, card = making.examine(
        SHORT.replace(whitened_dim=5), tmp_path / "model.safetensors", PlaceSet.load("street", "test")
    )
    assert card["descriptor_dim"] == 5
    by_hand.whiten(by_hand.whitening.truncated(5))
    assert found.ranks.equals(evaluate(by_hand, PlaceSet.load("street", "test"), (32, 32), Within(25.0)).ranks)


def test_only_ten_thousand_database_images_are_learned_from(street, monkeypatch):
    tables = []
    original = Whitening.learn
    monkeypatch.setattr(dimensions, "LEARNED_ON", 9)
    monkeypatch.setattr(Whitening, "learn", lambda table, dim: tables.append(table) or original(table, dim))
    short = run(SHORT.replace(whitened_dim=8))
    assert [tuple(table.shape) for table in tables] == [(9, 64)]
    database = list(PlaceSet.load("street", "train").database.path)
    known = describe(load_model(short.checkpoint), database, (32, 32))
    assert np.abs(known[:, None] - tables[0]).max(axis=2).min(axis=0).max() < 1e-5


def test_scales_joined_count_in_the_width(street):
    joined = run(SHORT.replace(whitened_dim=4, test_method="hard_resize+multi_scale_concatenated"))
    assert (joined.card["descriptor_dim"], joined.card["bytes_per_image"]) == (12, 48)


def test_a_lost_checkpoint_is_a_sentence(street):
    short = run(SHORT.replace(whitened_dim=4))
    short.checkpoint.unlink()
    short.checkpoint.with_name("state.pt").unlink()  # which has it, too
    with pytest.raises(
        Damaged, match=r"best\.safetensors is missing; copy it again, .* or delete runs/street-resnet18-"
    ):
        short.model()
