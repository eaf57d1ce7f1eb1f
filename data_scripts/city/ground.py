"""The ground around one crossing, painted once for each pair of street kinds and repeated at every such crossing."""

import numpy as np

from .canvas import GRASS, PAVED, PUDDLE, ROAD, Canvas, cloud_noise
from .layout import CORRIDOR
from .layout import ROAD as HALF_ROAD

HALF = 42.0  # metres from the crossing to the edge of the texture; streets lie less than twice that apart
PAINT = (206, 206, 198)


def paint_ground(key, x_kind: int, y_kind: int, resolution: float) -> np.ndarray:
    """(H, W, 4) texels of the crossing of a street along y (kind ``x_kind``) and one along x (``y_kind``)."""
    rng = np.random.default_rng(key)
    canvas = Canvas(2 * HALF, 2 * HALF, resolution, (96, 112, 62), GRASS)
    arms = [(x_kind, y_kind, False), (y_kind, x_kind, True)]
    slabs = [(150, 146, 138), (164, 154, 140), (136, 136, 138), (158, 140, 126)][rng.integers(4)]
    for kind, _, across in arms:
        _strip(canvas, across, CORRIDOR[kind], slabs, PAVED)
    _joints(canvas)
    for kind, _, across in arms:
        _strip(canvas, across, HALF_ROAD[kind] + 0.16, (182, 180, 172), PAVED)
    tone = int(rng.integers(70, 96))
    for kind, _, across in arms:
        _strip(canvas, across, HALF_ROAD[kind], (tone, tone, tone + 3), ROAD)
    _repairs(canvas, rng, tone)
    canvas.grain(rng, 0.10, 0.22, 8.0)
    for kind, other, across in arms:
        _markings(canvas, kind, other, across)
    _puddles(canvas)
    return canvas.texels


def _rect(canvas: Canvas, across: bool, a0, b0, a1, b1, colour, code) -> None:
    """Fill a rectangle given as (to the side, along) of a street, for both directions along it."""
    for low, high in ((b0, b1), (-b1, -b0)):
        corners = (low, a0, high, a1) if across else (a0, low, a1, high)
        canvas.fill(*(c + HALF for c in corners), colour, code)


def _strip(canvas, across, half, colour, code) -> None:
    _rect(canvas, across, -half, 0, half, HALF, colour, code)


def _joints(canvas: Canvas) -> None:
    """Lines between the pavement's slabs."""
    step = max(2, round(0.6 * canvas.resolution))
    for lines in (canvas.texels[::step], canvas.texels[:, ::step]):
        lines[..., :3] = lines[..., :3] * np.float32(0.88)


def _repairs(canvas: Canvas, rng, tone: int) -> None:
    for x, y in rng.uniform(0, 2 * HALF, (60, 2)):
        w, h = rng.uniform(0.6, 4, 2)
        part = canvas.part(x, y, x + w, y + h)
        shade = int(tone * rng.uniform(0.75, 1.15))
        part[...] = np.where(part[..., 3:] == ROAD, np.uint8((shade, shade, shade, ROAD)), part)
    for x, y in rng.uniform(0, 2 * HALF, (90, 2)):
        part = canvas.part(x, y, x + 0.6, y + 0.6)
        part[...] = np.where(part[..., 3:] == ROAD, np.uint8((52, 50, 48, ROAD)), part)


def _markings(canvas: Canvas, kind: int, other: int, across: bool) -> None:
    """Zebra crossings, lane lines and parking lines of the street's two arms."""
    if kind == 0:
        return
    road, start = HALF_ROAD[kind], CORRIDOR[other] + 4.5
    for a in np.arange(-road + 0.3, road - 0.4, 1.0):
        _rect(canvas, across, a, HALF_ROAD[other] + 1.2, a + 0.5, HALF_ROAD[other] + 4.0, PAINT, ROAD)
    _rect(canvas, across, -road + 0.2, start - 0.6, road - 0.2, start - 0.25, PAINT, ROAD)
    for b in np.arange(start, HALF - 1, 4.5):
        _rect(canvas, across, -0.07, b, 0.07, b + 2.2, PAINT, ROAD)
    for a in (road - 2.1, -road + 2.0):
        _rect(canvas, across, a, start, a + 0.1, HALF, PAINT, ROAD)


def _puddles(canvas: Canvas) -> None:
    """Hollows of the carriageway: same colour, other material."""
    h, w = canvas.texels.shape[:2]
    noise = cloud_noise()
    rows, columns = (np.arange(n) * 3 // max(1, round(canvas.resolution / 2)) % len(noise) for n in (h, w))
    code = canvas.texels[..., 3]
    code[(noise[rows[:, None], columns] > 0.18) & (code == ROAD)] = PUDDLE
