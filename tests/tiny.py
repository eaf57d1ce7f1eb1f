"""The smallest training that is still the real one: a street of a few dozen photographs, a few convolutions."""

from vg_core.config import Config, TupleOptions
from vg_core.places.dataset import PlaceSet
from vg_core.training import train

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


def fit(config, folder):
    sets = [PlaceSet.load(config.dataset, split) for split in ("train", "val")]
    return train(config, folder, *sets)
