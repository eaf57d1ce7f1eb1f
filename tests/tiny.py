"""The smallest training that is still the real one: a street of a few dozen photographs, a few convolutions."""

import pytest
import torch

from vg_core.config import Config, TupleOptions
from vg_core.datasets.places import load_places
from vg_core.training.progress import Progress
from vg_core.training.trainer import Trainer, train

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


# the twelve places of the street, told apart in two groups of six that take turns; a row is one photograph
GROUPS = TINY.replace(
    loss="cosface", images_per_row=1, M=30.0, alpha=360, N=2, L=1, min_images_per_class=4, groups_num=2
)
# the same places, four photographs of each a row
PLACES = TINY.replace(
    loss="multi_similarity_of_places", images_per_row=4, M=30.0, alpha=360, memory_size=20, train_batch_size=4
)


def rounds_on_disk(folder):
    """How many rounds a training has saved."""
    file = folder / "state.pt"
    return len(torch.load(file, weights_only=True)["history"]) if file.exists() else 0


def fit_interrupted(config, folder, monkeypatch):
    """Train until the fourth step, which is interrupted; returns the pixels of the steps so far, and of later ones."""
    original, seen = Trainer.step, []

    def interrupted(self, pixels, rows):
        seen.append(pixels)
        if len(seen) == 4:
            raise KeyboardInterrupt
        return original(self, pixels, rows)

    monkeypatch.setattr(Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(config, folder)
    return seen


def fit(config, folder):
    return train(config, folder, *(load_places(config, split) for split in ("train", "val")), Progress)
