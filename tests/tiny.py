"""The smallest training that is still the real one: a street of a few dozen photographs, a few convolutions."""

import torch

from vg_core.config import Config, TupleOptions
from vg_core.datasets.places import PlaceSet
from vg_core.losses.classification import GeoHead
from vg_core.training.objectives import GeoClassification
from vg_core.training.progress import Progress
from vg_core.training.trainer import train

TINY = Config(
    profile="smoke",
    dataset="street",
    image_size=(32, 32),
    layer="layer1",
    freeze="none",
    weights="none",
    clusters=4,
    lr=1e-3,
    task=TupleOptions(negs_num_per_query=3, neg_samples_num=12),
    queries_per_epoch=24,
    cache_refresh_rate=8,
    epochs_num=2,
)


class TakingTurns(GeoClassification):
    """Cells told apart by two classifiers, each with a rate of its own: one learns in even epochs, the other in odd
    ones.
    """

    rests = True

    def __init__(self, config, places, dim):
        super().__init__(config, places, dim)
        self.odd = GeoHead(dim, self.head.out_features, torch.Generator().manual_seed(1))

    def parameter_groups(self):
        return [{"params": list(head.parameters()), "lr": lr} for head, lr in ((self.head, 1e-2), (self.odd, 1e-3))]

    def draw(self, key, rng, describe):
        self.epoch = key.epoch
        return super().draw(key, rng, describe)

    def loss(self, encode, pixels, rows):
        head = self.odd if self.epoch % 2 else self.head
        return head.loss(encode(pixels).descriptors, self.labels[rows.ravel()])


def rounds_on_disk(folder):
    """How many rounds a training has saved."""
    file = folder / "state.pt"
    return len(torch.load(file, weights_only=True)["history"]) if file.exists() else 0


def fit(config, folder):
    sets = [PlaceSet.load(config.dataset, split) for split in ("train", "val")]
    return train(config, folder, *sets, Progress)
