"""Images of pairs, decoded once to the size of their side, and batches of both sides."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from vg_core.config import PairOptions
from vg_core.cross_view.branches import Sides
from vg_core.cross_view.orientation import shifted
from vg_core.cross_view.pictures import read_aerial, read_ground
from vg_core.datasets.photographs import Photographs

Size = tuple[int, int]  # height, width in pixels
TURNS_SEED = 43  # of unknown headings, the same for all that is tested


class AerialImages(Photographs):
    """Aerial images, or their polar images, of one size."""

    side = "aerial"

    def __init__(
        self, paths: Sequence, size: Size, mapped: bool = False, as_polar: bool = False, stretch: bool = False
    ):
        self.as_polar, self.stretch = as_polar, stretch
        self.kind = ("_polar" if as_polar else "_aerial") + ("_stretched" if stretch else "")
        super().__init__(paths, size, mapped)

    def read(self, path: str) -> np.ndarray:
        return read_aerial(path, self.size, self.as_polar, self.stretch)


class Panoramas(Photographs):
    """Panoramas of one size. ``turned`` ones begin at a random column each, always at the same."""

    side, kind = "ground", "_ground"

    def __init__(self, paths: Sequence, size: Size, mapped: bool = False, turned: bool = False):
        super().__init__(paths, size, mapped)
        columns = np.random.default_rng(TURNS_SEED).integers(size[1], size=len(self.paths))
        self.columns = torch.from_numpy(columns) if turned else None  # (N,)

    def read(self, path: str) -> np.ndarray:
        return read_ground(path, self.size)

    def batch(self, indices) -> Tensor:
        images = super().batch(indices)
        return images if self.columns is None else shifted(images, self.columns[indices])


class PairPhotographs:
    """The images of both sides of pairs, or of one, by numbers that run through them: a source of `Sides`."""

    def __init__(self, *sides: AerialImages | Panoramas):
        self.sides = sides

    def __len__(self) -> int:
        return sum(map(len, self.sides))

    @property
    def paths(self) -> list[str]:
        return [path for images in self.sides for path in images.paths]

    def batches(self, indices: Iterable[Sequence[int]]) -> Iterator[Sides]:
        """A batch for each list of numbers: images of each side in the order of the list."""
        lists, start, found = [np.asarray(some, dtype=int) for some in indices], 0, {}
        for images in self.sides:
            own = [some[(some >= start) & (some < start + len(images))] - start for some in lists]
            found[images.side], start = images.batches(own), start + len(images)
        for batch in zip(*found.values(), strict=True):
            yield Sides(dict(zip(found, batch, strict=True)))


def of_side(
    side: str, paths: Sequence, image_size: Size, task: PairOptions, mapped: bool = False, turned: bool = False
) -> AerialImages | Panoramas:
    """Images of a side, "aerial" or "ground", as a ``task`` shows them to its network; panoramas may be ``turned``."""
    size = task.sizes(image_size)[side]
    if side == "ground":
        return Panoramas(paths, size, mapped, turned)
    return AerialImages(paths, size, mapped, task.polar, task.stretch)
