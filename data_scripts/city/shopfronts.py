"""The ground floor: shops with signs and awnings, entrances, garages."""

import numpy as np

from .canvas import MATTE, SHOP, SIGN, WINDOW, WORDS, Canvas
from .styles import DARK, PAINT, SIGNS, WHITES, Style
from .windows import paint_louvres, paint_pane, paint_window


def paint_ground_floor(canvas: Canvas, style: Style, rng, width: float) -> None:
    canvas.shade(0, 0, width, 0.6, 0.8)
    units = max(1, round(width / 5.0))
    door = rng.integers(units)
    for k in range(units):
        x0, x1 = k * width / units + 0.25, (k + 1) * width / units - 0.25
        if rng.random() < style.shops:
            _shop(canvas, style, rng, x0, x1)
        elif k == door or style.material == "glass":
            _entrance(canvas, style, rng, (x0 + x1) / 2)
        elif rng.random() < 0.25:
            paint_louvres(canvas, x0 + 0.4, 0, x1 - 0.4, style.ground - 1.0, PAINT[rng.integers(len(PAINT))])
        else:
            w = min(style.window[0], 1.8)
            chance = rng.random(3)
            for x in np.linspace(x0, x1, 2 + (x1 - x0 > 3.5))[:-1] + 0.3:
                paint_window(canvas, style, rng, x, 1.0, w, style.ground - 2.0, chance)


def _shop(canvas: Canvas, style: Style, rng, x0, x1) -> None:
    top = style.ground - 0.25
    frame = PAINT[rng.integers(len(PAINT))]
    sign = SIGNS[rng.integers(len(SIGNS))]
    code = SHOP[rng.integers(len(SHOP))]
    canvas.fill(x0, 0, x1, top, frame)
    panes = int(rng.integers(2, 4))
    for k in range(panes):
        a, b = x0 + (x1 - x0) * k / panes + 0.08, x0 + (x1 - x0) * (k + 1) / panes - 0.08
        _display(canvas, rng, a, 0.1 if k == 1 else 0.55, b, top - 0.75, code)
    band = top - 0.7
    canvas.fill(x0, band, x1, top, sign, SIGN if rng.random() < 0.4 else MATTE)
    word = WORDS[rng.integers(len(WORDS))]
    height = min(0.42, (x1 - x0 - 0.3) / (4 * len(word)) * 5)
    ink = (245, 240, 225) if sum(sign) < 420 else (40, 36, 40)
    canvas.write(word, (x0 + x1 - 0.8 * height * len(word)) / 2, band + 0.35 - height / 2, height, ink, SIGN)
    if rng.random() < 0.45:
        _awning(canvas, x0, x1, band, SIGNS[rng.integers(len(SIGNS))], rng.random() < 0.5)


def _display(canvas: Canvas, rng, x0, y0, x1, y1, code: int) -> None:
    """A shop window: dim room, goods of one colour range on a counter, the sky's mirror above."""
    paint_pane(canvas, x0, y0, x1, y1, code, 1.0)
    tone = rng.uniform(50, 200, 3)
    edges = np.arange(x0, x1 - 0.1, rng.uniform(0.22, 0.6))
    for x, high in zip(edges, rng.uniform(0.2, 1.0, len(edges)), strict=True):
        colour = np.clip(tone * rng.uniform(0.6, 1.25), 0, 255).astype(int)
        canvas.fill(x, 0.65, min(x + 0.3, x1), 0.65 + high, colour, code)
    if y0 > 0.5:
        canvas.fill(x0, y0, x1, 0.65, np.clip(tone * 0.5, 0, 255).astype(int), code)


def _awning(canvas: Canvas, x0, x1, top, colour, striped) -> None:
    canvas.fill(x0, top - 0.65, x1, top, colour)
    if striped:
        for x in np.arange(x0, x1, 0.8):
            canvas.fill(x, top - 0.65, min(x + 0.4, x1), top, WHITES[0])
    canvas.shade(x0, top - 0.65, x1, top - 0.5, 0.75)
    canvas.shade(x0, top - 1.5, x1, top - 0.65, 0.55)


def _entrance(canvas: Canvas, style: Style, rng, x) -> None:
    w, h = rng.uniform(0.6, 1.0), min(style.ground - 0.8, 2.9)
    canvas.fill(x - w - 0.2, 0, x + w + 0.2, h + 0.25, style.trim)
    canvas.fill(x - w, 0.15, x + w, h, PAINT[rng.integers(len(PAINT))])
    paint_pane(canvas, x - w + 0.1, h - 0.7, x + w - 0.1, h - 0.1, WINDOW[rng.integers(len(WINDOW))], 1.0)
    canvas.fill(x - 0.03, 0.15, x + 0.03, h - 0.7, DARK)
    canvas.shade(x - w, h - 0.12, x + w, h, 0.5)
