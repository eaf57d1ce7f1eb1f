"""The working arrays of one image, and what every painter of objects needs: windows, light, blending."""

import numpy as np

from .camera import Camera
from .conditions import Conditions
from .scene import Scene

FAR = np.float32(1e6)  # metres; depth of the sky
GROUND, SKY = 4, 5  # orientations after the four faces of a box
LAMP = (1.0, 0.74, 0.42)  # colour of lamp light


class Frame:
    """Rays of an image, what they hit, and linear light; flat arrays of P pixels, rows from the top."""

    def __init__(self, scene: Scene, camera: Camera, conditions: Conditions):
        self.scene, self.camera, self.conditions = scene, camera, conditions
        self.shape = camera.height, camera.width
        side, rise = camera.rays()
        self.side, self.rise = side.ravel(), rise.ravel()
        (fx, fy), (rx, ry) = camera.axes
        self.dx = np.float32(fx) + self.side * np.float32(rx)
        self.dy = np.float32(fy) + self.side * np.float32(ry)
        pixels = self.side.size
        self.depth = np.full(pixels, FAR)  # forward metres
        self.facing = np.full(pixels, SKY, np.uint8)  # 0…3 wall by face, GROUND, SKY
        self.texel = np.zeros(pixels, np.uint32)
        self.light = np.zeros((3, pixels), np.float32)  # linear, 1 is white in full sun

    def part(self, values: np.ndarray, window) -> np.ndarray:
        """View of a flat (…, P) array in a window of rows and columns."""
        return values.reshape(*values.shape[:-1], *self.shape)[..., window[0], window[1]]

    def window(self, x, y, z) -> tuple[slice, slice] | None:
        """Rows and columns that enclose projected points; None where they miss the image."""
        column, row, _ = self.camera.project(x, y, z)
        h, w = self.shape
        rows = slice(max(0, int(row.min())), min(h, int(row.max()) + 2))
        columns = slice(max(0, int(column.min())), min(w, int(column.max()) + 2))
        return (rows, columns) if rows.stop > rows.start and columns.stop > columns.start else None

    def light_at(self, x: float, y: float, height: float) -> tuple[np.ndarray, np.ndarray]:
        """(direct, ambient) light, each (3,), that reaches a point above the street."""
        scene, conditions = self.scene, self.conditions
        cell = int(scene.cell(np.float32(y), 1)) * int(scene.cells[0]) + int(scene.cell(np.float32(x), 0))
        ambient = np.array(conditions.ambient, np.float32)
        if conditions.night:
            return scene.lamplight[cell] * np.float32(0.36) * np.float32(LAMP), ambient
        direct = np.array(conditions.sun, np.float32)
        if direct.any():
            shadow = scene.shadows(conditions.sun_vector(scene.district.rotation))[cell]
            direct *= np.clip((height - shadow) * 2 + 0.5, 0, 1)
        return direct, ambient

    def blend(self, window, colour, opacity, depth) -> None:
        """Cover light by (3, h, w) ``colour`` where ``opacity`` (h, w), seen through the haze of ``depth`` metres."""
        clear = np.exp(-depth / np.float32(self.conditions.visibility))
        haze = np.float32(self.conditions.horizon)[:, None, None]
        image = self.part(self.light, window)
        image += opacity * (colour * clear + haze * (1 - clear) - image)
