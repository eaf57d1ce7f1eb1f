"""Where cars and people are in photographs of a generated city, which knows it."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from vg_core.system import paths

RECIPE = "toy_city.json"  # in the folder of a city that was generated


def traffic_pixels(photographs: Sequence) -> list[np.ndarray] | None:
    """For each photograph of one folder of a generated city the pixels of cars and people, bool (H, W); None where
    nobody knows, as of other datasets. They are drawn when they are not there yet; OSError when that fails.
    """
    files = [Path(photograph) for photograph in photographs]
    folder, split, root = files[0].parent, files[0].parents[1], files[0].parents[3]  # <root>/images/<split>/<folder>
    if not (root / RECIPE).exists():
        return None
    masks = root / "masks" / split.name / folder.name
    if not masks.is_dir():
        _draw(root.name, split.name, folder.name)
    return [np.asarray(Image.open(masks / f"{file.stem}.png")) > 0 for file in files]


def _draw(city: str, split: str, folder: str) -> None:
    print(f"{city} {split}: drawing where cars and people are (half a minute, once).", flush=True)
    command = [sys.executable, str(paths.DATA_SCRIPTS / "traffic_masks.py"), "--city", city, "--split", split]
    if subprocess.run([*command, "--photographs", folder]).returncode:
        raise OSError(f"cars and people of {city} could not be drawn in {paths.data_root()}: see above, or set VG_DATA")
