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
from vg_core.losses.multi_similarity import multi_similarity_of_pairs

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
    ("soft_margin_triplet", (60,), 0.0006616070),  # log(1 + exp(10 (2 cos 60° - 2 cos 30°)))
]


@pytest.mark.parametrize(("name", "negatives", "value"), GOLDEN)
def test_golden_values(name, negatives, value):
    loss = make_loss(name, normaliser="queries") if name in JOINT else LOSSES[name]
    assert loss(*on_circle(0, 30, *negatives)).item() == pytest.approx(value, abs=1e-10)


# two tuples whose second-order differences are 0.72 and 1.2, then -1.2 twice
FIRST = torch.tensor([[[1, 0], [0.8, 0.6], [0.6, 0.8], [0, 1]]], dtype=torch.float64)
SECOND = torch.tensor([[[0, 1], [-0.6, 0.8], [1, 0], [0.8, 0.6]]], dtype=torch.float64)


def test_golden_values_of_second_order_similarity():
    """One root over the whole batch; the mean of both roots would be 1.548."""
    for batch, value in ((FIRST, 1.399428454762872), (SECOND, 1.697056274847714)):
        assert second_order(batch) == pytest.approx(value, abs=1e-11)
    assert second_order(torch.cat([FIRST, SECOND])) == pytest.approx(1.099818166789402, abs=1e-11)
    assert make_loss("sos", 1.25, sos_lambda=0).whole(FIRST).item() == pytest.approx(0.85, abs=1e-15)
    assert make_loss("sos", 1.25).whole(FIRST).item() == pytest.approx(14.84428454762872, abs=1e-10)


def second_order(batch):
    """The root alone: what lambda 1 adds to lambda 0."""
    with_it, without = (make_loss("sos", sos_lambda=weight).whole(batch).item() for weight in (1, 0))
    return with_it - without


@pytest.mark.parametrize(("other", "value"), [((-1, 0), 0.1), ((0, -1), 0.0)])
def test_golden_values_of_the_quadruplet(other, value):
    batch = torch.tensor([[[1, 0], [0.8, 0.6], [0, 1], [-0.6, 0.8], other]], dtype=torch.float64)
    assert make_loss("hphn_quadruplet", 0.5).whole(batch).item() == pytest.approx(value, abs=1e-15)


def test_a_quadruplet_needs_two_negatives():
    with pytest.raises(ValueError, match="needs two negatives of each query, the last of which is its n"):
        LOSSES["hphn_quadruplet"](*on_circle(0, 30, 60))


def of_places(x, places, **options):
    """Multi-similarity loss of descriptors (B, D) and the numbers (B,) of their places."""
    same = places[:, None] == places
    return multi_similarity_of_pairs(x @ x.T, same & ~torch.eye(len(same), dtype=torch.bool), ~same, **options)


def test_golden_values_of_multi_similarity_of_places():
    angles = torch.deg2rad(torch.tensor([0, 30, 60, 150], dtype=torch.float64))
    x, places = torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([7, 7, 9, 9])
    for options, value in (
        ({"mined": False}, 1.080132999419066),
        ({}, 0.694072850683744),
        ({"alpha": 2, "beta": 50, "base": 0.5, "mined": False}, 0.612960025929148),  # of pytorch-metric-learning
    ):
        assert of_places(x, places, **options).item() == pytest.approx(value, abs=1e-12)
    assert torch.autograd.gradcheck(lambda x: of_places(x, places), x.requires_grad_())


@pytest.mark.parametrize("places", [[1, 2, 3], [1, 1, 1]])
def test_multi_similarity_of_places_without_positives_or_negatives_stays_finite(places):
    x = tuples(3)[0].requires_grad_()
    (gradient,) = torch.autograd.grad(of_places(x, torch.tensor(places)), x)
    assert gradient.isfinite().all()


def test_multi_similarity_of_tuples_is_that_of_places_with_one_anchor():
    q, p, n = tuples(1, 6)
    batch, places = torch.cat([q, p, n[0]]), torch.tensor([0, 0, *range(1, 7)])
    products = batch @ batch.T
    apart = of_places(batch, places, mined=False) * 8
    for one in range(1, 8):  # all anchors but the query
        others = [products[one, k].item() for k in range(8) if places[k] != places[one]]
        apart -= log(1 + sum(exp(50 * s) for s in others)) / 50
    apart -= log(1 + exp(-products[1, 0]))  # the positive is the other anchor with a positive
    assert LOSSES["multi_similarity"](q, p, n).item() == pytest.approx(apart.item(), abs=1e-12)


def test_the_soft_margin_at_weight_one_is_sare():
    batch = torch.cat([tuples(4, 3)[0][:, None], tuples(4, 3)[1][:, None], tuples(4, 3)[2]], dim=1)
    assert LOSSES["soft_margin_triplet"].whole(batch, 1.0) == LOSSES["sare_gaussian_ind"].whole(batch)


# --- twins: the loss of one query, one negative at a time, as the formula reads ------------------------------------
def each_negative(form):
    return lambda t: sum(form(t.a, b) for b in t.b) / len(t.b)


def lifted(t):
    j = t.a + log(sum(exp(1 - b) for b in t.b) + sum(exp(1 - b) for b in t.apart))
    return max(0, j) ** 2 / 2


def quadruplet(t):
    nearest = min([b**2 for b in t.b[:-1]] + [d**2 for d in t.other])
    return max(0, 0.1 + t.a**2 - nearest)


def multi_similarity(t):
    return log(1 + exp(-t.qp)) + log(1 + sum(exp(50 * qn) for qn in t.qn)) / 50


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
    "soft_margin_triplet": each_negative(lambda a, b: log(1 + exp(10 * (a**2 - b**2)))),
    "multi_similarity": multi_similarity,
    "hphn_quadruplet": quadruplet,
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
        other=[distance(negatives[-1], n) for n in negatives[:-1]],
        qp=float(q @ p),
        qn=[float(q @ n) for n in negatives],
        pn=[float(p @ n) for n in negatives],
    )


@every_loss
@settings(max_examples=15, deadline=None)
@given(seed=seeds, b=st.integers(1, 3), n=st.integers(1, 4), d=st.integers(2, 6))
def test_equals_a_loop_over_queries_and_negatives(name, seed, b, n, d):
    batch = tuples(b, n + (name == "hphn_quadruplet"), d, seed)
    eps = 1e-6 if name == "triplet" else 0.0
    known = [numbers(*one, eps) for one in zip(*batch, strict=True)]
    if name == "sos":  # the only one that is no mean over queries
        value = sum(max(0, 0.1 + t.a**2 - b**2) for t in known for b in t.b)
        second = sum((b**2 - c**2) ** 2 for t in known for b, c in zip(t.b, t.apart, strict=True))
        value += 10 * (second + 1e-12) ** 0.5
    else:
        value = sum(map(TWINS[name], known))
    assert LOSSES[name](*batch).item() == pytest.approx(value / b, rel=1e-11, abs=1e-13)


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
    if name == "hphn_quadruplet":  # the last one has a part of its own
        order = torch.cat([order[order < 5], torch.tensor([5])])
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
    assert "sare" not in LOSSES and len(LOSSES) == 17


def test_margin_is_bound_where_there_is_one_and_refused_elsewhere():
    batch = on_circle(0, 30, 60)  # b - a = 0.48
    assert make_loss("triplet", 0.1)(*batch) == 0
    assert make_loss("triplet", 0.6)(*batch) > 0
    assert make_loss("sare_gaussian_ind", 0.1) is LOSSES["sare_gaussian_ind"]
    for name in LOSSES.keys() - {"triplet", "triplet_squared", "sos", "hphn_quadruplet"}:
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
    with pytest.raises(ValueError, match="sos_lambda=1 does nothing to the loss 'triplet'"):
        make_loss("triplet", sos_lambda=1)
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
