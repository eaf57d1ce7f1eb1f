"""A panorama of all directions, put together from pinhole pictures."""

import math
from dataclasses import replace

import numpy as np

from .camera import Camera, Panorama
from .conditions import Conditions
from .render import render
from .scene import Scene
from .traffic import Traffic

FACES = 4  # pinhole pictures of 90 degrees
CLEAR = 7.0  # metres without cars: a car that is beside one picture and before the next would be cut between them


def look_around(
    scene: Scene, camera: Panorama, conditions: Conditions, traffic: Traffic, rng: np.random.Generator
) -> np.ndarray:
    """(3, H, W) float32 linear light that reaches the eye, 1 is white in full sun; rows are equal steps of altitude."""
    far = np.hypot(*(traffic.cars[:, :2] - (camera.x, camera.y)).T) > CLEAR
    traffic = replace(traffic, cars=traffic.cars[far])
    up, right = camera.angles()
    width = round(camera.width / math.pi)  # as many pixels a degree as the panorama has, where faces have fewest
    focal = width / 2
    height = 2 * math.ceil(focal * math.tan(up[0]) / math.cos(math.pi / FACES) + 1)
    turns = np.round(right * FACES / (2 * math.pi))
    side = right - turns * 2 * math.pi / FACES  # from the middle of its face
    column = np.clip(focal * (1 + np.tan(side)), 0, width - 1).astype(int)  # (W,)
    row = (height / 2 - focal * np.tan(up)[:, None] / np.cos(side)).astype(int)  # (H, W)
    seed = rng.integers(2**32)  # the same windows are lit in all pictures
    light = np.empty((3, camera.height, camera.width), np.float32)
    for face in range(FACES):
        heading = camera.heading + face * 360 / FACES
        pinhole = Camera(camera.x, camera.y, camera.z, heading, 0.0, 360 / FACES, height, width)
        picture = render(scene, pinhole, conditions, traffic, np.random.default_rng(seed))
        mine = np.flatnonzero(turns % FACES == face)
        light[:, :, mine] = picture[:, row[:, mine], column[mine]]
    return light
