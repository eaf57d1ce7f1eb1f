"""Attention by relations: every location adds what it finds at all others that resemble it."""

from torch import Tensor, nn
from torch.nn import functional as F


class Relations(nn.Module):
    """Maps x + project(softmax(scale · query(x)ᵀ key(x)) value(x)), the softmax over all locations; (B, C, H, W).

    Projections start at zero, and with them attention changes nothing.
    """

    def __init__(self, query: nn.Module, key: nn.Module, value: nn.Module, project: nn.Module, scale: float):
        super().__init__()
        self.query, self.key, self.value, self.project, self.scale = query, key, value, project, scale

    def relations(self, maps: Tensor) -> Tensor:
        """(B, H · W, H · W): how much each location takes from each; rows add up to 1."""
        query, key = (_as_rows(layer(maps)) for layer in (self.query, self.key))  # (B, H · W, c) each
        return (query @ key.transpose(1, 2) * self.scale).softmax(2)

    def weights(self, maps: Tensor) -> Tensor:
        """(B, H, W) how much is taken from each location by all of them together, to be shown as heat maps."""
        return self.relations(maps).sum(1).view(len(maps), *maps.shape[2:])

    def forward(self, maps: Tensor) -> Tensor:
        query, key, value = (_as_rows(layer(maps)) for layer in (self.query, self.key, self.value))
        found = F.scaled_dot_product_attention(query, key, value, scale=self.scale)  # (B, H · W, c)
        return maps + self.project(found.transpose(1, 2).unflatten(2, maps.shape[2:]))


class NonLocal(Relations):
    """Non-local block of embedded Gaussians, of half as many channels and all locations, without a scale.

    Source: Wang, Girshick, Gupta, He, "Non-local neural networks", CVPR 2018.
    """

    def __init__(self, channels: int):
        half = max(1, channels // 2)
        project = nn.Sequential(nn.Conv2d(half, channels, 1), nn.BatchNorm2d(channels))
        nn.init.zeros_(project[1].weight)
        super().__init__(*(nn.Conv2d(channels, half, 1) for _ in range(3)), project, scale=1.0)


class SecondOrder(Relations):
    """SOLAR's second-order attention, of a quarter of the channels, as it has behind conv4 of ResNet-101.

    Source: Ng, Balntas, Tian, Mikolajczyk, "SOLAR: second-order loss and attention for image retrieval", ECCV 2020.
    """

    def __init__(self, channels: int):
        quarter = max(1, channels // 4)
        layers = [nn.Conv2d(channels, quarter, 1) for _ in range(3)]
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        query, key = (nn.Sequential(layer, nn.BatchNorm2d(quarter), nn.ReLU()) for layer in layers[:2])
        project = nn.Conv2d(quarter, channels, 1)
        nn.init.zeros_(project.weight)
        nn.init.zeros_(project.bias)
        super().__init__(query, key, layers[2], project, scale=quarter**-0.5)


def _as_rows(maps: Tensor) -> Tensor:
    """(B, H · W, c) of maps (B, c, H, W)."""
    return maps.flatten(2).transpose(1, 2)
