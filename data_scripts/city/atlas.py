"""Textures of a district in one flat array, filtered for distance, read with one gather for each pixel."""

import numpy as np

LEVELS = 5  # halvings of both axes
SQUEEZES = 4  # further halvings of the horizontal axis only: walls seen at a grazing angle


class Atlas:
    """Texture store of ``count`` surfaces; ``paint(surface)`` gives (H, W, 4) uint8, row 0 at the bottom.

    The fourth channel is a code, not an opacity: 0 is a hole, the others are materials (see ``conditions``).
    Surfaces are painted when first needed. A full store is emptied: a texture depends on its surface only.
    """

    def __init__(self, paint, resolution: np.ndarray, capacity: int):
        count = len(resolution)
        self.paint = paint
        self.resolution = resolution.astype(np.float32)  # (F,) texels a metre
        self.texels = np.zeros(capacity, np.uint32)
        self.used = 0
        self.loaded = np.zeros(count, bool)
        self.offset = np.zeros((count, LEVELS, SQUEEZES), np.int32)
        self.width = np.ones((count, LEVELS, SQUEEZES), np.int32)
        self.height = np.ones((count, LEVELS, SQUEEZES), np.int32)

    def require(self, surfaces: np.ndarray) -> None:
        """Paint those of ``surfaces`` that are not in the store."""
        wanted = np.unique(surfaces)
        missing = wanted[~self.loaded[wanted]]
        if not self._load(missing):
            self.used = 0
            self.loaded[:] = False
            if not self._load(wanted):
                raise MemoryError(f"{len(wanted)} textures do not fit into {self.texels.nbytes >> 20} MiB")

    def _load(self, surfaces) -> bool:
        for surface in surfaces:
            for level, squeeze, image in _pyramid(self.paint(int(surface))):
                size = image.shape[0] * image.shape[1]
                if self.used + size > len(self.texels):
                    return False
                self.texels[self.used : self.used + size] = np.ascontiguousarray(image).view(np.uint32).ravel()
                self.offset[surface, level, squeeze] = self.used
                self.height[surface, level, squeeze], self.width[surface, level, squeeze] = image.shape[:2]
                self.used += size
            self.loaded[surface] = True
        return True

    def read(self, surface, u, v, footprint, squeeze) -> np.ndarray:
        """(P,) packed texels at ``u``, ``v`` metres of the ``surface``.

        ``footprint`` metres a pixel vertically, ``squeeze`` times that horizontally (>= 1).
        """
        density = self.resolution.take(surface)
        level = np.clip(_log2(footprint * density), 0, LEVELS - 1)
        narrow = np.clip(_log2(squeeze), 0, SQUEEZES - 1)
        entry = (surface * LEVELS + level) * SQUEEZES + narrow
        scale = density * _HALVES.take(level)
        column = (u * (scale * _HALVES.take(narrow))).astype(np.int32)
        row = (v * scale).astype(np.int32)
        width = self.width.take(entry)
        np.clip(column, 0, width - 1, out=column)
        np.clip(row, 0, self.height.take(entry) - 1, out=row)
        return self.texels.take(self.offset.take(entry) + row * width + column)


_HALVES = (0.5 ** np.arange(LEVELS + SQUEEZES)).astype(np.float32)


def _log2(x: np.ndarray) -> np.ndarray:
    """Rounded base-2 logarithm of positive float32, read from the exponent bits."""
    return ((x * np.float32(1.4142)).astype(np.float32).view(np.int32) >> 23) - 127


def _pyramid(image: np.ndarray):
    """(level, squeeze, image) of every filtered copy."""
    for level in range(LEVELS):
        narrow = image
        for squeeze in range(SQUEEZES):
            yield level, squeeze, narrow
            narrow = _halve(narrow, 1)
        image = _halve(_halve(image, 0), 1)


def _halve(image: np.ndarray, axis: int) -> np.ndarray:
    """Means of neighbouring texels; codes are not averaged, the first of each pair stays."""
    if image.shape[axis] == 1:
        return image
    if image.shape[axis] % 2:
        image = np.concatenate([image, image[:, -1:] if axis else image[-1:]], axis)
    first, second = (image[:, 0::2], image[:, 1::2]) if axis else (image[0::2], image[1::2])
    mean = ((first.astype(np.uint16) + second) >> 1).astype(np.uint8)
    mean[..., 3] = first[..., 3]
    return mean
