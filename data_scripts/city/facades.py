"""The sides of a box: façades, party walls, roofs, garden walls and hedges, painted as wide as the lot."""

import numpy as np

from .canvas import HOLE, LEAF, MATTE, WINDOW, Canvas
from .layout import BUILDING, HEDGE
from .shopfronts import paint_ground_floor
from .styles import BRICK, CONCRETE, Style
from .windows import paint_balcony, paint_pane, paint_window


def box_height(kind: int, style: Style) -> float:
    """Metres from the ground to the top of a box's texture."""
    return style.height if kind == BUILDING else (2.3 if kind != HEDGE else 1.3)


def paint_box(kind: int, style: Style, key, width: float, front: bool, resolution: float) -> np.ndarray:
    """(H, W, 4) texels of one side of a box; ``key`` seeds what the style leaves open."""
    rng = np.random.default_rng(key)
    if kind != BUILDING:
        return _low_wall(kind, style, rng, width, resolution)
    canvas = Canvas(width, style.height, resolution, style.base)
    _material(canvas, style, rng)
    canvas.part(0, style.wall_height, width, style.height + 1)[..., 3] = HOLE
    if front:
        _floors(canvas, style, rng, width)
        paint_ground_floor(canvas, style, rng, width)
    else:
        _party_wall(canvas, style, rng, width)
    _roof(canvas, style, rng, width, front)
    return canvas.texels


def _low_wall(kind, style, rng, width, resolution) -> np.ndarray:
    height = box_height(kind, style)
    if kind == HEDGE:
        canvas = Canvas(width, height, resolution, (62, 84, 42), LEAF)
        canvas.grain(rng, 0.4, 0.3, 1.0)
    else:
        canvas = Canvas(width, height, resolution, style.base)
        canvas.grain(rng, 0.06, 0.15)
        canvas.fill(0, height - 0.15, width, height, style.trim)
        for x in np.arange(1.0, width, 3.0):
            canvas.fill(x, 0, x + 0.25, height, style.trim)
    return canvas.texels


def _material(canvas: Canvas, style: Style, rng) -> None:
    r, texels = canvas.resolution, canvas.texels
    if style.material in ("brick", "stone"):
        brick = (0.24, 0.085) if style.material == "brick" else (0.9, 0.42)
        high, wide = max(2, round(brick[1] * r)), max(3, round(brick[0] * r))
        tones = rng.uniform(0.84, 1.12, 509).astype(np.float32)
        rows, columns = np.arange(texels.shape[0]), np.arange(texels.shape[1])
        for odd in (0, 1):  # every other course is shifted by half a brick
            mine = rows[rows // high % 2 == odd]
            shifted = columns + odd * (wide // 2)
            tone = tones[(mine // high * 31)[:, None] % 509 - (shifted // wide * 7) % 509]
            tone[mine % high == 0] *= np.float32(0.86)
            tone[:, shifted % wide == 0] *= np.float32(0.86)
            texels[mine, :, :3] = np.minimum(texels[mine, :, :3] * tone[..., None], 255)
    if style.material == "concrete":
        for y in np.arange(style.ground, style.wall_height, style.storey):
            canvas.shade(0, y - 0.04, 99, y, 0.7)
        for x in np.arange(0, 40, style.bay):
            canvas.shade(x - 0.03, 0, x + 0.03, style.wall_height, 0.8)
    canvas.grain(rng, 0.05, 0.16 if style.material in ("plaster", "concrete") else 0.08)


def _floors(canvas: Canvas, style: Style, rng, width: float) -> None:
    bays = max(1, int((width - 0.6) / style.bay))
    margin = (width - bays * style.bay) / 2
    if style.quoins:
        for k, y in enumerate(np.arange(0.2, style.wall_height - 0.6, 0.5)):
            long = 0.55 if k % 2 else 0.35
            canvas.fill(0, y, long, y + 0.42, style.trim)
            canvas.fill(width - long, y, width, y + 0.42, style.trim)
    w, h = style.window
    chance = rng.random((style.storeys, bays, 3))
    for floor in range(style.storeys):
        y = style.ground + floor * style.storey
        if style.courses:
            canvas.fill(0, y + 0.02, width, y + 0.2, style.trim)
            canvas.shade(0, y - 0.08, width, y + 0.02, 0.75)
        for k in range(bays):
            x = margin + (k + 0.5) * style.bay - w / 2
            if chance[floor, k, 0] < style.balconies and style.material != "glass":
                paint_window(canvas, style, rng, x, y + 0.25, w, h + 0.55, chance[floor, k])
                paint_balcony(canvas, style, x, y + 0.15, w)
            else:
                paint_window(canvas, style, rng, x, y + (style.storey - h) * 0.6, w, h, chance[floor, k])


def _party_wall(canvas: Canvas, style: Style, rng, width: float) -> None:
    """Sides that look to no street: weathered, few small windows."""
    canvas.shade(0, 0, width, style.wall_height, 0.86)
    for floor in range(style.storeys):
        y = style.ground + floor * style.storey + 1.0
        if rng.random() < 0.5:
            paint_window(canvas, style, rng, rng.uniform(1, max(1.1, width - 2)), y, 0.8, 1.1, rng.random(3))


def _roof(canvas: Canvas, style: Style, rng, width: float, front: bool) -> None:
    eave, top = style.wall_height, style.height
    canvas.fill(0, eave - 0.35, width, eave, style.trim)
    canvas.shade(0, eave - 0.6, width, eave - 0.35, 0.7)
    if style.roof == "flat":
        for x in rng.uniform(0.5, max(0.6, width - 2), rng.integers(0, 4)):
            canvas.fill(x, eave, x + rng.uniform(0.2, 1.6), eave + rng.uniform(0.4, 1.3), CONCRETE[1])
        return
    high = top - 0.9
    canvas.fill(0, eave, width, high, style.tiles)
    step = max(2, round(0.3 * canvas.resolution))
    rows = canvas.part(0, eave, width, high)
    rows[::step, :, :3] = rows[::step, :, :3] * np.float32(0.8)
    if style.roof == "gable" and front:
        _gable(canvas, style, width, eave, high)
        return
    if style.roof == "mansard":
        for x in np.arange(style.bay / 2, width - 0.6, style.bay):
            canvas.fill(x - 0.6, eave + 0.1, x + 0.6, eave + 1.6, style.trim)
            paint_pane(
                canvas, x - 0.45, eave + 0.2, x + 0.45, eave + 1.4, WINDOW[rng.integers(len(WINDOW))], rng.random()
            )
    for x in rng.uniform(0.5, max(0.6, width - 1), rng.integers(1, 4)):
        canvas.fill(x, high - 0.6, x + 0.7, high + rng.uniform(0.3, 0.6), BRICK[2])


def _gable(canvas: Canvas, style: Style, width, eave, high) -> None:
    """Triangle of the wall's material between two holes."""
    part = canvas.part(0, eave, width, high)
    h, w = part.shape[:2]
    inside = np.abs(np.linspace(-1, 1, w))[None] < 1 - np.linspace(0, 1, h)[:, None]
    edge = np.abs(np.linspace(-1, 1, w))[None] > 0.93 - np.linspace(0, 1, h)[:, None]
    part[...] = np.where(edge[..., None], np.uint8((*style.trim, MATTE)), np.uint8((*style.base, MATTE)))
    part[..., 3] = np.where(inside, MATTE, HOLE)
    if high - eave > 2:
        paint_pane(canvas, width / 2 - 0.4, eave + 0.5, width / 2 + 0.4, eave + 1.6, 1, 1.0)
