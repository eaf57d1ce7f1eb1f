"""From a notebook to the paper: figures, tables and numbers as files whose bytes change only when a result does."""

import io
import json
import math
import platform
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import distributions
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from PIL import Image

from vg_core.config import Config
from vg_core.system import notebooks, own_files, paths, version
from vg_core.system.bounds import check_cluster
from vg_core.system.text import count, printable, safe_cells

SLUG = re.compile(r"\d\d_[a-z0-9_]+")  # of a notebook
NAME = re.compile(r"[a-z][a-z0-9_]*")  # of a figure, a table or a number: it becomes a file name or a Typst field
JPEG_BYTES = 200_000  # at most, for a picture that shows photographs
JPEG_DPI = 200
SIGNIFICANT = "%.6g"  # significant digits: what lies below is noise of the machine, and would show in every diff
SOFTWARE = ("numpy", "pandas", "scipy", "matplotlib", "torch", "torchvision", "faiss-cpu")


class Page:
    """A notebook's page of the PDF: figures and tables are collected as they are shown, and written when it is closed.

    What cannot be printed is a ValueError or TypeError, in a sentence, where it is given. In a kernel the parameters of
    the notebook are checked, too, and errors are sentences from here on.
    """

    def __init__(self, slug: str, profile: str = "smoke"):
        notebooks.say_errors()
        if not isinstance(slug, str) or not SLUG.fullmatch(slug):
            raise ValueError(f"slug {slug!r} is not a notebook's name such as 10_baseline")
        given = notebooks.given(slug)
        Config.of(profile, **given.get("budget", {}).get(profile, {}) | given.get("options", {}))
        check_cluster(given.get("cluster", "auto"))
        self.slug, self.profile = slug, profile
        self.figures: dict[str, Figure] = {}
        self.tables: dict[str, pd.DataFrame] = {}

    def figure(self, name: str, figure: Figure) -> Figure:
        """The figure, for the cell to show; it becomes ``<name>.svg``, or ``.jpg`` where it shows photographs."""
        self.figures[_checked(name, figure, Figure)] = figure
        return figure

    def table(self, name: str, table: pd.DataFrame) -> pd.DataFrame:
        """The table, for the cell to show, rounded or in part; as it is now it becomes ``<name>.csv``."""
        self.tables[_checked(name, table, pd.DataFrame)] = table.copy()
        return table

    def close(self, *sources: pd.DataFrame | Mapping, **numbers) -> None:
        """Write everything to the profile's folder ``assets/<slug>/`` and say so: what was there before is gone.

        ``sources`` say where results come from: ranks of ``sweep``, tables of ``exported``, or {"datasets": {name:
        fingerprint}, "runs": [run id]}; theory, which looks at no photographs, gives ``{}``. ``numbers``, which may be
        nested, are what no table holds.
        """
        origin = _origin(self.slug, self.profile, sources)
        files = {f"{name}.csv": _csv(table) for name, table in self.tables.items()}
        files["numbers.json"] = _json(rounded(numbers, self.slug))
        origin["figures"] = {}
        for name, figure in self.figures.items():
            kind, draw = ("jpg", _jpeg) if shows_photographs(figure) else ("svg", _svg)
            files[f"{name}.{kind}"] = draw(figure)
            inches = [round(float(side), 3) for side in figure.get_size_inches()]  # (width, height)
            origin["figures"][name] = {"file": f"{name}.{kind}", "inches": inches}
        files["origin.json"] = _json(origin)
        folder = own_files.write_folder(paths.assets_folder(self.profile) / self.slug, files)
        print(f"{self.slug} is written to {folder}")

    def exported(self, table: str) -> pd.DataFrame:
        """A table of this name from every earlier chapter that exported one, end to end, with a first column
        ``chapter``; ``attrs`` hold their ``origin`` and, as ``without``, the chapters that exported none.

        Raises FileNotFoundError where no chapter did and Damaged for a damaged file; both say what to run.
        """
        command = f"python reports/run_notebooks.py --profile {self.profile}"
        found = [f for f in sorted(paths.assets_folder(self.profile).glob("*")) if SLUG.fullmatch(f.name)]
        chapters = {folder.name: folder / f"{table}.csv" for folder in found if folder.name < self.slug}
        having = {name: file for name, file in chapters.items() if file.exists()}
        if not having:
            raise FileNotFoundError(f"no chapter has exported {table}.csv: run notebooks that do first, {command}")
        again = {name: f"run {name} again, {command} {name}" for name in having}
        tables = {name: own_files.read(file, again[name]) for name, file in having.items()}
        whole = pd.concat(tables, names=["chapter"]).reset_index("chapter").reset_index(drop=True)
        origins = [own_files.read(file.with_name("origin.json"), again[name]) for name, file in having.items()]
        whole.attrs |= {"origin": _joined(origins), "without": [name for name in chapters if name not in having]}
        return whole


def findings(predictions: pd.DataFrame) -> str:
    """Markdown, a line for each row of ``judge_predictions``: what was expected, the verdict, the gain it rests on."""
    lines = []
    for row in predictions.itertuples():
        change = "–, every run failed"
        if pd.notna(row.gain):
            change = f"{row.gain:+.1f} points of recall@1 [{row.low:+.1f}, {row.high:+.1f}]"
            change += f", {count(int(row.queries), 'query')}, {count(int(row.seeds), 'seed')}"
            if row.verdict == "undecided" and row.decidable < 100:
                change += f"; from {row.decidable:.1f} points on it would be decidable (80 % power)"
            if row.seeds == 1:
                change += "; one seed says nothing of other trainings"
        lines.append(f"{row.variant}, expected {row.expected}: **{row.verdict}**; {change}")
    return "  \n".join(lines)


def shows_photographs(figure: Figure) -> bool:
    """True when any axes show an array of colours (H, W, 3 or 4); a matrix drawn with a colour map stays vector."""
    return any(np.ndim(image.get_array()) == 3 for axes in figure.axes for image in axes.get_images())


def rounded(value, name: str):
    """``value`` as JSON holds it, floats to six significant digits; ``name`` is where a ValueError says it stands."""
    if isinstance(value, Mapping):
        return {_named(key, f"number of {name}"): rounded(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, (list, tuple, np.ndarray, pd.Series)):
        return [rounded(inner, f"{name}[{i}]") for i, inner in enumerate(value)]
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"number {name} is {value}: a report prints finite numbers; leave it out or mend it")
        return float(SIGNIFICANT % value)
    if isinstance(value, (str, Path)):
        return _portable(value)
    raise TypeError(f"number {name} is a {type(value).__name__}: give a number, a text, or a dict or list of these")


def _portable(text) -> str:
    """The text in one line; of a path on this machine only the last part, for results travel."""
    return printable(Path(text).name if Path(text).is_absolute() else text)


def _named(name, what: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{name!r} names no {what}: use small letters, digits and _, a letter first")
    return name


def _checked(name: str, value, wanted: type) -> str:
    _named(name, wanted.__name__)
    if not isinstance(value, wanted):
        raise TypeError(f"{name} is a {type(value).__module__}.{type(value).__name__}, not a {wanted.__name__}")
    return name


def _csv(table: pd.DataFrame) -> bytes:
    """The table with a named index as its first columns; an index without a name only counts rows and is dropped."""
    unnamed = all(name is None for name in table.index.names)
    rows = safe_cells(table.reset_index(drop=unnamed))
    return rows.to_csv(index=False, float_format=SIGNIFICANT, lineterminator="\n").encode()


def _json(value) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with style.context("vg_core.figures.house"):  # fixed names inside the file, letters as outlines
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


def _origin(slug: str, profile: str, sources: Sequence[pd.DataFrame | Mapping]) -> dict:
    origins = [source.attrs.get("origin") if isinstance(source, pd.DataFrame) else source for source in sources]
    known = {"datasets", "runs"}
    if not origins or not all(isinstance(origin, Mapping) and origin.keys() <= known for origin in origins):
        raise TypeError(f"close must be told where results of {slug} come from: ranks of a sweep, or {{}} for theory")
    installed = {name: next((found.version for found in distributions(name=name)), "absent") for name in SOFTWARE}
    software = {"python": platform.python_version()} | installed
    commit = version.commit(notebooks.is_edited(slug))
    return {"notebook": slug, "profile": profile, "commit": commit} | _joined(origins) | {"software": software}


def _joined(origins: Sequence[Mapping]) -> dict:
    """Datasets and runs of several origins in one; TypeError or ValueError for what is no origin."""
    datasets, runs = {}, set()
    for origin in origins:
        more, made = origin.get("datasets", {}), origin.get("runs", [])
        if not isinstance(more, Mapping):
            raise TypeError("datasets must map the name of each dataset to its fingerprint")
        if isinstance(made, str) or not all(isinstance(run, str) for run in made):
            raise TypeError(f"runs must be a list of run ids, not {made!r}")
        if len(made) and not more:
            raise ValueError("runs were made on a dataset: datasets must name it, with its fingerprint")
        datasets |= {_portable(name): fingerprint for name, fingerprint in more.items()}
        runs.update(made)
    return {"datasets": datasets, "runs": sorted(runs)}
