"""Windows and what belongs to them: panes, shutters, balconies."""

import numpy as np

from .canvas import MATTE, WINDOW, Canvas
from .styles import DARK, Style


def paint_window(canvas: Canvas, style: Style, rng, x, y, w, h, chance) -> None:
    if style.material not in ("glass", "concrete"):
        canvas.fill(x - 0.14, y - 0.14, x + w + 0.14, y + h + (0.3 if style.lintels else 0.14), style.trim)
    if style.shutter and chance[1] < 0.15:  # closed
        paint_louvres(canvas, x, y, x + w, y + h, style.shutter)
        return
    canvas.fill(x, y, x + w, y + h, style.frame)
    paint_pane(canvas, x + 0.07, y + 0.07, x + w - 0.07, y + h - 0.07, WINDOW[rng.integers(len(WINDOW))], chance[2])
    for k in range(style.muntins[0]):
        at = x + w * (k + 1) / (style.muntins[0] + 1)
        canvas.fill(at - 0.03, y, at + 0.03, y + h, style.frame)
    for k in range(style.muntins[1]):
        at = y + h * (k + 1) / (style.muntins[1] + 1)
        canvas.fill(x, at - 0.03, x + w, at + 0.03, style.frame)
    canvas.shade(x, y + h - 0.14, x + w, y + h, 0.45)  # the reveal's shadow
    canvas.fill(x - 0.1, y - 0.13, x + w + 0.1, y, style.trim)
    canvas.shade(x - 0.1, y - 0.28, x + w + 0.1, y - 0.13, 0.78)
    if style.shutter:
        leaf = min(w * 0.5, (style.bay - w) / 2 - 0.02)
        paint_louvres(canvas, x - leaf, y, x - 0.02, y + h, style.shutter)
        paint_louvres(canvas, x + w + 0.02, y, x + w + leaf, y + h, style.shutter)


def paint_pane(canvas: Canvas, x0, y0, x1, y1, code: int, chance: float) -> None:
    """Glass: dark, brighter upwards where it mirrors the sky; two in three show a curtain or blind."""
    part = canvas.part(x0, y0, x1, y1)
    rise = np.linspace(0.75, 1.45, part.shape[0], dtype=np.float32)[:, None, None]
    part[..., :3] = np.float32((46, 56, 66)) * rise
    part[..., 3] = code
    if chance < 0.35:  # blind, drawn to different heights
        low = y1 - (y1 - y0) * (0.2 + 2.0 * chance)
        canvas.fill(x0, low, x1, y1, (150, 146, 134), code)
    elif chance < 0.65:  # curtains at both sides
        side = (x1 - x0) * (chance - 0.25)
        canvas.fill(x0, y0, x0 + side, y1, (142, 132, 120), code)
        canvas.fill(x1 - side, y0, x1, y1, (142, 132, 120), code)


def paint_louvres(canvas: Canvas, x0, y0, x1, y1, colour) -> None:
    canvas.fill(x0, y0, x1, y1, colour)
    step = max(2, round(0.12 * canvas.resolution))
    rgb = canvas.part(x0, y0, x1, y1)[::step, :, :3]
    rgb[...] = rgb * np.float32(0.72)


def paint_balcony(canvas: Canvas, style: Style, x, y, w) -> None:
    canvas.fill(x - 0.35, y - 0.16, x + w + 0.35, y, style.trim)
    canvas.shade(x - 0.35, y - 0.55, x + w + 0.35, y - 0.16, 0.66)
    step = max(2, round(0.14 * canvas.resolution))
    canvas.part(x - 0.35, y, x + w + 0.35, y + 0.95)[:, ::step] = (*DARK, MATTE)
    canvas.fill(x - 0.35, y + 0.92, x + w + 0.35, y + 1.0, DARK)
