"""Domain adaptation: losses that make the feature maps of unlabelled target images (night) like those of sources (day).

Both are trained by one backward pass of their sum with the loss of places. What is random in their layers comes from
torch's global generator, and their parameters learn in the optimizer of the network. ``told`` is what the last call of
``loss`` says about the domains: the percentage that is told apart, or the errors of both.
"""

import math
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from vg_core.system.errors import ByName


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(_context, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_context, gradient: Tensor) -> Tensor:
        return -gradient


def reverse_gradient(x: Tensor) -> Tensor:
    """The same tensor, whose gradient changes its sign: what lies before learns to fool what lies behind."""
    return _Reversed.apply(x)


class DomainHead(nn.Module):
    """Scores (B, 2) of source and target from feature maps (B, channels, H, W), whose gradient is reversed.

    ``alpha`` multiplies the loss, so the head learns more slowly with it, too. Source: Ganin and Lempitsky, ICML 2015;
    layers and alpha of AMLSquad/CosPlace, which keeps the reversed gradient at full strength throughout.
    """

    def __init__(self, channels: int, alpha: float = 0.1):
        super().__init__()
        self.alpha = _not_negative("alpha", alpha)
        self.layers = nn.Sequential(nn.Linear(channels, 50), nn.ReLU(), nn.Linear(50, 20), nn.ReLU(), nn.Linear(20, 2))

    def forward(self, maps: Tensor) -> Tensor:
        return self.layers(reverse_gradient(maps.mean(dim=(2, 3))))

    def loss(self, sources: Tensor, targets: Tensor) -> Tensor:
        """alpha times the mean cross-entropy of telling maps of sources (S, C, H, W) and targets (T, C, H, W) apart."""
        scores = self(torch.cat([sources, targets]))  # (S + T, 2)
        domains = torch.arange(len(scores), device=scores.device) >= len(sources)  # (S + T,)
        self.told = {"domain_accuracy": 100.0 * (scores.detach().argmax(1) == domains).float().mean()}  # percent
        return self.alpha * F.cross_entropy(scores, domains.long())


def convolutional(channels: int) -> nn.Sequential:
    """Auto-encoder of maps (B, channels, H, W), an eighth of their height, width and channels at its narrowest."""
    layers, widths = [], [channels, channels // 2, channels // 4, channels // 8]
    for wide, narrow in pairwise(widths):
        layers += [nn.Conv2d(wide, narrow, 3, stride=2, padding=1), nn.ReLU()]
    for narrow, wide in pairwise(reversed(widths)):
        layers += [nn.ConvTranspose2d(narrow, wide, 3, stride=2, padding=1, output_padding=1), nn.ReLU()]
    return nn.Sequential(*layers)


def fully_connected(channels: int) -> nn.Sequential:
    """Auto-encoder of the means of maps (B, channels), a quarter of their channels at its narrowest."""
    half, quarter = channels // 2, channels // 4
    encoder = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, half), nn.ReLU(), nn.Linear(half, quarter)
    return nn.Sequential(*encoder, nn.Linear(quarter, half), nn.ReLU(), nn.Linear(half, channels), nn.Sigmoid())


AUTO_ENCODERS: dict[str, Callable[[int], nn.Sequential]] = ByName(
    "auto-encoder", {"convolutional": convolutional, "fully_connected": fully_connected}
)


class AADA(nn.Module):
    """An auto-encoder that rebuilds maps of sources and not those of targets, which the network makes easy to rebuild.

    The network adds gamma E(targets) to its own loss, and the auto-encoder learns from E(sources) + max(0, margin -
    E(targets)), where E is its mean squared error. ``legacy_inert_margin`` is AMLSquad/CosPlace, whose second term is
    the constant ``margin``: it has no gradient there, so that no margin makes a difference. Source: Yang et al.,
    "Mind the discriminability: asymmetric adversarial domain adaptation", ECCV 2020.
    """

    def __init__(
        self,
        channels: int,
        kind: str = "convolutional",
        margin: float = 0.5,
        gamma: float = 0.01,
        legacy_inert_margin: bool = False,
    ):
        super().__init__()
        self.auto_encoder = AUTO_ENCODERS[kind](channels)
        self.margin, self.gamma = _not_negative("margin", margin), _not_negative("gamma", gamma)
        self.legacy_inert_margin = legacy_inert_margin

    def loss(self, sources: Tensor, targets: Tensor) -> Tensor:
        """Sum of what the network and the auto-encoder add to the loss, of maps (S, C, H, W) and (T, C, H, W).

        Each of them sees the other as a constant, so that one backward pass gives both their gradients. A batch
        without images of a domain says nothing about its error.
        """
        fixed = {name: parameter.detach() for name, parameter in self.auto_encoder.named_parameters()}
        of_network = self.gamma * _error(lambda maps: functional_call(self.auto_encoder, fixed, maps), targets)
        of_sources, of_targets = (_error(self.auto_encoder, maps.detach()) for maps in (sources, targets))
        self.told = {"source_error": of_sources.detach(), "target_error": of_targets.detach()}
        if self.legacy_inert_margin:
            of_targets = torch.zeros_like(of_targets)
        return of_network + of_sources + F.relu(self.margin - of_targets)


def _error(rebuild: Callable[[Tensor], Tensor], maps: Tensor) -> Tensor:
    """Mean squared error of what is rebuilt, which may be larger than the maps, or of their means."""
    rebuilt = rebuild(maps)
    if not len(maps):
        return rebuilt.sum()  # 0, of which all weights still take part
    if rebuilt.ndim == 2:
        return F.mse_loss(rebuilt, maps.mean(dim=(2, 3)))
    return F.mse_loss(rebuilt[:, :, : maps.shape[2], : maps.shape[3]], maps)


def _not_negative(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}={value:g} is out of range; choose a number that is not below 0")
    return value
