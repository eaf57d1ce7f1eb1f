"""Gradients of the losses: the paper's closed forms and figure 4, half precision, kernels counted, a toy's training."""

from math import sqrt

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from tests.losses.test_tuples import JOINT, KERNELS, every_loss, tuples
from vg_core.losses import LOSSES, make_loss
from vg_core.losses.gradients import JOINT as EQUATIONS
from vg_core.losses.gradients import TABLE_1, gradients, measured_forces

VIEWS = {"view", "select", "slice", "unsqueeze", "squeeze", "expand", "detach", "split_with_sizes", "t", "alias"}


def autograd(loss, *batch):
    """Gradients of the sum over queries of each query's own loss."""
    leaves = [x.detach().clone().requires_grad_() for x in batch]
    return torch.autograd.grad(loss(*leaves) * len(leaves[0]), leaves)


def largest_difference(some, others):
    return max((x - y).abs().max().item() for x, y in zip(some, others, strict=True))


# --- closed forms --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", TABLE_1)
@pytest.mark.parametrize("negatives", [1, 4])
def test_table_1(name, negatives):
    batch = tuples(40, negatives, 3)
    assert largest_difference(autograd(LOSSES[name], *batch), gradients(name, *batch)) < 1e-12


@pytest.mark.parametrize("name", EQUATIONS)
@pytest.mark.parametrize("negatives", [1, 10])
def test_equations_10_to_20(name, negatives):
    batch = tuples(40, negatives, 3)
    loss = make_loss(name, normaliser="queries")
    assert largest_difference(autograd(loss, *batch), gradients(name, *batch)) < 1e-12


def test_closed_forms_cover_saturated_and_active_triplets():
    """Otherwise the comparison above would leave a branch out."""
    q, p, n = tuples(40, 4, 3)
    a, b = (q - p).norm(dim=-1)[:, None], (q[:, None] - n).norm(dim=-1)
    for condition in (0.1 + a**2 - b**2 > 0, b < 0.7):
        assert 0 < condition.sum() < condition.numel()


@every_loss
@pytest.mark.parametrize("negatives", [2, 4])
def test_whole_tuples_give_what_their_parts_give(name, negatives):
    q, p, n = tuples(7, negatives, 3)
    whole = torch.cat([q[:, None], p[:, None], n], dim=1).requires_grad_()
    value = LOSSES[name].whole(whole)
    assert value == LOSSES[name](q, p, n)
    (found,) = torch.autograd.grad(value * len(q), whole)
    expected = autograd(LOSSES[name], q, p, n)
    assert largest_difference((found[:, 0], found[:, 1], found[:, 2:]), expected) == 0


@pytest.mark.parametrize("name", TABLE_1)
def test_forces_over_a_grid_equal_autograd(name):
    """Figure 3: |dL/dp| and |dL/dn| over both distances."""
    a, b = torch.meshgrid(*[torch.linspace(0.013, 2, 30, dtype=torch.float64)] * 2, indexing="ij")
    assert largest_difference(measured_forces(LOSSES[name], a, b), TABLE_1[name](a, b)) < 1e-12


@every_loss
def test_gradcheck(name):
    leaves = [x.requires_grad_() for x in (x.clone() for x in tuples(3, 4, 5))]
    assert torch.autograd.gradcheck(LOSSES[name], leaves)


def test_parameters_move_ten_times_less_when_joint_is_normalised_by_pairs():
    x = torch.cat([x.flatten(0, -2) for x in tuples(4, 10, 6)])
    for name in JOINT:
        moves = []
        for normaliser in ("pairs", "queries"):
            layer = torch.nn.Linear(6, 3, bias=False, dtype=torch.float64)
            torch.nn.init.eye_(layer.weight)
            q, p, n = F.normalize(layer(x), dim=-1).split((4, 4, 40))
            make_loss(name, normaliser=normaliser)(q, p, n.view(4, 10, 3)).backward()
            moves.append(layer.weight.grad)
        torch.testing.assert_close(moves[0] * 10, moves[1], rtol=1e-12, atol=0)


def test_the_authors_gaussian_joint_is_the_papers_only_behind_an_l2_normalisation():
    def authors(q, p, n):  # log(1 + sum_k exp(2 q·(n_k - p))), which drops the squared lengths
        return torch.exp(2 * ((n - p[:, None]) * q[:, None]).sum(-1)).sum(1).log1p().mean()

    def behind_l2(loss):
        return lambda *batch: loss(*(F.normalize(x, dim=-1) for x in batch))

    papers = make_loss("sare_gaussian_joint", normaliser="queries")
    raw = [x * 1.7 for x in tuples(4, 10, 8)]
    assert largest_difference(autograd(behind_l2(authors), *raw), autograd(behind_l2(papers), *raw)) < 1e-14
    unit = tuples(4, 10, 8)
    assert authors(*unit).item() == pytest.approx(papers(*unit).item(), rel=1e-13)
    assert largest_difference(autograd(authors, *unit), autograd(papers, *unit)) > 0.1


# --- figure 4: |dL/dn| against b at a = sqrt 2 ---------------------------------------------------------------------
FIGURE_4 = {
    "sare_gaussian_ind": {1.18566: 1.527914, sqrt(2): sqrt(2), 2.0: 0.476812},
    "sare_cauchy_ind": {0.76855: 0.631491, 2.0: 0.3},
    "sare_exponential_ind": {0.0: 0.804430, sqrt(2): 0.5, 2.0: 0.357602},
    "triplet_squared": {0.3: 0.6, 1.4491: 2 * 1.4491, 1.4492: 0.0, 2.0: 0.0},  # until sqrt(2.1) = 1.449138
    "contrastive": {0.0: 0.7, 0.3: 0.4, 0.7: 0.0, 2.0: 0.0},
}
PEAKS = {"sare_gaussian_ind": 1.18566, "sare_cauchy_ind": 0.76855, "sare_exponential_ind": 0.0}


@pytest.mark.parametrize("name", FIGURE_4)
def test_figure_4(name):
    b = torch.tensor(list(FIGURE_4[name]), dtype=torch.float64)
    expected = list(FIGURE_4[name].values())
    a = torch.full_like(b, sqrt(2))
    assert TABLE_1[name](a, b)[1].tolist() == pytest.approx(expected, abs=1e-6)
    apart = b > 0  # at distance 0 autograd has no direction
    measured = measured_forces(LOSSES[name], a, b)[1]
    torch.testing.assert_close(measured[apart], TABLE_1[name](a, b)[1][apart], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", PEAKS)
def test_figure_4_peaks(name):
    b = torch.linspace(0, 2, 200_001, dtype=torch.float64)
    push = TABLE_1[name](torch.tensor(sqrt(2), dtype=torch.float64), b)[1]
    top = push.argmax()
    assert b[top].item() == pytest.approx(PEAKS[name], abs=2e-5)
    assert (push[: top + 1].diff() >= 0).all() and (push[top:].diff() <= 0).all()


# --- numbers that must stay numbers --------------------------------------------------------------------------------
def awkward_batches():
    """Unit vectors; a query equal to its positive and to a negative; nothing but zeros; vectors of length 100."""
    q, p, n = tuples(3, 4, 64)
    yield q, p, n
    yield q, q, torch.cat([q[:, None], n], dim=1)
    yield torch.zeros_like(q), torch.zeros_like(p), torch.zeros_like(n)
    yield 100 * q, 100 * p, 100 * n


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_finite_in_every_precision(name, dtype):
    for batch in awkward_batches():
        leaves = [x.to(dtype).requires_grad_() for x in batch]
        loss = LOSSES[name](*leaves)
        assert loss.isfinite() and loss.dtype == torch.promote_types(dtype, torch.float32)
        for gradient in torch.autograd.grad(loss, leaves):
            assert gradient.isfinite().all() and gradient.dtype == dtype
        assert loss == LOSSES[name](*(x.detach().to(loss.dtype) for x in leaves))


@every_loss
def test_autocast_changes_nothing(name):
    batch = [x.float() for x in tuples(3, 4, 64)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = LOSSES[name](*batch)
    assert inside == LOSSES[name](*batch)


@pytest.mark.parametrize("kernel", KERNELS)
def test_far_apart_nothing_overflows(kernel):
    """exp(1000²) would; the loss of a hopeless triplet is its exponent."""
    q, p, n = torch.zeros(1, 2), torch.tensor([[1000.0, 0.0]]), torch.zeros(1, 1, 2)
    expected = {"gaussian": 1e6, "cauchy": np.log(2 + 1e6), "exponential": 1000.0}[kernel]
    for way in ("ind", "joint"):
        loss = LOSSES[f"sare_{kernel}_{way}"]
        assert loss(q, p, n).item() == pytest.approx(expected, rel=1e-6)
        assert loss(q, n[:, 0], p[:, None]).item() == pytest.approx(1e-6 if kernel == "cauchy" else 0, abs=1e-9)


class Kernels(TorchDispatchMode):
    """Lists what is dispatched, views aside."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        self.names += [] if name in VIEWS else [name]
        return function(*args, **(kwargs or {}))


@every_loss
def test_kernels_do_not_grow_with_tuples_or_negatives(name):
    runs = []
    for b, n in ((2, 2), (4, 10), (9, 33)):
        leaves = [x.requires_grad_() for x in (x.clone() for x in tuples(b, n, 8))]
        with Kernels() as kernels:
            torch.autograd.grad(LOSSES[name](*leaves), leaves)
        runs.append(kernels.names)
    assert runs[0] == runs[1] == runs[2]
    more = {"lifted": 50, "multi_similarity": 45, "sos": 65, "hphn_quadruplet": 50}
    assert len(runs[0]) <= more.get(name, 40)  # forward and backward


# --- a toy that learns ---------------------------------------------------------------------------------------------
def three_clusters(seed, each=40):
    """Points (3 x each, 8) of three clusters that differ in three dimensions; the other five are noise as loud."""
    rng = np.random.default_rng(seed)
    labels = np.arange(3).repeat(each)
    x = rng.normal(0, 0.7, (len(labels), 8))
    x[:, :3] = np.eye(3)[labels] + rng.normal(0, 0.05, (len(labels), 3))
    return torch.tensor(x, dtype=torch.float32), torch.tensor(labels)


def recall_at_1(layer, queries, database):
    """%, of two (points, labels); descriptors are unit vectors in the plane."""
    q, d = (F.normalize(layer(points), dim=-1) for points, _ in (queries, database))
    nearest = torch.cdist(q, d).argmin(dim=1)
    return 100 * (database[1][nearest] == queries[1]).float().mean().item()


@every_loss
def test_toy_embedding_learns_three_clusters(name):
    (x, labels), queries = three_clusters(0), three_clusters(1)
    generator = torch.Generator().manual_seed(0)
    layer = torch.nn.Linear(8, 2, bias=False)
    with torch.no_grad():
        layer.weight.normal_(generator=generator)
    assert recall_at_1(layer, queries, (x, labels)) < 50
    same = (labels[:, None] == labels).float()
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(80):
        positives = torch.multinomial(same - torch.eye(len(x)), 1, generator=generator)[:, 0]
        negatives = torch.multinomial(1 - same, 5, generator=generator)
        descriptors = F.normalize(layer(x), dim=-1)
        optimizer.zero_grad()
        LOSSES[name](descriptors, descriptors[positives], descriptors[negatives]).backward()
        optimizer.step()
    assert recall_at_1(layer, queries, (x, labels)) == 100
