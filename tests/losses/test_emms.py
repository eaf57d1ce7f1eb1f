"""EMMS: golden numbers, a plain twin, weight 0, and what is refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from vg_core.losses.emms import emms

FORMS = ["sum_of_logs", "log_of_sum"]


def at_the_golden_point():
    """(logits of CosFace with s = 30 and m = 0.4, raw products, label) of x = (cos .3, sin .3)."""
    x = torch.tensor([0.3], dtype=torch.float64)
    x = torch.stack([x.cos(), x.sin()], dim=1)
    raw = x @ torch.tensor([[1, 0], [0, 1], [-1, 0]], dtype=torch.float64).T
    return 30 * (raw - torch.tensor([[0.4, 0, 0]])), raw, torch.tensor([0])


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("sum_of_logs", (0.5101932312, 0.7650838894, 1.0199745477)),
        ("log_of_sum", (-0.4701380464, -0.6421320252, -0.7888400114)),
    ],
)
def test_golden_values(form, values):
    found = [emms(*at_the_golden_point(), weight, form).item() for weight in (1, 1.5, 2)]
    assert found == pytest.approx(values, abs=2e-10)


def random_logits(seed):
    draws = torch.Generator().manual_seed(seed)
    logits = [torch.randn(5, 7, generator=draws, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    return *logits, torch.randint(7, (5,), generator=draws)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 10))
def test_values_and_gradients_are_those_of_the_formulas(seed, weight):
    margin, raw, labels = random_logits(seed)
    p, q = (logits.softmax(1)[range(5), labels] for logits in (margin, raw))
    formulas = {"sum_of_logs": -p.log() - weight * q.log(), "log_of_sum": -(p + weight * q).log()}
    for form, expected in formulas.items():
        found = emms(margin, raw, labels, weight, form)
        torch.testing.assert_close(found, expected.mean())
        pairs = (torch.autograd.grad(loss, (margin, raw), retain_graph=True) for loss in (found, expected.mean()))
        torch.testing.assert_close(*pairs)


@pytest.mark.parametrize("form", FORMS)
def test_weight_0_is_cosface(form):
    margin, raw, labels = random_logits(0)
    found, expected = emms(margin, raw, labels, 0, form), F.cross_entropy(margin, labels)
    assert torch.equal(found, expected) if form == "sum_of_logs" else found.item() == pytest.approx(expected.item())
    gradients = [torch.autograd.grad(loss, (margin, raw), allow_unused=True) for loss in (found, expected)]
    torch.testing.assert_close(gradients[0][0], gradients[1][0])
    assert not gradients[0][1].any()


def test_probabilities_that_underflow_stay_finite():
    logits, labels = torch.tensor([[-2000.0, 0.0]], requires_grad=True), torch.tensor([0])
    for form in FORMS:
        loss = emms(logits, logits, labels, 1, form)
        assert loss.isfinite() and torch.autograd.grad(loss, logits)[0].isfinite().all()


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_a_weight_out_of_range(weight):
    with pytest.raises(ValueError, match=f"the weight of EMMS is {weight:g}; choose a number that is not below 0"):
        emms(*at_the_golden_point(), weight)


def test_an_unknown_form():
    with pytest.raises(ValueError, match="no form of EMMS is called 'C'; choose one of: sum_of_logs, log_of_sum"):
        emms(*at_the_golden_point(), 1, "C")
