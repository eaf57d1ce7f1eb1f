"""Soups on the command line and in tables: what is mixed, what is chosen on val, what is said, what is read back."""

import pandas as pd
import pytest
import torch

from tests.tiny import GROUPS, TINY
from vg_core.__main__ import main
from vg_core.datasets.places import PlaceSet
from vg_core.models import build_model, load_model, save_model
from vg_core.models.checkpoint import read_facts
from vg_core.models.soup import uniform_soup
from vg_core.runs import soups
from vg_core.runs.experiments import run, sweep
from vg_core.runs.making import examine
from vg_core.runs.soups import soup_ranks


@pytest.fixture
def models(tmp_path):
    """Files of three models, the second of which saw photographs of the test."""
    files = [tmp_path / f"{seed}.safetensors" for seed in range(3)]
    for seed, file in enumerate(files):
        model = build_model(TINY.replace(seed=seed))
        model.config = model.config.replace(transductive=seed == 1)
        save_model(model, file)
    return list(map(str, files))


def test_the_mean_is_written_and_can_be_tested(street, models, tmp_path, capsys):
    output = tmp_path / "soup.safetensors"
    assert main(["soup", *models, "--output", str(output)]) == 0
    assert capsys.readouterr().out.splitlines() == [f"{output}: the mean of 3 of 3 models", *models]
    found, expected = (model.state_dict() for model in (load_model(output), uniform_soup(models)))
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert read_facts(output) == {} and load_model(output).config.transductive


def test_with_val_models_are_added_as_long_as_recall_rises(street, models, tmp_path, capsys, monkeypatch):
    asked = []

    def score(model, places):
        asked.append((places.split, len(places.queries)))
        return -len(asked)  # the first is the best, and nothing better follows

    monkeypatch.setattr(soups, "_recall_1", score)
    output = tmp_path / "soup.safetensors"
    assert main(["soup", *models, "--output", str(output), "--val", "street"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [f"{output}: the mean of 1 of 3 models", models[0]]
    assert {*asked} == {("val", 16)} and not load_model(output).config.transductive


def test_its_score_is_recall_1_on_val(street, models):
    model, places = load_model(models[0]), PlaceSet.load("street", "val")
    ranks = examine(model.config, models[0], places)[0].ranks
    assert soups._recall_1(model, places) == 100 * (ranks["rank"] == 1).mean()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["absent.safetensors", "--output", "soup.safetensors"],
            "absent.safetensors; train a model",
        ),
        (["{0}", "{3}", "--output", "soup.safetensors"], "3.safetensors cannot be mixed with"),
        (["{0}", "--output", "soup.pth"], "output=soup.pth must end in .safetensors"),
        (["{0}", "--output", "soup.safetensors", "--val", "nowhere"], "dataset 'nowhere' has no val split"),
    ],
)
def test_bad_soups_are_sentences(models, tmp_path, capsys, words, said):
    with pytest.raises(ValueError, match="nothing to average: name soups"):
        soup_ranks({"empty": []})
    models.append(str(tmp_path / "3.safetensors"))
    save_model(build_model(TINY.replace(pooling="max")), models[3])
    assert main(["soup", *(word.format(*models) for word in words)]) == 1
    assert said in capsys.readouterr().err


def test_soups_of_runs_are_tables_like_those_of_a_sweep(street, monkeypatch):
    config = GROUPS.replace(epochs_num=1)
    variants = {"cosface": config, "arcface": config.replace(loss="arcface")}
    swept, made = sweep(variants, (0, 1), "here"), soup_ranks({"both": [*variants.values()]}, (0, 1))
    assert [*made] == [*swept] and set(made.seed) == {0, 1} and set(made.variant) == {"both"}
    assert (made["query"].to_numpy() == swept[swept.variant == "cosface"]["query"].to_numpy()).all()
    alone = soup_ranks({"one": [config]})
    pd.testing.assert_frame_equal(alone.drop(columns=["variant", "seed"]), run(config).ranks)
    monkeypatch.setattr(soups, "_tested", lambda *_: pytest.fail("tested again"))
    assert soup_ranks({"both": [*variants.values()]}, (0, 1)).equals(made)
    with pytest.raises(pytest.fail.Exception):
        soup_ranks({"both": [*variants.values()]}, (0, 1), greedy=True)
