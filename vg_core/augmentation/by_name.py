"""Augmentations by name, joined by "+": what a training sees of its photographs, perhaps half of them by night."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from vg_core.augmentation.colour_and_shape import AUGMENTATIONS, Augmentation, check_images, some_of
from vg_core.augmentation.night import AFTER_FDA, BETA, FDA, band, synthetic_night, with_fda
from vg_core.config.tasks import NIGHTS, STYLED
from vg_core.system.errors import ByName

MAKERS: dict[str, Callable[[FDA | None], Augmentation]] = {  # of NIGHTS
    "synthetic_night": lambda _fda: synthetic_night,
    "synthetic_night_mild": lambda _fda: partial(synthetic_night, factors=AFTER_FDA),
    "fda": lambda fda: fda,
    "fda_synthetic_night": with_fda,
}
ALL = ByName("augmentation", AUGMENTATIONS | MAKERS)


class Augment:
    """Augmentations of some ``names``, applied in turn; those of NIGHTS to a share of the images, at random.

    ``by_night`` (B,) says which images of the last call these were. ValueError for anything but uint8 images
    (B, 3, H, W).
    """

    def __init__(self, names: Sequence[str], fda: FDA | None = None):
        self.parts = [(name in NIGHTS, MAKERS[name](fda) if name in NIGHTS else AUGMENTATIONS[name]) for name in names]

    def __call__(self, images: Tensor, share: float = 0.5) -> Tensor:
        """Images augmented; a ``share`` of 0 leaves NIGHTS out, as photographs want it that are by night already."""
        images, self.by_night = check_images(images), torch.zeros(len(images), dtype=torch.bool)
        for makes_night, change in self.parts:
            if makes_night and share:
                self.by_night = torch.rand(len(images)) < share
                images = some_of(change, images, self.by_night)
            elif not makes_night:
                images = change(images)
        return images


def make_augmentation(name: str, styles: Iterable[Tensor] = (), beta: float = BETA) -> Augment:
    """The augmentation of that name, or of several joined by "+", applied from left to right.

    ``styles``, uint8 (3, H, W) of the size of the images, and ``beta`` are those of FDA, and looked at by it alone.
    Raises what `check_augmentation` and FDA raise.
    """
    names = check_augmentation(name)
    return Augment(names, FDA(styles, beta) if STYLED.intersection(names) else None)


def check_augmentation(name: str, size: tuple[int, int] | None = None, beta: float = BETA) -> list[str]:
    """The names that are joined in one. KeyError for an unknown one; ValueError for two of NIGHTS, and for an FDA that
    changes nothing in images of that ``size`` (height, width).
    """
    names = [part for part in name.split("+") if ALL[part]]
    nights = [part for part in names if part in NIGHTS]
    if len(nights) > 1:
        both = "; fda_synthetic_night does both to one half" if {*nights} == {"fda", "synthetic_night"} else ""
        raise ValueError(f"augmentation={name}: {' and '.join(nights)} change halves of their own; choose one{both}")
    if size and STYLED.intersection(nights) and not band(beta, *size):
        least = 1 / band(1, *size)  # which changes the mean colour alone; twice as much is what 0.01 does to 512 rows
        raise ValueError(
            f"fda_beta={beta:g} changes nothing in images of {size[0]}x{size[1]}; from {least:.3f} on it changes their "
            f"mean colour, and {2 * least:.3f} does there what 0.01 does to 512 rows"
        )
    return names
