"""What photographs say about themselves before hours of work: copies among them, and shapes that do not fit."""

import os
from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np
from PIL import Image

from vg_core.datasets.images import formats, orientation
from vg_core.datasets.places import PlaceSet

LOOKED_AT = 32  # photographs whose headers tell the shape of a set
TOLERATED = 1.4  # change of width to height: 16:9 shown as 4:3 is less, upright shown as wide is more
SIDE_STEP = 8  # pixels


def check_recall(sets: Sequence[PlaceSet], radius_m: float) -> None:
    """Raises ValueError for a set other than train on which recall means nothing: at 5 on val, which a model is chosen
    by, at 1 elsewhere.
    """
    for places in sets:
        if places.split != "train":
            places.check_positives(radius_m, 5 if places.split == "val" else 1)


def check_targets(train: PlaceSet, test: PlaceSet) -> None:
    """Raises ValueError for unlabelled photographs to learn from that are photographs of the test, byte for byte, or
    lie in a folder ``test`` with them, as queries of another test do.
    """
    if not train.unlabelled:
        return
    there, folder = set(chain(*test.contents)), os.path.commonpath([test.database.path[0], test.queries.path[0]])
    below = os.path.realpath(folder) + os.sep if os.path.basename(folder) == "test" else "\0"  # no path has that
    pairs = zip(train.unlabelled, train.contents[2], strict=True)
    if count := sum(content in there or os.path.realpath(path).startswith(below) for path, content in pairs):
        raise ValueError(
            f"{count} of {len(train.unlabelled)} unlabelled photographs of {train.name} are photographs of the test; "
            "name others in targets, or say transductive=True, which is then told beside the results"
        )


def oddities(sets: Sequence[PlaceSet], image_size: tuple[int, int]) -> list[str]:
    """Sentences about what is odd about sets of photographs, and costs recall or makes too much of it."""
    paths = [path for places in sets if places.one_size for path in (*places.database.path, *places.queries.path)]
    shown = squashed(paths, image_size) if paths else ""
    return list(filter(None, [*copies(sets), shown]))


def copies(sets: Sequence[PlaceSet]) -> list[str]:
    """A sentence for each set with queries in its database, and for each two that share photographs, byte for byte."""
    said = [
        f"{places.name} {places.split}: {count} of {len(places.queries)} queries are copies of database images"
        for places in sets
        if (count := places.queries_in_database)
    ]
    for one, other in combinations(sets, 2):
        there = set(chain(*one.contents))
        if count := sum(content in there for content in chain(*other.contents)):
            said.append(f"{other.name} {other.split}: {count} photographs are copies of {one.name} {one.split}")
    return said


def squashed(paths: Sequence[str], image_size: tuple[int, int]) -> str:
    """A sentence with a better size if most photographs lose their shape at ``image_size`` (height, width), else "".

    Headers of 32 photographs at most are read, evenly spread; those that cannot be are left to the reader of pixels.
    """
    some = np.linspace(0, len(paths) - 1, min(len(paths), LOOKED_AT)).astype(int)
    ratios = np.array([ratio for i in some if (ratio := _ratio(paths[i]))])
    (height, width), shown = image_size, image_size[0] / image_size[1]
    lost = ratios[np.maximum(ratios / shown, shown / ratios) > TOLERATED]
    if 2 * len(lost) <= len(ratios):
        return ""
    side, shape = np.sqrt(height * width) / SIDE_STEP, np.sqrt(np.median(lost))
    better = "{} {}".format(*(SIDE_STEP * max(1, round(steps)) for steps in (side * shape, side / shape)))
    return (
        f"{len(lost)} of {len(ratios)} photographs looked at are squashed at image_size {height} {width}, which may "
        f"cost recall; image_size {better} has their shape and about as many pixels"
    )


def _ratio(path: str) -> float:
    """Height / width of a photograph turned upright, from its header; 0 where that tells nothing."""
    try:
        with Image.open(path, formats=formats(path)) as image:
            return image.width / image.height if orientation(image) in (5, 6, 7, 8) else image.height / image.width
    except Exception:  # on bytes of strangers decoders raise whatever they stumble over
        return 0.0
