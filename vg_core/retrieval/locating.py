"""Where a photograph was taken: the most similar ones of a folder of geo-tagged photographs."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from vg_core.datasets.checks import squashed
from vg_core.datasets.contents import digest_of
from vg_core.datasets.folders import read_folder, taken_at
from vg_core.evaluation.ranks import positions
from vg_core.models import GeoModel, load_model
from vg_core.models.checkpoint import checkpoint_hash
from vg_core.retrieval.descriptors import Size, describe
from vg_core.retrieval.ranking import search
from vg_core.system import own_files, paths


def locate(
    photo: Path, model: Path, database: Path, top: int = 5, batch_size: int = 16, image_size: Size | None = None
) -> pd.DataFrame:
    """The ``top`` photographs of a folder most similar to one, best first: what ``read_folder`` says about each,
    ``distance`` of the descriptors, ``metres`` from the best and ``error``, metres from where the photograph was
    taken, NaN where ``taken_at`` does not know.

    ``model`` is a checkpoint, of pairs for a panorama and a folder of aerial images, or the name of a released one;
    ``image_size`` is by default the size it was trained at. Descriptors of the folder stay in the cache for the next.
    """
    network, table = load_model(model), read_folder(database, exif=True)
    size = image_size or network.config.image_size
    sides = ("ground", "aerial") if network.config.task.kind == "pairs" else ("", "")
    if sentence := "" if any(sides) else squashed([str(photo), *table.path], size):
        print(sentence, flush=True)
    query = describe(network, [photo], size, 1, progress=False, side=sides[0])  # (1, D)
    described = _described(network, model, table, size, batch_size, True, sides[1])  # (N, D)
    distances, indices = search(query, described, top)  # (1, top) each
    guesses = table.iloc[indices[0]].assign(distance=distances[0])
    places = positions(guesses)  # (top, 2)
    taken = positions(taken_at(photo, guesses))  # (1 or 0, 2)
    for name, place in (("metres", places[0]), ("error", taken[0] if len(taken) else np.nan)):
        guesses[name] = np.linalg.norm(places - place, axis=1)
    return guesses


def _described(network: GeoModel, checkpoint: Path, table: pd.DataFrame, size: Size, *options) -> np.ndarray:
    """(N, D) descriptors of a table's photographs, made once for their contents, this checkpoint and this size."""
    key = f"{digest_of(table.path)} {checkpoint_hash(checkpoint)} {size}"
    file = paths.cache_root() / "descriptors" / f"{hashlib.sha256(key.encode()).hexdigest()[:20]}.npy"
    return own_files.read_or_make(file, lambda: describe(network, table.path, size, *options))
