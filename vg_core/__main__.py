"""Train, test, mix models, run a published benchmark, describe photographs, locate one, tidy."""

import os
import sys
from dataclasses import dataclass, fields
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, TextIO, Union

import numpy as np
import pandas as pd
import tyro

from vg_core.config import PRESETS, PROFILES, Config, GroupOptions, PairOptions, PlaceOptions, TupleOptions
from vg_core.datasets.checks import check_recall, oddities
from vg_core.datasets.folders import image_files, taken_at
from vg_core.datasets.places import load_places
from vg_core.evaluation.comparisons import recall_table
from vg_core.evaluation.units import worth
from vg_core.figures.interactive_maps import locate_map
from vg_core.models.backbones import said_of_size
from vg_core.models.checkpoint import checkpoint_hash, load_model, read_facts
from vg_core.retrieval.descriptors import describe
from vg_core.retrieval.locating import locate
from vg_core.retrieval.published.benchmarks import benchmark, scores
from vg_core.retrieval.published.layouts import LAYOUTS
from vg_core.retrieval.whitened import whiten
from vg_core.runs.experiments import run
from vg_core.runs.making import examine
from vg_core.runs.soups import write_soup
from vg_core.system import paths, processes
from vg_core.system.bounds import check_numbers
from vg_core.system.cache import EVICTABLE, contents, evict, listing
from vg_core.system.errors import KINDS, has_sentence, sentence
from vg_core.system.files import replacing
from vg_core.system.other_names import NoEquivalent, translated
from vg_core.system.text import printable, safe_cells

Positional, subcommand = tyro.conf.Positional, tyro.conf.subcommand


class _Command:
    """One of the commands; the bounds of its options are checked before anything is read."""

    def __post_init__(self):
        check_numbers(self)


@dataclass(frozen=True)
class Train(GroupOptions, TupleOptions, PlaceOptions, PairOptions, Config):
    """Train on a dataset, keep the model with the best recall on val, test it once; goes on if it was interrupted."""

    task: tyro.conf.Suppress[None] = None  # its options are those of this command
    loss: str = TupleOptions.loss  # of tuples: triplet, …; of classes: cosface, …; of places, of pairs: see the README
    preset: Literal[*PRESETS] = "none"  # settings of a paper to start from; other options replace single ones

    def __post_init__(self):
        self.config()  # raises what is wrong with the options

    def config(self) -> Config:
        """The profile with its preset, and what was given in place of theirs."""
        start = Config.of(self.profile, self.preset)
        usual = {field.name: field.default for field in fields(self)} | start.options()
        given = {name: value for name, value in vars(self).items() if name != "preset" and value != usual[name]}
        return start.replace(**given)

    def __call__(self) -> None:
        with processes.joined():
            finished = run(self.config())
            _report(finished.card, finished.ranks)
            again = f" is lost; to train it again delete its tables, {finished.id}"
            _say(f"model: {finished.checkpoint}{'' if finished.checkpoint.exists() else again}")


@dataclass(frozen=True)
class Test(_Command):
    """Test a checkpoint on the test split of a dataset; prints the protocol and recall with 95 % intervals."""

    model: Path  # file that a training saved (.safetensors), or DVGL's (.pth); or a name, such as cosplace:ResNet18_512
    dataset: str = ""  # name below VG_DATA, or path of a dataset folder; default: the one trained on
    split: str = "test"  # train, val or test
    test_queries: str = "queries"  # folder of the test split's queries, such as queries_v1 or night
    image_size: tuple[int, int] | None = None  # (height, width); default: the size trained at
    test_search: Literal["joint", "own_zone"] = "joint"  # own_zone: images of the query's UTM zone, MSLS's city-wise
    test_method: str = "hard_resize"  # how queries are shown: single_query, five_crops, hard_resize+fda, …
    whitened_dim: int = 0  # values of a PCA-whitened descriptor, learned once on the training split; 0 is no whitening
    val_positives_dist_threshold: float = 25.0  # metres
    ranks: Path | None = None  # also write one row per query to this .csv

    def __call__(self) -> None:
        model = load_model(self.model)
        names = "test_queries", "test_search", "test_method", "whitened_dim", "val_positives_dist_threshold"
        options = {name: getattr(self, name) for name in names} | {"test_image_size": self.image_size}
        config = model.config.replace(dataset=self.dataset or model.config.dataset, test_dataset="", **options)
        places = load_places(config, self.split)
        check_recall([places], config.val_positives_dist_threshold)
        for odd in [*oddities([places], config.tested_at), *said_of_size(config.backbone, config.tested_at)]:
            _say(odd)
        result, card = examine(config, self.model, places)
        facts = read_facts(self.model)
        on_val = ", ".join(f"{name} {facts[name]:.4g}" for name in sorted(facts, key=len))  # recall_5 before recall_10
        _report({"model_on_val": on_val or "unknown"} | card, result.ranks)
        if self.ranks:
            with replacing(self.ranks) as file:
                safe_cells(result.ranks).to_csv(file, index=False)


@dataclass(frozen=True)
class Benchmark(_Command):
    """Test a checkpoint on a published benchmark under its own protocol; prints mAP or recall with 95 % intervals."""

    name: Literal[*LAYOUTS]
    folder: Path  # of the benchmark; when something is missing there, the message says what it holds
    model: Path  # as of test
    whitened_dim: tuple[int, ...] = ()  # values of PCA-whitened descriptors, one or several; none is no whitening
    batch_size: int = 4  # photographs of 1024 x 768 pixels described at a time
    output: Path | None = None  # also write one row per query to this .csv

    def __call__(self) -> None:
        if self.whitened_dim:
            whiten(self.model)
        model = load_model(self.model, max(self.whitened_dim, default=0))
        table = benchmark(self.name, self.folder, model, self.whitened_dim, self.batch_size)
        for name, value in (table.attrs["card"] | {"checkpoint": checkpoint_hash(self.model)}).items():
            _say(f"{name:26} {value}")
        print(scores(table).to_string(index=False, float_format="%.2f"))
        if self.output:
            with replacing(self.output) as file:
                safe_cells(table).to_csv(file, index=False)


@dataclass(frozen=True)
class Describe(_Command):
    """Write the descriptors of every image below a folder to one .npz file (descriptors, paths)."""

    model: Path  # as of test
    images: Path  # folder, searched recursively
    output: Path  # .npz to write
    image_size: tuple[int, int] | None = None  # (height, width); default: the size trained at
    batch_size: int = 16

    def __post_init__(self):
        super().__post_init__()
        if self.output.suffix != ".npz":
            raise ValueError(f"output={self.output} must end in .npz")

    def __call__(self) -> None:
        files = image_files(self.images)
        if not files:
            raise ValueError(f"{self.images}: no image found there")
        model = load_model(self.model)
        descriptors = describe(model, files, self.image_size or model.config.image_size, self.batch_size)
        with replacing(self.output) as file:
            np.savez(file, descriptors=descriptors, paths=np.array(files))
        _say(f"{len(files)} descriptors of {model.dim} dimensions in {self.output}")


@dataclass(frozen=True)
class Locate(_Command):
    """Say where a photograph was taken: its most similar photographs in a folder of geo-tagged ones."""

    photo: Positional[Path]
    model: Path  # as of test
    database: Path  # folder of photographs with coordinates in their names or EXIF data
    top: int = 5  # guesses to print
    map: Path | None = None  # also write an HTML map of the guesses
    image_size: tuple[int, int] | None = None  # (height, width); default: the size trained at
    batch_size: int = 16

    def __call__(self) -> None:
        guesses = locate(self.photo, self.model, self.database, self.top, self.batch_size, self.image_size)
        for place, guess in enumerate(guesses.itertuples(), 1):
            off = f"{guess.metres:.0f} m from the best guess"
            off += "" if np.isnan(guess.error) else f", {guess.error:.0f} m from where it was taken, as it says itself"
            where = f"{guess.easting:.2f} E {guess.northing:.2f} N"
            where = where if np.isnan(guess.latitude) else f"{guess.latitude:.5f}, {guess.longitude:.5f} ({where})"
            _say(f"{place}. {where}  descriptor distance {guess.distance:.3f}, {off}  {guess.path}")
        if self.map:
            with replacing(self.map) as file:
                locate_map(self.photo, guesses, taken_at(self.photo, guesses)).save(str(file))
            _say(f"map: {self.map}")


@dataclass(frozen=True)
class Soup(_Command):
    """Write the mean of several models of one kind, or of those that raise recall@1 on val."""

    models: Positional[tuple[Path, ...]]  # as of test
    output: Path  # .safetensors to write
    val: str = ""  # dataset to choose on, greedily; default: all models are in

    def __call__(self) -> None:
        _say(*write_soup(self.models, self.output, self.val))


@dataclass(frozen=True)
class Cache(_Command):
    """List what lies in the cache folder (VG_CACHE); with --evict, free what can be made again, and list that."""

    evict: tuple[Literal[*EVICTABLE], ...] = ()  # kinds to free; states are those of finished trainings
    older_than: float = 0.0  # days since the last use

    def __call__(self) -> None:
        files = evict(self.evict, self.older_than) if self.evict else contents(self.older_than)
        _say(f"{'freed' if self.evict else 'kept'} in {paths.cache_root()}:")
        _say(*listing(files).split("\n"))


def _say(*lines: str, stream: TextIO | None = None) -> None:
    """Print lines in which names of files and datasets may stand, whatever is in them."""
    print(*map(printable, lines), sep="\n", file=stream)


def _report(card: dict, ranks: pd.DataFrame) -> None:
    """Recall with its 95 % interval, under the protocol it depends on."""
    table = recall_table(ranks.assign(variant="model", seed=0))
    _say(*(f"{name:26} {value}" for name, value in (card | {"independent": worth(table)}).items()))
    for row in table.itertuples():
        print(f"R@{row.n:<2} {row.recall:5.1f} %  [{row.low:.1f}, {row.high:.1f}]")


def main(arguments: list[str]) -> int:
    """Exit status: 0, 1 with a sentence for bad input, 2 for bad usage, 130 when interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack characters
    try:
        arguments = translated(arguments)
        given = dict(pairwise(arguments))
        profile, preset = given.get("--profile"), given.get("--preset")
        profile, preset = profile if profile in PROFILES else "full", preset if preset in PRESETS else "none"
        train = subcommand("train", default=Train(**Config.of(profile, preset).options(), preset=preset))
        more = Test, Soup, Benchmark, Cache, Describe, Locate
        commands = Union[Annotated[Train, train], *(Annotated[one, subcommand(one.__name__.lower())] for one in more)]
        tyro.cli(commands, prog="python -m vg_core", description=__doc__, args=arguments, use_underscores=True)()
    except KINDS as error:
        if not has_sentence(error):
            raise
        process = f"process {os.environ['RANK']}: " if processes.launched() > 1 else ""
        _say(f"{process}error: {sentence(error)}", stream=sys.stderr)
        return 2 if isinstance(error, NoEquivalent) else 1
    except KeyboardInterrupt as stop:
        _say(str(stop) or "interrupted", stream=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
