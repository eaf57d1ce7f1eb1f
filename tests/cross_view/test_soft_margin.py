"""The weighted soft-margin loss: golden values, the plain double loop, gradients."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from benchmarks import reference
from vg_core.cross_view.soft_margin import near_pairs, soft_margin


def some(count=5, dim=4, requires_grad=False):
    drawn = torch.randn(2, count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return [one.clone().requires_grad_(requires_grad) for one in normalize(drawn, dim=2)]


def some_near(count=5):
    places = torch.zeros(count, 2, dtype=torch.float64)
    places[:, 0] = 20.0 * torch.arange(count)
    return near_pairs(places.numpy())


@pytest.mark.parametrize(("count", "value"), [(2, 0.693147183), (4, 0.231049062), (32, 0.022359589)])
def test_of_orthonormal_twins_it_is_as_published(count, value):
    twins = torch.eye(count, dtype=torch.float64)
    assert soft_margin(twins, twins).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("count", [2, 4, 32])
def test_of_descriptors_that_are_all_equal_it_is_a_constant(count):
    same = torch.eye(1, 3, dtype=torch.float64).expand(count, 3)
    assert soft_margin(same, same).item() == pytest.approx(count * math.log(2) / (count - 1))


@pytest.mark.parametrize("near", [None, some_near()])
@pytest.mark.parametrize("hard", [0, 1, 3])
def test_it_is_the_double_loop(near, hard):
    ground, aerial = some()
    expected = reference.soft_margin(ground, aerial, 10.0, near, hard)
    assert soft_margin(ground, aerial, near=near, batch_hard_count=hard).item() == pytest.approx(expected.item())
    assert soft_margin(ground, aerial, alpha=3.0).item() == pytest.approx(
        reference.soft_margin(ground, aerial, 3.0).item()
    )


def test_near_pairs_add_a_constant_and_are_not_counted():
    """Three places, the first two near each other: four wrong pairs; two near ones and three twins add log 2, twice."""
    twins = torch.eye(3, dtype=torch.float64)
    near = near_pairs(np.array([[0.0, 0.0], [0.0, 24.0], [0.0, 60.0]]))
    assert near.tolist() == [[True, True, False], [True, True, False], [False, False, True]]
    assert soft_margin(twins, twins, near=near).item() == pytest.approx(
        (5 * math.log(2) + 4 * math.log1p(math.exp(-20))) / 4
    )
    ground, aerial = some(3)
    products = (ground @ aerial.T).detach().requires_grad_()  # of identity descriptors the products are the first ones
    soft_margin(products, torch.eye(3, dtype=torch.float64), near=near).backward()
    assert products.grad[0, 1] == products.grad[1, 0] == 0 and products.grad[0, 2] > 0


@pytest.mark.parametrize("options", [{}, {"near": some_near()}, {"batch_hard_count": 2}])
def test_gradients_are_those_of_differences(options):
    assert torch.autograd.gradcheck(lambda *pair: soft_margin(*pair, **options), some(requires_grad=True))


def test_gradient_of_two_pairs_by_hand():
    ground, aerial = some(2, requires_grad=True)
    soft_margin(ground, aerial).backward()
    s = (ground @ aerial.T).detach()
    to_twin = -5 * (torch.sigmoid(20 * (s[0, 1] - s[0, 0])) + torch.sigmoid(20 * (s[1, 0] - s[0, 0])))
    to_other = 5 * (torch.sigmoid(20 * (s[0, 1] - s[0, 0])) + torch.sigmoid(20 * (s[0, 1] - s[1, 1])))
    torch.testing.assert_close(ground.grad[0], (to_twin * aerial[0] + to_other * aerial[1]).detach())


def test_positions_are_told_apart_as_float64():
    canberra = np.array([693_000.0, 6_091_234.25])
    places = canberra + np.array([[0, 0], [0, 24.9], [0, 25.1], [15, 20]])  # the last 25 m away: a wrong pair
    assert near_pairs(places)[0].tolist() == [True, True, False, False]


def test_half_precision_is_computed_in_float32():
    pair = [one.bfloat16() for one in some()]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = soft_margin(*pair)
    assert found.dtype == torch.float32 and torch.equal(found, soft_margin(*(one.float() for one in pair)))


@pytest.mark.parametrize(
    ("count", "options", "said"),
    [
        (1, {}, "a batch of 1 has no wrong pairs to learn from: raise train_batch_size to 2 or more"),
        (3, {"near": torch.ones(3, 3, dtype=bool)}, "a batch of 3 has no wrong pairs to learn from: all its places"),
        (3, {"batch_hard_count": 4}, "batch_hard_count=4 must be from 0 to the 3 pairs of a batch"),
    ],
)
def test_what_cannot_be_learned_from_is_said(count, options, said):
    with pytest.raises(ValueError, match=said):
        soft_margin(*some(count), **options)


def test_descriptors_must_be_of_pairs():
    with pytest.raises(ValueError, match=r"\(5, 4\) and \(4, 4\) are no descriptors of pairs"):
        soft_margin(some()[0], some(4)[1])
