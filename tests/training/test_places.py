"""Batches of places: which photographs a row holds, which pairs count, and what the memory of earlier batches adds."""

from dataclasses import replace
from math import exp, log

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.tiny import PLACES, TINY, fit
from vg_core.config import PlaceOptions
from vg_core.datasets.places import PlaceSet
from vg_core.models.network import Encoded
from vg_core.training.objective import RoundKey
from vg_core.training.objectives import make_objective


@pytest.fixture
def places(street):
    return PlaceSet.load("street", "train")


def rows_of(objective, seed=0):
    return objective.draw(RoundKey(1, 1), np.random.default_rng(seed), None)[0]


def where(places):
    return np.concatenate([places.database.easting, places.queries.easting])  # (I,), metres


def test_rows_are_whole_places_and_none_comes_twice_before_all(places):
    objective = make_objective(PLACES.replace(images_per_row=8, cache_refresh_rate=12), places, 8)
    rows = rows_of(objective).reshape(24, 4)
    at = where(places)[rows] // 30
    assert (at == at[:, :1]).all() and all(len({*row}) == 4 for row in rows)
    assert all(sorted({*half[:, 0]}) == sorted({*(where(places) // 30)}) for half in (at[:12], at[12:]))
    two = make_objective(PLACES.replace(images_per_place=2, cache_refresh_rate=24), places, 8)
    assert len(np.unique(rows_of(two))) > 40  # not always the same two of the four of a place
    assert not np.array_equal(rows_of(two), rows_of(two, seed=1))


def plain_loss(x, others, images, numbers, at, metres):
    """Multi-similarity loss of mined pairs, one by one, of x (B, D) against others (C, D)."""
    total = 0.0
    for anchor, own in zip(x, images, strict=True):
        pairs = [(float(anchor @ other), n) for other, n in zip(others, numbers, strict=True) if n not in (own, -1)]
        positives = [s for s, n in pairs if at[n] // 30 == at[own] // 30]
        negatives = [s for s, n in pairs if at[n] // 30 != at[own] // 30 and abs(at[n] - at[own]) > metres]
        hard = [s for s in positives if negatives and s - 0.1 < max(negatives)]
        near = [s for s in negatives if positives and s + 0.1 > min(positives)]
        total += log(1 + sum(exp(-s) for s in hard)) + log(1 + sum(exp(50 * s) for s in near)) / 50
    return total / len(x)


@pytest.mark.parametrize("metres", [25.0, 40.0])
@pytest.mark.parametrize("memory", [0, 10, 40])
def test_the_loss_is_that_of_all_pairs_of_a_batch_and_its_memory(places, metres, memory):
    """At 40 m neighbouring places, 30 m apart, are neither the same nor others."""
    objective = make_objective(PLACES.replace(memory_size=memory, val_positives_dist_threshold=metres), places, 3)
    objective.memory, at = objective.memory.double(), where(places)
    rows, x = rows_of(objective).reshape(4, 8), torch.zeros(0, 3)  # two places a batch
    others, numbers = [], []
    for batch in rows:
        x = F.normalize(torch.randn(8, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(int(batch[0]))))
        leaf = x.clone().requires_grad_()
        loss = objective.loss(lambda _pixels, leaf=leaf: Encoded(leaf, None), None, batch.reshape(2, 4))
        others, numbers = [*x, *others], [*batch, *numbers]  # the latest first
        assert loss.item() == pytest.approx(plain_loss(x, others, batch, numbers, at, metres), rel=1e-9)
        (gradient,) = torch.autograd.grad(loss, leaf)
        assert gradient.isfinite().all() and gradient.any()
        others, numbers = others[:memory], numbers[:memory]
        assert objective.remembered.tolist() == numbers + [-1] * (memory - len(numbers))
    assert not objective.memory.requires_grad


def test_places_of_headings_are_told_apart_by_them(places):
    looking = replace(
        places, database=places.database.assign(heading=10.0), queries=places.queries.assign(heading=95.0)
    )
    objective = make_objective(PLACES.replace(alpha=90, images_per_place=2), looking, 8)
    rows = rows_of(objective).reshape(-1, 2)
    assert ((rows < 24).all(axis=1) | (rows >= 24).all(axis=1)).all() and len(objective.images) == 24


def test_places_learn(street, tmp_path):
    state = fit(PLACES.replace(epochs_num=4, patience=9, queries_per_epoch=48), tmp_path)
    losses = [row["loss"] for row in state.history]
    assert np.mean(losses[-6:]) < 0.8 * np.mean(losses[:6])


def test_rows_hold_as_many_whole_places_as_fit():
    for images, fitting in ((12, 12), (7, 4), (2, 4)):
        task = TINY.replace(negs_num_per_query=max(1, images - 2)).replace(loss=PLACES.task.loss).task
        assert task == PlaceOptions(images_per_row=fitting)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images_per_row": 6}, "images_per_row=6 must be a multiple of images_per_place=4"),
        ({"alpha": 50}, "alpha=50 must divide 360 degrees"),
        ({"alpha": 30}, "none of 48 photographs has a heading in its name, so there are no classes; alpha=360 makes"),
        (
            {"images_per_place": 5, "images_per_row": 5},
            "no class has images_per_place=5 photographs, the largest has 4",
        ),
        ({"accumulate": 2}, "multi_similarity_of_places is one of a whole batch, which accumulate=2 and 1 processes"),
        ({"mining": "full"}, "mining does nothing to a loss of places"),
        ({"memory_size": -1}, "memory_size=-1 must be from 0"),
    ],
)
def test_what_cannot_be_learned_is_a_sentence(places, options, said):
    with pytest.raises(ValueError, match=said):
        make_objective(PLACES.replace(**options), places, 8)
