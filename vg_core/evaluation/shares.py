"""Does an attention lie on given pixels more, or less, than on others? With intervals over independent blocks."""

import numpy as np
import pandas as pd

from vg_core.evaluation.designs import run_variance
from vg_core.evaluation.intervals import Error, mean_variance
from vg_core.evaluation.units import effective_number, independent

NUMBERS = ["area", "share", "gain", "low", "high", "decidable"]
COUNTS = ["queries", "places", "seeds", "unit", "units"]


def share_table(shares: pd.DataFrame) -> pd.DataFrame:
    """Share of attention on some pixels beside their share of the area, of each variant: variant, area, share (%),
    gain, low, high (points that the share lies above the area's, 95 %), decidable, queries, places, seeds, unit, units.

    ``shares`` has a row for each variant, seed and query: share and area, from 0 to 1, and the query's place. Queries
    without such pixels are left out; of none at all nothing is in the table. The columns are those of `paired_gain`,
    and so is the error, but what runs add is told by those of each variant alone; there is no interval (NaN) from a
    single unit.
    """
    rows, shares = [], shares[shares.area > 0]
    for variant, part in shares.groupby("variant", sort=False):
        excess = part.assign(excess=part.share - part.area).pivot_table("excess", ["query", "place"], "seed")
        found, places = excess.to_numpy(), excess.index.get_level_values("place")  # (Q, S)
        means, seeds = found.mean(axis=1, keepdims=True), found.shape[1]
        codes, unit = independent(means, places)
        units = effective_number(codes)
        terms = [(mean_variance(means, codes).item() if codes.any() else np.nan, max(units - 1, 1))]
        if seeds > 1:
            of_runs, freedom = run_variance([found], [1.0], codes, paired=False)
            terms.append((of_runs / seeds, freedom))
        gain, error = means.mean(), Error(tuple(terms))
        numbers = {"area": part.area.mean(), "share": part.share.mean(), "gain": gain}
        numbers |= {"low": gain - error.half(), "high": gain + error.half(), "decidable": error.decidable()}
        counts = {"queries": len(found), "places": places.nunique(), "seeds": seeds, "unit": unit, "units": units}
        rows.append({"variant": variant, **{name: 100 * number for name, number in numbers.items()}, **counts})
    return pd.DataFrame(rows, columns=["variant", *NUMBERS, *COUNTS])
