"""A picture of a scene: what is seen, in which light, behind which trees, cars and people."""

import numpy as np

from .camera import Camera
from .conditions import Conditions
from .frame import Frame
from .light import reflect, shade
from .objects import draw_objects
from .scene import Scene
from .trace import trace
from .traffic import Traffic


def render(
    scene: Scene, camera: Camera, conditions: Conditions, traffic: Traffic, rng: np.random.Generator
) -> np.ndarray:
    """(3, H, W) float32 linear light that reaches the camera; 1 is white in full sun."""
    frame = Frame(scene, camera, conditions)
    trace(frame)
    shade(frame, rng)
    draw_objects(frame, traffic)
    if conditions.wet:
        reflect(frame)
    return frame.light.reshape(3, *frame.shape)
