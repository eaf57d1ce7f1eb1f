"""The command line as users type it: what it prints, what it writes, and a sentence with status 1 for bad input."""

import numpy as np
import pandas as pd
import pytest

from tests.tiny import TINY
from vg_core.__main__ import main
from vg_core.models import build_model, save_model

SMALL = [
    "--profile smoke --dataset street --image_size 32 32 --layer layer1 --queries_per_epoch 8 --cache_refresh_rate 8",
    "--negs_num_per_query 3 --neg_samples_num 12 --epochs_num 1",
]
SMALL = [word for line in SMALL for word in line.split()]


@pytest.fixture
def checkpoint(tmp_path):
    save_model(build_model(TINY), tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


def test_train_prints_recall_and_where_the_model_is(street, capsys):
    assert main(["train", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "R@1" in printed
    model = printed.split("model: ")[1].strip()
    assert main(["test", "--model", model]) == 0
    assert "queries_without_positives  0" in capsys.readouterr().out


def test_names_of_the_fields_other_programs(street, capsys):
    renamed = [{"--dataset": "--dataset_name", "--image_size": "--resize"}.get(word, word) for word in SMALL]
    assert main(["train", *renamed, "--aggregation=max", "--optim", "sgd"]) == 0
    assert "-max-" in capsys.readouterr().out


def test_test_writes_one_row_a_query(street, checkpoint, tmp_path, capsys):
    out = tmp_path / "ranks.csv"
    assert main(["test", "--model", checkpoint, "--dataset", "street", "--ranks", str(out)]) == 0
    assert len(pd.read_csv(out)) == 16
    assert "fingerprint" in capsys.readouterr().out


def test_describe_writes_descriptors(street, checkpoint, tmp_path):
    folder = street / "images" / "val" / "queries"
    assert main(["describe", "--model", checkpoint, "--images", str(folder), "--output", str(tmp_path / "d.npz")]) == 0
    with np.load(tmp_path / "d.npz") as file:
        assert file["descriptors"].shape == (16, 64)
        assert len(file["paths"]) == 16


def test_locate_prints_guesses_and_draws_a_map(street, checkpoint, tmp_path, capsys):
    split = street / "images" / "test"
    photo = sorted((split / "queries").iterdir())[4]
    command = ["locate", str(photo), "--model", checkpoint, "--database", str(split / "database"), "--top", "3"]
    assert main([*command, "--map", str(tmp_path / "map.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines[:3]] == ["1.", "2.", "3."]
    # the photograph was taken 30 * 2 m along the street
    assert "402060" in lines[0] or "402061" in lines[0]
    assert "0 m from the best guess" in lines[0]
    assert (tmp_path / "map.html").read_text().count("402") >= 0
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[:3] == lines[:3]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["test", "--model", "absent.safetensors"], "absent.safetensors"),
        (["train", *SMALL, "--dataset", "nowhere"], "no train split"),
        (["train", *SMALL, "--layer", "layer9"], "layer9"),
        (["train", *SMALL, "--loss", "sare"], "sare"),
        (["train", *SMALL, "--weights", "absent.pth"], "absent.pth"),
    ],
)
def test_bad_input_is_a_sentence_with_status_1(street, capsys, words, sentence):
    assert main(words) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert sentence in error


@pytest.mark.parametrize(
    "words",
    [["train", "--poolng", "gem"], ["train", "--pooling", "gemm"], ["train", "--lr", "-1"], ["fly"], []],
)
def test_bad_usage_is_status_2(words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


def test_empty_query_set_is_a_sentence(street, checkpoint, capsys):
    for file in (street / "images" / "test" / "queries").iterdir():
        file.unlink()
    assert main(["test", "--model", checkpoint, "--dataset", "street"]) == 1
    assert "no image found" in capsys.readouterr().err


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for option in ("--train_positives_dist_threshold", "--mining", "--image_size", "--seed"):
        assert option in printed
