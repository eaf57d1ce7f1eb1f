"""How fast the stages are against the field's reference code: ``python benchmarks/run.py [rows…]``, or ``make bench``.

Each row first checks that reference and ours give the same result, then times them in turns on this machine. Lines are
written to ``results_cpu.csv`` (``results_cuda.csv`` with --gpu), where they replace earlier lines of the same rows: in
the cache folder, or with --publish in ``benchmarks/``, and from there to the table of its README.
"""

import argparse
import os
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pandas as pd
import torch

FOLDER = Path(__file__).resolve().parent
README = FOLDER / "README.md"
MARKS = "<!-- make bench-publish writes from here -->\n", "<!-- to here -->"  # around the README's table
if str(FOLDER.parent) not in sys.path:  # run as a script: only its own folder is on the path
    sys.path.insert(0, str(FOLDER.parent))

from benchmarks.measure import Disagreement, Row, alone, measure  # noqa: E402
from benchmarks.rows import ROWS  # noqa: E402
from vg_core.system.files import replacing  # noqa: E402
from vg_core.system.paths import cache_root  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("rows", nargs="*", metavar="row", help=f"which rows (default: all): {', '.join(ROWS)}")
    p.add_argument("--repeats", type=int, default=5, metavar="N", help="pairs of measurements of each row (default: 5)")
    worth = p.add_mutually_exclusive_group()
    worth.add_argument("--quick", action="store_true", help="tiny shapes, only to see that everything runs and agrees")
    worth.add_argument("--publish", action="store_true", help="write the lines to benchmarks/, and its README's table")
    p.add_argument("--gpu", action="store_true", help="the rows that run on a GPU, with shares of its measured rates")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the rows; 1 if one of them cannot be run or its results disagree. A missed bar is a result, not a failure."""
    args = parser().parse_args(arguments)
    if args.gpu and not torch.cuda.is_available():
        sys.exit("error: --gpu needs a CUDA device and there is none; leave it out to measure the CPU")
    device = torch.device("cuda" if args.gpu else "cpu")
    try:
        chosen = [ROWS[name] for name in args.rows or ROWS]
    except KeyError as error:
        sys.exit(f"error: {error.args[0]}")
    file = results_file(device, args.quick, args.publish)
    with TemporaryDirectory(prefix="vg_bench_") as folder, patch.dict(os.environ, surroundings(args.gpu, folder)):
        rows = [r for r in chosen if r.on_gpu or not args.gpu]
        found, faults = run(rows, args.repeats, args.quick, device, file)
    if not found.empty:
        print(f"\n{table(found)}\n\n{found.machine[0]}, {found.threads[0]} threads, torch {found.torch[0]}; {file}")
    for fault in faults:
        print(f"FAILED {fault}", file=sys.stderr)
    return bool(faults)


def surroundings(gpu: bool, folder: str) -> dict[str, str]:
    """Environment of the rows: a cache of their own for what they make, and no GPU unless it is asked for."""
    return {"VG_CACHE": folder} | ({} if gpu else {"CUDA_VISIBLE_DEVICES": ""})


def run(rows: list[Row], repeats: int, quick: bool, device: torch.device, file: Path) -> tuple[pd.DataFrame, list[str]]:
    """Lines of all rows whose results agree, each kept as it comes, and a sentence about each of the others.

    Each is measured in a process of its own: what rows before leave in the allocator may be what another lives on.
    """
    timed = measure if quick else partial(alone, measure)
    found, faults = [], []
    for row in rows:
        print(f"{row.name} …", end=" ", flush=True)
        try:
            found.append(timed(row, repeats, quick, device))
            write(file, pd.DataFrame(found[-1:]))
            if file == FOLDER / "results_cpu.csv":
                quote(README, pd.read_csv(file))
            print(f"{found[-1]['ratio']:.3f}", flush=True)
        except Disagreement as fault:
            faults.append(str(fault))
            print("results differ", flush=True)
        except (OSError, MemoryError, RuntimeError, ValueError) as fault:  # the rows behind it are worth as much
            faults.append(f"{row.name}: {fault or type(fault).__name__}")
            print("not measured", flush=True)
    return pd.DataFrame(found), faults


def results_file(device: torch.device, quick: bool = False, publish: bool = False) -> Path:
    folder = FOLDER if publish else cache_root() / "benchmarks"
    return folder / f"{'quick' if quick else 'results'}_{device.type}.csv"


def write(file: Path, found: pd.DataFrame) -> None:
    """Add lines to a table of results; they take the place of earlier lines of the same rows."""
    if file.exists():
        earlier = pd.read_csv(file)
        found = pd.concat([earlier[~earlier.row.isin(found.row)].astype(object), found.astype(object)]).infer_objects()
    order = {name: number for number, name in enumerate(ROWS)}
    with replacing(file) as unfinished:
        found.sort_values("row", key=lambda names: names.map(order)).to_csv(
            unfinished, index=False, float_format="%.6g"
        )


def table(found: pd.DataFrame) -> str:
    """The lines for a reader: ratios with their range, bars, and whether these are met."""
    shown = {
        "row": found.row,
        "reference": found.reference,
        "ours / reference (range)": [
            f"{r.ratio:.3f} ({r.ratio_low:.3f} to {r.ratio_high:.3f})" for r in found.itertuples()
        ],
        "bar": found.bar.map(lambda bar: f"{bar:g}"),
        "ours / floor (bar)": _ratios(found.floor_ratio, found.floor_bar),
        "peak memory (bar)": _ratios(found.memory_ratio, found.memory_bar),
        "ours": found.ours_seconds.map(lambda seconds: f"{1e3 * seconds:,.1f} ms"),
        "": found.passed.map({True: "pass", False: "MISS"}).fillna(""),
    }
    for share in found.columns.intersection(["matrix_share", "bandwidth_share"]):
        shown[share.replace("_", " ")] = found[share].map("{:.0%}".format, na_action="ignore").fillna("")
    return pd.DataFrame(shown).to_string(index=False)


def quote(readme: Path, found: pd.DataFrame) -> None:
    """Put the lines into the README, in the place of those that are there."""
    before, _, rest = readme.read_text().partition(MARKS[0])
    _, mark, after = rest.partition(MARKS[1])
    if not mark:
        raise ValueError(f"{readme} has lost the marks of the table, {MARKS[0].strip()} and {MARKS[1]}; put them back")
    with replacing(readme) as unfinished:
        unfinished.write_text(before + MARKS[0] + markdown(found) + mark + after)


def markdown(found: pd.DataFrame) -> str:
    """A table of the ratios and their bars, and the machines they were measured on."""
    floors, memory = _ratios(found.floor_ratio, found.floor_bar), _ratios(found.memory_ratio, found.memory_bar)
    lines = [
        f"| {r.stage} | {r.reference} | {r.ratio:.3f} ({r.ratio_low:.3f} to {r.ratio_high:.3f}) | {r.bar:g} | "
        f"{over_floor} | {peak} | {'yes' if r.passed else 'no'} |"
        for r, over_floor, peak in zip(found.itertuples(), floors, memory, strict=True)
    ]
    head = [
        "| stage | reference | ours / reference (range) | goal | ours / floor (goal) | peak memory (goal) | all met |",
        "|---|---|---|---|---|---|---|",
    ]
    machines = found.machine + f", {found.threads.iloc[0]} threads, torch " + found.torch
    return "\n".join([*head, *lines, "", f"Measured on {'; '.join(machines.unique())}.", ""])


def _ratios(values: pd.Series, bars: pd.Series) -> list[str]:
    """Two digits of each ratio, three where two would be 0.00, and its bar."""
    return [_ratio(*pair) for pair in zip(values.astype(float), bars.astype(float), strict=True)]


def _ratio(value: float, bar: float) -> str:
    if pd.isna(value):
        return ""
    digits = 2 if value >= 0.005 else 3
    return f"{value:.{digits}f}" + ("" if pd.isna(bar) else f" ({bar:g})")


if __name__ == "__main__":
    sys.exit(main())
