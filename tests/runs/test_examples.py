"""Two runs look at the same queries: which ones are shown, what is compared with what, how it is drawn."""

from dataclasses import replace
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest
from matplotlib import style
from matplotlib.colors import to_hex

from tests.tiny import TINY
from vg_core.datasets.images import read_image
from vg_core.datasets.places import load_places
from vg_core.figures.galleries import heat_gallery
from vg_core.figures.house_style import ink
from vg_core.models.saliency import occlusion_map
from vg_core.retrieval.descriptors import describe
from vg_core.runs.examples import augmented_query, compare_heat
from vg_core.runs.experiments import run


@pytest.fixture
def runs(street):
    untrained = TINY.replace(epochs_num=0)
    return {"GeM": run(untrained), "maximum": run(untrained.replace(pooling="max"))}


def no_heat(_model, image, _reference):
    return np.zeros(image.shape[1:], np.float32)


def judged(one, right):
    """The run with these queries right, the others wrong, at the first image."""
    return replace(one, ranks=one.ranks.assign(rank=np.where(right, 1, 7)))


# --- rows ----------------------------------------------------------------------------------------------------------


def test_rows_tell_what_each_run_retrieved(runs):
    rows = compare_heat(runs, count=3)
    assert len(rows) == 3 and len({row["query"] for row in rows}) == 3
    places = load_places(TINY, "test")
    for row in rows:
        query = list(places.queries.path).index(row["query"])
        assert [model["name"] for model in row["models"]] == ["GeM", "maximum"]
        for model, one in zip(row["models"], runs.values(), strict=True):
            expected = one.ranks.iloc[query]
            assert model["heat"].shape == (32, 32) and np.abs(model["heat"]).mean() == pytest.approx(1, rel=1e-3)
            assert Path(model["path"]).name == expected["top_1"]
            assert (model["metres"], model["correct"]) == (expected["metres"], expected["rank"] == 1)


def test_heat_is_about_the_query_and_the_first_image_of_that_run(runs):
    asked = []

    def method(model, image, reference):
        asked.append((model.config.pooling, image, reference))
        return no_heat(model, image, reference)

    rows = compare_heat(runs, 2, method)
    expected = [(row["query"], model["path"], runs[model["name"]]) for row in rows for model in row["models"]]
    for (pooling, image, reference), (query, path, one) in zip(asked, expected, strict=True):
        assert pooling == one.config.pooling
        np.testing.assert_array_equal(image.permute(1, 2, 0), read_image(query, (32, 32)))
        np.testing.assert_allclose(reference, describe(one.model(), [path], (32, 32))[0], atol=1e-5)


def test_every_kind_of_outcome_has_its_turn_and_disagreement_comes_first(runs):
    first, second = runs.values()
    kinds = np.array(list(islice(product([True, False], repeat=2), 4)) * 3 + [(True, True)] * 4)  # of 16 queries
    rows = compare_heat({"A": judged(first, kinds[:, 0]), "B": judged(second, kinds[:, 1])}, 16, no_heat)
    outcomes = [tuple(model["correct"] for model in row["models"]) for row in rows]
    assert set(outcomes[:2]) == {(True, False), (False, True)} and set(outcomes[2:4]) == {(True, True), (False, False)}
    assert sorted(outcomes[4:8]) == sorted(outcomes[:4]) and outcomes[12:] == [(True, True)] * 4


def test_runs_tested_on_different_photographs_are_refused(runs):
    first, second = runs.values()
    other = replace(second, card=second.card | {"fingerprint": "another"})
    with pytest.raises(ValueError, match="A, B were tested on different photographs"):
        compare_heat({"A": first, "B": other})


def test_an_augmented_query_has_the_size_that_the_network_gets(street):
    drawn = augmented_query(TINY.replace(augmentation="none"), count=2)
    query = load_places(TINY, "train").queries.path.iloc[0]
    np.testing.assert_array_equal(drawn, [read_image(query, TINY.image_size)] * 2)


# --- figure --------------------------------------------------------------------------------------------------------


@pytest.fixture
def rows(tmp_path, write_photo):
    photos = [str(write_photo(tmp_path, 500_000 + i, 5_000_000, seed=i)) for i in range(6)]
    heat = np.random.default_rng(0).normal(size=(4, 24, 32)).astype(np.float32)
    return [
        {
            "query": photos[3 * i],
            "models": [
                {"name": "SARE", "heat": heat[2 * i], "path": photos[3 * i + 1], "metres": 3.4, "correct": True},
                {"name": "triplet", "heat": heat[2 * i + 1], "path": photos[3 * i + 2], "metres": 80, "correct": False},
            ],
        }
        for i in range(2)
    ]


def test_a_line_holds_query_maps_and_first_images(rows):
    figure = heat_gallery(rows)
    assert len(figure.axes) == 2 * 5 + 1  # and the scale of the colours
    assert [axes.get_title() for axes in figure.axes[:6]] == ["query", "SARE", "triplet", "SARE", "triplet", ""]
    lefts = [axes.get_position().x0 for axes in figure.axes[:10]]
    assert lefts[:5] == sorted(lefts[:5]) and lefts[:5] == lefts[5:]
    with style.context("vg_core.figures.house"):
        colours = [ink("green"), ink("vermillion")]
    for line in (figure.axes[:5], figure.axes[5:10]):
        assert [to_hex(axes.spines["left"].get_edgecolor()) for axes in line[3:]] == colours
        texts = [[text.get_text() for text in axes.texts] for axes in line]
        assert texts == [[], [], [], ["✓", "3 m"], ["✗", "80 m"]]


def test_heat_lies_over_the_whole_grey_query_on_one_scale(rows):
    figure = heat_gallery(rows)
    for axes, row, number in ((figure.axes[1], rows[0], 0), (figure.axes[7], rows[1], 1)):
        photo, heat = axes.get_images()
        pixels = photo.get_array()
        assert (pixels == pixels[..., :1]).all()
        np.testing.assert_array_equal(heat.get_array(), row["models"][number]["heat"])
        assert heat.get_extent() == photo.get_extent() and heat.get_clim() == (-5, 5)
        opacity = heat.to_rgba(np.array([-5.0, -1, 0, 1, 3, 5]))[:, 3]
        assert opacity[1:4] == pytest.approx(0, abs=0.02) and (opacity[[0, 4, 5]] > 0.5).all()
    assert len(figure.axes[0].get_images()) == 1


def test_a_broken_file_is_a_frame_with_its_name(rows, tmp_path):
    rows[0]["models"][0]["path"] = rows[1]["query"] = str(tmp_path / "broken.jpg")
    figure = heat_gallery(rows)
    assert figure.axes[3].texts[0].get_text() == "cannot be read\nbroken.jpg"
    for axes in figure.axes[5:8]:
        assert not axes.get_images() and axes.texts[0].get_text() == "cannot be read\nbroken.jpg"


def test_nothing_to_show_is_said():
    assert heat_gallery([]).texts[0].get_text() == "no data"


def test_two_runs_become_a_figure(runs):
    assert len(heat_gallery(compare_heat(runs, 1, occlusion_map)).axes) == 6
