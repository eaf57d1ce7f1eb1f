"""Margin losses: published logits, gradients by autograd and by hand, lengths that do not matter, half precision."""

import math

import pytest
import torch
from torch.nn import functional as F

from vg_core.config.tasks import MARGINS as NAMES
from vg_core.losses.margins import MARGINS, MarginHead

ANGLES = ("arcface", "sphereface")
AXES = torch.tensor([[1, 0], [0, 1], [-1, 0]], dtype=torch.float64)
TURNED = torch.tensor([[math.cos(0.3), math.sin(0.3)]], dtype=torch.float64)  # by 0.3 from the first of them


def head_of(loss, weight=None, dim=8, classes=5, **options):
    """In float64."""
    head = MarginHead(loss, dim, classes, torch.Generator().manual_seed(0), **options).double()
    if weight is not None:
        head.weight.data = weight.clone()
    return head


def some(count=6, dim=8, classes=5):
    generator = torch.Generator().manual_seed(1)
    descriptors = torch.randn(count, dim, dtype=torch.float64, generator=generator)
    return F.normalize(descriptors, dim=1), torch.randint(classes, (count,), generator=generator)


def test_the_configuration_knows_them_all():
    assert tuple(MARGINS) == NAMES
    with pytest.raises(KeyError, match="'cos_face'; choose one of: cosface, arcface, sphereface, softmax"):
        head_of("cos_face")


@pytest.mark.parametrize(
    ("loss", "logits", "entropy"),
    [
        ("cosface", [16.660095, 8.865606, -28.660095], 4.119146e-4),
        ("arcface", [44.589229, 18.913293, -61.141535], 7.0646e-12),
        ("sphereface", [27.013413, 8.865606, -28.660095], 1.31373e-8),
        ("softmax", [30 * math.cos(0.3), 30 * math.sin(0.3), -30 * math.cos(0.3)], 2.531e-9),
    ],
)
def test_logits_and_entropies_are_those_of_the_published_code(loss, logits, entropy):
    head, right = head_of(loss, AXES), torch.tensor([0])
    assert head(TURNED, right)[0].tolist() == pytest.approx(logits, abs=1e-6)
    assert head.loss(TURNED, right).item() == pytest.approx(entropy, rel=1e-3)
    assert head_of(loss, 7 * AXES)(3 * TURNED, right)[0].tolist() == pytest.approx(logits, abs=1e-6)


def test_a_margin_of_the_angle_goes_on_behind_a_half_turn():
    behind, right = -TURNED, torch.tensor([0])  # π - 0.3 from the first axis
    assert head_of("arcface", AXES)(behind, right)[0, 0].item() == pytest.approx(-64, abs=1e-6)
    angle = 1.5 * (math.pi - 0.3)
    expected = 30 * (-math.cos(angle) - 2)  # in its second half turn
    assert head_of("sphereface", AXES)(behind, right)[0, 0].item() == pytest.approx(expected, abs=1e-6)
    falls = head_of("sphereface", AXES[:1], margin=3.0)
    around = torch.linspace(0.01, math.pi - 0.01, 200, dtype=torch.float64)
    logits = falls(torch.stack([around.cos(), around.sin()], dim=1), torch.zeros(200, dtype=torch.long))[:, 0]
    assert (logits.diff() < 0).all()


@pytest.mark.parametrize("loss", ANGLES)
def test_straight_through_goes_back_as_if_there_was_no_margin(loss):
    descriptors, labels = some()
    descriptors.requires_grad_()
    head = head_of(loss)
    logits = head(descriptors, labels)
    inner = torch.randn(logits.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad((inner * logits).sum(), (descriptors, head.weight))
    plain = head.scale * F.normalize(descriptors, dim=1) @ head.weight.T
    for one, other in zip(found, torch.autograd.grad((inner * plain).sum(), (descriptors, head.weight)), strict=True):
        torch.testing.assert_close(one, other)
    true = head_of(loss, gradient="true")
    torch.testing.assert_close(true(descriptors, labels), logits)
    assert not torch.allclose(torch.autograd.grad((inner * true(descriptors, labels)).sum(), descriptors)[0], found[0])


@pytest.mark.parametrize("loss", MARGINS)
def test_true_gradients_are_those_of_differences(loss):
    descriptors, labels = some()
    head = head_of(loss, **({"gradient": "true", "scale": 4.0} if loss in ANGLES else {}))
    assert torch.autograd.gradcheck(lambda x: head(x, labels), descriptors.requires_grad_())


def test_cosface_and_softmax_are_as_told_by_hand():
    descriptors, labels = some()
    cosines = F.cosine_similarity(descriptors[:, None], head_of("cosface").weight[None], dim=2)
    margins = 0.4 * F.one_hot(labels, 5)
    torch.testing.assert_close(head_of("cosface")(descriptors, labels), 30 * (cosines - margins))
    torch.testing.assert_close(head_of("softmax")(descriptors, labels), 30 * cosines)
    torch.testing.assert_close(head_of("cosface", margin=0.0)(descriptors, labels), 30 * cosines)
    torch.testing.assert_close(head_of("softmax", scale=2.0)(descriptors, labels), 2 * cosines)
    without = head_of("arcface", head_of("cosface").weight.data, margin=0.0, scale=30.0)
    torch.testing.assert_close(without(descriptors, labels), 30 * cosines)


@pytest.mark.parametrize("loss", MARGINS)
def test_weights_start_as_xaviers(loss):
    weight = head_of(loss, dim=300, classes=700).weight
    assert weight.std().item() == pytest.approx(math.sqrt(2 / 1000), rel=0.01)
    assert (weight.abs().max() <= math.sqrt(6 / 1000)).item() == (loss not in ANGLES)  # uniform, or normal
    assert torch.equal(weight, head_of(loss, dim=300, classes=700).weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("loss", MARGINS)
def test_half_precision_is_computed_in_float32(loss, dtype):
    descriptors, labels = some()
    head = head_of(loss).float()
    expected = head.loss(descriptors.to(dtype).float(), labels)
    with torch.autocast("cpu", dtype=dtype):
        found = head.loss(descriptors.to(dtype), labels)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


BOTH = [*((loss, "straight_through") for loss in MARGINS), *((loss, "true") for loss in ANGLES)]


@pytest.mark.parametrize(("loss", "gradient"), BOTH)
def test_gradients_are_finite_at_the_ends(loss, gradient):
    ends = torch.cat([AXES, torch.zeros(1, 2)]).float().requires_grad_()  # at, opposite to, and nowhere
    head = head_of(loss, AXES, gradient=gradient).float()
    head.loss(ends, torch.tensor([0, 1, 0, 0])).backward()
    assert ends.grad.isfinite().all() and head.weight.grad.isfinite().all()


@pytest.mark.parametrize(
    ("loss", "options", "said"),
    [
        ("softmax", {"margin": 0.1}, "logit_margin does nothing to the loss 'softmax'"),
        ("softmax", {"gradient": "true"}, "margin_gradient=true does nothing to the loss 'softmax'"),
        ("cosface", {"gradient": "true"}, "margin_gradient=true does nothing to the loss 'cosface'"),
    ],
)
def test_options_that_do_nothing_are_refused(loss, options, said):
    with pytest.raises(ValueError, match=said):
        head_of(loss, **options)
