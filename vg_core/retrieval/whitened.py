"""Short descriptors: a PCA whitening, learned once for a trained network, that is cut to any number of values."""

from pathlib import Path

import numpy as np

from vg_core.config import Config
from vg_core.datasets.places import PlaceSet, load_places
from vg_core.models import build_model, load_model
from vg_core.models.checkpoint import model_bytes, whitened_file
from vg_core.models.whitening import LEARNED_ON, Whitening
from vg_core.retrieval.descriptors import describe_photographs, photographs_of
from vg_core.system import own_files, processes
from vg_core.system.devices import pick_device

WIDEST = 4096  # values; the authors of NetVLAD and of SARE go no further


def whiten(checkpoint: Path) -> None:
    """Learn the whitening of a checkpoint, unless it is there: ``load_model(checkpoint, whitened_dim)`` then finds it.

    It has as many values as it can and is learned on at most 10,000 database images, drawn at random, of the training
    split that the checkpoint names (Arandjelović et al., "NetVLAD", CVPR 2016). The whole network is saved with it in a
    file beside the checkpoint. Raises what loading and describing raise.
    """
    if own_files.is_intact(whitened_file(checkpoint)):
        return
    model = load_model(checkpoint).to(pick_device())
    if model.whitening is not None:
        return
    places = load_places(config := model.config.replace(whitened_dim=WIDEST), "train")  # which pairs refuse
    images = photographs_of(places, config.image_size)  # as in the training: these pixels are decoded already
    chosen = learned_from(places, config.seed)
    descriptors = describe_photographs(model, images, config.infer_batch_size, chosen)  # (n, D)
    learned = Whitening.learn(descriptors.cpu().numpy(), widest(model.pooled_dim, len(places.database)))
    model.cpu().whiten(learned)
    if processes.first():
        own_files.write(whitened_file(checkpoint), model_bytes(model))
    processes.wait()


def learned_from(places: PlaceSet, seed: int) -> np.ndarray:
    """(n,) sorted numbers of the database images that a whitening is learned on, drawn at random."""
    return np.sort(np.random.default_rng(seed).permutation(len(places.database))[:LEARNED_ON])


def widest(values: int, images: int) -> int:
    """Length of the longest whitened descriptor, from descriptors of so many values of so many database images."""
    return min(WIDEST, values, min(images, LEARNED_ON) - 1)


def check_whitened_dim(config: Config, train: PlaceSet) -> None:
    """Raises ValueError, before hours of training, for a ``whitened_dim`` above what whitening can have."""
    if not config.whitened_dim:
        return
    values, images = build_model(config.replace(weights="none")).dim, len(train.database)
    if config.whitened_dim > widest(values, images):
        raise ValueError(
            f"whitened_dim={config.whitened_dim} is above {widest(values, images)}, the most that descriptors of "
            f"{values} values, learned from {images} database images of {config.dataset} train, can be whitened to"
        )
