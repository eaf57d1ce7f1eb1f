"""Where a photograph was taken: the most similar ones of a folder of geo-tagged photographs."""

from pathlib import Path

import numpy as np
import pandas as pd

from vg_core.datasets.checks import squashed
from vg_core.datasets.contents import digest_of
from vg_core.datasets.folders import read_folder
from vg_core.models import GeoModel, load_model
from vg_core.models.checkpoint import checkpoint_hash
from vg_core.retrieval.descriptors import describe
from vg_core.retrieval.ranking import search
from vg_core.system import own_files, paths


def locate(photo: Path, model: Path, database: Path, top: int = 5, batch_size: int = 16) -> pd.DataFrame:
    """The ``top`` photographs of a folder most similar to one, best first: what ``read_folder`` says about each,
    ``distance`` of the descriptors and ``metres`` from the best.

    ``model`` is a checkpoint. Descriptors of the folder stay in the cache for the next photograph.
    """
    network, table = load_model(model), read_folder(database)
    if sentence := squashed([str(photo), *table.path], network.config.image_size):
        print(sentence, flush=True)
    query = describe(network, [photo], network.config.image_size, 1, progress=False)  # (1, D)
    distances, indices = search(query, _described(network, model, table, batch_size), top)  # (1, top) each
    guesses = table.iloc[indices[0]].assign(distance=distances[0])
    east, north = (guesses[axis] - guesses[axis].iloc[0] for axis in ("easting", "northing"))
    return guesses.assign(metres=np.hypot(east, north))


def _described(network: GeoModel, checkpoint: Path, table: pd.DataFrame, batch_size: int) -> np.ndarray:
    """(N, D) descriptors of a table's photographs, made once for their contents and this checkpoint."""
    key = digest_of(table.path)[:10] + checkpoint_hash(checkpoint)[:10]
    file = paths.cache_root() / "descriptors" / f"{key}.npy"
    return own_files.read_or_make(file, lambda: describe(network, table.path, network.config.image_size, batch_size))
