"""Which pieces of the walls of a city each of its photographs shows."""

from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from vg_core.system.files import replacing
from vg_core.system.paths import data_root

from .camera import Camera
from .dataset import plan_of
from .scene import Scene
from .shots import district_of, shots_of
from .trace import cast_columns

PIECE = 4.0  # metres of a wall


def walls_seen(scene: Scene, camera: Camera) -> pd.DataFrame:
    """The pieces of walls that a photograph shows: wall, piece (of PIECE metres along it), and the share of the columns
    in which nothing is nearer.
    """
    faces, _, reach = cast_columns(scene, camera)
    slope = np.linspace(-reach, reach, 2 * faces.shape[1] + 1)[1::2]  # (M,) of each column to the side
    met = faces[0] < scene.walls_count
    wall, slope, (ahead, right) = faces[0][met], slope[met], camera.axes
    dx, dy = (ahead[i] + slope * right[i] for i in (0, 1))  # (m,) of a metre forward
    axis, plane = (scene.walls[name][wall] for name in ("axis", "plane"))
    forward = (plane - np.where(axis, camera.y, camera.x)) / np.where(axis, dy, dx)  # (m,) metres
    along = np.where(axis, camera.x + forward * dx, camera.y + forward * dy)  # (m,) metres
    pieces = pd.DataFrame({"wall": wall, "piece": np.floor(along / PIECE).astype(int)})
    return pieces.value_counts().div(faces.shape[1]).rename("share").reset_index()


def write_walls(city: str, split: str) -> Path:
    """The table of what photographs of a split show, ``<VG_DATA>/<city>/walls/<split>.csv``, with a row for each
    photograph (folder, name) and piece of a wall. FileNotFoundError for what is no city.
    """
    root = data_root() / city
    plan = plan_of(root)
    scene = Scene(district_of(plan, split)[0], plan.size.wall_resolution, plan.size.ground_resolution)
    shots = tqdm(shots_of(plan, split), desc=f"walls of {city}", unit="image", mininterval=5.0)
    tables = [walls_seen(scene, one.camera).assign(folder=one.kind, name=one.name) for one in shots]
    with replacing(root / "walls" / f"{split}.csv") as file:
        pd.concat(tables).to_csv(file, index=False, float_format="%.4f")
    return root / "walls" / f"{split}.csv"
