"""One frozen object is one experiment; a variant is ``config.replace(…)``. An unknown option is an error."""

import difflib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import mode
from typing import Literal

from vg_core.system.bounds import check, shortened


@dataclass(frozen=True)
class TupleOptions:
    """Options of a training that learns from mined tuples: a query, its positive and its negatives."""

    loss: str = "triplet"  # a name of LOSSES; "geo_classification" tells cells of the map apart
    margin: float = 0.1  # of the triplet losses
    joint_normaliser: Literal["pairs", "queries"] = "pairs"  # what the sums of the joint SARE losses are divided by
    mining: Literal["full", "partial", "random"] = "full"  # candidates: drawn per query, shared by all, not compared
    negs_num_per_query: int = 10  # the nearest of the candidates
    neg_samples_num: int = 1000  # candidates drawn for each query (full) or shared by all (partial)
    train_positives_dist_threshold: float = 10.0  # metres; hard positives (learned from) lie within
    train_positives_min_dist: float = 0.0  # metres; hard positives lie farther off than this; 0 leaves none out

    def __post_init__(self):
        check(self)
        if self.train_positives_min_dist >= self.train_positives_dist_threshold:
            raise ValueError(
                f"train_positives_min_dist={self.train_positives_min_dist} must be below "
                f"train_positives_dist_threshold={self.train_positives_dist_threshold}: no positive lies between"
            )

    @property
    def images_per_row(self) -> int:
        return 2 + self.negs_num_per_query

    @classmethod
    def in_rows_of(cls, images: int) -> "TupleOptions":
        return cls(negs_num_per_query=max(1, images - 2))


@dataclass(frozen=True)
class ClassOptions:
    """Options of a training that learns to tell classes of photographs apart."""

    loss: str = "geo_classification"  # cells of 25 m, told apart by a linear layer
    images_per_row: int = 12  # photographs that count as one of train_batch_size, queries_per_epoch, cache_refresh_rate

    def __post_init__(self):
        check(self)

    @classmethod
    def in_rows_of(cls, images: int) -> "ClassOptions":
        return cls(images_per_row=images)


CLASSES = ("geo_classification",)  # losses that tell classes apart; all others learn from tuples
# options of the test alone: to change one never retrains
TESTING = ("test_dataset", "test_queries", "test_image_size", "test_method", "whitened_dim")


@dataclass(frozen=True)
class Config:
    """Everything that decides a number. Defaults are the brief's (Pitts30k, ResNet-18 cut at conv4, triplet loss)."""

    # --- photographs ---
    dataset: str = "pitts30k"  # folder below VG_DATA, trained, validated and tested on
    image_size: tuple[int, int] = (480, 640)  # (height, width) in pixels, in training and validation
    skip_unreadable: bool = False  # leave broken files out, counted and listed, instead of stopping
    augmentation: str = "none"  # of queries in training (of all, if classified); names of AUGMENTATIONS, joined by +

    # --- network ---
    backbone: Literal["resnet18", "resnet50", "resnet101", "vgg16"] = "resnet18"  # of torchvision
    layer: str = "layer3"  # last layer used; layer3 is "conv4" of the literature
    freeze: str = "layer2"  # frozen up to and including this layer; "none" trains everything
    weights: str = "imagenet"  # "imagenet", "streets" (ours, for rehearsals), "none" (random), or a file of a model
    pooling: Literal["average", "max", "gem", "netvlad"] = "gem"  # feature maps to one descriptor
    l2: Literal["before_pool", "after_pool", "both"] = "both"  # where descriptors are normalised
    clusters: int = 64  # NetVLAD only
    fc_output_dim: int = 0  # values behind a linear layer after the pooling; 0 is no such layer

    # --- what is learned from ---
    task: TupleOptions | ClassOptions = field(default_factory=TupleOptions)  # its options are set by their own names
    val_positives_dist_threshold: float = 25.0  # metres; a retrieval is right within, a negative lies beyond

    # --- optimisation ---
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"  # of everything that is not frozen
    lr: float = 1e-5  # learning rate
    lr_halving_epochs: int = 0  # the learning rate halves after each so many epochs; 0 never
    momentum: float = 0.9  # SGD only
    weight_decay: float = 0.0  # decoupled with adamw, else added to the gradient
    train_batch_size: int = 4  # tuples of 1 query + 1 positive + negatives
    accumulate: int = 1  # parts of a batch that pass one after the other: less memory; batch norms see the parts
    infer_batch_size: int = 16  # images
    queries_per_epoch: int = 5000
    cache_refresh_rate: int = 1000  # queries between two mining rounds
    epochs_num: int = 50  # 0 evaluates the network untrained
    patience: int = 3  # epochs without a better val recall (`selected_by`) before stopping
    selected_by: Literal["recall_1", "recall_5", "recall_10"] = "recall_5"  # on val: what chooses the model
    compile: bool = False  # torch.compile: minutes before the first steps, faster ones afterwards
    val_queries: int = 0  # queries validated on after each epoch, the same ones in all runs; 0 is all
    seed: int = 0  # of weights, mining and order

    # --- test: these never retrain ---
    test_dataset: str = ""  # another dataset to test on; "" is the one trained on
    test_queries: str = "queries"  # folder of the test split's queries, such as queries_v1 or night
    test_image_size: tuple[int, int] | None = None  # (height, width); None is image_size
    test_method: str = "hard_resize"  # how queries are shown: keys of vg_core.retrieval.strategies, joined by "+"
    whitened_dim: int = 0  # values of a PCA-whitened descriptor; 0 tests descriptors as they were trained

    # --- where results go ---
    profile: Literal["smoke", "full"] = "full"  # smoke is a rehearsal: it can never overwrite results

    def __post_init__(self):
        check(self)
        if self.queries_per_epoch % self.cache_refresh_rate:
            raise ValueError(
                f"queries_per_epoch={self.queries_per_epoch} must be a multiple of "
                f"cache_refresh_rate={self.cache_refresh_rate}: each mining round serves as many queries"
            )

    @classmethod
    def of(cls, profile: str, /, preset: str = "none", **options) -> "Config":
        """The configuration of a profile, changed by a preset and then by single options; ValueError names what is
        unknown and what is known.
        """
        for what, name, known in (("profile", profile, PROFILES), ("preset", preset, PRESETS)):
            if name not in [*known]:  # from a file it may be anything, which need not be hashable
                raise ValueError(f"{what} {shortened(name)} is unknown; choose one of: {', '.join(known)}")
        if "profile" in options:
            raise ValueError("there is no option 'profile' beside the profile, which comes first")
        return cls().replace(**PROFILES[profile] | PRESETS[preset]).replace(**options)

    def replace(self, **options) -> "Config":
        """The configuration with some options replaced, those inside ``task`` by their own names, too. A loss of the
        other kind starts from its defaults, with as many images per row. ValueError for an option that there is not.
        """
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        kind = ClassOptions if options.get("loss", self.task.loss) in CLASSES else TupleOptions
        task = self.task if type(self.task) is kind else kind.in_rows_of(self.task.images_per_row)
        unknown = options.keys() - {*names(type(self)), *names(kind)}
        if unknown:
            raise ValueError(_unknown(min(unknown), kind))
        own = {name: options.pop(name) for name in names(kind) if name in options}
        return replace(self, task=replace(task, **own), **options)

    def options(self) -> dict[str, object]:
        """All options by name in one dict, those inside ``task`` among the others."""
        return {name: getattr(self, name) for name in names(type(self))} | asdict(self.task)

    @property
    def tested_on(self) -> str:
        return self.test_dataset or self.dataset

    @property
    def tested_at(self) -> tuple[int, int]:
        return self.test_image_size or self.image_size

    def training(self) -> "Config":
        """The configuration with the options of the test reset to their defaults: what decides the weights."""
        return replace(self, **{name: getattr(Config, name) for name in TESTING})

    def changed(self) -> dict[str, object]:
        """The options that differ from their defaults, by name."""
        default = type(self)(task=type(self.task)()).options()
        return {name: value for name, value in self.options().items() if value != default[name]}

    def to_json(self) -> str:
        return json.dumps(self.options(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Config":
        """The configuration that ``to_json`` wrote; ValueError, in a sentence, for any other text."""
        try:
            options = json.loads(text, object_pairs_hook=_each_once)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"a configuration is a JSON object of options: {error}") from error
        if not isinstance(options, dict):
            raise ValueError(f"a configuration is a JSON object of options, not {shortened(options)}")
        return cls.of(options.pop("profile", "full"), **options)


def names(kind: type) -> list[str]:
    """Names of the options of a dataclass, without ``task``, which holds options of its own."""
    return [one.name for one in fields(kind) if one.name != "task"]


def _unknown(name: str, task: type) -> str:
    """Sentence about an option that there is not, or not for this kind of loss."""
    if name in {*names(TupleOptions), *names(ClassOptions)}:
        learned = "classes" if task is ClassOptions else "tuples"
        return f"{name} does nothing to a loss of {learned}; leave it out"
    known = [one for one in (*names(Config), *names(task)) if one != "profile"]
    near = difflib.get_close_matches(name, known, 1) or [", ".join(known)]
    return f"there is no option {shortened(name)}; did you mean {near[0]}?"


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The dict of a JSON object; ValueError if a name stands there twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"{shortened(mode(name for name, _ in pairs))} stands there twice")
    return dict(pairs)


PROFILES: dict[str, dict] = {
    # toy city, two CPU cores, minutes: small images, few tuples, weights that were pretrained on another rendered city
    "smoke": {
        **{"profile": "smoke", "dataset": "toycity", "image_size": (60, 80), "weights": "streets", "clusters": 16},
        **{"lr": 3e-3, "lr_halving_epochs": 1, "negs_num_per_query": 2, "neg_samples_num": 20},
        **{"train_batch_size": 8, "infer_batch_size": 64, "queries_per_epoch": 120, "cache_refresh_rate": 120},
        **{"epochs_num": 4, "patience": 4, "val_queries": 100},
    },
    # the brief: Pitts30k, ImageNet weights, one GPU, hours
    "full": {"profile": "full"},
}

OTHER_CITY = {"smoke": "toycity_drive", "full": "st_lucia"}  # of a profile: where its networks are tested abroad

PRESETS: dict[str, dict] = {
    "none": {},
    # Liu, Li, Dai, ICCV 2019: what the paper trains with on Pitts30k. Left out: its input is centred but not scaled,
    # its code mines half as often whenever the learning rate halves, and it takes each query once an epoch, where
    # rounds here draw theirs independently
    "sare_paper": {
        "backbone": "vgg16",
        "layer": "conv5_3",  # before its ReLU
        "freeze": "pool4",  # trained from conv5_1 on
        "pooling": "netvlad",
        "clusters": 64,  # 32,768 values
        "loss": "sare_gaussian_ind",
        "mining": "full",
        "negs_num_per_query": 10,
        "neg_samples_num": 1000,
        "train_positives_dist_threshold": 10.0,
        "train_positives_min_dist": 1.0,
        "val_positives_dist_threshold": 25.0,
        "optimizer": "sgd",
        "lr": 1e-3,
        "lr_halving_epochs": 5,
        "momentum": 0.9,
        "weight_decay": 1e-3,
        "train_batch_size": 4,
        "queries_per_epoch": 7000,  # as many as there are in whole mining rounds, of 7416
        "cache_refresh_rate": 1000,
        "epochs_num": 30,
        "patience": 30,  # it never stops early
        "val_queries": 1000,
    },
}
