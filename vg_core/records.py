"""What a run leaves behind: its name, its tables, and reading them back."""

import ast
import hashlib
import json
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from vg_core import own_files, paths
from vg_core.config import Config
from vg_core.models import GeoModel, load_model
from vg_core.places.dataset import PlaceSet
from vg_core.text import printable

# the code that makes numbers: a change here makes new runs, a change of comments or docstrings does not
NUMBER_MAKERS = (
    *("models", "losses", "places", "mining", "retrieval.py", "evaluation.py", "training.py", "tasks.py"),
    *("decoding.py", "devices.py", "stem_cache.py", "learner.py", "processes.py"),
    *("rounds.py", "room.py", "dimensions.py", "augmentation.py", "strategies.py", "views.py", "engines"),
)


@dataclass(frozen=True)
class Run:
    """A finished run. ``ranks`` has a row for each test query, ``history`` for each round of the training,
    ``validation`` for each epoch; ``card`` is the protocol: counts, threshold, sizes, fingerprints, cost.
    """

    config: Config
    id: str
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
        tables = paths.runs_folder(self.config.profile) / self.id / test_name(self.config)
        return own_files.read(retrieved_file(self.config, self.id), f"delete {tables} to test the run again")

    def examples(self, count: int = 6, shown: int = 5) -> list[dict]:
        """Rows for a retrieval gallery: ``count`` queries, half of them right and half wrong at the first image.

        Each row has query (path), and of the first ``shown`` images retrieved (paths), metres and correct.
        """
        places, indices = load_places(self.config, "test"), self.retrieved()[:, :shown]
        right = (self.ranks["rank"] == 1).to_numpy()
        chosen = np.concatenate([_spread(np.flatnonzero(group), count // 2) for group in (right, ~right)])
        there = places.database[["easting", "northing"]].to_numpy()[indices[chosen]]  # (count, shown, 2)
        here = places.queries[["easting", "northing"]].to_numpy()[chosen]
        metres = np.linalg.norm(there - here[:, None], axis=-1)
        return [
            {
                "query": places.queries.path[query],
                "retrieved": list(places.database.path[indices[query]]),
                "metres": list(away),
                "correct": list(away <= self.config.val_positives_dist_threshold),
            }
            for query, away in zip(chosen, metres, strict=True)
        ]


def run_id(config: Config) -> str:
    """Readable name and a hash of the training configuration, the photographs and the code that makes numbers."""
    facts = json.loads(config.training().to_json())
    del facts["profile"]  # decides where results go, not what they are
    weights = Path(os.path.expanduser(config.weights))
    if weights.is_file():
        facts["weights"] = own_files.digest(weights)
    data = [load_places(config, split).fingerprint for split in ("train", "val")]
    text = json.dumps([facts, data, code_digest()], sort_keys=True)
    digest, dataset = hashlib.sha256(text.encode()).hexdigest()[:10], printable(Path(config.dataset).name)
    return f"{dataset}-{config.backbone}-{config.pooling}-{config.task.loss}-seed{config.seed}-{digest}"


def test_name(config: Config) -> str:
    """Name of the test among the tests of one trained model."""
    height, width = config.tested_at
    whitened = f"-whitened{config.whitened_dim}" if config.whitened_dim else ""
    return f"{printable(Path(config.tested_on).name)}-{height}x{width}-{config.test_method}{whitened}"


def retrieved_file(config: Config, name: str) -> Path:
    """Where the database indices that a test retrieved lie."""
    return paths.checkpoints_folder(config.profile) / name / f"{test_name(config)}.npy"


def is_trained(config: Config, name: str) -> bool:
    """True when the tables of a finished training and its best model are there and whole."""
    tables = paths.runs_folder(config.profile) / name
    has_best = restore_best(paths.checkpoints_folder(config.profile) / name)
    return has_best and all(own_files.whole(tables / file) for file in ("config.json", "history.csv", "validation.csv"))


def restore_best(folder: Path) -> bool:
    """Is the best model in a folder of checkpoints whole? One that is not is taken from the training's state."""
    best, state = folder / "best.safetensors", folder / "state.pt"
    if not own_files.whole(best) and own_files.whole(state):
        kept = own_files.read(state)["best"]
        if len(kept):
            print(printable(f"{best} was missing or damaged: it is taken from {state.name} again"))
            own_files.write(best, kept.numpy().tobytes())
    return own_files.whole(best)


def read_tested(config: Config, name: str) -> Run | None:
    """The run of this name if it is finished and saw the photographs that the test set holds now.

    A file of it that is damaged is said: what it holds has to be made again.
    """
    tables, again = paths.runs_folder(config.profile) / name, "it is made again"
    if not (tables / test_name(config) / "ranks.parquet").exists():  # which is written last
        return None
    try:
        found = read_run(config, name, again)
        own_files.check(tables / "config.json", again)
        if restore_best(found.checkpoint.parent):  # only tables may have come from another machine
            own_files.check(retrieved_file(config, name), again)
    except own_files.Damaged as error:
        print(printable(error))
        return None
    return found if found.card["fingerprint"] == load_places(config, "test").fingerprint else None


def find_tables(config: Config) -> str:
    """Name of a run of this very configuration whose tables are here, photographs or not; empty when there is none."""
    wanted = json.loads(config.training().to_json())
    for file in filter(own_files.whole, sorted(paths.runs_folder(config.profile).glob("*/config.json"))):
        if own_files.read(file) == wanted and (file.parent / test_name(config) / "ranks.parquet").exists():
            return file.parent.name
    return ""


def read_run(config: Config, name: str, remedy: str = "fetch the tables of this run again") -> Run:
    """The finished run of this name. Raises Damaged, which names the file and says the remedy."""
    tables = paths.runs_folder(config.profile) / name
    files = [tables / test_name(config) / "card.json", tables / test_name(config) / "ranks.parquet"]
    files += [tables / "history.csv", tables / "validation.csv"]
    return Run(config, name, *(own_files.read(file, remedy) for file in files))


def load_places(config: Config, split: str) -> PlaceSet:
    """The photographs that a run trains, validates or tests on, read once in a process until they are forgotten."""
    dataset = config.tested_on if split == "test" else config.dataset
    # the data root is part of the key: it may change between two runs of one process
    return _load(dataset, split, paths.data_root(), config.skip_unreadable)


def forget_places() -> None:
    """Let ``load_places`` look again: in a notebook, hours may lie between two cells, and photographs change."""
    _load.cache_clear()


@cache
def code_digest() -> str:
    """Hash of the syntax trees of the number-making modules, docstrings left out."""
    package = Path(__file__).parent
    files = sorted(f for name in NUMBER_MAKERS for f in [package / name, *(package / name).glob("*.py")] if f.is_file())
    digest = hashlib.sha256()
    for file in files:
        tree = ast.parse(file.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
                node.body = node.body[1:]
        digest.update(repr(_canonical(tree)).encode())
    return digest.hexdigest()[:12]


def _canonical(part):
    """A syntax tree as nested lists, the same in every version of Python: fields without a value are left out."""
    if isinstance(part, ast.AST):
        named = [[name, _canonical(value)] for name, value in ast.iter_fields(part) if value not in (None, [])]
        return [type(part).__name__, *named]
    return [_canonical(inner) for inner in part] if isinstance(part, list) else repr(part)


@cache
def _load(dataset: str, split: str, root: Path, skip_unreadable: bool) -> PlaceSet:
    return PlaceSet.load(dataset, split, skip_unreadable)


def _spread(indices: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` entries, evenly spread."""
    return indices[np.linspace(0, len(indices) - 1, min(count, len(indices))).round().astype(int)]
