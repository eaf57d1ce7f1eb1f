"""Light, weather and season of a photograph, and the sessions in which a city is photographed."""

import math
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from .canvas import GRASS, LEAF, PUDDLE, ROAD, SHOP, SIGN, WINDOW


@dataclass(frozen=True)
class Conditions:
    """Angles in degrees, clockwise from north for azimuths; colours linear, 1 = white in full sun."""

    name: str
    when: datetime
    azimuth: float = 150.0  # of the sun
    elevation: float = 50.0
    sun: tuple[float, float, float] = (1.3, 1.21, 1.06)
    ambient: tuple[float, float, float] = (0.31, 0.345, 0.41)
    zenith: tuple[float, float, float] = (0.16, 0.34, 0.70)
    horizon: tuple[float, float, float] = (0.62, 0.74, 0.88)
    cloud: float = 0.4  # share of the sky
    season: str = "summer"  # summer, autumn, winter or spring
    visibility: float = 1500.0  # metres; contrast falls to 1/e
    wet: float = 0.0
    night: bool = False
    exposure: float = 1.0
    balance: tuple[float, float, float] = (1.0, 1.0, 1.0)  # gains of red, green and blue
    noise: float = 0.008  # standard deviation, share of full scale

    def jittered(self, rng: np.random.Generator) -> "Conditions":
        """The same session through another camera setting."""
        warm = rng.normal(0, 0.03)
        gains = np.array(self.balance) * (1 + warm, 1.0, 1 - warm)
        return replace(self, exposure=self.exposure * math.exp(rng.normal(0, 0.09)), balance=tuple(gains.tolist()))

    def sun_vector(self, rotation: float) -> tuple[float, float, float]:
        """Unit vector to the sun in a district turned by ``rotation`` degrees."""
        a, e = math.radians(self.azimuth - rotation), math.radians(self.elevation)
        return math.sin(a) * math.cos(e), math.cos(a) * math.cos(e), math.sin(e)


# the one time at which the database is photographed
DATABASE = Conditions("summer", datetime(2023, 6, 14, 10, 30))
_GREY = {"sun": (0.0, 0.0, 0.0), "zenith": (0.55, 0.58, 0.62), "horizon": (0.72, 0.74, 0.76), "cloud": 0.9}

# share of the queries, and when they are photographed
SESSIONS: tuple[tuple[float, Conditions], ...] = (
    (0.3, replace(DATABASE, name="clear", when=datetime(2024, 7, 2, 11, 50), azimuth=168, elevation=60, cloud=0.2)),
    (0.17, Conditions("spring", datetime(2024, 4, 9, 17, 10), azimuth=255, elevation=32, season="spring", cloud=0.25)),
    (
        0.17,
        Conditions(
            "overcast",
            datetime(2023, 10, 21, 14, 0),
            ambient=(0.60, 0.62, 0.66),
            season="autumn",
            visibility=600,
            balance=(0.97, 1.0, 1.05),
            **_GREY,
        ),
    ),
    (
        0.1,
        Conditions(
            "evening",
            datetime(2024, 8, 30, 19, 20),
            azimuth=282,
            elevation=13,
            sun=(1.9, 1.10, 0.56),
            ambient=(0.27, 0.28, 0.36),
            zenith=(0.20, 0.30, 0.52),
            horizon=(0.95, 0.66, 0.42),
            exposure=1.15,
        ),
    ),
    (
        0.08,
        Conditions(
            "rain",
            datetime(2024, 11, 5, 11, 40),
            ambient=(0.42, 0.45, 0.50),
            season="autumn",
            visibility=260,
            wet=1.0,
            balance=(0.94, 1.0, 1.08),
            noise=0.014,
            **_GREY,
        ),
    ),
    (
        0.07,
        Conditions(
            "winter",
            datetime(2024, 1, 18, 12, 15),
            azimuth=185,
            elevation=22,
            sun=(1.5, 1.3, 1.05),
            season="winter",
            visibility=700,
            cloud=0.15,
        ),
    ),
    (
        0.04,
        Conditions(
            "fog",
            datetime(2023, 12, 2, 9, 0),
            ambient=(0.55, 0.57, 0.60),
            season="winter",
            visibility=55,
            **(_GREY | {"horizon": (0.66, 0.68, 0.70), "zenith": (0.64, 0.66, 0.69)}),
        ),
    ),
    (
        0.07,
        Conditions(
            "night",
            datetime(2024, 2, 23, 21, 30),
            sun=(0.0, 0.0, 0.0),
            ambient=(0.018, 0.022, 0.036),
            zenith=(0.006, 0.009, 0.022),
            horizon=(0.045, 0.036, 0.034),
            cloud=0.3,
            season="winter",
            night=True,
            exposure=0.8,
            noise=0.022,
        ),
    ),
)
BY_DAY = tuple((share, session) for share, session in SESSIONS if not session.night)
# when the aerial images of pairs are taken: shadows fall elsewhere than in any other session
FLIGHT = replace(DATABASE, name="flight", when=datetime(2023, 8, 17, 8, 40), azimuth=100, elevation=34)
NIGHT = next(session for _, session in SESSIONS if session.night)
# the database and the queries of the second city
DRIVES: tuple[Conditions, Conditions] = (
    replace(
        DATABASE, name="noon", when=datetime(2023, 9, 3, 12, 40), azimuth=190, elevation=58, balance=(1.06, 1.0, 0.9)
    ),
    replace(
        DATABASE,
        name="afternoon",
        when=datetime(2023, 9, 11, 16, 25),
        azimuth=255,
        elevation=24,
        sun=(1.6, 1.22, 0.84),
        cloud=0.7,
        balance=(1.04, 1.0, 0.92),
    ),
)


FOLIAGE = {
    "summer": (0.85, 1.0, 0.8),
    "spring": (1.05, 1.25, 0.9),
    "autumn": (2.1, 1.0, 0.5),
    "winter": (1.2, 0.95, 0.75),
}


def material_tables(conditions: Conditions, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(256, 3) factors of the albedo and (256, 3) light given off, by material code.

    Which windows are lit is drawn from ``rng``: shops mostly, homes one in three; by day panes mirror the sky.
    """
    tint, glow = np.ones((256, 3), np.float32), np.zeros((256, 3), np.float32)
    tint[[LEAF, GRASS]] = FOLIAGE[conditions.season]
    tint[ROAD] *= 1 - 0.45 * conditions.wet
    tint[PUDDLE] *= 1 - 0.6 * conditions.wet
    windows, shops = list(WINDOW), list(SHOP)
    if conditions.night:
        lit = rng.random((len(windows), 1)) < 0.35
        glow[windows] = lit * rng.uniform(0.25, 0.9, (len(windows), 1)) * (1.0, 0.72, 0.42)
        lit = rng.random((len(shops), 1)) < 0.8
        glow[shops] = lit * rng.uniform(0.6, 1.2, (len(shops), 1)) * (1.0, 0.85, 0.62)
        glow[SIGN] = 0.6
    else:
        glow[windows + shops] = np.float32(0.3) * np.array(conditions.horizon)
        dusk = (rng.random((len(shops), 1)) < 0.6) * np.float32((0.3, 0.24, 0.16))
        glow[shops] += dusk * (1.5 if conditions.elevation < 20 or conditions.wet else 0.5)
    return tint, glow
