"""Where cars and people are in photographs of a city: what changes when they are left out."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from vg_core.system.files import not_written, unfinished
from vg_core.system.paths import data_root

from .dataset import plan_of
from .render import render
from .scene import Scene
from .shots import Shot, district_of, shots_of
from .traffic import Traffic, make_traffic

NOBODY = Traffic(np.zeros((0, 9)), np.zeros((0, 3)))


def traffic_mask(scene: Scene, shot: Shot, supersample: int) -> np.ndarray:
    """bool (H, W): which pixels of a photograph show cars or people, by half of their area or more.

    Their light changes what is seen nowhere else but in wet streets, which are dry here.
    """
    conditions = replace(shot.conditions.jittered(np.random.default_rng(shot.key)), wet=False)
    traffic = make_traffic(scene.district, shot)
    with_them, without = (
        render(scene, shot.camera, conditions, some, np.random.default_rng(0)) for some in (traffic, NOBODY)
    )  # (3, H · supersample, W · supersample) each
    differs = (with_them != without).any(0)
    height, width = (side // supersample for side in differs.shape)
    return differs.reshape(height, supersample, width, supersample).mean((1, 3)) >= 0.5


def write_masks(city: str, split: str, kind: str) -> Path:
    """Folder of the masks of a city's photographs, ``<VG_DATA>/<city>/masks/<split>/<kind>``: a PNG for each, of the
    same name, white where cars and people are. What is there already stays. FileNotFoundError for what is no city.
    """
    root = data_root() / city
    folder = root / "masks" / split / kind
    if folder.is_dir():
        return folder
    plan = plan_of(root)
    shots = [shot for shot in shots_of(plan, split) if shot.kind == kind]
    scene = Scene(district_of(plan, split)[0], plan.size.wall_resolution, plan.size.ground_resolution)
    scratch = unfinished(folder)
    try:
        scratch.mkdir(parents=True)
        for shot in tqdm(shots, desc=f"traffic of {city}", unit="image", mininterval=5.0):
            mask = traffic_mask(scene, shot, plan.size.supersample)
            Image.fromarray(np.uint8(255 * mask)).save((scratch / shot.name).with_suffix(".png"))
        scratch.rename(folder)
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return folder
