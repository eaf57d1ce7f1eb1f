"""Before any run is made: what stops all of them is said once, and so is what is odd about the photographs."""

import shutil

import pytest

from tests.tiny import TINY
from vg_core.runs import experiments
from vg_core.runs.experiments import sweep

SHORT = TINY.replace(epochs_num=0)


@pytest.fixture
def never(monkeypatch):
    """No run may begin."""
    monkeypatch.setattr(experiments, "make", lambda _job, *_: pytest.fail("a run began"))


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(
    ("changes", "cluster", "sentence"),
    [
        ({"dataset": "stret"}, "auto", r"^dataset 'stret' has no train split: .*Did you mean street\? Else set"),
        ({"test_dataset": "stret"}, "here", "^dataset 'stret' has no test split: "),
        ({"val_positives_dist_threshold": 0.5}, "local", "^street val: none of the 16 queries has a database image"),
        ({"whitened_dim": 4000}, "here", "whitened_dim"),
        ({}, "heer", r"cluster='heer' is none of auto, here, local, .*; did you mean here\?"),
    ],
)
def test_what_stops_every_run_is_one_error_before_any_begins(street, capsys, changes, cluster, sentence):
    config = SHORT.replace(**changes)
    with pytest.raises(ValueError, match=sentence):
        sweep({"GeM": config, "max": config.replace(pooling="max")}, [0, 1], cluster)
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("never")
@pytest.mark.parametrize(("variants", "seeds"), [({}, [0]), ({"GeM": SHORT}, [])])
def test_nothing_to_run_is_a_sentence(street, variants, seeds):
    with pytest.raises(ValueError, match="no variants or no seeds were given"):
        sweep(variants, seeds)


@pytest.mark.parametrize("cluster", ["here", "local"])
def test_what_is_odd_about_photographs_is_said_once(street, capsys, monkeypatch, cluster):
    test = street / "images" / "test"
    shutil.copy(next((test / "database").iterdir()), test / "queries")
    monkeypatch.setattr(experiments, "_by_workers", lambda missing, _cluster: ((one, "stopped") for one in missing))
    monkeypatch.setattr(experiments, "_one_by_one", experiments._by_workers)
    with pytest.raises(ValueError, match="every variant failed; the first: stopped"):
        tokens = SHORT.replace(backbone="dinov2_vits14", layer="block0", freeze="patches")
        sweep({"GeM": SHORT, "max": SHORT.replace(pooling="max"), "tokens": tokens}, [0, 1], cluster)
    printed = capsys.readouterr().out
    assert printed.count("1 of 17 queries are copies of database images") == 1
    assert printed.count("dinov2_vits14 sees images of 32 x 32 pixels as 28 x 28: whole patches of 14") == 1
