"""Domain adaptation: the sign of every gradient, and one sum in place of gradients that are put aside and restored."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vg_core.losses.domain import AADA, DomainHead, reverse_gradient

KINDS = ["convolutional", "fully_connected"]


def maps(count=3, channels=16, size=(8, 8), seed=0):
    """Feature maps behind a rectifier, which means of the fully connected auto-encoder can reach."""
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(seed))


def adapted(kind="convolutional", channels=16, **options):
    torch.manual_seed(0)
    return AADA(channels, kind, **options)


def gradients(loss, parameters):
    return torch.autograd.grad(loss, list(parameters), allow_unused=True)


# --- gradient reversal -------------------------------------------------------------------------------------------
def test_the_head_learns_and_what_is_before_it_unlearns():
    """With L = alpha w h the head's gradient is alpha h, and that of the features -alpha w."""
    w, h = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (3.0, 5.0))
    reversed_h = reverse_gradient(h)
    assert reversed_h == h
    (0.1 * w * reversed_h).backward()
    assert (w.grad.item(), h.grad.item()) == pytest.approx((0.5, -0.3))


def test_the_domain_head_is_a_classifier_of_mean_maps():
    torch.manual_seed(0)
    head, (day, night) = DomainHead(16, alpha=0.25), (maps(3), maps(2, seed=1))
    assert [tuple(p.shape) for p in head.parameters()] == [(50, 16), (50,), (20, 50), (20,), (2, 20), (2,)]
    scores = head.layers(torch.cat([day, night]).mean((2, 3)))
    assert torch.equal(head(torch.cat([day, night])), scores)
    expected = 0.25 * F.cross_entropy(scores, torch.tensor([0, 0, 0, 1, 1]))
    torch.testing.assert_close(head.loss(day, night), expected)


def test_the_network_gets_the_opposite_of_what_would_help_the_head():
    torch.manual_seed(0)
    head, day, night = DomainHead(16, alpha=2.0), maps().requires_grad_(), maps(seed=1).requires_grad_()
    found = gradients(head.loss(day, night), [day, night, *head.parameters()])
    plain = F.cross_entropy(head.layers(torch.cat([day, night]).mean((2, 3))), torch.tensor([0] * 3 + [1] * 3))
    expected = gradients(plain, [day, night, *head.parameters()])
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(one, (-2.0 if number < 2 else 2.0) * other)


# --- AADA ----------------------------------------------------------------------------------------------------------
def test_auto_encoders_are_the_published_ones():
    shapes = {kind: [tuple(p.shape) for p in AADA(512, kind).parameters() if p.ndim > 1] for kind in KINDS}
    convolutions = (256, 512), (128, 256), (64, 128), (64, 128), (128, 256), (256, 512)
    assert shapes["convolutional"] == [(*pair, 3, 3) for pair in convolutions]
    assert shapes["fully_connected"] == [(256, 512), (128, 256), (256, 128), (512, 256)]
    rebuilt = {kind: AADA(512, kind).auto_encoder for kind in KINDS}
    assert rebuilt["convolutional"][:6](torch.rand(1, 512, 16, 16)).shape == (1, 64, 2, 2)
    assert rebuilt["convolutional"](torch.rand(1, 512, 16, 16)).shape == (1, 512, 16, 16)
    assert rebuilt["fully_connected"](torch.rand(1, 512, 16, 16)).shape == (1, 512)
    last = {kind: type(encoder[-1]) for kind, encoder in rebuilt.items()}
    assert last == {"convolutional": nn.ReLU, "fully_connected": nn.Sigmoid}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0.0, 5.0])
def test_the_loss_is_its_formula_whatever_the_size_of_the_maps(kind, margin):
    aada, day, night = adapted(kind, margin=margin, gamma=0.2), maps(size=(2, 5)), maps(seed=1, size=(2, 5))

    def error(x):
        rebuilt = aada.auto_encoder(x)
        return ((rebuilt[:, :, :2, :5] - x if rebuilt.ndim == 4 else rebuilt - x.mean((2, 3))) ** 2).mean()

    expected = 0.2 * error(night) + error(day) + max(0, margin - error(night))
    torch.testing.assert_close(aada.loss(day, night), expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [0.01, 0.5, 5.0])
@pytest.mark.parametrize("legacy", [False, True])
def test_one_sum_gives_the_gradients_of_two_passes(kind, margin, legacy):
    """The reference goes backward for the network, puts its gradients aside, clears all, goes backward for the
    auto-encoder, and puts them back.
    """
    torch.manual_seed(1)
    network, classes = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()), nn.Linear(16, 4)
    aada = adapted(kind, margin=margin, gamma=0.2, legacy_inert_margin=legacy)
    images, labels = torch.randn(6, 3, 8, 8), torch.tensor([0, 1, 2])
    everything = [*network.parameters(), *classes.parameters(), *aada.parameters()]

    def forward():
        day, night = network(images).split(3)
        return F.cross_entropy(classes(day.mean((2, 3))), labels), day, night

    def error(x):
        return F.mse_loss(aada.auto_encoder(x), x if kind == "convolutional" else x.mean((2, 3)))

    of_places, day, night = forward()
    (of_places + 0.2 * error(night)).backward()
    aside = [p.grad.clone() for p in everything[:4]]
    for p in everything:
        p.grad = None
    _, day, night = forward()
    (error(day) + (margin if legacy else F.relu(margin - error(night)))).backward()
    expected = [*aside, *(p.grad for p in everything[4:])]

    for p in everything:
        p.grad = None
    of_places, day, night = forward()
    (of_places + aada.loss(day, night)).backward()
    for p, wanted in zip(everything, expected, strict=True):
        torch.testing.assert_close(p.grad, wanted)


def test_below_the_margin_the_target_error_is_raised_and_above_it_is_left_alone():
    day, night, step = maps(), maps(seed=1), 0.1

    def moved(**options):
        """Error of targets before and after a step of the auto-encoder along what it learns from them."""
        aada = adapted(gamma=0.0, **options)
        before = F.mse_loss(aada.auto_encoder(night), night)
        of_sources = gradients(F.mse_loss(aada.auto_encoder(day), day), aada.parameters())
        both = gradients(aada.loss(day, night), aada.parameters())
        with torch.no_grad():
            for p, all_of_it, sources in zip(aada.parameters(), both, of_sources, strict=True):
                p -= step * (all_of_it - sources)
        return before.item(), F.mse_loss(aada.auto_encoder(night), night).item()

    before, after = moved(margin=5.0)
    assert before < after
    for options in ({"margin": before / 2}, {"margin": 5.0, "legacy_inert_margin": True}):
        assert moved(**options) == (before, before)


def test_the_inert_margin_only_adds_a_constant():
    day, night = maps(), maps(seed=1)
    small, large = (adapted(margin=margin, legacy_inert_margin=True).loss(day, night) for margin in (0.5, 5.0))
    assert (large - small).item() == pytest.approx(4.5)


def test_the_network_makes_targets_easy_to_rebuild_and_leaves_sources_alone():
    aada, day, night = adapted(gamma=0.5), maps().requires_grad_(), maps(seed=1).requires_grad_()
    of_day, of_night = gradients(aada.loss(day, night), [day, night])
    assert of_day is None
    (expected,) = gradients(0.5 * F.mse_loss(aada.auto_encoder(night), night), [night])
    torch.testing.assert_close(of_night, expected)


# --- what is refused -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("make", [DomainHead, AADA, partial(AADA, kind="fully_connected")])
def test_a_batch_of_one_domain_says_nothing_about_the_other(make):
    """As when all photographs were made night by chance; all weights take part, which several processes need."""
    adaptation, some, none = make(16), maps(), maps(0)
    for sources, targets in ((some, none), (none, some)):
        loss = adaptation.loss(sources, targets)
        assert loss.isfinite() and all(g is not None for g in gradients(loss, adaptation.parameters()))


def test_what_is_told_about_the_domains():
    head, aada, day, night = DomainHead(16), adapted(), maps(), maps(seed=1)
    head.loss(day, night)
    right = (head(torch.cat([day, night])).argmax(1) == torch.tensor([0, 0, 0, 1, 1, 1])).float().mean()
    assert head.told == {"domain_accuracy": 100 * right}
    aada.loss(day, night)
    errors = {"source_error": day, "target_error": night}
    assert aada.told == {name: F.mse_loss(aada.auto_encoder(x), x) for name, x in errors.items()}


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
@pytest.mark.parametrize("make, name", [(DomainHead, "alpha"), (AADA, "margin"), (AADA, "gamma")])
def test_weights_out_of_range(make, name, value):
    with pytest.raises(ValueError, match=f"{name}={value:g} is out of range; choose a number that is not below 0"):
        make(16, **{name: value})


def test_an_unknown_auto_encoder():
    with pytest.raises(KeyError, match="no auto-encoder is called 'linear'; choose one of: convolutional, fully_conn"):
        AADA(16, "linear")
