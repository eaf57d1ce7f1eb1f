"""FDA on test: queries in the style of photographs by day, for a network that never saw any by night."""

from collections.abc import Sequence

import numpy as np
import torch

from vg_core.augmentation.by_name import check_augmentation
from vg_core.augmentation.night import FDA, band, beta_for
from vg_core.datasets.images import read_image

SEED = 0  # of which style each query gets, the same in all tests


class Restyled:
    """Reads photographs as ``read_image`` does; ``queries`` with the lowest frequencies of one of the ``styles`` each.

    FDA works at the photograph's own size, to which the style is brought, and changes as many frequencies as ``beta``
    does in images of the ``size`` (height, width) that a network was trained at. ValueError where that is none; calling
    it raises UnreadableImage.
    """

    def __init__(self, queries: Sequence[str], styles: Sequence[str], beta: float, size: tuple[int, int]):
        check_augmentation("fda", size, beta)
        drawn = np.random.default_rng(SEED).integers(len(styles), size=len(queries))
        self.style_of, self.band = {path: styles[n] for path, n in zip(queries, drawn, strict=True)}, band(beta, *size)

    def __call__(self, path: str) -> np.ndarray:
        """uint8 (H, W, 3)."""
        pixels = read_image(path)
        if path not in self.style_of:
            return pixels
        size = pixels.shape[:2]
        restyle = FDA.of([self.style_of[path]], size, beta_for(self.band, *size))
        image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]  # (1, 3, H, W)
        return restyle(image)[0].permute(1, 2, 0).numpy()
