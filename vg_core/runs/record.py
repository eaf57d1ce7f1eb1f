"""What a run leaves behind, and reading it back: tables per query and per round, the best model, the state to go on."""

import hashlib
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from vg_core.config import Config
from vg_core.datasets.places import PlaceSet, load_places
from vg_core.evaluation.ranks import Within, metres_to
from vg_core.models import GeoModel, load_model
from vg_core.runs import identity
from vg_core.system import own_files, paths
from vg_core.system.text import printable

Opened = MutableMapping[tuple, PlaceSet]  # sets of photographs that several runs share


@dataclass(frozen=True)
class Job:
    """A run to be made or read back: its configuration, its photographs, its names and its folders, looked up once."""

    config: Config
    train: PlaceSet
    val: PlaceSet
    test: PlaceSet

    @classmethod
    def open(cls, config: Config, opened: Opened | None = None) -> "Job":
        """The job of a configuration. Sets that are in ``opened`` are not read again, others are put there. Raises
        OSError or ValueError as ``PlaceSet.load`` does.
        """
        opened = {} if opened is None else opened
        targets = [config.targets] if config.uses_targets else []
        asked = [("train", config.dataset, *targets), ("val", config.dataset)]
        asked += [("test", config.tested_on, config.test_queries)]
        for key in asked:
            if key not in opened:
                opened[key] = load_places(config, key[0])
        return cls(config, *(opened[key] for key in asked))

    @cached_property
    def id(self) -> str:
        """Name of the training: runs that differ in their test alone share it."""
        return identity.weights_id(self.config, self.train, self.val)

    @property
    def tables(self) -> Path:
        """Folder of the training's tables; each test has a folder in it."""
        return paths.runs_folder(self.config.profile) / self.id

    @property
    def test_tables(self) -> Path:
        return self.tables / identity.test_id(self.config)

    @property
    def checkpoints(self) -> Path:
        """Folder of the best model and of the state that an interrupted training goes on from."""
        return paths.checkpoints_folder(self.config.profile) / self.id

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.safetensors"

    @property
    def retrieved(self) -> Path:
        """File of the database indices that the test retrieved."""
        return self.checkpoints / f"{identity.test_id(self.config)}.npy"

    def is_trained(self) -> bool:
        """True when the tables of a finished training and its best model are there, and whole."""
        files = ("config.json", "history.csv", "validation.csv")
        return restore_best(self.checkpoints) and all(own_files.is_intact(self.tables / file) for file in files)

    def finished(self) -> "Run | None":
        """The run if it is finished and saw the photographs that the test set holds now.

        A damaged file of it is named on the screen: what it holds has to be made again.
        """
        again = "it is made again"
        if not (self.test_tables / "ranks.parquet").exists():  # which is written last
            return None
        try:
            found = read_run(self.config, self.test_tables, again)
            own_files.require(self.tables / "config.json", again)
            if restore_best(self.checkpoints):  # only tables may have come from another machine
                own_files.require(self.retrieved, again)
        except own_files.Damaged as error:
            print(printable(error))
            return None
        return found if found.card["fingerprint"] == self.test.fingerprint else None


@dataclass(frozen=True)
class Run:
    """A finished run. ``ranks`` has a row per test query, ``history`` per round of the training, ``validation`` per
    epoch; ``card`` is the protocol: counts, threshold, sizes, fingerprints, cost.
    """

    config: Config
    id: str
    test: str  # name of its test
    card: dict
    ranks: pd.DataFrame
    history: pd.DataFrame
    validation: pd.DataFrame

    @property
    def checkpoint(self) -> Path:
        """File of the best model."""
        return paths.checkpoints_folder(self.config.profile) / self.id / "best.safetensors"

    def model(self) -> GeoModel:
        """The best model of the run, whitened as it was tested."""
        return load_model(self.checkpoint, self.config.whitened_dim)

    def retrieved(self) -> np.ndarray:
        """Database indices (Q, K) retrieved for each test query, nearest first."""
        tables = paths.runs_folder(self.config.profile) / self.id / self.test
        return own_files.read(self.checkpoint.with_name(f"{self.test}.npy"), f"delete {tables} to test the run again")

    def examples(self, count: int = 6, shown: int = 5) -> list[dict]:
        """Rows for a retrieval gallery: ``count`` queries, half of them right and half wrong at the first image.

        Each row has query (path), and of the first ``shown`` images retrieved (paths), metres and correct.
        """
        places, indices = load_places(self.config, "test"), self.retrieved()
        indices = indices[:, : min(shown, (indices >= 0).all(axis=0).sum())]
        right = (self.ranks["rank"] == 1).to_numpy()  # (Q,)
        chosen = np.concatenate([spread(np.flatnonzero(group), count // 2) for group in (right, ~right)])
        metres = metres_to(places.queries.iloc[chosen], places.database, indices[chosen])  # (count, shown)
        positives = places.positives(Within(self.config.val_positives_dist_threshold))
        return [
            {
                "query": places.queries.path[query],
                "retrieved": list(places.database.path[indices[query]]),
                "metres": list(away),
                "correct": list(np.isin(indices[query], positives[query])),
            }
            for query, away in zip(chosen, metres, strict=True)
        ]


def restore_best(folder: Path) -> bool:
    """True when the best model in a folder of checkpoints is whole; if not, the training's state restores it."""
    best, state = folder / "best.safetensors", folder / "state.pt"
    if not own_files.is_intact(best) and own_files.is_intact(state):
        saved = own_files.read(state)["best_model"]
        if len(saved):
            print(printable(f"{best} was missing or damaged: it is taken from {state.name} again"))
            own_files.write(best, saved.numpy().tobytes())
    return own_files.is_intact(best)


def read_tables(config: Config) -> Run | None:
    """A run of this very configuration whose tables are here, whatever photographs and code it was made with."""
    wanted = config.training().options()
    for file in filter(own_files.is_intact, sorted(paths.runs_folder(config.profile).glob("*/config.json"))):
        tests = sorted(file.parent.glob(f"{identity.test_name(config)}-*/ranks.parquet"))  # of whatever code
        if tests and Config.from_json(file.read_text()).options() == wanted:
            return read_run(config, tests[-1].parent)
    return None


def read_run(config: Config, test_tables: Path, remedy: str = "fetch the tables of this run again") -> Run:
    """The finished run that has these tables. Raises Damaged, which names the file and says the remedy."""
    tables = test_tables.parent
    files = [test_tables / name for name in ("card.json", "ranks.parquet")]
    files += [tables / name for name in ("history.csv", "validation.csv")]
    return Run(config, tables.name, test_tables.name, *(own_files.read(file, remedy) for file in files))


def tested_together(runs: Sequence[Run], way: str, test: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    """The ranks that ``test`` makes of several runs together, such as their soup; read back where it did so already in
    this ``way`` (a path below the folder of runs), on the photographs that these runs were tested on.
    """
    facts = [f"{one.id} {one.test} {one.card['fingerprint']}" for one in runs]
    key = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
    return own_files.read_or_make(paths.runs_folder(runs[0].config.profile) / f"{way}-{key}.parquet", test)


def spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` entries, evenly spread."""
    return indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)]
