"""Tokyo and San Francisco end to end, scores of recall, and the command line."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.io import savemat

from tests.retrieval.test_ground_truth import PCI, column
from tests.retrieval.test_published import model, noise, oxford
from vg_core.__main__ import main
from vg_core.evaluation.comparisons import recall_table
from vg_core.models import save_model
from vg_core.retrieval.published.benchmarks import benchmark, scores

__all__ = ["model", "oxford"]  # fixtures


def similar(seed, variant, size, file):
    """A photograph of scene ``seed``, a little different for each ``variant``."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(20, 230, (9, 9, 3))
    pixels = (pixels + np.random.default_rng(100 + variant).integers(-6, 7, pixels.shape)).astype(np.uint8)
    Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC).save(file)


@pytest.fixture
def tokyo(tmp_path):
    """Two panoramas 1 km apart, one of a single scene; of the three queries beside the other one, two look like it."""
    for view in range(12):
        similar(0, view, (48, 64), tmp_path / "images" / f"a_{view:02}.png")
        noise(50 + view, (48, 64), tmp_path / "images" / f"b_{view:02}.png")
    similar(0, 20, (60, 45), tmp_path / "query" / "1.png")
    similar(0, 21, (40, 70), tmp_path / "query" / "2.png")
    noise(53, (48, 64), tmp_path / "query" / "3.png")  # the very view
    names = [f"{panorama}_{view:02}.jpg" for panorama in "ab" for view in range(12)]
    positions = {
        "utmDb": np.array([[0.0] * 12 + [1000.0] * 12, [5.0] * 24]),
        "utmQ": np.array([[1010.0] * 3, [5.0] * 3]),
    }
    struct = {"dbImageFns": column(names), "qImageFns": column(["1.jpg", "2.jpg", "3.jpg"]), **positions}
    savemat(tmp_path / "tokyo247.mat", {"dbStruct": struct})
    return tmp_path


# --- Tokyo 24/7 -------------------------------------------------------------------------------------------------------
def test_a_panorama_counts_once(tokyo, model):
    """Twelve views of the wrong panorama come first for two queries: one wrong place, the right one is second."""
    table = benchmark("tokyo247", tokyo, model)
    assert table["rank"].tolist() == [2, 2, 1]
    assert table["part"].tolist() == ["day", "sunset", "night"]
    assert set(table["place"]) == {"e40_n0"}
    found = scores(table)
    assert found["part"].tolist() == [part for part in ("all", "day", "sunset", "night") for _ in range(3)]
    assert found["measure"].tolist() == ["R@1", "R@5", "R@10"] * 4
    assert found["value"].tolist() == pytest.approx([100 / 3, 100, 100, 0, 100, 100, 0, 100, 100, 100, 100, 100])
    assert found["places"].tolist() == [1] * 12
    assert table.attrs["card"]["retrieved"] == 120


def test_a_photograph_that_is_missing_is_named(tokyo, model, capsys):
    noise(0, (48, 64), tokyo / "query" / "4.png")
    benchmark("tokyo247", tokyo, model)
    assert "tokyo247: 1 images in" in capsys.readouterr().out  # not among the named ones: said, not silent
    (tokyo / "images" / "b_07.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokyo247\.mat names b_07\.jpg, which is not in .*images; unpack all"):
        benchmark("tokyo247", tokyo, model)


def test_recalls_and_intervals_are_those_of_every_other_test():
    rng = np.random.default_rng(0)
    ranks = pd.DataFrame({"query": range(90), "place": rng.integers(0, 30, 90), "rank": rng.integers(0, 14, 90)})
    found = scores(ranks.assign(dataset="tokyo247", part="all", dim=64, positives=1))
    expected = recall_table(ranks.assign(variant="model", seed=0), at=(1, 5, 10))
    assert found["value"].tolist() == pytest.approx(expected["recall"].tolist())
    for name in ("low", "high", "queries", "places", "units"):
        assert found[name].tolist() == pytest.approx(expected[name].tolist())


# --- Tokyo Time Machine -----------------------------------------------------------------------------------------------
def test_a_photograph_of_the_same_time_does_not_count(tmp_path, model):
    """The query is in the database, and right; without it, a wrong place that looks like it comes first."""
    for scene, variant, name in ((0, 0, "query"), (0, 1, "wrong"), (1, 2, "right")):
        similar(scene, variant, (48, 64), tmp_path / "images" / f"{name}.jpg")
    struct = {"dbImageFns": column(["query.jpg", "wrong.jpg", "right.jpg"]), "qImageFns": column(["query.jpg"])}
    struct |= {"utmDb": np.array([[0.0, 900.0, 20.0], [0.0] * 3]), "utmQ": np.zeros((2, 1))}
    struct |= {"dbTimeStamp": np.array([[201312, 200907, 200907]]), "qTimeStamp": np.array([[201312]])}
    savemat(tmp_path / "tokyoTM_val.mat", {"dbStruct": struct})
    table = benchmark("tokyotm_val", tmp_path, model)
    assert table["rank"].tolist() == [2] and table["positives"].tolist() == [1]
    assert table["part"].tolist() == ["all"] and table.attrs["card"]["retrieved"] == 1000


# --- San Francisco ----------------------------------------------------------------------------------------------------
def test_san_francisco_by_buildings(tmp_path, model):
    for seed, building in enumerate((11, 22, 33, 22)):
        noise(seed, (48, 64), tmp_path / "database" / PCI.format(seed, building))
    for seed in (1, 2, 3):
        noise(seed, (48, 64), tmp_path / "queries" / f"000{seed}.jpg")  # the same as a database image
    (tmp_path / "cartoid_groundTruth_2014_04.txt").write_text("0001 22 11\n0002 44\n0003 11\n")
    table = benchmark("sf0", tmp_path, model)
    assert table["positives"].tolist() == [3, 0, 1]
    assert table["rank"].tolist()[:2] == [1, 0]
    assert table["rank"].tolist()[2] > 1
    assert table["place"].tolist() == ["building 11", "building 44", "building 11"]
    assert table.attrs["card"]["queries_without_positives"] == 1
    assert scores(table)["part"].tolist() == ["all"] * 3
    assert scores(table[table["positives"] > 0])["value"].tolist() == pytest.approx([50, 100, 100])


# --- command line -----------------------------------------------------------------------------------------------------
def test_the_command_prints_scores_and_writes_one_row_a_query(oxford, model, tmp_path, capsys):
    save_model(model, tmp_path / "model.safetensors")
    words = ["benchmark", "--name", "oxford5k", "--folder", str(oxford), "--model", str(tmp_path / "model.safetensors")]
    assert main([*words, "--output", str(tmp_path / "queries.csv")]) == 0
    printed = capsys.readouterr().out
    assert "receptive_field            43" in printed
    assert [line.split()[1:4] for line in printed.splitlines()[-2:]] == [["full", "64", "mAP"], ["crop", "64", "mAP"]]
    written = pd.read_csv(tmp_path / "queries.csv")
    assert written["average_precision"].tolist() == pytest.approx(
        benchmark("oxford5k", oxford, model)["average_precision"]
    )
    (oxford / "groundtruth").rename(tmp_path / "elsewhere")
    assert main(words) == 1
    assert capsys.readouterr().err.startswith(f"error: {oxford / 'groundtruth'} is missing: put its ground truth")


def test_the_command_whitens_and_cuts(oxford, street, model, tmp_path, capsys):
    save_model(model, tmp_path / "model.safetensors")  # its configuration names the street, where whitening is learned
    words = ["benchmark", "--name", "oxford5k", "--folder", str(oxford), "--model", str(tmp_path / "model.safetensors")]
    assert main([*words, "--whitened_dim", "6", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()[-4:]
    assert [line.split()[1:3] for line in lines] == [["full", "6"], ["crop", "6"], ["full", "2"], ["crop", "2"]]
