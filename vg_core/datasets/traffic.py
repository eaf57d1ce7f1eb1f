"""Where cars and people are in photographs of a generated city, which knows it."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vg_core.datasets.generated import drawn


def traffic_pixels(photographs: Sequence) -> list[np.ndarray] | None:
    """For each photograph of one folder of a generated city the pixels of cars and people, bool (H, W); None where
    nobody knows, as of other datasets. They are drawn when they are not there yet; OSError when that fails.
    """
    files = [Path(photograph) for photograph in photographs]
    split, folder = files[0].parts[-3:-1]
    masks = drawn(files[0], f"masks/{split}/{folder}", "traffic_masks", "--photographs", folder)
    return None if masks is None else [_mask(masks / f"{file.stem}.png") for file in files]


def _mask(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image) > 0
