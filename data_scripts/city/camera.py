"""Cameras in a district: a pinhole and the rays of its pixels, a panorama, a view straight from above."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Camera:
    """Position in local metres, ``z`` above the ground; degrees: heading clockwise from local north, pitch upwards."""

    x: float
    y: float
    z: float
    heading: float
    pitch: float
    fov: float  # horizontal
    height: int  # pixels
    width: int

    @property
    def focal(self) -> float:
        """Focal length in pixels."""
        return self.width / 2 / math.tan(math.radians(self.fov) / 2)

    @property
    def axes(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Horizontal unit vectors (forward, right)."""
        s, c = math.sin(math.radians(self.heading)), math.cos(math.radians(self.heading))
        return (s, c), (c, -s)

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """(right, up) of every pixel's ray at forward distance 1, each (H, W) float32."""
        right = (np.arange(self.width, dtype=np.float32) + 0.5 - self.width / 2) / np.float32(self.focal)
        up = (self.height / 2 - 0.5 - np.arange(self.height, dtype=np.float32)) / np.float32(self.focal)
        s, c = math.sin(math.radians(self.pitch)), math.cos(math.radians(self.pitch))
        forward = (c - s * up).astype(np.float32)
        rise = ((s + c * up) / forward).astype(np.float32)
        side = right[None] / forward[:, None]
        return side, np.broadcast_to(rise[:, None], side.shape)

    def project(self, x, y, z) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(column, row, forward metres) of points in local metres; a pixel's centre lies at index + 0.5."""
        (fx, fy), (rx, ry) = self.axes
        dx, dy, dz = np.asarray(x) - self.x, np.asarray(y) - self.y, np.asarray(z) - self.z
        ahead, right = dx * fx + dy * fy, dx * rx + dy * ry
        s, c = math.sin(math.radians(self.pitch)), math.cos(math.radians(self.pitch))
        depth, up = c * ahead + s * dz, c * dz - s * ahead
        depth = np.maximum(depth, 1e-6)
        return self.width / 2 + self.focal * right / depth, self.height / 2 - self.focal * up / depth, ahead


@dataclass(frozen=True)
class Panorama:
    """An eye in local metres, ``z`` above the ground, that looks around.

    A pixel is as many degrees high as wide, so that 56 x 308 pixels reach 32.7 degrees up and down, as CVUSA's do. The
    middle of the picture, ``centre`` pixels from its left edge, looks to ``heading`` (degrees clockwise from local
    north), what lies to the right of it clockwise from there.
    """

    x: float
    y: float
    z: float
    heading: float
    height: int
    width: int
    centre: float  # pixels from the left edge

    def angles(self) -> tuple[np.ndarray, np.ndarray]:
        """Radians of each row upwards from the horizon, and of each column clockwise from the heading."""
        step = 2 * math.pi / self.width
        up = (self.height / 2 - 0.5 - np.arange(self.height)) * step
        return up, (np.arange(self.width) + 0.5 - self.centre) * step


@dataclass(frozen=True)
class Overhead:
    """A square of ground around a local position, ``metres`` wide, true north up; an orthographic camera.

    ``rotation`` is that of the district, in degrees.
    """

    x: float
    y: float
    metres: float
    pixels: int
    rotation: float
    z: float = 0.0
