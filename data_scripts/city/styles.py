"""What makes buildings differ: materials, colours, floors, windows, roofs, drawn from one seed."""

import colorsys
from dataclasses import dataclass

import numpy as np

BRICK = [(150, 76, 58), (128, 62, 50), (172, 108, 76), (186, 146, 104), (112, 70, 62), (160, 92, 84)]
STONE = [(198, 186, 160), (180, 172, 156), (206, 198, 184), (160, 150, 136)]
CONCRETE = [(168, 168, 164), (148, 146, 140), (186, 182, 174), (130, 134, 136)]
GLASS = [(72, 92, 108), (64, 88, 84), (92, 84, 72), (54, 64, 82)]
PAINT = [(46, 84, 66), (94, 44, 40), (58, 70, 98), (120, 92, 60), (52, 52, 54), (106, 120, 124), (150, 132, 96)]
SIGNS = [(176, 40, 38), (32, 74, 140), (34, 110, 70), (222, 176, 40), (40, 40, 44), (236, 234, 226), (196, 96, 32)]
WHITES = [(238, 236, 228), (222, 214, 198), (204, 200, 192)]
TILES = [(150, 84, 62), (128, 72, 56), (96, 96, 102), (78, 82, 90), (110, 92, 82)]
PALETTES = {"brick": BRICK, "stone": STONE, "concrete": CONCRETE, "glass": GLASS}
DARK = (40, 42, 46)


@dataclass(frozen=True)
class Style:
    """What a developer decides; lengths in metres."""

    material: str
    base: tuple
    trim: tuple
    frame: tuple
    shutter: tuple | None
    tiles: tuple
    storeys: int
    storey: float  # height of an upper floor
    ground: float  # height of the ground floor
    bay: float  # width of a window axis
    window: tuple[float, float]  # width, height
    muntins: tuple[int, int]  # vertical and horizontal bars
    lintels: bool  # a high beam above each window
    balconies: float  # share of windows
    courses: bool  # a band between floors
    quoins: bool
    roof: str  # "flat", "eave", "mansard" or "gable"
    roof_height: float
    shops: float  # share of ground-floor units

    @property
    def wall_height(self) -> float:
        return self.ground + self.storeys * self.storey + 0.5

    @property
    def height(self) -> float:
        return self.wall_height + self.roof_height


def make_style(seed: int) -> Style:
    """Style of a seed."""
    rng = np.random.default_rng(seed)

    def pick(options):
        return options[rng.integers(len(options))]

    material = str(rng.choice(["plaster", *PALETTES], p=[0.52, 0.2, 0.1, 0.1, 0.08]))
    modern = material in ("concrete", "glass")
    base = _plaster(rng) if material == "plaster" else np.array(pick(PALETTES[material])) + rng.normal(0, 7, 3)
    storeys = int(rng.integers(5, 11) if modern and rng.random() < 0.45 else rng.integers(1, 6))
    bay = rng.uniform(2.0, 3.6)
    roof = "flat" if modern else str(rng.choice(["flat", "eave", "mansard", "gable"], p=[0.25, 0.4, 0.2, 0.15]))
    wide = rng.uniform(0.5, 0.85) if modern else rng.uniform(0.34, 0.5)
    storey = rng.uniform(2.8, 3.5)
    return Style(
        material=material,
        base=tuple(np.clip(base + rng.normal(0, 6), 20, 245).astype(int).tolist()),
        trim=pick(WHITES) if rng.random() < 0.6 else pick(STONE),
        frame=pick(WHITES) if rng.random() < 0.6 else pick(PAINT),
        shutter=pick(PAINT) if material == "plaster" and rng.random() < 0.55 else None,
        tiles=pick(TILES),
        storeys=storeys,
        storey=storey,
        ground=rng.uniform(3.3, 4.6),
        bay=bay,
        window=(bay * wide, storey * rng.uniform(0.46, 0.64)),
        muntins=(int(rng.integers(0, 3)), int(rng.integers(0, 3))),
        lintels=bool(not modern and rng.random() < 0.2),
        balconies=rng.choice([0, 0, 0.3, 1.0]) * rng.random(),
        courses=bool(rng.random() < 0.5),
        quoins=bool(not modern and rng.random() < 0.3),
        roof=roof,
        roof_height={"flat": 1.4, "eave": 1.6, "mansard": 2.9, "gable": 4.2}[roof],
        shops=rng.choice([0.0, 0.4, 1.0]),
    )


def _plaster(rng) -> np.ndarray:
    """(3,) paint of any hue, warm ones oftener, from pale to strong."""
    hue = rng.uniform(0, 1) if rng.random() < 0.5 else rng.uniform(0.0, 0.17)
    saturation, value = rng.uniform(0.08, 0.55), rng.uniform(0.55, 0.95)
    return 255 * np.array(colorsys.hsv_to_rgb(hue, saturation, value))
