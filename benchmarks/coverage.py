"""Do the intervals keep their promise? Simulated cities whose truth is known, to a CSV of shares to be 95 and 5 %.

A query succeeds where a normal variable lies above a threshold. Half of its variance goes along streets, where it is
correlated over so many metres (or holds for one place alone), half is the query's own. Runs of equal variants add
what a variant does in its streets and to single queries, and what a run does to single queries and to all of them.

    .venv/bin/python benchmarks/coverage.py                  # all designs, some twenty minutes on one core
    .venv/bin/python benchmarks/coverage.py --replicates 50  # a first look
"""

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import special

from vg_core.evaluation.comparisons import Hits, gain_of_hits
from vg_core.evaluation.intervals import recall_interval
from vg_core.evaluation.ranks import CELL_METRES, cells
from vg_core.evaluation.units import TRUSTED, effective_number, independent

STREET = 20  # places in a row; streets lie a kilometre apart
FEW, MANY = 4, 60  # queries of a place; where sizes are unequal, every twentieth place has many
POINTS = 0.34  # points of recall for a hundredth of a standard deviation, near a recall of one half
OWN = 0.05, 0.05, 0.25  # variances: a variant in its streets, a variant on a query, a run on a query
ORACLE_POWER = 0.8
RECALLS = {"places": (6, 12, 25, 50, 100, 200, 500), "sizes": ("equal", "unequal"), "metres": (0, 12.5, 25, 50)}
RECALLS |= {"p": (0.02, 0.1, 0.5)}  # and by symmetry 0.9 and 0.98
GAINS = {"places": (25, 100, 250), "metres": (0, 25), "variants": (2, 6), "seeds": (1, 2, 3, 5), "run": (0, 1, 3)}
OUTPUT = Path(__file__).with_name("coverage.csv")


class City:
    """Queries at places along streets, numbered and named as ranks tables name them."""

    def __init__(self, places: int, sizes: str = "equal"):
        numbers = np.arange(places)
        many = (numbers % STREET == STREET // 2 % places) & (sizes == "unequal")
        self.places, self.place = places, np.repeat(numbers, np.where(many, MANY, FEW))  # count, (Q,)
        at = np.stack([numbers % STREET * CELL_METRES, numbers // STREET * 1000.0], axis=1)
        self.names = np.array(cells(at))[self.place]

    def independent(self, metres: float) -> float:
        """How many independent places of equal size would tell as much: what intervals have to find out."""
        weights = np.bincount(self.place) / len(self.place)
        street, at = np.divmod(np.arange(self.places), STREET)
        alike = self.kept(metres) ** abs(at[:, None] - at) * (street[:, None] == street)  # (places, places)
        return float(1 / (weights @ alike @ weights))

    @staticmethod
    def kept(metres: float) -> float:
        """Correlation of neighbouring places."""
        return np.exp(-CELL_METRES / metres) if metres else 0.0

    def along(self, rng: np.random.Generator, metres: float, *shape: int) -> np.ndarray:
        """(*shape, Q) standard normal, correlated along a street over so many metres (e to the -1)."""
        kept = self.kept(metres)
        steps = rng.normal(size=(*shape, -(-self.places // STREET), STREET))
        steps[..., 1:] *= np.sqrt(1 - kept**2)
        for at in range(1, STREET):
            steps[..., at] += kept * steps[..., at - 1]
        return steps.reshape(*shape, -1)[..., self.place]


def recalls(rng: np.random.Generator, replicates: int, *, places: int, sizes: str, metres: float, p: float) -> dict:
    """How often the interval of a recall holds the truth, its mean width, and how often it is said to be trusted."""
    city, found = City(places, sizes), []
    for _ in range(replicates):
        ease = np.sqrt(0.5) * city.along(rng, metres) + np.sqrt(0.5) * rng.normal(size=len(city.place))
        hits = (ease < special.ndtri(p)).astype(float)[:, None]
        codes, _ = independent(hits, city.names)
        low, high = recall_interval(hits, codes)[:, 0]
        found.append((low <= p <= high, high - low, effective_number(codes)))
    held, width, units = np.array(found).T
    trusted = units >= TRUSTED
    told = {"independent": city.independent(metres), "units": units.mean(), "width": width.mean()}
    kept = held[trusted].mean() if trusted.any() else np.nan
    return told | {"covered": held.mean(), "trusted": trusted.mean(), "covered_where_trusted": kept}


def gains(rng: np.random.Generator, replicates: int, *, places: int, metres: float, **runs: int) -> dict:
    """How often a comparison of equals finds a difference; its power beside that of an oracle, which knows the variance
    of the gain, at the gain that the oracle finds in 80 of 100 cases.
    """
    city, found = City(places), []
    index = pd.MultiIndex.from_arrays([np.arange(len(city.place)), np.zeros(len(city.place)), city.names])
    index.names = "query", "copy", "place"
    for _ in range(replicates):
        hits = runs_of_equals(rng, city, metres, **runs)  # (variants, seeds, Q)
        seeds = pd.RangeIndex(hits.shape[1])
        found.append(gain_of_hits({v: Hits(one.T[:, None], index, seeds) for v, one in enumerate(hits)}, 0, 1))
    table = pd.DataFrame(found)
    deviation = np.sqrt(np.square(table.gain).mean())
    true = (special.ndtri(0.975) + special.ndtri(ORACLE_POWER)) * deviation
    half = (table.high - table.low) / 2
    told = {"independent": city.independent(metres), "units": table.units.mean()}
    told |= {"false_claims": (table.p < 0.05).mean(), "width": 2 * half.mean() / 100}
    power = (abs(table.gain + true) > half).mean()
    return told | {"power": power, "oracle": ORACLE_POWER, "decidable": (table.decidable / true).mean()}


def runs_of_equals(rng, city: City, metres: float, *, variants: int, seeds: int, run: float) -> np.ndarray:
    """0 and 1 (variants, seeds, Q) of variants that are equally good; ``run`` in points is what a run does to all."""
    shape, (street, query, luck) = (variants, seeds, len(city.place)), np.sqrt(OWN)
    ease = np.sqrt(0.5) * city.along(rng, metres) + np.sqrt(0.5) * rng.normal(size=shape[-1])
    own = street * city.along(rng, metres, variants, 1) + query * rng.normal(size=(variants, 1, shape[-1]))
    of_runs = luck * rng.normal(size=shape) + run / POINTS / 100 * rng.normal(size=(variants, seeds, 1))
    return (ease + own + of_runs > 0).astype(float)


def simulated(replicates: int, grids: dict[str, dict[str, tuple]]) -> Iterator[dict]:
    """A row for each design of the grids: kind, the design, and what ``replicates`` simulations of it say."""
    for kind, grid in grids.items():
        for values in product(*grid.values()):
            design = dict(zip(grid, values, strict=True))
            rng = np.random.default_rng(0)
            yield {"kind": kind, **design, "replicates": replicates, **KINDS[kind](rng, replicates, **design)}


KINDS = {"recall": recalls, "gain": gains}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--replicates", type=int, default=300, help="simulated cities of each design")
    options.add_argument("--output", type=Path, default=OUTPUT, help="the CSV that is written")
    asked = options.parse_args()
    rows = []
    for row in simulated(asked.replicates, {"recall": RECALLS, "gain": GAINS}):
        rows.append(row)
        print(
            " ".join(
                f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in row.items()
            )
        )
    pd.DataFrame(rows).round(4).to_csv(asked.output, index=False)


if __name__ == "__main__":
    main()
