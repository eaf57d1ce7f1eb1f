"""Oxford, Paris and Holidays end to end: small folders made here, a tiny network, and every step again by hand."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from tests.tiny import TINY
from vg_core.datasets.images import UnreadableImage
from vg_core.models import build_model
from vg_core.models.backbones import build_backbone
from vg_core.models.precision import normalise
from vg_core.models.whitening import Whitening
from vg_core.retrieval.published.benchmarks import benchmark, receptive_field, scores
from vg_core.retrieval.published.ground_truth import crop

SIZES = [(60, 80), (80, 60), (48, 48), (70, 90)]  # height, width
IMAGES = [f"{landmark}_{i:06}" for landmark in ("all_souls", "balliol") for i in range(5)]
QUERIES = {"all_souls_1": (0, 0), "all_souls_2": (1, 0), "balliol_1": (7, 5)}  # image, first image of the landmark
ROIS = {"all_souls_1": (20, 25, 30, 35), "all_souls_2": (5.5, 30.2, 40, 70), "balliol_1": (30, 30, 60, 50)}
FIELD = 43  # pixels that a location sees behind layer1 of ResNet-18


@pytest.fixture
def model(monkeypatch):
    """A random network, on the CPU, where descriptors have full precision."""
    monkeypatch.setattr("vg_core.retrieval.published.benchmarks.pick_device", lambda: torch.device("cpu"))
    return build_model(TINY.replace(pooling="gem"))


def noise(seed, size, file, **options):
    pixels = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BICUBIC).save(file, **options)


@pytest.fixture
def oxford(tmp_path):
    """Folder of five photographs of each of two landmarks, of several sizes; the last of each is junk."""
    for seed, name in enumerate(IMAGES):
        noise(seed, SIZES[seed % 4], tmp_path / "images" / f"{name}.jpg")
    (tmp_path / "groundtruth").mkdir()
    for query, (image, first) in QUERIES.items():
        corners = " ".join(map(str, ROIS[query]))
        write_lists(tmp_path, query, query=[f"oxc1_{IMAGES[image]} {corners}"], good=IMAGES[first : first + 2])
        write_lists(tmp_path, query, ok=IMAGES[first + 2 : first + 4], junk=IMAGES[first + 4 : first + 5])
    return tmp_path


def write_lists(folder, name, **lists):
    for kind, lines in lists.items():
        (folder / "groundtruth" / f"{name}_{kind}.txt").write_text("\n".join(lines) + "\n")


def described(model, pixels):
    """(D,) descriptor of one picture, the shortest way."""
    with torch.inference_mode():
        return model.eval()(normalise(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]))[0].numpy()


def published_ap(ranking, right, junk):
    """Average precision by the loop of the program that its authors publish."""
    precision, recall, total, hits, rank = 1.0, 0.0, 0.0, 0, 0
    for image in ranking:
        if image in junk:
            continue
        hits += image in right
        before, precision = precision, hits / (rank + 1)
        total += (hits / len(right) - recall) * (before + precision) / 2
        recall, rank = hits / len(right), rank + 1
    return total


# --- Oxford and Paris -------------------------------------------------------------------------------------------------
def test_oxford_is_what_its_definition_says(oxford, model):
    table = benchmark("oxford5k", oxford, model)
    photos = [np.asarray(Image.open(oxford / "images" / f"{name}.jpg")) for name in IMAGES]
    database = np.stack([described(model, photo) for photo in photos])
    expected = []
    for part in ("full", "crop"):
        for query, (image, first) in QUERIES.items():
            left, top, right, bottom = crop(ROIS[query], photos[image].shape[:2], FIELD)
            shown = photos[image] if part == "full" else photos[image][top:bottom, left:right]
            ranking = np.argsort(np.linalg.norm(database - described(model, shown), axis=1))
            expected.append(published_ap(ranking, set(range(first, first + 4)), {first + 4}))
    assert table["average_precision"].tolist() == pytest.approx(expected)
    assert len(set(expected)) > 3  # nothing trivial
    assert table["query"].tolist() == [*QUERIES, *QUERIES]
    assert table["part"].tolist() == ["full"] * 3 + ["crop"] * 3
    assert table["place"].tolist() == ["all_souls", "all_souls", "balliol"] * 2
    assert set(table["positives"]) == {4}
    card = table.attrs["card"]
    assert [card[name] for name in ("database", "queries", "images_left_out", "complete")] == [10, 3, 0, False]
    assert card["receptive_field"] == FIELD


def test_more_junk_changes_nothing(oxford, model, capsys):
    before = benchmark("oxford5k", oxford, model)
    assert (
        "oxford5k: 10 database images and 3 queries are not the 5063 and 55 of the benchmark" in capsys.readouterr()[0]
    )
    for number in range(4):
        noise(number, SIZES[0], oxford / "images" / f"junk_{number}.jpg")  # two of them look like images of a landmark
    for query, (_, first) in QUERIES.items():
        write_lists(oxford, query, junk=[IMAGES[first + 4], *(f"junk_{number}" for number in range(4))])
    after = benchmark("oxford5k", oxford, model)
    assert after["average_precision"].tolist() == pytest.approx(before["average_precision"].tolist())


def test_corrupt_images_of_paris_are_left_out_and_counted(oxford, model, capsys):
    before = benchmark("oxford5k", oxford, model)
    for name in ("a", "b"):
        (oxford / "images" / f"{name}.jpg").write_bytes(b"no picture")
    (oxford / "corrupt.txt").write_text("x/a.jpg\nx/b.jpg\n")
    after = benchmark("paris6k", oxford, model)
    assert after["average_precision"].tolist() == pytest.approx(before["average_precision"].tolist())
    assert "paris6k: 2 images in" in capsys.readouterr().out
    assert after.attrs["card"]["images_left_out"] == 2
    with pytest.raises(UnreadableImage, match=r"a\.jpg: not a readable image"):
        benchmark("oxford5k", oxford, model)


@pytest.mark.parametrize(
    ("name", "lost", "sentence"),
    [
        (
            "oxford5k",
            "groundtruth",
            r"groundtruth is missing: put its ground truth .* A folder of oxford5k holds groundtruth, images",
        ),
        ("oxford5k", "images", r"images is missing: put the photographs of Oxford 5k there"),
        (
            "oxford5k",
            f"images/{IMAGES[3]}.jpg",
            rf"all_souls_1_ok\.txt, line 2: image '{IMAGES[3]}' is not in the folder",
        ),
        ("paris6k", "", r"corrupt\.txt is missing: put the published list of its 20 corrupt files there"),
    ],
)
def test_what_is_missing_is_named(oxford, model, name, lost, sentence):
    if lost:
        (oxford / lost).rename(oxford / "elsewhere")
    with pytest.raises((FileNotFoundError, ValueError), match=sentence):
        benchmark(name, oxford, model)


def test_an_object_outside_of_its_photograph(oxford, model):
    write_lists(oxford, "balliol_1", query=[f"oxc1_{IMAGES[7]} 300 300 400 400"])
    with pytest.raises(
        ValueError, match=rf"{IMAGES[7]}\.jpg: its object at \(300.0, .* lies outside of the 90x70 pixels"
    ):
        benchmark("oxford5k", oxford, model)
    with pytest.raises(KeyError, match="no benchmark is called 'oxford'; choose one of: oxford5k, paris6k"):
        benchmark("oxford", oxford, model)


@pytest.mark.parametrize(
    ("name", "layer", "side"), [("vgg16", "conv5_3", 196), ("resnet18", "layer3", 211), ("resnet18", "layer1", FIELD)]
)
def test_receptive_fields(name, layer, side):
    assert receptive_field(build_backbone(name, layer, "none")[0]) == side


# --- Holidays ---------------------------------------------------------------------------------------------------------
def test_holidays_as_stored_and_shrunk(tmp_path, model):
    turned = Image.Exif()
    turned[0x0112] = 6
    noise(0, (60, 80), tmp_path / "jpg" / "100000.jpg", exif=turned)
    noise(1, (1000, 800), tmp_path / "jpg" / "100001.jpg")
    for seed, number in enumerate((100002, 100100, 100101)):
        noise(seed, (64, 64), tmp_path / "jpg" / f"{number}.jpg")
    table = benchmark("holidays", tmp_path, model)
    photos = [Image.open(file) for file in sorted((tmp_path / "jpg").iterdir())]
    photos[1] = photos[1].resize((793, 991), Image.Resampling.BILINEAR)  # 786,432 pixels
    database = np.stack([described(model, np.asarray(photo)) for photo in photos])
    rankings = np.argsort(np.linalg.norm(database - database[[0, 3], None], axis=2), axis=1)
    expected = [published_ap(rankings[0], {1, 2}, {0}), published_ap(rankings[1], {4}, {3})]
    assert table["average_precision"].tolist() == pytest.approx(expected)
    assert table["place"].tolist() == table["query"].tolist() == ["100000", "100100"]
    assert scores(table)[["part", "measure", "queries", "places"]].to_numpy().tolist() == [["full", "mAP", 2, 2]]


# --- widths and scores ------------------------------------------------------------------------------------------------
def test_descriptors_are_cut_as_the_whitening_would(oxford, model):
    with pytest.raises(ValueError, match="this model has no whitening"):
        benchmark("oxford5k", oxford, model, dims=[4])
    whitening = Whitening.learn(np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32), 8)
    model.whiten(whitening)
    with pytest.raises(ValueError, match=r"dims=\[9\]: descriptors of this model can be cut to 1…8 values"):
        benchmark("oxford5k", oxford, model, dims=[9])
    both = benchmark("oxford5k", oxford, model, dims=[8, 3])
    assert both["dim"].tolist() == [8] * 6 + [3] * 6
    for dim in (8, 3):
        model.whiten(whitening.truncated(dim))
        alone = benchmark("oxford5k", oxford, model)
        assert alone["average_precision"].tolist() == both[both["dim"] == dim]["average_precision"].tolist()
    assert scores(both)[["dim", "part"]].to_numpy().tolist() == [[8, "full"], [8, "crop"], [3, "full"], [3, "crop"]]


def precisions(places, queries, seed=0):
    values = np.random.default_rng(seed).uniform(0.2, 1, places)
    rows = pd.DataFrame({"place": np.arange(places), "average_precision": values})
    return pd.concat([rows] * queries).assign(dataset="oxford5k", part="full", dim=64)


def test_queries_of_one_landmark_count_as_one():
    once, often = scores(precisions(11, 1)).iloc[0], scores(precisions(11, 5)).iloc[0]
    assert (once.queries, often.queries, often.places) == (11, 55, 11)
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))
    assert 0 < once.low < once.value < once.high < 100
    more = scores(precisions(110, 1)).iloc[0]
    assert more.high - more.low < 0.6 * (once.high - once.low)
