"""Poolings of transformers, and those of today's released models, with layers of their own: MixVPR, BoQ, SALAD."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vg_core.models.pooling import Pooling
from vg_core.models.precision import at_least_float32


class ClassToken(Pooling):
    """(B, C) class tokens of a transformer."""

    takes_token = True

    def forward(self, _maps: Tensor, token: Tensor) -> Tensor:
        return token


class SequencePool(Pooling):
    """(B, C) means of the locations weighed by a softmax over a linear function of each, w · x + b.

    Source: Hassani et al., "Escaping the big data paradigm with compact transformers", 2021, section 3.3. The bias
    changes nothing and is there for released weights.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(nn.init.normal_(torch.empty(1, channels), std=0.02))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            locations = at_least_float32(x).flatten(2)  # (B, C, M)
            shares = (self.weight @ locations + self.bias).softmax(2)  # (B, 1, M)
            return (locations @ shares.transpose(1, 2))[:, :, 0]  # (B, C)


class Aggregator(Pooling):
    """(B, D) unit vectors of what ``gathered`` makes of maps (B, C, H, W), in float32 whatever autocast says."""

    normalised = True

    def gathered(self, maps: Tensor) -> Tensor:
        """The descriptors before they are normalised, (B, D) or (B, D / n, n)."""
        raise NotImplementedError

    def forward(self, x: Tensor, *token: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.normalize(self.gathered(*map(at_least_float32, (x, *token))).flatten(1), dim=1)


class MixVPR(Aggregator):
    """(B, 4 · C): each channel's map is mixed with itself four times, then channels are, then maps become 4 values.

    A mixer is x + W2 relu(W1 norm(x)) along the locations, whose number is fixed with it. Source: Ali-bey, Chaib-draa,
    Giguère, "MixVPR", WACV 2023, section 3.
    """

    def __init__(self, channels: int, locations: int, rows: int = 4, depth: int = 4):
        super().__init__()
        self.mix = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(locations), _linear(locations), nn.ReLU(), _linear(locations))
            for _ in range(depth)
        )
        self.channel_proj, self.row_proj = nn.Linear(channels, channels), nn.Linear(locations, rows)

    def width(self, channels: int) -> int:
        return channels * self.row_proj.out_features

    def gathered(self, maps: Tensor) -> Tensor:
        maps, expected = maps.flatten(2), self.row_proj.in_features  # (B, C, M)
        if maps.shape[2] != expected:
            raise ValueError(
                f"MixVPR was built for feature maps of {expected} locations and these have {maps.shape[2]}: "
                "show it images of the size that it was trained on"
            )
        for mixer in self.mix:
            maps = maps + mixer(maps)
        mixed = self.channel_proj(maps.transpose(1, 2)).transpose(1, 2)  # (B, C, M)
        return self.row_proj(mixed)  # (B, C, rows)


def _linear(size: int) -> nn.Linear:
    layer = nn.Linear(size, size)
    nn.init.normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)
    return layer


class BagOfQueries(Aggregator):
    """(B, 32 · C / 2): two blocks of learned queries that look at all locations, and linear functions of their answers.

    Source: Ali-bey, Chaib-draa, Giguère, "BoQ: a place is worth a bag of learnable queries", CVPR 2024, section 3, with
    half as many channels as come in, as in their released models.
    """

    def __init__(self, channels: int, queries: int = 64, rows: int = 32, depth: int = 2):
        super().__init__()
        half = max(1, channels // 2)
        self.proj_c, self.norm_input = nn.Conv2d(channels, half, 3, padding=1), nn.LayerNorm(half)
        self.boqs = nn.ModuleList(_Queries(half, queries) for _ in range(depth))
        self.fc = nn.Linear(depth * queries, rows)

    def width(self, channels: int) -> int:
        return self.norm_input.normalized_shape[0] * self.fc.out_features

    def gathered(self, maps: Tensor) -> Tensor:
        locations = self.norm_input(self.proj_c(maps).flatten(2).transpose(1, 2))  # (B, M, P)
        answers = []
        for block in self.boqs:
            locations, found = block(locations)  # (B, M, P), (B, Q, P)
            answers.append(found)
        return self.fc(torch.cat(answers, dim=1).transpose(1, 2))  # (B, P, rows)


class _Queries(nn.Module):
    """One block of BoQ: (locations (B, M, P) that have looked at each other, answers (B, Q, P) to its queries)."""

    def __init__(self, dim: int, queries: int):
        super().__init__()
        heads = next(count for count in range(max(1, dim // 64), 0, -1) if dim % count == 0)
        self.encoder = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout=0.0, batch_first=True)
        self.queries = nn.Parameter(torch.randn(1, queries, dim))
        self.self_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.cross_attn = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.norm_q, self.norm_out = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, locations: Tensor) -> tuple[Tensor, Tensor]:
        locations = self.encoder(locations)
        asked = self.queries.expand(len(locations), -1, -1)  # (B, Q, P)
        asked = self.norm_q(asked + self.self_attn(asked, asked, asked, need_weights=False)[0])
        return locations, self.norm_out(self.cross_attn(asked, locations, locations, need_weights=False)[0])


class SALAD(Aggregator):
    """(B, 256 + dim · clusters): a global token, then for each cluster the sum of the features that go to it.

    Optimal transport shares out the locations among the clusters and a dustbin, which takes what tells nothing. Where
    there is no class token, the mean of the locations takes its place. Source: Izquierdo, Civera, "Optimal transport
    aggregation for visual place recognition", CVPR 2024, section 3. MegaLoc's has 256 values for each cluster.
    """

    takes_token = True

    def __init__(self, channels: int, clusters: int = 64, dim: int = 128, token: int = 256, hidden: int = 512):
        super().__init__()
        self.token_features = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, token))
        self.cluster_features, self.score = (
            nn.Sequential(nn.Linear(channels, hidden), nn.Dropout(0.3), nn.ReLU(), nn.Linear(hidden, size))
            for size in (dim, clusters)
        )
        self.dust_bin = nn.Parameter(torch.tensor(1.0))

    def width(self, channels: int) -> int:
        sizes = [layers[-1].out_features for layers in (self.token_features, self.cluster_features, self.score)]
        return sizes[0] + sizes[1] * sizes[2]

    def gathered(self, maps: Tensor, token: Tensor | None = None) -> Tensor:
        locations = maps.flatten(2).transpose(1, 2)  # (B, M, C)
        token = self.token_features(locations.mean(1) if token is None else token)  # (B, G)
        shares = transport(self.score(locations).transpose(1, 2), self.dust_bin)[:, :-1]  # (B, K, M)
        clusters = F.normalize(shares @ self.cluster_features(locations), dim=2)  # (B, K, L)
        return torch.cat([F.normalize(token, dim=1), clusters.transpose(1, 2).flatten(1)], dim=1)


def transport(scores: Tensor, dust_bin: Tensor, iterations: int = 3) -> Tensor:
    """(B, K + 1, M) shares of M locations in K clusters and, last, in the dustbin, from scores (B, K, M).

    Sinkhorn's algorithm on logarithms: the shares of a location add up to 1, those of a cluster to about 1, and those
    of the dustbin, which has the same score everywhere, to about M - K. What is added to a whole row changes nothing:
    the dustbin's score and the biases of others are there for released weights. ValueError unless there are more
    locations than clusters.
    """
    batch, clusters, count = scores.shape
    if count <= clusters:
        raise ValueError(
            f"SALAD shares out locations among fewer clusters, and there are {count} for {clusters}: "
            "show it larger images, or lower clusters"
        )
    scores = torch.cat([scores, dust_bin.expand(batch, 1, count)], dim=1)  # (B, K + 1, M)
    rows = scores.new_zeros(clusters + 1, 1)  # logarithms of what each row adds up to; of each column it is 0
    rows[-1] = math.log(count - clusters)
    across = scores.new_zeros(1, count)
    for _ in range(iterations):
        down = rows - torch.logsumexp(scores + across, dim=2, keepdim=True)  # (B, K + 1, 1)
        across = -torch.logsumexp(scores + down, dim=1, keepdim=True)  # (B, 1, M)
    return (scores + down + across).exp()
