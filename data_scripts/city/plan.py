"""Which cities can be drawn, in which sizes, and how many photographs each split then has."""

from dataclasses import dataclass

VIEWS = 6  # database photographs of one position, 60 degrees apart
DENSE_VIEWS = 24  # photographs of one position to learn from: two in each 30 degrees
SPLITS = {
    "toycity": ("train", "val", "test"),
    "toycity_drive": ("test",),
    "toycity_dense": ("train", "val", "test", "unlabelled"),
    "toycity_pairs": ("train", "val", "test"),
}
COURSEWORK = ("toycity", "toycity_drive")  # what is drawn when no city is named


@dataclass(frozen=True)
class Size:
    """How many photographs of how many pixels; texture resolutions in texels a metre."""

    height: int
    width: int
    supersample: int
    wall_resolution: float
    ground_resolution: float
    database: int  # of train, and of test, of the toy city
    queries: int
    val_database: int
    val_queries: int
    drive_database: int
    drive_queries: int


@dataclass(frozen=True)
class DenseSize:
    """The same of the dense city, whose train split has no queries; it has as many queries by night as by day, and
    unlabelled photographs by night of another district.
    """

    height: int
    width: int
    supersample: int
    wall_resolution: float
    ground_resolution: float
    train_database: int
    database: int  # of test
    queries: int
    val_database: int
    val_queries: int
    unlabelled: int


@dataclass(frozen=True)
class PairSize:
    """The same of pairs of a panorama and a square tile of the ground, seen from above."""

    height: int  # of panoramas
    width: int
    tile: int  # pixels of a side
    metres: float  # of a side
    supersample: int
    wall_resolution: float
    ground_resolution: float
    train_database: int  # tiles; each has one panorama
    database: int
    val_database: int


SIZES = {
    "tiny": Size(48, 64, 2, 8, 4, 36, 12, 36, 12, 24, 12),
    "small": Size(120, 160, 2, 14, 7, 600, 500, 240, 100, 200, 100),
    "large": Size(480, 640, 1, 24, 12, 10_000, 7_000, 10_000, 7_000, 1_500, 1_500),
}
DENSE_SIZES = {
    "tiny": DenseSize(48, 64, 2, 8, 4, 96, 36, 12, 36, 12, 6),
    "small": DenseSize(90, 120, 2, 12, 6, 6_720, 420, 500, 300, 150, 150),
    "large": DenseSize(480, 640, 1, 24, 12, 67_200, 4_200, 5_000, 3_000, 1_500, 1_500),
}


PAIR_SIZES = {
    "tiny": PairSize(20, 110, 48, 80.0, 2, 4, 2, 8, 4, 4),
    "small": PairSize(56, 308, 160, 80.0, 2, 8, 5, 1_000, 300, 100),
    "large": PairSize(224, 1232, 750, 80.0, 1, 24, 10, 4_000, 1_000, 300),
}


def sizes_of(city: str) -> dict[str, Size] | dict[str, DenseSize] | dict[str, PairSize]:
    """The sizes that a city is drawn in, by name."""
    return {"toycity_dense": DENSE_SIZES, "toycity_pairs": PAIR_SIZES}.get(city, SIZES)


@dataclass(frozen=True)
class Plan:
    """Which city to draw; equal plans give equal bytes."""

    city: str
    size: Size | DenseSize | PairSize
    seed: int

    def counts(self, split: str) -> dict[str, int]:
        """Photographs in each folder of a split, in the order in which they are drawn; "" is the split's own folder."""
        size = self.size
        if self.city == "toycity_pairs":
            pairs = {"train": size.train_database, "val": size.val_database, "test": size.database}[split]
            return {"ground": pairs, "aerial": pairs}
        if self.city == "toycity_drive":
            return {"database": size.drive_database, "queries": size.drive_queries}
        if split == "val":
            return {"database": size.val_database, "queries": size.val_queries}
        if self.city == "toycity":
            return {"database": size.database, "queries": size.queries}
        if split in ("train", "unlabelled"):
            return {"": size.train_database if split == "train" else size.unlabelled}
        return {"database": size.database, "queries": size.queries, "night": size.queries}

    def total(self) -> int:
        """Photographs of all splits."""
        return sum(sum(self.counts(split).values()) for split in SPLITS[self.city])
