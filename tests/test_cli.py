"""The command line as users type it: what it prints, what it writes, and a sentence with status 1 for bad input."""

import errno
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.tiny import TINY
from vg_core.__main__ import main
from vg_core.config import Config, GroupOptions, PairOptions, PlaceOptions, TupleOptions, names
from vg_core.models import build_model, load_model, save_model

WORDS = [
    "--profile smoke --dataset street --image_size 32 32 --layer layer1 --freeze none --weights none",
    "--queries_per_epoch 8 --cache_refresh_rate 8 --epochs_num 1",
    "--negs_num_per_query 3 --neg_samples_num 12",
]
SMALL = [word for line in WORDS for word in line.split()]
COSPLACE = [*(word for line in WORDS[:2] for word in line.split()), "--preset", "cosplace", "--fc_output_dim", "8"]


@pytest.fixture
def checkpoint(tmp_path):
    save_model(build_model(TINY), tmp_path / "model.safetensors")
    return str(tmp_path / "model.safetensors")


def test_train_prints_recall_and_where_the_model_is(street, capsys):
    assert main(["train", *SMALL]) == 0
    printed = capsys.readouterr().out
    assert "R@1" in printed
    assert re.search(r"^independent +\d+ blocks of \d+ m", printed, re.MULTILINE)
    model = printed.split("model: ")[1].strip()
    assert main(["test", "--model", model]) == 0
    printed = capsys.readouterr().out
    assert "queries_without_positives  0" in printed
    assert re.search(r"^model_on_val +epoch 1, recall_1 [\d.]+, recall_5 ", printed, re.MULTILINE)


def test_a_preset_gives_way_to_single_options(street, capsys):
    network = ["--preset", "sare_paper", "--clusters", "2", "--val_queries", "4", "--optim", "adam"]
    assert main(["train", *SMALL, *network, "--backbone", "resnet18", "--freeze", "none"]) == 0
    assert "street-resnet18-netvlad-sare_gaussian_ind-seed0" in capsys.readouterr().out


def test_classes_in_groups_are_learned_and_replaced(street, capsys):
    """An option typed as it is by default replaces that of the preset; other losses take over all the others."""
    groups = "--M 30 --alpha 360 --N 2 --L 1 --min_images_per_class 4 --groups_num 2 --patience 3"
    assert main(["train", *COSPLACE, *groups.split(), "--loss", "arcface"]) == 0
    printed = capsys.readouterr().out
    assert "street train: 48 of 48 photographs make 12 classes in 2 groups\n" in printed
    model = load_model(printed.split("model: ")[1].strip())
    assert (model.dim, model.config.patience, model.config.task.loss) == (8, 3, "arcface")
    assert (model.config.task.groups_num, model.config.task.classifiers_lr) == (2, 0.01)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "none of 48 photographs has a heading in its name, so there are no classes; alpha=360 makes"),
        ("--alpha 360 --min_images_per_class 5", "no class has min_images_per_class=5 photographs, the largest has 4"),
        (
            "--alpha 360 --M 30 --min_images_per_class 4",
            "there are 5 groups of two classes or more, fewer than groups_num=8",
        ),
    ],
)
def test_photographs_without_such_classes_are_sentences(street, capsys, words, said):
    assert main(["train", *COSPLACE, *words.split()]) == 1
    assert said in capsys.readouterr().err


def test_a_whitened_test(street, capsys):
    assert main(["train", *SMALL, "--whitened_dim", "8"]) == 0
    printed = capsys.readouterr().out
    assert "descriptor_dim             8\n" in printed and "whitened                   True\n" in printed
    model = printed.split("model: ")[1].strip()
    assert main(["test", "--model", model, "--whitened_dim", "8"]) == 0
    again = capsys.readouterr().out
    assert [line for line in again.splitlines() if line.startswith("R@")] == [
        line for line in printed.splitlines() if line.startswith("R@")
    ]
    assert main(["test", "--model", model]) == 0
    assert "whitened                   False\n" in capsys.readouterr().out


def test_names_of_the_fields_other_programs(street, capsys):
    renamed = [{"--dataset": "--dataset_name", "--image_size": "--resize"}.get(word, word) for word in SMALL]
    renamed += ["--aggregation=mac", "--optim", "sgd", "--criterion", "sare_ind", "--val-positive-dist-threshold", "20"]
    assert main(["train", "--backbone", "resnet18conv4", *renamed]) == 0  # whose last layer gives way to that of SMALL
    printed = capsys.readouterr().out
    assert "-max-sare_gaussian_ind-" in printed and "descriptor_dim             64\n" in printed
    assert re.search(r"^threshold_m +20\.0$", printed, re.MULTILINE)


def test_test_writes_one_row_a_query(street, checkpoint, tmp_path, capsys):
    out = tmp_path / "ranks.csv"
    assert main(["test", "--model", checkpoint, "--dataset", "street", "--ranks", str(out)]) == 0
    assert len(pd.read_csv(out)) == 16
    printed = capsys.readouterr().out
    assert "fingerprint" in printed and "model_on_val               unknown\n" in printed


def test_a_set_of_two_zones_is_searched_as_a_whole_or_zone_by_zone(street, checkpoint, capsys):
    for file in (street / "images" / "test").rglob("*@32@T@*"):
        if "@04021" in file.name:  # of 402,000 … 402,210 m
            file.rename(file.with_name(file.name.replace("@32@T@", "@10@T@")))
    shown = {}
    for search in ("joint", "own_zone"):
        assert main(["test", "--model", checkpoint, "--dataset", "street", "--test_search", search]) == 0
        printed = capsys.readouterr().out
        shown[search] = dict(line.split(maxsplit=1) for line in printed.splitlines() if line[:2] != "  ")
        assert (shown[search]["zones"], shown[search]["search"]) == ("2", search)
    assert shown["own_zone"]["fingerprint"] == shown["joint"]["fingerprint"]


def test_made_up_coordinates_are_told_in_units(street, checkpoint, capsys):
    for role in ("database", "queries"):
        for number, file in enumerate(sorted((street / "images" / "test" / role).iterdir())):
            file.rename(file.with_name(f"@0@{number // 2}000@@@@@{number}@@@@@@@@.jpg"))
    assert main(["test", "--model", checkpoint, "--dataset", "street"]) == 0
    assert "threshold                  25 units of made-up coordinates\n" in capsys.readouterr().out


def test_a_name_that_is_a_formula_is_a_text_in_tables(street, checkpoint, tmp_path):
    photo = sorted((street / "images" / "test" / "queries").iterdir())[0]
    photo.rename(photo.with_name(f"=HYPERLINK(1){photo.name}"))
    assert main(["test", "--model", checkpoint, "--dataset", "street", "--ranks", str(tmp_path / "ranks.csv")]) == 0
    names = pd.read_csv(tmp_path / "ranks.csv")["query"]
    assert sum("=HYPERLINK(1)@" in name for name in names) == 1
    assert not names.str.startswith("=").any()


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
    assert "0 m from the best guess" in lines[0] and " m from where it was taken, as it says itself" in lines[0]
    assert "<html" in (tmp_path / "map.html").read_text()
    assert main(command) == 0
    assert capsys.readouterr().out.splitlines()[:3] == lines[:3]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["test", "--model", "absent.safetensors"], "absent.safetensors"),
        (["train", *SMALL, "--dataset", "nowhere"], "no train split"),
        (["train", *SMALL, "--layer", "layer9"], "layer9"),
        (["train", *SMALL, "--loss", "sare"], "no loss is called 'sare'; choose one of: triplet, "),
        (["train", *SMALL, "--joint_normaliser", "queries"], "normaliser=queries does nothing to the loss 'triplet'"),
        (["train", *SMALL, "--whitened_dim", "64"], "whitened_dim=64 is above 23"),
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
    [
        ["train", "--preset", "sare"],
        ["train", "--poolng", "gem"],
        ["train", "--pooling", "gemm"],
        ["train", "--lr", "-1"],
        ["train", "--lr=inf"],
        ["train", "--margin", "nan"],
        ["train", "--seed", "-1"],
        ["test", "--model", "any", "--val_positives_dist_threshold", "nan"],
        ["test", "--model", "any", "--image_size", "480", "0"],
        ["test", "--model", "any", "--whitened_dim", "-1"],
        ["benchmark", "--name", "tokyo247", "--folder", "any", "--model", "any", "--whitened_dim", "8", "-1"],
        ["describe", "--model", "any", "--images", "any", "--output", "any.npz", "--batch_size", "0"],
        ["locate", "any.jpg", "--model", "any", "--database", "any", "--top", "0"],
        ["cache", "--evict", "pixels", "--older_than", "nan"],
        ["cache", "--older-than", "-1"],
        ["fly"],
        [],
    ],
)
def test_bad_usage_is_status_2(words):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2


# What is done to a good dataset, and the sentence that a test of it must end with.
def _empty_queries(split):
    for file in (split / "queries").iterdir():
        file.unlink()


def _rename(new):
    def rename(split):
        file = next((split / "queries").iterdir())
        file.rename(file.with_name(new))

    return rename


def _corrupt(split):
    next((split / "database").iterdir()).write_bytes(b"no picture")


def _remove_database(split):
    shutil.rmtree(split / "database")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (_remove_database, "no test split"),
        (_empty_queries, "no image found"),
        (_rename("holiday.jpg"), "no coordinates in the name"),
        (_rename("@east@5000000@32@T@.jpg"), "easting 'east' is not a number"),
        (_rename("@0400000@99000000@32@T@.jpg"), "northing 9.9e+07 is outside"),
        (_rename("@0400000@5000000@@@.jpg"), "mixed UTM zones"),
        (_corrupt, "not a readable image"),
    ],
)
def test_a_damaged_dataset_is_a_sentence_with_status_1(street, checkpoint, capsys, damage, sentence):
    damage(street / "images" / "test")
    assert main(["test", "--model", checkpoint, "--dataset", "street"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert sentence in error


def test_broken_files_are_left_out_when_asked(street, capsys):
    _corrupt(street / "images" / "test")
    assert main(["train", *SMALL, "--skip_unreadable"]) == 0
    printed = capsys.readouterr().out
    assert "1 unreadable images left out" in printed
    assert "unreadable_left_out        1" in printed


def test_fewer_database_images_than_n_and_queries_without_positives(street, checkpoint, capsys):
    split = street / "images" / "test"
    for file in sorted((split / "database").iterdir())[3:]:
        file.unlink()
    assert main(["test", "--model", checkpoint, "--dataset", "street"]) == 0
    printed = capsys.readouterr().out
    assert "queries_without_positives  12" in printed
    recalls = {line.split()[0]: float(line.split()[1]) for line in printed.splitlines() if line.startswith("R@")}
    assert recalls.keys() == {"R@1"} and recalls["R@1"] <= 25  # three images are all there are: more say nothing


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04 a pickle of torch"])
def test_a_checkpoint_that_is_not_ours(street, tmp_path, capsys, content):
    (tmp_path / "other.safetensors").write_bytes(content)
    assert main(["test", "--model", str(tmp_path / "other.safetensors"), "--dataset", "street"]) == 1
    assert "other.safetensors cannot be read as a state dict" in capsys.readouterr().err


def test_a_checkpoint_with_other_shapes(street, tmp_path, capsys):
    model = build_model(TINY)
    model.config = TINY.replace(layer="layer2")
    save_model(model, tmp_path / "other.safetensors")
    assert main(["test", "--model", str(tmp_path / "other.safetensors"), "--dataset", "street"]) == 1
    assert "layer2" in capsys.readouterr().err


def test_a_full_disk_is_a_sentence(street, checkpoint, tmp_path, capsys, monkeypatch):
    def full(*_args, **_options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    out = tmp_path / "ranks.csv"
    assert main(["test", "--model", checkpoint, "--dataset", "street", "--ranks", str(out)]) == 1
    assert "ranks.csv could not be written (No space left on device); free some space" in capsys.readouterr().err
    assert not out.exists()


def test_help_names_every_option(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    kinds = TupleOptions, GroupOptions, PlaceOptions, PairOptions
    for option in [name for kind in (Config, *kinds) for name in names(kind)] + ["preset"]:
        assert f"--{option} " in printed or f"--{option}," in printed
