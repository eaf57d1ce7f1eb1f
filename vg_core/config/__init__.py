"""One frozen object is one experiment; a variant is ``config.replace(…)``. An unknown option is an error."""

import difflib
import json
from dataclasses import asdict, dataclass, field, fields, replace
from statistics import mode
from typing import Literal

from vg_core.config.presets import OTHER_CITY, PRESETS, PROFILES
from vg_core.config.tasks import (
    NIGHTS,
    STYLED,
    ClassOptions,
    GroupOptions,
    PairOptions,
    PlaceOptions,
    Task,
    TupleOptions,
    kind_of,
)
from vg_core.system.bounds import check, shortened

__all__ = [
    "OTHER_CITY",
    "PRESETS",
    "PROFILES",
    "ClassOptions",
    "Config",
    "GroupOptions",
    "PairOptions",
    "PlaceOptions",
    "TupleOptions",
    "names",
]

# options of the test alone: to change one never retrains
TESTING = ("test_dataset", "test_queries", "test_search", "test_image_size", "test_method", "whitened_dim")
ANY_HEADING = "any_heading"  # a test method of pairs: panoramas of unknown orientation
NOT_OF_PAIRS = (
    *("augmentation", "fda_beta", "targets", "transductive", "backbone", "layer", "freeze", "pooling", "l2"),
    *("attention", "attention_lr", "clusters", "cluster_dim", "fc_output_dim", "val_positives_dist_threshold"),
    *("compile", "test_search", "whitened_dim"),
)


@dataclass(frozen=True)
class Config:
    """Everything that decides a number. Defaults are the brief's (Pitts30k, ResNet-18 cut at conv4, triplet loss)."""

    # --- photographs ---
    dataset: str = "pitts30k"  # folder below VG_DATA, trained, validated and tested on
    image_size: tuple[int, int] = (480, 640)  # (height, width) in pixels, in training and validation
    skip_unreadable: bool = False  # leave broken files out, counted and listed, instead of stopping
    augmentation: str = "none"  # of queries in training (of all, if classified); names such as hue, fda, joined by +
    fda_beta: float = 0.01  # of fda: share of the frequencies that it takes from photographs by night
    targets: str = "unlabelled"  # folder of those, without places: beside train, or a path; for fda and domain
    transductive: bool = False  # may they be photographs of the test? its card tells

    # --- network ---
    backbone: Literal[  # of torchvision; DINOv2 (Oquab et al. 2023) and CCT (Hassani et al. 2021) with timm's blocks
        "resnet18", "resnet50", "resnet101", "resnet152", "vgg16", "efficientnet_b0", "efficientnet_b1",
        "efficientnet_b2", "efficientnet_b3", "efficientnet_b4", "efficientnet_b5", "efficientnet_b6",
        "efficientnet_b7", "vit_b_16", "vit_b_32", "vit_l_16", "dinov2_vits14", "dinov2_vitb14", "dinov2_vitl14",
        "cct_2_3x2", "cct_7_3x1", "cct_14_7x2",
    ] = "resnet18"  # fmt: skip
    layer: str = "layer3"  # last layer used; layer3 is "conv4" of the literature; block0, block1, … of transformers
    freeze: str = "layer2"  # frozen up to and including this layer; "none" trains everything
    weights: str = "imagenet"  # dinov2, places365, streets (ours), none, a file, run:ID, megaloc, cosplace:ResNet18_512
    pooling: Literal[  # feature maps to one descriptor; cls is the class token of ViT and DINOv2
        "average", "max", "gem", "netvlad", "cls", "seqpool", "mixvpr", "boq", "salad"
    ] = "gem"  # fmt: skip
    l2: Literal["before_pool", "after_pool", "both"] = "both"  # where descriptors are normalised
    attention: Literal["none", "crn", "cbam", "adageo", "non_local", "soa"] = "none"  # between backbone and pooling
    attention_lr: float | None = None  # learning rate of attention; None is lr, published for crn 10 times as much
    clusters: int = 64  # NetVLAD and SALAD; learned queries of each block of BoQ
    cluster_dim: int = 128  # values of each cluster, SALAD only; 256 in MegaLoc
    fc_output_dim: int = 0  # values behind a linear layer after the pooling; 0 is no such layer

    # --- what is learned from ---
    task: Task = field(default_factory=TupleOptions)  # its options are set by their own names
    val_positives_dist_threshold: float = 25.0  # metres; a retrieval is right within, a negative lies beyond

    # --- optimisation ---
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"  # of everything that is not frozen
    lr: float = 1e-5  # learning rate
    lr_halving_epochs: int = 0  # the learning rate halves after each so many epochs; 0 never
    momentum: float = 0.9  # SGD only
    weight_decay: float = 0.0  # decoupled with adamw, else added to the gradient
    train_batch_size: int = 4  # rows: tuples of 1 query + 1 positive + negatives, or images_per_row of classes
    accumulate: int = 1  # parts of a batch that pass one after the other: less memory; batch norms see the parts
    infer_batch_size: int = 16  # images
    queries_per_epoch: int = 5000  # rows learned from in an epoch
    cache_refresh_rate: int = 1000  # rows of a round: between two minings, and between two savings of the training
    epochs_num: int = 50  # 0 evaluates the network untrained
    patience: int = 3  # epochs without a better val recall (`selected_by`) before stopping
    selected_by: Literal["recall_1", "recall_5", "recall_10"] = "recall_5"  # on val: what chooses the model
    compile: bool = False  # torch.compile: minutes before the first steps, faster ones afterwards
    val_queries: int = 0  # queries validated on after each epoch, the same ones in all runs; 0 is all
    seed: int = 0  # of weights, mining and order

    # --- test: these never retrain ---
    test_dataset: str = ""  # another dataset to test on; "" is the one trained on
    test_queries: str = "queries"  # folder of the test split's queries, such as queries_v1 or night; aerial, of pairs
    test_search: Literal["joint", "own_zone"] = "joint"  # own_zone: images of the query's UTM zone, MSLS's city-wise
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
                f"cache_refresh_rate={self.cache_refresh_rate}: each round has as many rows"
            )
        if self.attention_lr is not None and self.attention == "none":
            raise ValueError("attention_lr does nothing without an attention; leave it out")
        if self.task.kind == "pairs":
            self._check_pairs()
        elif ANY_HEADING in self.test_method.split("+"):
            raise ValueError(f"test_method={self.test_method}: {ANY_HEADING} does nothing without pairs")
        if self.task.night_batches == "separate" and not self.task.adapts and not self._names(NIGHTS):
            raise ValueError(
                "night_batches=separate does nothing without a domain, or an augmentation that makes night, such as fda"
            )

    def _check_pairs(self) -> None:
        """Raises ValueError for what does nothing to pairs, unless it comes with the profile, or does harm."""
        usual = PROFILES[self.profile]
        given = [name for name in NOT_OF_PAIRS if getattr(self, name) not in (getattr(Config, name), usual.get(name))]
        if given:
            raise ValueError(f"{given[0]} does nothing to a loss of pairs; leave it out")
        if self.tested_at != self.image_size:
            raise ValueError(
                f"test_image_size={self.test_image_size}: a network of pairs takes images of the size that it was "
                f"built for, image_size={self.image_size}; leave it out"
            )
        if self.accumulate > 1:
            raise ValueError(
                f"accumulate={self.accumulate} would keep pairs of a batch apart, all of which a loss of pairs "
                "compares; lower train_batch_size instead"
            )
        if self.test_method not in (known := ("hard_resize", f"hard_resize+{ANY_HEADING}")):
            raise ValueError(f"test_method={shortened(self.test_method)} is not of pairs: choose {' or '.join(known)}")

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
        return cls().replace(**PROFILES[profile]).replace(**PRESETS[preset]).replace(**options)

    def replace(self, **options) -> "Config":
        """The configuration with some options replaced, those inside ``task`` by their own names, too. A loss of
        another kind starts from its defaults, with as many images per row (of pairs 2). ValueError for an option that
        there is not.
        """
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        kind = kind_of(options.get("loss", self.task.loss))
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
    def uses_targets(self) -> bool:
        """True when the training looks at unlabelled photographs."""
        return self.epochs_num > 0 and (self._names(STYLED) or self.task.adapts)

    def _names(self, augmentations: set[str]) -> bool:
        """Is one of these among the augmentations?"""
        return not augmentations.isdisjoint(self.augmentation.split("+"))

    @property
    def tested_on(self) -> str:
        return self.test_dataset or self.dataset

    @property
    def tested_at(self) -> tuple[int, int]:
        return self.test_image_size or self.image_size

    @property
    def architecture(self) -> tuple[str, ...]:
        """Words for the network in names of runs."""
        if self.task.kind == "pairs":
            return (self.task.network,)
        return (self.backbone, *([] if self.attention == "none" else [self.attention]), self.pooling)

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
    if name in {*names(TupleOptions), *names(GroupOptions), *names(PlaceOptions), *names(PairOptions)}:
        return f"{name} does nothing to a loss of {task.kind}; leave it out"
    known = [one for one in (*names(Config), *names(task)) if one != "profile"]
    near = difflib.get_close_matches(name, known, 1) or [", ".join(known)]
    return f"there is no option {shortened(name)}; did you mean {near[0]}?"


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """The dict of a JSON object; ValueError if a name stands there twice."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"{shortened(mode(name for name, _ in pairs))} stands there twice")
    return dict(pairs)
