"""Values of the losses: golden numbers, plain twins, identities, bounds, what is refused; and the head for classes."""

from math import exp, log
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from vg_core.losses import LOSSES, make_loss
from vg_core.losses.classification import GeoHead

JOINT = [name for name in LOSSES if name.endswith("_joint")]
KERNELS = ("gaussian", "cauchy", "exponential")
every_loss = pytest.mark.parametrize("name", LOSSES)
seeds = st.integers(0, 2**32 - 1)


def tuples(b=3, n=4, d=5, seed=0):
    """Random unit vectors in float64: queries (B, D), positives (B, D), negatives (B, N, D)."""
    x = torch.randn(b, n + 2, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = F.normalize(x, dim=-1)
    return x[:, 0], x[:, 1], x[:, 2:]


def on_circle(*degrees):
    """One tuple of unit vectors in the plane: query, positive, then the negatives."""
    angles = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    points = torch.stack([angles.cos(), angles.sin()], dim=1)
    return points[:1], points[1:2], points[None, 2:]


# --- golden numbers: query at 0°, positive at 30°, negatives at 60° and 90°, or one of them ------------------------
GOLDEN = [
    ("sare_gaussian_ind", (60, 90), 0.2777832729),
    ("sare_gaussian_ind", (60,), 0.3926646643),
    ("sare_gaussian_ind", (90,), 0.1629018815),
    ("sare_gaussian_joint", (60, 90), 0.5055173034),
    ("sare_cauchy_ind", (60, 90), 0.4217682949),
    ("sare_cauchy_ind", (60,), 0.4910154493),
    ("sare_cauchy_ind", (90,), 0.3525211404),
    ("sare_cauchy_joint", (60, 90), 0.7210659625),
    ("sare_exponential_ind", (60, 90), 0.4114588148),
    ("sare_exponential_ind", (60,), 0.4807726879),
    ("sare_exponential_ind", (90,), 0.3421449418),
    ("sare_exponential_joint", (60, 90), 0.7057118936),
    ("contrastive", (60, 90), 0.1339745962),  # the positive alone: both negatives are farther than 0.7
    ("n_pair", (60, 90), 0.7486316544),
    ("angular", (60, 90), 2.1541247336),
    ("lifted", (60, 90), 1.9439338490),  # J²/2 with J = 1.9717676582
    ("ratio", (60,), 0.2913814590),
]


@pytest.mark.parametrize(("name", "negatives", "value"), GOLDEN)
def test_golden_values(name, negatives, value):
    loss = make_loss(name, normaliser="queries") if name in JOINT else LOSSES[name]
    assert loss(*on_circle(0, 30, *negatives)).item() == pytest.approx(value, abs=1e-10)


# --- twins: the loss of one query, one negative at a time, as the formula reads ------------------------------------
def each_negative(form):
    return lambda t: sum(form(t.a, b) for b in t.b) / len(t.b)


def lifted(t):
    j = t.a + log(sum(exp(1 - b) for b in t.b) + sum(exp(1 - b) for b in t.apart))
    return max(0, j) ** 2 / 2


RATIOS = {
    "gaussian": lambda a, b: exp(a**2 - b**2),
    "cauchy": lambda a, b: (1 + a**2) / (1 + b**2),
    "exponential": lambda a, b: exp(a - b),
}
TWINS = {
    "triplet": each_negative(lambda a, b: max(0, 0.1 + a - b)),
    "triplet_squared": each_negative(lambda a, b: max(0, 0.1 + a**2 - b**2)),
    "contrastive": each_negative(lambda a, b: a**2 / 2 + max(0, 0.7 - b) ** 2 / 2),
    "n_pair": lambda t: log(1 + sum(exp(qn - t.qp) for qn in t.qn)),
    "angular": lambda t: log(1 + sum(exp(4 * (qn + pn) - 4 * t.qp) for qn, pn in zip(t.qn, t.pn, strict=True))),
    "lifted": lifted,
    "ratio": each_negative(lambda a, b: 2 * (exp(a) / (exp(a) + exp(b))) ** 2),
}
for kernel, r in RATIOS.items():
    TWINS[f"sare_{kernel}_ind"] = each_negative(lambda a, b, r=r: log(1 + r(a, b)))
    TWINS[f"sare_{kernel}_joint"] = lambda t, r=r: log(1 + sum(r(t.a, b) for b in t.b)) / len(t.b)


def numbers(q, p, negatives, eps):
    """Everything that a loss may know of one tuple, as plain numbers."""

    def distance(x, y):
        return float((x - y + eps).norm())

    return SimpleNamespace(
        a=distance(q, p),
        b=[distance(q, n) for n in negatives],
        apart=[distance(p, n) for n in negatives],
        qp=float(q @ p),
        qn=[float(q @ n) for n in negatives],
        pn=[float(p @ n) for n in negatives],
    )


@every_loss
@settings(max_examples=15, deadline=None)
@given(seed=seeds, b=st.integers(1, 3), n=st.integers(1, 4), d=st.integers(2, 6))
def test_equals_a_loop_over_queries_and_negatives(name, seed, b, n, d):
    batch = tuples(b, n, d, seed)
    eps = 1e-6 if name == "triplet" else 0.0
    values = [TWINS[name](numbers(*one, eps)) for one in zip(*batch, strict=True)]
    assert LOSSES[name](*batch).item() == pytest.approx(sum(values) / b, rel=1e-11, abs=1e-13)


def test_triplet_equals_torch():
    q, p, n = tuples(4, 10, 64)
    expected = torch.nn.TripletMarginLoss(margin=0.1, p=2)(q[:, None].expand_as(n), p[:, None].expand_as(n), n)
    assert LOSSES["triplet"](q, p, n).item() == pytest.approx(expected.item(), abs=1e-15)


# --- what must hold for all tuples ---------------------------------------------------------------------------------
@every_loss
@settings(max_examples=10, deadline=None)
@given(seed=seeds)
def test_order_of_negatives_does_not_matter(name, seed):
    q, p, n = tuples(3, 6, 4, seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    assert LOSSES[name](q, p, n[:, order]).item() == pytest.approx(LOSSES[name](q, p, n).item(), rel=1e-13)


@pytest.mark.parametrize("kernel", KERNELS)
def test_joint_with_one_negative_is_independent(kernel):
    batch = tuples(4, 1)
    expected = LOSSES[f"sare_{kernel}_ind"](*batch).item()
    for normaliser in ("pairs", "queries"):
        joint = make_loss(f"sare_{kernel}_joint", normaliser=normaliser)
        assert joint(*batch).item() == pytest.approx(expected, rel=1e-14)


def test_n_pair_is_gaussian_joint_with_squared_distances_halved():
    batch = tuples(4, 10)
    joint = make_loss("sare_gaussian_joint", normaliser="queries")
    assert LOSSES["n_pair"](*batch).item() == pytest.approx(joint(*(x / 2**0.5 for x in batch)).item(), rel=1e-13)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, d=st.integers(2, 8))
def test_gaussian_joint_of_ten_negatives_is_bounded_on_the_sphere(seed, d):
    joint = make_loss("sare_gaussian_joint", normaliser="queries")
    assert 0.168186 < joint(*tuples(1, 10, d, seed)).item() < 6.304415


def test_bounds_are_reached_at_the_poles():
    joint = make_loss("sare_gaussian_joint", normaliser="queries")
    assert joint(*on_circle(0, 0, *[180] * 10)).item() == pytest.approx(0.168186, abs=5e-7)
    assert joint(*on_circle(0, 180, *[0] * 10)).item() == pytest.approx(6.304415, abs=5e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_equal_distances_cost_log_of_the_number_of_candidates(kernel):
    batch = on_circle(0, 70, *[-70] * 10)
    joint = make_loss(f"sare_{kernel}_joint", normaliser="queries")
    assert LOSSES[f"sare_{kernel}_ind"](*batch).item() == pytest.approx(log(2), rel=1e-14)
    assert joint(*batch).item() == pytest.approx(log(11), rel=1e-14)


# --- by name -------------------------------------------------------------------------------------------------------
def test_an_unknown_name_lists_the_known_ones():
    for ask in (lambda: LOSSES["sare"], lambda: make_loss("sare", 0.1)):
        with pytest.raises(KeyError) as error:
            ask()
        assert all(name in str(error.value) for name in ["'sare'", *LOSSES])
    assert "sare" not in LOSSES and len(LOSSES) == 13


def test_margin_is_bound_where_there_is_one_and_refused_elsewhere():
    batch = on_circle(0, 30, 60)  # b - a = 0.48
    assert make_loss("triplet", 0.1)(*batch) == 0
    assert make_loss("triplet", 0.6)(*batch) > 0
    assert make_loss("sare_gaussian_ind", 0.1) is LOSSES["sare_gaussian_ind"]
    for name in LOSSES.keys() - {"triplet", "triplet_squared"}:
        with pytest.raises(ValueError, match=f"margin=0.6 does nothing to the loss '{name}'; leave it at 0.1"):
            make_loss(name, 0.6)


def test_normaliser_is_joints_alone():
    batch = tuples(3, 10)
    for name in JOINT:
        pairs, queries = (make_loss(name, normaliser=normaliser)(*batch) for normaliser in ("pairs", "queries"))
        assert LOSSES[name](*batch) == pairs
        assert pairs.item() == pytest.approx(queries.item() / 10, rel=1e-14)
    with pytest.raises(ValueError, match="normaliser=queries does nothing to the loss 'n_pair'"):
        make_loss("n_pair", normaliser="queries")
    with pytest.raises(KeyError, match="batch"):
        make_loss("sare_cauchy_joint", normaliser="batch")(*batch)


@every_loss
def test_shapes_that_would_broadcast_are_refused(name):
    q, p, n = tuples(3, 4)
    for batch in ((q, p, n[:, 0]), (q, p[:1], n), (q, p, n[:1]), (q, p, n[:, :0]), (q[0], p[0], n[0])):
        with pytest.raises(ValueError, match=r"must be \(B, D\), \(B, D\), \(B, N, D\)"):
            LOSSES[name](*batch)


# --- geo-classification --------------------------------------------------------------------------------------------
def test_geo_head_starts_undecided_and_learns():
    head = GeoHead(64, 1637, torch.Generator().manual_seed(0))
    descriptors = F.normalize(torch.randn(32, 64, generator=torch.Generator().manual_seed(1)), dim=1)
    labels = torch.arange(32)
    assert head.weight.std().item() == pytest.approx(0.01, rel=0.02) and not head.bias.any()
    assert head.loss(descriptors, labels).item() == pytest.approx(log(1637), rel=0.02)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.1)
    for _ in range(40):
        optimizer.zero_grad()
        head.loss(descriptors, labels).backward()
        optimizer.step()
    torch.testing.assert_close(head(descriptors), 30 * descriptors @ head.weight.T + head.bias)
    assert (head(descriptors).argmax(dim=1) == labels).all()
    for kind in (torch.float16, torch.bfloat16):
        found, expected = (head.loss(some, labels) for some in (descriptors.to(kind), descriptors))
        torch.testing.assert_close(found, expected, rtol=0.05, atol=0.05)


def test_gradcheck_of_the_geo_head():
    head = GeoHead(6, 5, torch.Generator().manual_seed(0)).double()
    descriptors = F.normalize(torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).double(), dim=1)
    labels = torch.tensor([0, 4, 2, 2])
    assert torch.autograd.gradcheck(lambda x: head.loss(x, labels), descriptors.requires_grad_())
