"""Where the attention of finished runs lies: pictures, shares on known pixels, and what has none."""

import numpy as np
import pytest
import torch

from tests.tiny import TINY
from vg_core.evaluation.shares import share_table
from vg_core.figures.galleries import over_grey, picture_columns
from vg_core.runs import attention
from vg_core.runs.attention import attention_pictures, attention_shares
from vg_core.runs.experiments import run

CRN = TINY.replace(attention="crn", epochs_num=0)


def test_shares_on_known_pixels(street, monkeypatch):
    known = np.zeros((48, 64), dtype=bool)
    known[:, :16] = True
    monkeypatch.setattr(attention, "traffic_pixels", lambda paths: [known] * len(paths))
    found = attention_shares({"CRN": CRN, "SOA": CRN.replace(attention="soa")}, seeds=(0, 1))
    assert found.groupby(["variant", "seed"]).size().tolist() == [16] * 4
    assert found.area.to_numpy() == pytest.approx(0.25)
    assert found.share.between(0, 1).all() and found.share.nunique() > 4
    table = share_table(found)
    assert list(table.variant) == ["CRN", "SOA"] and (table.places == 8).all()


def test_crn_starts_from_a_trained_netvlad(street):
    start = run(TINY.replace(pooling="netvlad", epochs_num=1))
    found = run(CRN.replace(pooling="netvlad", weights=f"run:{start.id}"))
    for part in ("backbone", "head.pool"):
        theirs, ours = (one.model().get_submodule(part).state_dict() for one in (start, found))
        assert theirs.keys() == ours.keys() and all(torch.equal(theirs[name], ours[name]) for name in ours)
    with pytest.raises(FileNotFoundError, match=r"there is no run of_nobody in .*: make it first"):
        run(CRN.replace(weights="run:of_nobody"))


def test_nobody_knows_where_the_cars_of_photographs_are(street):
    assert attention_shares({"CRN": CRN}).empty


def test_pictures_show_each_run_beside_the_query(street):
    columns = attention_pictures({"CRN": run(CRN), "SOA": run(CRN.replace(attention="soa"))}, count=3)
    assert list(columns) == ["query", "CRN", "SOA"]
    assert {picture.shape for column in columns.values() for picture in column} == {(32, 32, 3)}
    assert len(picture_columns(columns).axes) == 9
    with pytest.raises(ValueError, match="has no attention to be shown; train one with --attention"):
        attention_pictures({"none": run(TINY.replace(epochs_num=0))})


def test_colours_lie_over_a_grey_picture():
    picture = np.full((4, 6, 3), (90, 60, 30), dtype=np.uint8)
    weights = np.array([[0.0, 5.0]])
    found = over_grey(picture, weights)
    assert found.shape == (4, 6, 3) and found.dtype == np.uint8
    assert np.abs(found[0, 0].astype(int) - 30).max() <= 2  # half of the mean, 60, and nothing over it
    assert found[0, -1, 0] > 140 and found[0, -1, 2] < 120  # yellow
