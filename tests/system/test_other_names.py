"""What users of the field's other programs type: our words for it, or what takes its place."""

import re

import pytest

from vg_core.__main__ import main
from vg_core.system.other_names import NAMES, SENTENCES, translated
from vg_core.system.paths import REPORTS


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("--dataset-name a-b", "--dataset a-b"),
        ("--dataset_name=--a-b", "--dataset=--a-b"),
        ("--weights=a=b-c --image-size 32 24", "--weights a=b-c --image_size 32 24"),
        ("--weights a-b --no-compile", "--weights a-b --no_compile"),
        ("--criterion sare_joint --aggregation=spoc", "--loss sare_gaussian_joint --pooling average"),
        ("--backbone resnet18conv4", "--backbone resnet18 --layer layer3"),
        ("--descriptors-dimension 512 --fc_output_dim=8", "--fc_output_dim 512 --fc_output_dim 8"),
        ("--backbone=resnet101conv5 --layer layer2", "--backbone resnet101 --layer layer4 --layer layer2"),
        ("--backbone VGG16", "--backbone vgg16 --layer conv5_3 --freeze pool4"),
        ("--backbone cct384 --trunc_te 7", "--backbone cct_14_7x2 --layer block13 --freeze none --layer block6"),
        ("--freeze_te=5 --trunc-te=24 --aggregation cls", "--freeze block5 --layer block23 --pooling cls"),
        ("--aggregation crn --lr_crn_layer 5e-3", "--pooling netvlad --attention crn --attention_lr 5e-3"),
        ("--freeze_te 0 --freeze_te -1", "--freeze none --freeze patches"),
        ("--dataset sare_ind --weights mac", "--dataset sare_ind --weights mac"),
        ("--resize 480 640 --pretrain imagenet", "--image_size 480 640 --weights imagenet"),
        ("--positive-dist-threshold 25 --seed=-1", "--val_positives_dist_threshold 25 --seed=-1"),
        ("a-b=--device --help -h -- -x", "a-b=--device --help -h -- -x"),
    ],
)
def test_names_become_ours_and_values_stay(typed, meant):
    assert translated(typed.split()) == meant.split()
    assert translated(["--dataset", "a b", "--ranks="]) == ["--dataset", "a b", "--ranks", ""]


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        ("train --device cpu", "CUDA_VISIBLE_DEVICES"),
        ("train --num-workers=8", "taskset"),
        ("train --resume last_model.pth", "goes on by itself"),
        ("test --resume best_model.pth --backbone resnet18conv4", "--model FILE"),
        ("train --datasets_folder data", "VG_DATA"),
        ("test --recall_values 1 5 10", "--ranks FILE.csv"),
        ("test --off-the-shelf naver", "--weights FILE"),
        ("test --pca_dim=512", "neither whitens nor normalises"),
        ("train --save_dir x", "train says where its model lies"),
        ("test --efficient_ram_testing", "VG_RAM"),
        ("test --majority_weight 0.1", "maj_voting"),
        ("train --l2 none", "before_pool, after_pool or both"),
        ("train --aggregation rmac", "gem, average (SPoC), max (MAC) or netvlad"),
        ("train --brightness 0.5", "--augmentation"),
        ("train --backbone vit --trunc_te 0", "starts at 1"),
        ("test --num_preds_to_save 3", "--ranks FILE.csv"),
        ("train --iterations_per_epoch 10000", "--queries_per_epoch"),
    ],
)
def test_what_has_no_equivalent_is_told_what_takes_its_place(capsys, words, instead):
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: --") and instead in error


def test_what_takes_a_place_is_there(capsys):
    """Options that the sentences name are options of a command; no name of an option here is called another's."""
    commands = ("train", "test", "benchmark", "describe", "locate", "cache")
    helps = ""
    for command in commands:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        helps += capsys.readouterr().out
    ours = {*re.findall(r"--[a-z]\w*", helps)}
    named = {*re.findall(r"--[a-z]\w*", " ".join(SENTENCES.values()))} | {*NAMES.values()}
    page = {*re.findall(r"--[a-z]\w*", (REPORTS / "differences.md").read_text())}
    assert named <= ours and page <= ours | {*NAMES, *SENTENCES}
    assert not ours & {*NAMES, *(word for word in SENTENCES if " " not in word)}
