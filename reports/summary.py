"""What the results of a profile say in a few lines, for the end of a log."""

from pathlib import Path

import pandas as pd

from vg_core.system import paths

SHOWN = (1, 5)  # N of recall@N


def summary(folder: Path) -> str:
    """Recalls of the baselines with their intervals, and how many predictions of all chapters hold."""
    recalls = pd.read_csv(folder / "10_baseline" / "recall.csv")
    recalls = recalls[recalls.n.isin(SHOWN)]
    cells = [f"{row.recall:5.1f} [{row.low:.1f}, {row.high:.1f}]" for row in recalls.itertuples()]
    table = recalls.assign(cell=cells).pivot_table("cell", "variant", "n", aggfunc="first", sort=False)
    table = table.add_prefix("recall@").rename_axis(index=None, columns=None)
    lines = ["The share of queries, in %, that are found among the first N (95 % intervals):", str(table)]
    verdicts = folder / "90_summary" / "predictions.csv"
    if verdicts.exists():
        counts = pd.read_csv(verdicts).verdict.value_counts()
        lines.append(f"{counts.sum()} predictions: " + ", ".join(f"{n} {verdict}" for verdict, n in counts.items()))
    return "\n".join(lines)


def next_steps(pdf: Path, profile: str) -> str:
    """Where to look next."""
    return "\n".join(
        [
            f"Read    {pdf}",
            f"Browse  {paths.executed_folder(profile)}: the notebooks as they were executed",
            "Play    make lab: copies of the notebooks in JupyterLab",
        ]
    )
