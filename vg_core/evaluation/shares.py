"""Does an attention lie on given pixels more, or less, than on others? With intervals over places."""

import pandas as pd

from vg_core.evaluation.intervals import by_place, mean_interval


def share_table(shares: pd.DataFrame) -> pd.DataFrame:
    """Share of attention on some pixels beside their share of the area, of each variant: variant, area, share (%),
    gain, low, high (points that the share lies above the area's, 95 %), queries, places, seeds.

    ``shares`` has a row for each variant, seed and query: share and area, from 0 to 1, and the query's place. Queries
    without such pixels are left out. Variance of places and of seeds is added as in `paired_gain`.
    """
    rows, shares = [], shares[shares.area > 0]
    for variant, part in shares.groupby("variant", sort=False):
        excess = part.assign(excess=part.share - part.area).pivot_table("excess", ["query", "place"], "seed")
        sums, sizes = by_place(excess.mean(axis=1).to_numpy()[:, None], excess.index)  # of (Q, seeds)
        of_seeds = excess.mean()  # (seeds,)
        noise = [(of_seeds.var(ddof=1) / len(of_seeds), len(of_seeds) - 1)] if len(of_seeds) > 1 else []
        gain, low, high = mean_interval(sums, sizes, noise)
        numbers = {"area": part.area.mean(), "share": part.share.mean(), "gain": gain, "low": low, "high": high}
        counts = {"queries": len(excess), "places": len(sizes), "seeds": len(of_seeds)}
        rows.append({"variant": variant, **{name: 100 * number for name, number in numbers.items()}, **counts})
    return pd.DataFrame(rows)
