"""Ensembles of runs: tables like those of a sweep, by hand, read back, whitened; and what describing costs."""

import numpy as np
import pandas as pd
import pytest
import torch

from tests.tiny import TINY
from vg_core.datasets.places import PlaceSet
from vg_core.models.whitening import Whitening
from vg_core.retrieval.descriptors import describe
from vg_core.retrieval.ensembles import joined
from vg_core.runs import ensembles
from vg_core.runs.ensembles import describe_costs, ensemble_ranks
from vg_core.runs.experiments import run, sweep

SHORT = TINY.replace(epochs_num=0)
OTHER = SHORT.replace(pooling="max")


def test_an_ensemble_of_one_network_is_that_network(street):
    swept = sweep({"one": SHORT}, (1,), "here")
    for configs in ([SHORT], [SHORT, SHORT]):
        found = ensemble_ranks({"one": configs}, (1,))
        pd.testing.assert_frame_equal(found.drop(columns="weights")[[*swept]], swept)
        assert found.attrs["origin"]["datasets"] == swept.attrs["origin"]["datasets"]
        assert found.attrs["origin"]["runs"] == swept.attrs["origin"]["runs"] * len(configs)
    assert set(found.weights) == {"0.5 : 0.5"}


def by_hand(folder, shares, *runs):
    paths = getattr(PlaceSet.load("street", folder[0]), folder[1]).path
    return joined([describe(one.model(), paths, (32, 32)) for one in runs], shares)


@pytest.mark.parametrize("whitened", [0, 6])
def test_members_are_joined_with_equal_weights_and_whitened(street, whitened):
    found = ensemble_ranks({"both": [SHORT, OTHER]}, weights="equal", whitened_dim=whitened)
    runs = run(SHORT), run(OTHER)
    queries, database, train = (
        by_hand(folder, (0.5, 0.5), *runs)
        for folder in (("test", "queries"), ("test", "database"), ("train", "database"))
    )
    if whitened:
        layer = Whitening.learn(train, whitened)
        queries, database = (layer(torch.from_numpy(part)).numpy() for part in (queries, database))
    first = np.linalg.norm(queries[:, None] - database, axis=2).argmin(1)
    names = [path.rpartition("/")[2] for path in PlaceSet.load("street", "test").database.path]
    assert list(found.top_1) == [names[image] for image in first]


def test_weights_are_chosen_on_val_and_tables_are_read_back(street, monkeypatch):
    asked = []

    def choose(queries, database, positives, n):
        asked.append((len(queries), queries[0].shape, database[1].shape, len(positives), n))
        return 0.3, 0.7

    monkeypatch.setattr(ensembles, "best_weights", choose)
    found = ensemble_ranks({"both": [SHORT, OTHER]})
    assert asked == [(2, (16, 64), (16, 64), 16, 5)] and set(found.weights) == {"0.3 : 0.7"}
    monkeypatch.setattr(ensembles, "_tested", lambda *_: pytest.fail("tested again"))
    assert ensemble_ranks({"both": [SHORT, OTHER]}).equals(found)
    for other in ({"weights": "equal"}, {"whitened_dim": 3}, {"seeds": (1,)}):
        with pytest.raises(pytest.fail.Exception):
            ensemble_ranks({"both": [SHORT, OTHER]}, **other)
    next((street / "images" / "test" / "queries").iterdir()).unlink()  # of other photographs nothing is known
    with pytest.raises(pytest.fail.Exception):
        ensemble_ranks({"both": [SHORT, OTHER]})


def test_members_that_differ_in_their_seeds_alone_stay_apart(street):
    two = ensemble_ranks({"two": [SHORT, SHORT.replace(seed=5)]}, (1,), weights="equal")
    shifted = ensemble_ranks({"two": [SHORT.replace(seed=1), SHORT.replace(seed=6)]}, (0,), weights="equal")
    assert two.drop(columns="seed").equals(shifted.drop(columns="seed"))


def test_members_may_be_shown_at_several_scales_but_not_in_several_views(street):
    scales = SHORT.replace(test_method="hard_resize+multi_scale_concatenated+flip")
    assert len(ensemble_ranks({"both": [scales, OTHER]}, weights="equal", whitened_dim=4)) == 16
    with pytest.raises(ValueError, match=r"test_method=five_crops gives no single descriptor .* choose hard_resize"):
        ensemble_ranks({"crops": [SHORT.replace(test_method="five_crops")]})
    with pytest.raises(ValueError, match="were tested on different photographs, or by thresholds"):
        ensemble_ranks({"both": [SHORT, SHORT.replace(val_positives_dist_threshold=20.0)]}, weights="equal")


def test_zones_are_searched_together_or_not_at_all(street):
    for file in (street / "images" / "test").rglob("*@32@T@*"):
        if "@04021" in file.name:  # of 402,000 … 402,210 m
            file.rename(file.with_name(file.name.replace("@32@T@", "@10@T@")))
    assert len(ensemble_ranks({"both": [SHORT, OTHER]}, weights="equal")) == 16
    with pytest.raises(ValueError, match=r"all UTM zones in one: .* test_search=joint"):
        ensemble_ranks({"both": [SHORT, OTHER.replace(test_search="own_zone")]}, weights="equal")


def test_nothing_is_no_ensemble():
    for nothing in ({}, {"both": []}):
        with pytest.raises(ValueError, match="there is nothing to join: name ensembles"):
            ensemble_ranks(nothing)


def test_costs_of_tests_and_of_ensembles_which_add_up(street, monkeypatch):
    scales = SHORT.replace(test_method="hard_resize+multi_scale_concatenated")
    table = describe_costs({"one": SHORT, "scales": scales, "both": [SHORT, OTHER]}).set_index("variant")
    assert list(table.descriptor_dim) == [64, 192, 128] and list(table.bytes_per_image) == [256, 768, 512]
    assert (table.describe_ms > 0).all()
    asked = []
    monkeypatch.setattr(ensembles, "_cost", lambda one: (asked.append(one) or len(one.config.pooling), 64))
    some = {"one": SHORT, "both": [SHORT, OTHER], "whitened": [SHORT, OTHER]}
    whitened = describe_costs(some, {"whitened": 10})
    assert list(whitened.describe_ms) == [3, 6, 6] and list(whitened.bytes_per_image) == [256, 512, 40]
    assert len(asked) == 2  # a network is timed once, or it would differ from itself
