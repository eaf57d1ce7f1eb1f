"""A small painting surface in metres, noise, and block letters: what façades, ground and sprites are painted with."""

from functools import cache

import numpy as np

HOLE, SIGN, LEAF, MATTE = 0, 200, 250, 255  # material codes; windows use 1…127
WINDOW, SHOP = range(1, 97), range(97, 128)  # each window draws one: together they decide which are lit at night
ROAD, PUDDLE, PAVED, GRASS = 240, 241, 242, 243
NOISE = 256  # texels; side of the periodic noise tile

# fmt: off
_GLYPHS = {  # 3 x 5 dots of a letter, row by row from the top, highest bit first
    "A": 0x2BED, "B": 0x6BAE, "C": 0x3923, "D": 0x6B6E, "E": 0x79A7, "F": 0x79A4, "G": 0x396B, "H": 0x5BED,
    "I": 0x7497, "K": 0x5BAD, "L": 0x4927, "M": 0x5FED, "N": 0x6B6D, "O": 0x2B6A, "P": 0x6BA4, "R": 0x6BAD,
    "S": 0x388E, "T": 0x7492, "U": 0x5B6F, "V": 0x5B6A, "X": 0x5AAD, "Z": 0x72A7,
}
WORDS = (
    "BAR", "CAFE", "HOTEL", "PIZZA", "BANK", "BOOKS", "MODA", "FIORI", "OTTICA", "VINO",
    "PANE", "BIRRA", "SARTO", "GELATO", "TEATRO", "CINEMA", "SPORT", "LIBRI", "PHARMA", "RADIO",
)
# fmt: on


class Canvas:
    """(H, W, 4) uint8 texels, row 0 at the bottom; all coordinates in metres."""

    def __init__(self, width: float, height: float, resolution: float, colour=(128, 128, 128), code=MATTE):
        self.resolution = resolution
        shape = max(2, round(height * resolution)), max(2, round(width * resolution))
        self.texels = np.empty((*shape, 4), np.uint8)
        self.texels[...] = (*colour, code)

    def part(self, x0, y0, x1, y1) -> np.ndarray:
        """View of the texels in a rectangle, at least one texel in each direction where it lies inside."""
        r = self.resolution
        a, b = max(0, round(x0 * r)), max(0, round(y0 * r))
        return self.texels[b : max(b + 1, round(y1 * r)), a : max(a + 1, round(x1 * r))]

    def fill(self, x0, y0, x1, y1, colour, code: int = MATTE) -> None:
        self.part(x0, y0, x1, y1)[...] = (*colour, code)

    def shade(self, x0, y0, x1, y1, factor: float) -> None:
        """Multiply the colours of a rectangle."""
        rgb = self.part(x0, y0, x1, y1)[..., :3]
        rgb[...] = np.clip(rgb * np.float32(factor), 0, 255)

    def grain(self, rng, fine: float, coarse: float, metres: float = 4.0) -> None:
        """Modulate the whole surface by texel noise and by stains of about ``metres``."""
        h, w = self.texels.shape[:2]
        step = NOISE / (metres * 8 * self.resolution)
        rows = (np.arange(h) * step + rng.integers(NOISE)).astype(int) % NOISE
        columns = (np.arange(w) * step + rng.integers(NOISE)).astype(int) % NOISE
        field = cloud_noise()[rows].take(columns, 1) * np.float32(coarse) + 1
        fine_noise = white_noise().take(np.arange(w) % NOISE, 1) * np.float32(fine)
        for top in range(0, h, NOISE):
            band = self.texels[top : top + NOISE, :, :3]
            factor = field[top : top + NOISE] + fine_noise[: len(band)]
            band[...] = np.minimum(band * factor[..., None], 255)

    def write(self, text: str, x: float, y: float, height: float, colour, code: int = MATTE) -> None:
        """Paint block letters with their lower left corner at (x, y); a letter is 0.8 times as wide as high."""
        dot = height / 5
        for k, letter in enumerate(text):
            bits = f"{_GLYPHS[letter]:015b}"
            for i, bit in enumerate(bits):
                if bit == "1":
                    left, top = x + (4 * k + i % 3) * dot, y + height - (i // 3) * dot
                    self.fill(left, top - dot, left + dot, top, colour, code)


@cache
def white_noise() -> np.ndarray:
    """(NOISE, NOISE) float32 uniform in [-1, 1]."""
    return np.random.default_rng(1).uniform(-1, 1, (NOISE, NOISE)).astype(np.float32)


@cache
def cloud_noise() -> np.ndarray:
    """(NOISE, NOISE) float32 fractal value noise in [-1, 1], periodic."""
    rng, total = np.random.default_rng(2), np.zeros((NOISE, NOISE), np.float32)
    for cells, weight in ((4, 1.0), (8, 0.5), (16, 0.3), (32, 0.18), (64, 0.1)):
        total += weight * _smooth(rng.uniform(-1, 1, (cells, cells)))
    return (total / abs(total).max()).astype(np.float32)


def _smooth(grid: np.ndarray) -> np.ndarray:
    """Periodic interpolation of a square grid to NOISE texels a side."""
    n = len(grid)
    place = np.arange(NOISE) * n / NOISE
    low = place.astype(int)
    t = place - low
    t = t * t * (3 - 2 * t)
    rows = grid[low] * (1 - t)[:, None] + grid[(low + 1) % n] * t[:, None]
    return rows[:, low] * (1 - t) + rows[:, (low + 1) % n] * t
