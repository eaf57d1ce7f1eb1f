"""From a notebook to the paper: figures, tables and numbers as files whose bytes change only when a result does."""

import io
import json
import math
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image

from vg_core import paths
from vg_core.config import PROFILES
from vg_core.files import not_written, remove_leftovers, unfinished
from vg_core.own_files import SUMS, sums_of
from vg_core.text import printable, safe_cells

SLUG = re.compile(r"\d\d_[a-z0-9_]+")  # of a notebook
NAME = re.compile(r"[a-z][a-z0-9_]*")  # of a figure, a table or a number: it becomes a file name or a Typst field
JPEG_BYTES = 200_000  # at most, for a picture that shows photographs
JPEG_DPI = 200
SIGNIFICANT = "%.6g"  # digits kept: what lies below is noise of the machine, and would show in every diff
SOFTWARE = ("numpy", "pandas", "scipy", "matplotlib", "torch", "torchvision", "faiss-cpu")


def export(
    slug: str,
    *,
    datasets: Mapping[str, str],
    runs: Sequence[str] = (),
    figures: Mapping[str, Figure] | None = None,
    tables: Mapping[str, pd.DataFrame] | None = None,
    numbers: Mapping | None = None,
    profile: str = "smoke",
) -> Path:
    """Folder ``assets/<slug>/`` of the profile, written anew as a whole: what an earlier export left there is gone.

    ``datasets`` maps the name of each dataset that was looked at to its fingerprint, ``runs`` are run ids; theory,
    which looks at none, gives ``{}`` and no runs. Figures become ``<name>.svg``, or ``<name>.jpg`` when they show
    photographs; tables ``<name>.csv``; numbers, which may be nested, ``numbers.json``; where all came from is in
    ``origin.json``. Raises ValueError or TypeError in a sentence.
    """
    figures, tables, numbers = figures or {}, tables or {}, numbers or {}
    _check(slug, profile, datasets, runs, figures, tables)
    files = {f"{name}.csv": _csv(table) for name, table in tables.items()}
    files["numbers.json"] = _json(rounded(numbers, slug))
    drawn = {name: f"{name}.jpg" if shows_photographs(figure) else f"{name}.svg" for name, figure in figures.items()}
    files |= {file: (_jpeg if file.endswith(".jpg") else _svg)(figures[name]) for name, file in drawn.items()}
    inches = {name: [round(float(side), 3) for side in figure.get_size_inches()] for name, figure in figures.items()}
    shapes = {name: {"file": file, "inches": inches[name]} for name, file in drawn.items()}  # (width, height)
    files["origin.json"] = _json(_origin(slug, profile, datasets, runs) | {"figures": shapes})
    return _replace_folder(paths.assets_folder(profile) / slug, files)


def headline(recalls: pd.DataFrame, variant: str) -> dict[str, float]:
    """Recall of one variant of a recall table as numbers to export, in %: r1, r1_low, r1_high, r5, …"""
    rows = recalls[recalls["variant"] == variant].set_index("n")
    ends = {"": "recall", "_low": "low", "_high": "high"}
    return {f"r{n}{end}": float(rows.loc[n, column]) for n in rows.index for end, column in ends.items()}


def gained(gain: Mapping) -> dict[str, float]:
    """A paired gain as numbers to export, in points: gain, gain_low, gain_high."""
    return {"gain": gain["gain"], "gain_low": gain["low"], "gain_high": gain["high"]}


def findings(predictions: pd.DataFrame) -> str:
    """Markdown, a line for each row of ``judge_predictions``: what was expected, the verdict, the gain it rests on."""
    lines = []
    for row in predictions.itertuples():
        change = (
            f"{row.gain:+.1f} points of recall@1 [{row.low:+.1f}, {row.high:+.1f}]" if row.gain == row.gain else "–"
        )
        counts = f"{row.queries:.0f} queries, {row.seeds:.0f} seeds" if row.gain == row.gain else "every run failed"
        lines.append(f"{row.variant}, expected {row.expected}: **{row.verdict}**; {change}, {counts}")
    return "  \n".join(lines)


def shows_photographs(figure: Figure) -> bool:
    """True when any axes show an array of colours (H, W, 3 or 4); a matrix drawn with a colour map stays vector."""
    images = [image for axes in figure.axes for image in axes.get_images()]
    return any(np.ndim(image.get_array()) == 3 for image in images)


def rounded(value, name: str):
    """``value`` as JSON holds it, floats to six significant digits; ``name`` is where a ValueError says it stands."""
    if isinstance(value, Mapping):
        return {_key(key, name): rounded(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray, pd.Series)):
        return [rounded(inner, f"{name}[{i}]") for i, inner in enumerate(value)]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        if not math.isfinite(value):
            raise ValueError(f"number {name} is {value}: a report prints finite numbers; leave it out or mend it")
        return float(SIGNIFICANT % value)
    if isinstance(value, (str, Path)):
        return _portable(value)
    if value is None:
        return None
    raise TypeError(f"number {name} is a {type(value).__name__}: give a number, a text, or a dict or list of these")


def _portable(text) -> str:
    """The text in one line; of a path on this machine only the last part, for results travel."""
    return printable(Path(text).name if Path(text).is_absolute() else text)


def _key(key, name: str) -> str:
    if not isinstance(key, str) or not NAME.fullmatch(key):
        raise ValueError(f"{key!r} in {name} names no number: use small letters, digits and _, a letter first")
    return key


def _check(slug, profile, datasets, runs, figures, tables) -> None:
    if not isinstance(slug, str) or not SLUG.fullmatch(slug):
        raise ValueError(f"slug {slug!r} is not a notebook's name such as 10_baseline")
    if profile not in PROFILES:
        raise ValueError(f"profile {profile!r} is unknown; choose one of: {', '.join(PROFILES)}")
    if not isinstance(datasets, Mapping):
        raise TypeError("datasets must map the name of each dataset to its fingerprint; {} if none was looked at")
    if isinstance(runs, str) or not all(isinstance(run, str) for run in runs):
        raise TypeError(f"runs must be a list of run ids, not {runs!r}")
    if len(runs) and not datasets:
        raise ValueError("runs were made on a dataset: datasets must name it, with its fingerprint")
    for kind, wanted, given in (("figure", Figure, figures), ("table", pd.DataFrame, tables)):
        if not isinstance(given, Mapping):
            raise TypeError(f"{kind}s must map names to {wanted.__name__} objects, not be a {type(given).__name__}")
        for name, value in given.items():
            if not isinstance(name, str) or not NAME.fullmatch(name):
                raise ValueError(f"{kind} name {name!r} is no file name: use small letters, digits and _")
            if not isinstance(value, wanted):
                found = f"{type(value).__module__}.{type(value).__name__}"
                raise TypeError(f"{kind} {name} is a {found}; export takes {wanted.__name__} objects only")


def _csv(table: pd.DataFrame) -> bytes:
    """The table with a named index as its first columns; an index without a name only counts rows and is dropped."""
    unnamed = all(name is None for name in table.index.names)
    rows = safe_cells(table.reset_index(drop=unnamed))
    return rows.to_csv(index=False, float_format=SIGNIFICANT, lineterminator="\n").encode()


def _json(value) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with style.context("vg_core.house"):  # fixed names inside the file, letters as outlines
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()


def _jpeg(figure: Figure) -> bytes:
    """JPEG of at most 200 KB: quality gives way first, then resolution."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=JPEG_DPI)
    picture = Image.open(buffer).convert("RGB")
    while True:
        for quality in (90, 80, 70, 60):
            small = io.BytesIO()
            picture.save(small, format="JPEG", quality=quality, optimize=True)
            if small.tell() <= JPEG_BYTES:
                return small.getvalue()
        picture = picture.reduce(2)


def _origin(slug: str, profile: str, datasets: Mapping[str, str], runs: Sequence[str]) -> dict:
    return {
        "notebook": slug,
        "profile": profile,
        "commit": _commit(),
        "datasets": {_portable(name): fingerprint for name, fingerprint in datasets.items()},
        "runs": sorted(set(runs)),
        "software": {"python": platform.python_version()} | {name: _version(name) for name in SOFTWARE},
    }


def _commit() -> str:
    """The commit of the code, with "+" when vg_core differs from it; "unknown" outside a git checkout."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=paths.ROOT, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", "vg_core") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _replace_folder(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write a new folder beside the old one, then swap the two names: a kill before that leaves the old one whole."""
    new, old = unfinished(folder), unfinished(folder)
    try:
        new.mkdir(parents=True)
        remove_leftovers(folder.parent)
        for name, content in {**files, SUMS: sums_of(files)}.items():
            (new / name).write_bytes(content)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise not_written(folder, error) from error
    finally:
        if os.path.exists(old) and not os.path.exists(folder):  # stopped between the two
            old.rename(folder)
        for leftover in (new, old):
            shutil.rmtree(leftover, ignore_errors=True)
    return folder
