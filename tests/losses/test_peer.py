"""Losses against pytorch-metric-learning, on the same tuples, told by index.

It has no Cauchy kernel, no ratio loss of tuples, and its Ind and Joint go by other names.
"""

import pytest
import torch
from pytorch_metric_learning import distances as pml_distances
from pytorch_metric_learning import losses as pml
from pytorch_metric_learning.reducers import DoNothingReducer, MeanReducer

from tests.losses.test_tuples import tuples
from vg_core.losses import LOSSES


def euclidean(power):
    return pml_distances.LpDistance(normalize_embeddings=False, p=2, power=power)


def indexed(q, p, negatives):
    """The tuples as the peer wants them: embeddings, then the rows of queries, of their anchors, of the negatives."""
    b, n, _ = negatives.shape
    queries = torch.arange(b)
    return (
        torch.cat([q, p, negatives.flatten(0, 1)]),
        queries,
        queries.repeat_interleave(n),
        torch.arange(b * n) + 2 * b,
    )


def peer_of_triplets(loss, *batch):
    x, queries, anchors, negatives = indexed(*batch)
    return loss(x, indices_tuple=(anchors, anchors + len(queries), negatives))


def peer_of_pairs(loss, *batch, also_positives=False):
    x, queries, anchors, negatives = indexed(*batch)
    if also_positives:  # the lifted loss pushes negatives from the positive too
        anchors, negatives = torch.cat([anchors, anchors + len(queries)]), negatives.repeat(2)
    return loss(x, indices_tuple=(queries, queries + len(queries), anchors, negatives))


def peer_contrastive(q, p, n):
    """Its hinges are linear; squared and halved they are eq. 2."""
    terms = peer_of_pairs(pml.ContrastiveLoss(0, 0.7, distance=euclidean(1), reducer=DoNothingReducer()), q, p, n)
    return sum(term["losses"].square().mean() for term in terms.values()) / 2


def peer_angular(q, p, n):
    """It takes every image of another label for a negative, so it sees one tuple at a time."""
    values = []
    for one_q, one_p, one_n in zip(q, p, n, strict=True):
        labels = torch.cat([torch.zeros(2), torch.arange(1, 1 + len(one_n))]).long()
        pair = torch.tensor([0]), torch.tensor([1]), torch.zeros(len(one_n)).long(), torch.arange(2, 2 + len(one_n))
        values.append(pml.AngularLoss(alpha=45)(torch.cat([one_q[None], one_p[None], one_n]), labels, pair))
    return sum(values) / len(values)


def triplet_margin(power, **options):
    return pml.TripletMarginLoss(distance=euclidean(power), reducer=MeanReducer(), **options)


PEERS = {
    "triplet": lambda q, p, n: peer_of_triplets(triplet_margin(1, margin=0.1), q + 1e-6, p, n),  # it has no eps
    "triplet_squared": lambda *t: peer_of_triplets(triplet_margin(2, margin=0.1), *t),
    "sare_gaussian_ind": lambda *t: peer_of_triplets(triplet_margin(2, margin=0, smooth_loss=True), *t),
    "sare_exponential_ind": lambda *t: peer_of_triplets(triplet_margin(1, margin=0, smooth_loss=True), *t),
    "sare_gaussian_joint": lambda *t: peer_of_pairs(pml.NTXentLoss(1, distance=euclidean(2)), *t) / t[2].shape[1],
    "sare_exponential_joint": lambda *t: peer_of_pairs(pml.NTXentLoss(1, distance=euclidean(1)), *t) / t[2].shape[1],
    "n_pair": lambda *t: peer_of_pairs(pml.NTXentLoss(1, distance=pml_distances.DotProductSimilarity()), *t),
    "contrastive": peer_contrastive,
    "angular": peer_angular,
    "lifted": lambda *t: peer_of_pairs(pml.LiftedStructureLoss(1, 0, distance=euclidean(1)), *t, also_positives=True),
}


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_peer(name, seed):
    batch = tuples(4, 10, 16, seed)
    assert LOSSES[name](*batch).item() == pytest.approx(PEERS[name](*batch).item(), abs=1e-6)


def test_n_pair_equals_the_peers_own_batches():
    """There the negatives of a query are the other queries' positives."""
    q, p, _ = tuples(6, 1, 16)
    others = torch.stack([p[torch.arange(6) != i] for i in range(6)])
    pairs = torch.arange(6), torch.arange(6, 12), torch.tensor([], dtype=int), torch.tensor([], dtype=int)
    expected = pml.NPairsLoss()(torch.cat([q, p]), torch.arange(6).repeat(2), pairs)
    assert LOSSES["n_pair"](q, p, others).item() == pytest.approx(expected.item(), abs=1e-6)
