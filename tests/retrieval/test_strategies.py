"""Test strategies: the plain path as a special case, merges against brute force, scales and mirroring on top."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.tiny import TINY
from vg_core.datasets.images import UnreadableImage
from vg_core.datasets.places import PlaceSet
from vg_core.evaluation.ranks import Within
from vg_core.models import build_model
from vg_core.models.network import inference_copy
from vg_core.models.precision import normalise
from vg_core.retrieval.descriptors import describe, describe_views
from vg_core.retrieval.ranking import evaluate, search
from vg_core.retrieval.strategies import STRATEGIES, average, majority, make_strategy, nearest

SIZE = (32, 40)


@pytest.fixture(scope="module")
def model():
    return build_model(TINY.replace(pooling="gem"))


@pytest.fixture
def photos(tmp_path, write_photo):
    """Photographs of four sizes, the sizes mixed."""
    sizes = [(48, 64), (64, 48), (40, 40), (36, 90)] * 3
    return [str(write_photo(tmp_path / "photos", 400_000 + i, 5_000_000, i, size)) for i, size in enumerate(sizes)]


def views_of(model, pictures):
    """Descriptors of uint8 (H, W, 3) pictures, one at a time, by the shortest way."""
    with torch.inference_mode():
        images = (torch.from_numpy(p.copy()).permute(2, 0, 1)[None] for p in pictures)
        return np.concatenate([inference_copy(model)(normalise(image)).numpy() for image in images])


def unit(rng, *shape):
    x = rng.normal(size=shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


# --- from photographs ------------------------------------------------------------------------------------------------
def test_hard_resize_is_the_plain_path(model, street):
    places, strategy = PlaceSet.load("street", "test"), make_strategy("hard_resize")
    queries = describe_views(model, places.queries.path, (32, 32), strategy)
    database = describe_views(model, places.database.path, (32, 32), strategy, batch_size=5)[:, 0]
    np.testing.assert_allclose(queries[:, 0], describe(model, list(places.queries.path), (32, 32)), atol=2e-6)
    distances, indices = strategy.merge(queries, database, 20)
    plain, named = (evaluate(model, places, (32, 32), Within(), 16, shown) for shown in (None, strategy))
    np.testing.assert_allclose(distances, plain.distances, atol=1e-3)
    assert np.array_equal(indices[:, 0], plain.indices[:, 0])
    assert np.array_equal(named.distances, plain.distances) and named.ranks.equals(plain.ranks)
    assert [name for name in STRATEGIES if STRATEGIES[name].is_plain] == ["hard_resize"]
    assert not make_strategy("hard_resize+flip").is_plain and not make_strategy("hard_resize+multi_scale").is_plain


@pytest.mark.parametrize("name", STRATEGIES)
def test_queries_of_any_size_find_themselves_in_any_batch(model, photos, name):
    strategy = STRATEGIES[name]
    database = describe_views(model, photos, SIZE, strategy.of_database())[:, 0]
    together = describe_views(model, photos, SIZE, strategy, batch_size=7)
    apart = np.concatenate([describe_views(model, [photo], SIZE, strategy) for photo in photos])
    assert together.shape == (12, 5 if strategy.views is STRATEGIES["five_crops"].views else 1, model.dim)
    np.testing.assert_allclose(together, apart, atol=2e-6)
    distances, indices = strategy.merge(together, database, 20)
    assert distances.shape == indices.shape == (12, 12)
    assert (np.sort(indices, axis=1) == np.arange(12)).all()
    assert (indices[:, 0] == np.arange(12)).mean() > 0.7


def test_crops_show_what_they_name(model, photos):
    (path,) = photos[:1]  # 48 x 64
    photo = Image.open(path).convert("RGB")
    boxes = [(0, 0, 48, 48), (16, 0, 64, 48), (0, 0, 48, 48), (16, 0, 64, 48), (8, 0, 56, 48)]
    pictures = [np.asarray(photo.resize((32, 32), Image.Resampling.BILINEAR, box=box)) for box in boxes]
    found = describe_views(model, [path], SIZE, STRATEGIES["nearest_crop"])
    np.testing.assert_allclose(found[0], views_of(model, pictures), atol=2e-6)
    part = np.asarray(photo.resize((40, 32), Image.Resampling.BILINEAR, box=(2, 0, 62, 48)))
    found = describe_views(model, [path], SIZE, STRATEGIES["central_crop"])
    np.testing.assert_allclose(found[0], views_of(model, [part]), atol=2e-6)


def test_a_mirrored_query_is_the_same_with_flip(model, photos, tmp_path):
    mirrored = str(tmp_path / "mirrored.png")
    Image.open(photos[0]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(mirrored)
    for name in ("central_crop+flip", "single_query+flip"):
        both = describe_views(model, [photos[0], mirrored], SIZE, make_strategy(name))
        np.testing.assert_allclose(both[0], both[1], atol=1e-5)
    plain = describe_views(model, [photos[0], mirrored], SIZE, STRATEGIES["hard_resize"])
    assert np.abs(plain[0] - plain[1]).max() > 1e-3


def test_scales_are_averaged_or_joined(model, photos):
    names = "hard_resize", "hard_resize+multi_scale", "hard_resize+multi_scale_concatenated"
    sizes = [(32, 40), (23, 28), (45, 57)]
    each = np.stack([describe(model, photos, size, progress=False) for size in sizes], axis=1)  # (N, S, D)
    one, averaged, joined = (
        describe_views(model, photos, SIZE, make_strategy(name).of_database())[:, 0] for name in names
    )
    np.testing.assert_allclose(one, each[:, 0], atol=2e-6)
    mean = each.mean(axis=1)
    np.testing.assert_allclose(averaged, mean / np.linalg.norm(mean, axis=1, keepdims=True), atol=1e-5)
    np.testing.assert_allclose(joined, each.reshape(12, -1) / np.sqrt(3), atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-5)


def test_everything_joins(model, street):
    places = PlaceSet.load("street", "test")
    for name in ("nearest_crop+multi_scale+flip", "maj_voting+flip+multi_scale_concatenated"):
        result = evaluate(model, places, (48, 64), Within(), strategy=make_strategy(name))
        distances, indices = result.distances[:, :3], result.indices[:, :3]
        assert distances.shape == indices.shape == (16, 3)
        assert np.isfinite(distances).all()


def test_faults_are_named(model, photos):
    with open(photos[5], "wb") as file:
        file.write(b"broken")
    with pytest.raises(UnreadableImage, match=r"@.*\.jpg"):
        describe_views(model, photos, SIZE, STRATEGIES["five_crops"], batch_size=2)
    with pytest.raises(ValueError, match="no photographs"):
        describe_views(model, [], SIZE, STRATEGIES["five_crops"])
    with pytest.raises(KeyError, match=r"no test strategy is called 'five_crop'.*nearest_crop"):
        make_strategy("five_crop")
    with pytest.raises(KeyError, match=r"no addition to a test strategy is called 'flips'.*multi_scale, .*flip"):
        make_strategy("five_crops+flips")


# --- merges ----------------------------------------------------------------------------------------------------------
CASES = st.tuples(*(st.integers(1, most) for most in (6, 5, 30, 8, 40)), st.integers(0, 1000))


def drawn(queries, views, database, width, seed):
    rng = np.random.default_rng(seed)
    return unit(rng, queries, views, width), unit(rng, database, width)


def between(q, d):
    return np.linalg.norm(q[:, :, None].astype(float) - d, axis=-1)  # (Q, V, N)


@given(CASES)
def test_nearest_is_the_least_of_all_views(case):
    *shape, k, seed = case
    q, d = drawn(*shape, seed)
    distances, indices = nearest(q, d, k)
    least = between(q, d).min(axis=1)
    assert distances.shape == indices.shape == (len(q), min(k, len(d)))
    assert all(len(set(row)) == len(row) for row in indices.tolist())
    np.testing.assert_allclose(distances, np.sort(least, axis=1)[:, :k], atol=2e-3)
    np.testing.assert_allclose(distances, np.take_along_axis(least, indices, axis=1), atol=2e-3)


def voted(distances, weight, levels):
    """Least score of each image (N,) from all distances (V, N) of one query: the definition, word by word."""
    scores = distances**2
    order = np.argsort(distances, axis=1)
    for n in levels:
        for image in range(distances.shape[1]):
            inside = [view for view in range(len(order)) if image in order[view, :n]]
            if len(inside) > 1:
                scores[inside, image] -= weight * len(inside) / n
    return scores.min(axis=0)


@given(CASES, st.sampled_from([0.0, 0.01, 0.5]), st.sampled_from([(1, 5, 10), (3,), (2, 40)]))
def test_majority_is_its_definition_for_every_k(case, weight, levels):
    queries, views, database, _, k, seed = case
    q, d = drawn(queries, views, database, 8, seed)
    distances, indices = majority(q, d, k, weight, levels)
    everything = between(q, d)
    assert distances.shape == indices.shape == (len(q), min(k, len(d)))
    for query, row in enumerate(indices):
        scores = voted(everything[query], weight, levels)
        np.testing.assert_allclose(scores[row], np.sort(scores)[:k], atol=2e-3)
        assert len(set(row.tolist())) == len(row)
        # a distance that comes back is that of one of the views
        to_views = np.abs(everything[query][:, row] - distances[query])
        assert (to_views.min(axis=0) < 2e-3).all()


def test_majority_worked_by_hand():
    database = np.array([[0.0], [1.0], [4.0]])  # images A, B, C
    views = np.array([[[0.3], [0.6], [3.4]]])
    # the first two of each view: (A .3, B .7), (B .4, A .6), (C .6, B 2.4)
    distances, indices = nearest(views, database, 3)
    assert indices.tolist() == [[0, 1, 2]]
    np.testing.assert_allclose(distances, [[0.3, 0.4, 0.6]], atol=1e-6)
    # A is there twice and gains 2/2, B three times and gains 3/2, C once and gains nothing:
    # A .09 - 1 = -.91, B .16 - 1.5 = -1.34, C .36
    distances, indices = majority(views, database, 3, weight=1.0, levels=(2,))
    assert indices.tolist() == [[1, 0, 2]]
    np.testing.assert_allclose(distances, [[0.4, 0.3, 0.6]], atol=1e-6)
    # a small weight decides nothing
    assert majority(views, database, 3, weight=0.1, levels=(2,))[1].tolist() == [[0, 1, 2]]


def test_more_images_wanted_do_not_change_the_first():
    q, d = drawn(20, 5, 60, 8, 0)
    for merge in (average, nearest, partial(majority, weight=0.3)):
        _, many = merge(q, d, 50)
        for k in (1, 3, 20):
            assert np.array_equal(merge(q, d, k)[1], many[:, :k])


def test_average_is_the_search_of_the_mean_view():
    q, d = drawn(10, 5, 30, 8, 1)
    mean = q.mean(axis=1)
    expected = search(mean / np.linalg.norm(mean, axis=1, keepdims=True), d, 5)
    found = average(q, d, 5)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    assert np.array_equal(found[1], expected[1])
    # descriptors that are not normalised keep their length, so they stay comparable with the database
    same = np.repeat(3 * q[:, :1], 5, axis=1)
    np.testing.assert_allclose(average(same, 3 * d, 5)[0], search(3 * q[:, 0], 3 * d, 5)[0], atol=1e-3)
