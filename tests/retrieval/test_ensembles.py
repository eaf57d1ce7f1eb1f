"""Ensembles: distances of joined descriptors, weights chosen on val, and ties."""

import numpy as np
import pytest

from vg_core.retrieval.ensembles import best_weights, joined


def descriptors(count, width, seed):
    return np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("weights", [(0.5, 0.5), (0.9, 0.1), (1.0, 0.0)])
def test_squared_distances_are_the_weighted_mean_of_those_of_the_members(weights):
    members = [descriptors(7, 5, 0), 100 * descriptors(7, 12, 1)]  # of other widths and lengths
    found = joined(members, weights)
    assert found.shape == (7, 17) and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    expected = sum(
        weight * np.square(unit(member)[:, None] - unit(member)).sum(2)
        for weight, member in zip(weights, members, strict=True)
    )
    np.testing.assert_allclose(np.square(found[:, None] - found).sum(2), expected, atol=1e-5)


def recall_at(queries, database, positives, n, weights):
    """By sorting the joined descriptors themselves."""
    order = np.argsort(-joined(queries, weights) @ joined(database, weights).T, axis=1)[:, :n]
    return np.mean([bool({*first} & {*right}) for first, right in zip(order, positives, strict=True)])


@pytest.mark.parametrize("n", [1, 5])
def test_no_other_weights_have_a_higher_recall(n):
    """Of three networks one is good, one is fair and one knows nothing."""
    places = descriptors(60, 8, 0)
    positives = [np.array([place]) for place in range(60)]

    def seen(noise, seed):
        return places + noise * descriptors(60, 8, seed)

    queries, database = ([seen(noise, seed + k) for k, noise in enumerate((0.6, 0.9, 99))] for seed in (1, 11))
    found = best_weights(queries, database, positives, n)
    assert sum(found) == pytest.approx(1) and found[0] > 0.2 > found[2]
    highest = recall_at(queries, database, positives, n, found)
    for a in range(11):
        for b in range(11 - a):
            other = a / 10, b / 10, (10 - a - b) / 10
            assert recall_at(queries, database, positives, n, other) <= highest
    assert highest > recall_at(queries, database, positives, n, (1, 0, 0))


def test_of_equally_good_weights_the_most_even_ones_are_taken():
    places = descriptors(9, 4, 0)
    right = [np.array([k]) for k in range(9)]
    assert best_weights([places, places], [places, places], right, 1) == (0.5, 0.5)
    nothing = [np.array([], dtype=int)] * 9  # no query has a positive
    assert best_weights([places] * 2, [places] * 2, nothing, 5) == (0.5, 0.5)
