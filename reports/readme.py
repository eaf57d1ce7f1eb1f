"""README.md's pictures and the tables between its marks: ``python reports/readme.py``, or ``make readme``.

Options come from vg_core/config, lines about speed from benchmarks/README.md, minutes from reports/minutes.json.
That file, recalls and pictures come from the results of ``make report`` and the targets beside it, and stay as they are
where there are none.
"""

import ast
import io
import json
import re
import sys
import tokenize
from pathlib import Path

import typst
from PIL import Image

from vg_core.system import own_files, paths
from vg_core.system.files import replacing

MARKS = "<!-- {}: make readme writes from here -->\n", "<!-- to here: {} -->"
PICTURES = {
    "gallery.jpg": "10_baseline/gallery.jpg",
    "map.png": "00_dataset/map.svg",
    "curves.png": "10_baseline/curves.svg",
}
CITY = "toycity"  # of the only photographs that may be published
WIDTH, QUALITY = 900, 75  # pixels and JPEG quality of photographs
PPI, SHADES = 200, 64  # of what was drawn
STAGES = ("NetVLAD, forward and backward", "extraction, ResNet-18 conv4", "training step, layer3 and NetVLAD")
RECALLS = (1, 5)
# make's targets by their lists of notebooks
TARGETS = {"COURSEWORK": "report", "CONTRIBUTION": "contribution", "SYSTEMS": "systems"}
MINUTES = paths.REPORTS / "minutes.json"  # seconds of each notebook, from which the runner says what is left


def main() -> int:
    """Exit status of the command."""
    readme, assets, tables = paths.ROOT / "README.md", paths.assets_folder("smoke"), {}
    try:
        if assets.is_dir():
            tables["recalls"] = recalls_table(assets)
            copy_pictures(assets, paths.REPORTS / "pictures")
            copy_minutes()
        else:
            print(f"{assets} holds no results: pictures, minutes and recalls stay as they are; make report makes them")
        tables["notebooks"] = notebooks_table(minutes())
        tables["options"] = options_table(options_source())
        tables["speed"] = speed_lines((paths.ROOT / "benchmarks" / "README.md").read_text())
        text = readme.read_text()
        for name, table in tables.items():
            text = filled(text, name, table)
        with replacing(readme) as unfinished:
            unfinished.write_text(text)
    except (ValueError, OSError) as error:
        print(f"{readme} stays as it is: {error}", file=sys.stderr)
        return 1
    print(f"wrote {', '.join(tables)} into {readme}")
    return 0


def filled(document: str, name: str, table: str) -> str:
    """The document with a table between the marks of this name; ValueError where these are not there once."""
    begin, end = (mark.format(name) for mark in MARKS)
    found = re.findall(f"{re.escape(begin)}.*?{re.escape(end)}", document, flags=re.DOTALL)
    if len(found) != 1:
        raise ValueError(f"it must hold the marks of {name} once, {begin.strip()} and {end}; put them back")
    return document.replace(found[0], f"{begin}{table}\n{end}")


# --- from the code --------------------------------------------------------------------------------------------------
def options_source() -> str:
    """The text of the modules that hold the options."""
    return "\n".join((paths.ROOT / "vg_core" / "config" / name).read_text() for name in ("__init__.py", "tasks.py"))


def options_table(source: str) -> str:
    """Markdown of all options by topic, read from the text of ``options_source``: a field's comment says what it is."""
    read = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {token.start[0]: token.string.lstrip("# ") for token in read if token.type == tokenize.COMMENT}
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    topics = {line: text.strip("- ") for line, text in comments.items() if text.startswith("--- ")}
    lines = ["| option | default | what it is |", "|---|---|---|"]
    for name in ("Config", "TupleOptions", "ClassOptions", "GroupOptions", "PlaceOptions", "PairOptions"):
        kind = classes[name]
        if name != "Config":
            about = ast.get_docstring(kind).splitlines()[0]
            topics[kind.lineno] = about.removeprefix("Options of ").rstrip(".")
        fields = {node.lineno: node for node in kind.body if isinstance(node, ast.AnnAssign)}
        for line in range(kind.lineno, kind.end_lineno):
            if line in topics:
                lines.append(f"| **{topics[line]}** | | |")
            elif line in fields and fields[line].target.id != "task":  # its own options follow
                lines.append(_option(source, fields[line], comments.get(line, "")))
    return "\n".join(lines)


def _option(source: str, field: ast.AnnAssign, comment: str) -> str:
    """The line of one option: a ``Literal`` lists its choices before what the comment says."""
    kind = field.annotation
    choices = ast.literal_eval(kind.slice) if isinstance(kind, ast.Subscript) and kind.value.id == "Literal" else ()
    said = "; ".join(filter(None, [", ".join(f"`{choice}`" for choice in choices), comment.replace("|", r"\|")]))
    return f"| `{field.target.id}` | `{ast.get_source_segment(source, field.value)}` | {said} |"


def speed_lines(benchmarks: str) -> str:
    """The head of the benchmarks' table and its lines of ``STAGES``; ValueError where one is missing."""
    table = re.findall(r"^\|.*\|$", benchmarks, flags=re.MULTILINE)
    lines = [line for stage in STAGES for line in table if line.startswith(f"| {stage} |")]
    if len(lines) < len(STAGES):
        raise ValueError(f"benchmarks/README.md has no line for one of: {'; '.join(STAGES)}")
    return "\n".join([*table[:2], *lines])


def notebooks_table(seconds: dict[str, float]) -> str:
    """Markdown, a line for each notebook: its question, the target that runs it, the minutes that it took."""
    makefile = (paths.ROOT / "Makefile").read_text()
    lists = {
        target: re.search(rf"^{name} = (.*)$", makefile, flags=re.MULTILINE)[1] for name, target in TARGETS.items()
    }
    lines = ["| notebook | question | `make` | minutes |", "|---|---|---|---|"]
    for notebook in sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        name = notebook.stem
        title = "".join(json.loads(notebook.read_text())["cells"][0]["source"]).splitlines()[0].partition("· ")[2]
        target = next(target for target, numbers in lists.items() if name[:2] in numbers.split())
        took = f"{seconds[name] / 60:.1f}" if name in seconds else "–"
        lines.append(f"| `{name}` | {title} | `{target}` | {took} |")
    return "\n".join(lines)


def minutes() -> dict[str, float]:
    """Seconds that each notebook took, as far as that is known."""
    return json.loads(MINUTES.read_text()) if MINUTES.exists() else {}


# --- from results ---------------------------------------------------------------------------------------------------
def copy_minutes() -> None:
    """Keep what notebooks took here, if that is known, for the table and for whoever waits for them elsewhere."""
    here = paths.executed_folder("smoke") / MINUTES.name
    if here.exists():
        with replacing(MINUTES) as unfinished:
            unfinished.write_text(json.dumps(minutes() | json.loads(here.read_text()), indent=1, sort_keys=True) + "\n")


def recalls_table(assets: Path) -> str:
    """Markdown of the recalls of the baselines, untrained networks too, with intervals; what became of predictions."""
    table = own_files.read(assets / "10_baseline" / "recall.csv", "run 10_baseline again")
    lines = ["| network | " + " | ".join(f"recall@{n} (%)" for n in RECALLS) + " |", "|---" * (1 + len(RECALLS)) + "|"]
    for name, rows in table.groupby("variant", sort=False):
        cells = [f"{row.recall:.1f} [{row.low:.1f}, {row.high:.1f}]" for row in rows.itertuples() if row.n in RECALLS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    first, summary = table.iloc[0], assets / "90_summary" / "predictions.csv"
    said = f"{first.queries} queries, {first.seeds} seeds; intervals over {int(first.units)} {first.unit}."
    if summary.exists():
        verdicts = own_files.read(summary, "run 90_summary again").verdict.value_counts().sort_index()
        told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items())
        said += f" Of {verdicts.sum()} predictions in the notebooks that were run: {told}."
    return "\n".join([*lines, "", said])


def copy_pictures(assets: Path, folder: Path) -> None:
    """Write small copies of the figures in ``PICTURES``; ValueError where they show other than the rendered city."""
    for target, source in PICTURES.items():
        remedy = f"run {Path(source).parent} again"
        datasets = own_files.read((assets / source).with_name("origin.json"), remedy)["datasets"]
        if [*datasets] != [CITY]:
            raise ValueError(f"{source} shows {', '.join(datasets)}: only pictures of {CITY} may be published")
        own_files.require(assets / source, remedy)
        with replacing(folder / target) as unfinished:
            unfinished.write_bytes(_drawing(assets / source) if source.endswith(".svg") else _small(assets / source))


def _small(photographs: Path) -> bytes:
    """A JPEG of fewer pixels."""
    file = io.BytesIO()
    with Image.open(photographs) as picture:
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(file, format="JPEG", quality=QUALITY, optimize=True)
    return file.getvalue()


def _drawing(svg: Path) -> bytes:
    """A PNG of an SVG, on white whatever the page that shows it."""
    page = '#set page(width: auto, height: auto, margin: 4pt)\n#image(bytes(sys.inputs.svg), format: "svg")'
    png = typst.compile(page.encode(), format="png", ppi=PPI, sys_inputs={"svg": svg.read_text()})
    file = io.BytesIO()
    drawn = Image.open(io.BytesIO(png)).convert("RGB").quantize(SHADES, dither=Image.Dither.NONE)
    drawn.save(file, format="PNG", optimize=True)
    return file.getvalue()


if __name__ == "__main__":
    sys.exit(main())
