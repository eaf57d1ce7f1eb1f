"""Sun with cast shadows, sky, lamps and lit windows, haze, wet ground; and the tone curve that makes a photograph."""

import math

import numpy as np

from .canvas import NOISE, PUDDLE, ROAD, cloud_noise, white_noise
from .conditions import Conditions, material_tables
from .frame import GROUND, LAMP, SKY, Frame

VIGNETTE = 0.16  # share of the light that a lens loses at the middle of an edge
METER = 0.25  # mean light that the camera exposes as it is; it goes half the way for darker and brighter scenes
NORMALS = np.float32([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])  # of each orientation


def shade(frame: Frame, rng: np.random.Generator) -> None:
    """Sun with cast shadows, sky light, lamps, lit windows, fog; then the sky itself."""
    conditions = frame.conditions
    tint, glow = material_tables(conditions, rng)
    channels = frame.texel.view(np.uint8).reshape(-1, 4)
    code = channels[:, 3].astype(np.intp)
    direct, colour, ambient = _irradiance(frame)
    clear = np.exp(frame.depth * np.float32(-1 / conditions.visibility))
    for c in range(3):
        albedo = channels[:, c].astype(np.float32) * np.float32(1 / 255)
        albedo *= albedo
        albedo *= tint[:, c].take(code)
        out = albedo * (direct * np.float32(colour[c]) + ambient * np.float32(conditions.ambient[c]))
        out += glow[:, c].take(code) * (np.float32(0.15) + 2 * albedo)
        haze = np.float32(conditions.horizon[c])
        frame.light[c] = haze + clear * (out - haze)
    _paint_sky(frame)


def _irradiance(frame: Frame):
    """Factor of the direct light (P,), its colour, factor of the sky's light (P,)."""
    scene, camera, conditions = frame.scene, frame.camera, frame.conditions
    height = np.float32(camera.z) + frame.depth * frame.rise
    near_ground = np.clip(height * np.float32(0.08) + np.float32(0.72), 0, 1)  # narrow streets see little sky
    ambient = np.where(frame.facing == GROUND, np.float32(0.85), np.float32(0.8) * near_ground)
    direct = np.zeros(height.size, np.float32)
    sun = conditions.sun_vector(scene.district.rotation)
    towards = np.float32([1, 1, 1, 1, 1, 0]) if conditions.night else np.maximum(NORMALS @ np.float32(sun), 0)
    if not conditions.night and not any(conditions.sun):
        return direct, conditions.sun, ambient
    pixels = np.flatnonzero(towards.take(frame.facing))
    facing, depth, height = (values.take(pixels) for values in (frame.facing, frame.depth, height))
    x = np.float32(camera.x) + depth * frame.dx.take(pixels) + (0.4 * NORMALS[:, 0]).take(facing)
    y = np.float32(camera.y) + depth * frame.dy.take(pixels) + (0.4 * NORMALS[:, 1]).take(facing)
    if conditions.night:
        direct[pixels] = scene.interpolate(scene.lamplight, x, y) * np.clip(1 - height * np.float32(0.11), 0, 1)
        return direct, 0.34 * np.float32(LAMP), ambient
    shadow = scene.interpolate(scene.shadows(sun), x, y)
    direct[pixels] = towards.take(facing) * np.clip((height - shadow) * 2 + np.float32(0.5), 0, 1)
    return direct, conditions.sun, ambient


def _paint_sky(frame: Frame) -> None:
    """Gradient from horizon to zenith, a deck of clouds, and a glow around the sun."""
    pixels = np.flatnonzero(frame.facing == SKY)
    if not pixels.size:
        return
    conditions = frame.conditions
    dx, dy, rise = frame.dx[pixels], frame.dy[pixels], np.maximum(frame.rise[pixels], 0)
    length = 1 / np.sqrt(dx * dx + dy * dy + rise * rise)
    up = rise * length
    share = np.sqrt(up)
    scale = 60 / (rise + np.float32(0.12))  # texels of the noise tile; the deck recedes to the horizon
    i = (dx * scale).astype(np.int32) % NOISE
    j = (dy * scale).astype(np.int32) % NOISE
    cover = np.clip((cloud_noise()[i, j] + conditions.cloud * 1.1 - 0.55) * 2.2, 0, 1) * np.minimum(up * 5, 1)
    sun = conditions.sun_vector(frame.scene.district.rotation)
    glow = np.maximum(0, (dx * sun[0] + dy * sun[1] + rise * sun[2]) * length) ** 24
    bright = 0.5 * sum(conditions.sun) / 3 + 1.1 * np.mean(conditions.ambient)
    for c in range(3):
        sky = conditions.horizon[c] + (conditions.zenith[c] - conditions.horizon[c]) * share
        sky += cover * (bright - sky) * np.float32(0.8)
        frame.light[c, pixels] = sky + glow * np.float32(0.6 * conditions.sun[c])


def reflect(frame: Frame) -> None:
    """Mirror the scene about the horizon in wet asphalt; puddles mirror more."""
    code = (frame.texel >> 24).reshape(frame.shape)
    horizon = int(np.argmax(frame.rise.reshape(frame.shape)[:, 0] < 0))
    rows = np.arange(horizon, frame.shape[0])
    strength = np.select([code[rows] == PUDDLE, code[rows] == ROAD], [0.4, 0.2], 0.04).astype(np.float32)
    strength *= frame.facing.reshape(frame.shape)[rows] == GROUND
    image = frame.light.reshape(3, *frame.shape)
    ripples = [image[:, np.clip(2 * horizon - rows - (rows - horizon) * k // 25, 0, None)] for k in range(4)]
    image[:, rows] += strength * (sum(ripples) / 4 - image[:, rows])


def develop(
    light: np.ndarray, conditions: Conditions, shrink: int, rng: np.random.Generator, vignette: float = VIGNETTE
) -> np.ndarray:
    """(H, W, 3) uint8 photograph of (3, H·shrink, W·shrink) linear light: exposure, white balance, noise, tone."""
    if shrink > 1:
        _, h, w = light.shape
        light = light.reshape(3, h // shrink, shrink, w // shrink, shrink).mean((2, 4))
    _, h, w = light.shape
    rows, columns = np.linspace(-1, 1, h, dtype=np.float32)[:, None], np.linspace(-1, 1, w, dtype=np.float32)
    lens = 1 - np.float32(vignette) * (rows * rows + columns * columns)
    a, b = rng.integers(NOISE, size=2)
    grain = white_noise()[(np.arange(h)[:, None] + a) % NOISE, (np.arange(w) * 7 + b) % NOISE]
    photo = np.empty((h, w, 3), np.uint8)
    metered = conditions.exposure * math.sqrt(METER / max(1e-3, float(np.minimum(light, 1).mean())))
    for c in range(3):
        gain = np.float32(1.9 * metered * conditions.balance[c])
        exposed = light[c] * lens
        value = np.sqrt(1 - np.exp(-gain * np.maximum(exposed, 0)))
        value += grain * np.float32(1.7 * conditions.noise)
        photo[..., c] = np.clip(value * 255, 0, 255)
    return photo
