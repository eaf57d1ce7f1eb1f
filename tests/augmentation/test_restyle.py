"""FDA on test: which photographs are restyled, by which style, and what a test makes of them."""

import numpy as np
import pytest
import torch

from tests.tiny import TINY
from vg_core.augmentation.night import FDA
from vg_core.augmentation.restyle import Restyled
from vg_core.datasets.images import UnreadableImage, read_image
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.models import build_model, save_model
from vg_core.retrieval.ranking import evaluate
from vg_core.retrieval.strategies import make_strategy
from vg_core.runs.making import examine

BETA = 0.1  # of photographs of 48 rows


@pytest.fixture
def places(street):
    return PlaceSet.load("street", "test")


def test_queries_take_one_style_each_and_other_photographs_stay(places):
    queries, styles = list(places.queries.path), list(PlaceSet.load("street", "train").database.path)
    read, again = (Restyled(queries, styles, BETA, (48, 64)) for _ in range(2))
    for path in queries:
        image = torch.from_numpy(read_image(path).copy()).permute(2, 0, 1)[None]
        expected = FDA.of([read.style_of[path]], image.shape[2:], BETA)(image)[0].permute(1, 2, 0)
        found = read(path)
        assert np.array_equal(found, expected) and np.array_equal(found, again(path))
        assert not np.array_equal(found, read_image(path))
    assert set(read.style_of.values()) <= {*styles} and len({*read.style_of.values()}) > 5
    for path in places.database.path:
        assert np.array_equal(read(path), read_image(path))


def test_a_test_shows_queries_restyled_by_what_was_trained_on(street, places, tmp_path):
    model = build_model(TINY)
    save_model(model, tmp_path / "model.safetensors")
    config = TINY.replace(test_method="hard_resize+fda", fda_beta=BETA)
    found, card = examine(config, tmp_path / "model.safetensors", places)
    read = Restyled(places.queries.path, PlaceSet.load("street", "train").database.path, BETA, (48, 64))
    assert card["test_method"] == "hard_resize+fda" and len(read.style_of) == len(found.ranks)
    plain = evaluate(model, places, (32, 32), Within())
    assert not np.array_equal(found.distances, plain.distances)
    flipped, _ = examine(config.replace(test_method="hard_resize+flip+fda"), tmp_path / "model.safetensors", places)
    assert not np.array_equal(flipped.distances, found.distances)
    assert make_strategy("hard_resize+fda").views is make_strategy("hard_resize").views


def test_as_many_frequencies_are_changed_as_in_training(places):
    """Photographs of 48 x 64, which a network was trained on at 512 rows, or 24."""
    first, style = places.queries.path[0], list(places.database.path[:1])
    image = torch.from_numpy(read_image(first).copy()).permute(2, 0, 1)[None]
    for beta, size, b in ((0.01, (512, 512), 2), (0.3, (24, 32), 3)):
        expected = FDA.of(style, (48, 64), (b + 0.1) / 24)(image)[0].permute(1, 2, 0)
        assert np.array_equal(Restyled([first], style, beta, size)(first), expected)


def test_a_beta_that_changes_nothing_and_a_broken_style_are_sentences(places, tmp_path):
    first = places.queries.path[0]
    with pytest.raises(ValueError, match=r"fda_beta=0.01 changes nothing in images of 48x64"):
        Restyled([first], list(places.database.path), 0.01, (48, 64))
    (tmp_path / "style.jpg").write_bytes(b"no picture")
    with pytest.raises(UnreadableImage, match=r"style\.jpg"):
        Restyled([first], [str(tmp_path / "style.jpg")], BETA, (48, 64))(first)
