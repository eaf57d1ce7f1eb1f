"""Options of what a training learns from, by kind of loss: tuples, classes, classes in groups, places, or pairs."""

from dataclasses import dataclass
from typing import Literal

from vg_core.system.bounds import check


@dataclass(frozen=True)
class TupleOptions:
    """Options of a training that learns from mined tuples: a query, its positive and its negatives."""

    loss: str = "triplet"  # a name of LOSSES; those of classes have options of their own
    margin: float = 0.1  # of the triplet losses, sos (published: 1.25) and hphn_quadruplet (0.5)
    joint_normaliser: Literal["pairs", "queries"] = "pairs"  # what the sums of the joint SARE losses are divided by
    sos_lambda: float = 10.0  # weight of the second-order term of sos
    mining: Literal[  # candidates: drawn per query; shared by all; shared, and rare queries come often; not compared
        "full", "partial", "msls_weighted", "random"
    ] = "full"  # fmt: skip
    negs_num_per_query: int = 10  # the nearest of the candidates
    neg_samples_num: int = 1000  # candidates drawn for each query (full) or shared by all (partial)
    train_positives_dist_threshold: float = 10.0  # metres; hard positives (learned from) lie within
    train_positives_min_dist: float = 0.0  # metres; hard positives lie farther off than this; 0 leaves none out

    adapts, night_batches = False, "merged"  # domain adaptation, which adds an image to each row, is for classes
    kind, row_option = "tuples", "negs_num_per_query"  # and the option that says how many images a row has

    def __post_init__(self):
        check(self)
        if self.train_positives_min_dist >= self.train_positives_dist_threshold:
            raise ValueError(
                f"train_positives_min_dist={self.train_positives_min_dist} must be below "
                f"train_positives_dist_threshold={self.train_positives_dist_threshold}: no positive lies between"
            )

    @property
    def pool(self) -> str:
        """Whose the candidates are, as ``mining`` says: weighted mining only draws other queries than partial."""
        return "partial" if self.mining == "msls_weighted" else self.mining

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

    night_batches: Literal["merged", "separate"] = "merged"  # made night: half, at random; the second of each row
    domain: Literal["none", "gradient_reversal", "auto_encoder", "auto_encoder_fully_connected"] = "none"  # adaptation
    domain_weight: float | None = None  # of its loss; None is 0.1 of gradient_reversal (alpha), 0.01 of others (gamma)
    domain_margin: float | None = None  # m of auto-encoders, up to which they rebuild targets badly; None is 0.5
    legacy_inert_margin: bool = False  # of auto-encoders: m has no effect, as in the study
    legacy_normalisation: bool = False  # domains told apart by labelled photographs as they are, targets normalised

    kind, row_option = "classes", "images_per_row"

    def __post_init__(self):
        check(self)
        if self.night_batches == "separate" and self.images_per_row != 2:
            raise ValueError("night_batches=separate is a photograph by day and one by night: images_per_row=2")
        encodes = self.domain.startswith("auto_encoder")
        for name in ("domain_weight", "domain_margin", "legacy_inert_margin", "legacy_normalisation"):
            of_encoders = name in ("domain_margin", "legacy_inert_margin")
            given = getattr(self, name) is not None and getattr(self, name) is not False
            if given and not (encodes if of_encoders else self.adapts):
                raise ValueError(f"{name} does nothing with domain={self.domain}; leave it out")

    @property
    def adapts(self) -> bool:
        return self.domain != "none"

    @classmethod
    def in_rows_of(cls, images: int) -> "ClassOptions":
        return cls(images_per_row=images)


@dataclass(frozen=True)
class GroupOptions(ClassOptions):
    """Options of a training that tells classes apart by margins, one group of them an epoch (CosPlace)."""

    loss: str = "cosface"  # cosface, arcface, sphereface, emms, or softmax, which has no margin; others as above
    M: float = 10.0  # metres; a class is a square cell of this side …
    alpha: int = 30  # degrees; … and photographs in it that look the same way; 360 is all, and needs no heading
    N: int = 5  # every Nth cell along each axis is in one group
    L: int = 2  # every Lth direction is in one group
    min_images_per_class: int = 10  # smaller classes are left out
    groups_num: int = 8  # groups trained in turn, one an epoch, each with a classifier of its own
    groups_order: Literal["sorted", "legacy"] = "sorted"  # which groups come first; legacy: as files meet their classes
    classifiers_lr: float = 0.01  # learning rate of the classifiers
    logit_scale: float | None = None  # s, of all cosines; None is the loss's own: arcface 64, others 30
    logit_margin: float | None = None  # m; None is the loss's own: cosface 0.4, arcface 0.5, sphereface 1.5
    emms_weight: float | None = None  # l, of the plain softmax beside cosface; None is 1
    margin_gradient: Literal["straight_through", "true"] = "straight_through"  # of arcface, sphereface; see margins.py

    kind = "classes in groups"

    def __post_init__(self):
        super().__post_init__()
        if self.emms_weight is not None and not self.loss.startswith("emms"):
            raise ValueError(f"emms_weight does nothing to the loss {self.loss!r}; leave it out")
        if 360 % self.alpha:
            raise ValueError(f"alpha={self.alpha} must divide 360 degrees, as 30 does, or one class is narrower")
        directions = 360 // self.alpha
        if directions > 1 and directions % self.L:
            raise ValueError(
                f"alpha={self.alpha} times L={self.L} must divide 360 degrees, or classes of one group are neighbours "
                f"across north; choose an L that divides {directions}"
            )


@dataclass(frozen=True)
class PlaceOptions:
    """Options of a training that learns from batches of places: several photographs of each, and pairs mined online."""

    loss: str = "multi_similarity_of_places"  # of all pairs of a batch, mined online (Wang et al., CVPR 2019)
    images_per_row: int = 12  # photographs that count as one of train_batch_size, queries_per_epoch, cache_refresh_rate
    images_per_place: int = 4  # of them, photographs of one place (GSV-Cities: 4)
    M: float = 10.0  # metres; a place is a square cell of this side …
    alpha: int = 30  # degrees; … and photographs in it that look the same way; 360 is all, and needs no heading
    memory_size: int = 0  # photographs of earlier batches whose descriptors are compared, too (cross-batch memory)

    adapts, night_batches = False, "merged"
    N, L, groups_order = 1, 1, "sorted"  # all places are one group
    kind, row_option = "places", "images_per_row"

    def __post_init__(self):
        check(self)
        if self.images_per_row % self.images_per_place:
            raise ValueError(
                f"images_per_row={self.images_per_row} must be a multiple of images_per_place={self.images_per_place}: "
                "a row holds whole places"
            )
        if 360 % self.alpha:
            raise ValueError(f"alpha={self.alpha} must divide 360 degrees, as 30 does, or one place is narrower")

    @classmethod
    def in_rows_of(cls, images: int) -> "PlaceOptions":
        return cls(images_per_row=max(images - images % cls.images_per_place, cls.images_per_place))


@dataclass(frozen=True)
class PairOptions:
    """Options of a training that learns which aerial image shows where a panorama was taken (cross-view retrieval).

    ``image_size`` is that of the panoramas.
    """

    loss: str = "soft_margin"  # weighted soft-margin triplets, of all pairs of a batch
    soft_margin_alpha: float = 10.0  # the weight
    batch_hard_count: int = 0  # so many hardest pairs of each image count; 0 is all
    near_metres: float = 0.0  # pairs nearer than this are not told apart (CVACT: 25); 0 tells all apart
    network: Literal["safa", "oricnn"] = "safa"
    small: bool = False  # few channels and no weights to start from, for rehearsals
    polar: bool = True  # aerial images as seen from their middle, of the panoramas' size; SAFA only
    stretch: bool = False  # polar images from black to white, as in the authors' files
    aerial_size: tuple[int, int] = (256, 256)  # (height, width) where they are not polar
    position_maps: int = 8  # SAFA only; 0 is the maximum over all locations (VGG_gp)
    reduce: Literal["mean", "max"] = "mean"  # SAFA only: channels that position maps follow from, max in the paper
    orientation_maps: bool = True  # OriCNN only: it is told where each pixel looks
    random_turns: bool = True  # OriCNN only: it learns from panoramas and aerial images turned at random
    legacy_batch_statistics: bool = False  # OriCNN only: batch norms as published, also in tests

    adapts, night_batches = False, "merged"
    kind, row_option, images_per_row = "pairs", "train_batch_size", 2

    def __post_init__(self):
        check(self)
        of_others = OF_ORICNN if self.network == "safa" else OF_SAFA
        if given := [name for name in of_others if getattr(self, name) != getattr(PairOptions, name)]:
            raise ValueError(f"{given[0]} does nothing with network={self.network}; leave it out")
        if len(set(self.aerial_size)) > 1:
            raise ValueError(f"aerial_size={self.aerial_size} is no square, as aerial images are")
        if self.stretch and not self.polar:
            raise ValueError("stretch does nothing without polar; leave it out")
        if self.network == "oricnn" and self.polar:
            raise ValueError("polar=True does not go with network=oricnn, which knows of directions: polar=False")

    def sizes(self, image_size: tuple[int, int]) -> dict[str, tuple[int, int]]:
        """(height, width) of the images of each side."""
        return {"aerial": image_size if self.polar else self.aerial_size, "ground": image_size}

    @classmethod
    def in_rows_of(cls, _images: int) -> "PairOptions":
        return cls()


OF_SAFA = ("position_maps", "reduce")
OF_ORICNN = ("orientation_maps", "random_turns", "legacy_batch_statistics")
Task = TupleOptions | ClassOptions | GroupOptions | PlaceOptions | PairOptions
CLASSES = ("geo_classification",)  # losses that tell classes apart
PLACES = ("multi_similarity_of_places",)  # those of batches of places
PAIRS = ("soft_margin",)  # those of pairs
MARGINS = ("cosface", "arcface", "sphereface", "softmax", "emms", "emms_log_of_sum")  # those of classes in groups
STYLED = {"fda", "fda_synthetic_night"}  # augmentations that need photographs by night
NIGHTS = {"synthetic_night", "synthetic_night_mild", *STYLED}  # and all that make photographs look like night


def kind_of(loss: object) -> type:
    """The options that a loss of this name has; all but those of classes, places and pairs learn from tuples."""
    kinds = {ClassOptions: CLASSES, GroupOptions: MARGINS, PlaceOptions: PLACES, PairOptions: PAIRS}
    return next((kind for kind, losses in kinds.items() if loss in losses), TupleOptions)
