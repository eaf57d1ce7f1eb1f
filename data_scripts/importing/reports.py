"""What became of the photographs: a line for each, counts in words, and a map."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from vg_core.datasets.splits import SPLITS
from vg_core.figures.interactive_maps import folium_map
from vg_core.system.text import count, printable, safe_cells

from .photographs import Photo

TABLE, TEXT, MAP = "import_report.csv", "import_report.txt", "import_map.html"
ROLES = ("database", "queries")
COLUMNS = ["photograph", "copy", "dropped", "position_from", "latitude", "longitude", "easting", "northing"]
COLUMNS += ["heading", "time", "remark"]


def write_reports(
    folder: Path, photos: Sequence[Photo], lost: Sequence[tuple[str, str]], remarks: Sequence[str]
) -> str:
    """Write the table, the text and the map of photographs and of the rows that name none; the text comes back."""
    table = pd.DataFrame([vars(photo) for photo in photos], dtype=object).rename(columns={"name": "photograph"})
    table = table.astype(dict.fromkeys(["easting", "northing", "latitude", "longitude"], float))
    rows = pd.concat([table, pd.DataFrame(lost, columns=["photograph", "dropped"], dtype=object)])
    safe_cells(rows[COLUMNS]).to_csv(folder / TABLE, index=False, lineterminator="\n")
    table = table.assign(kind=table.dropped.str.partition(":")[0])
    text = "\n".join(map(printable, [*_counts(folder.name, table), *remarks])) + "\n"
    (folder / TEXT).write_text(text, "utf-8")
    (folder / MAP).write_text(_map(table[table.easting.notna()]), "utf-8")
    return text


def _counts(name: str, table: pd.DataFrame) -> list[str]:
    kept = table[table.kind == ""]
    lines = [f"{name}: {len(kept):,} of {count(len(table), 'photograph')} kept"]
    for split, part in kept.groupby("split", sort=False):
        lines.append(f"  {split}: " + ", ".join(f"{(part.role == role).sum():,} {role}" for role in ROLES))
    lines += [f"  dropped, {kind}: {number:,}" for kind, number in table.kind[table.kind != ""].value_counts().items()]
    origins = ", ".join(f"{number:,} from {origin}" for origin, number in kept.position_from.value_counts().items())
    return [*lines, f"positions: {origins}"]


def _map(table: pd.DataFrame) -> str:
    """A page with a colour for each split and for each reason to drop."""
    kept = table[table.kind == ""]
    layers = {split: tuple(kept[(kept.split == split) & (kept.role == role)] for role in ROLES) for split in SPLITS}
    for kind, part in table[table.kind != ""].groupby("kind"):
        layers[f"dropped ({kind}), not in"] = part, table.head(0)
    chart = folium_map({name: pair for name, pair in layers.items() if len(pair[0]) + len(pair[1])}, by_name=True)
    page = chart.get_root()
    return page.render().replace(chart._id, "1").replace(page._id, "2")  # the same photographs give the same bytes
