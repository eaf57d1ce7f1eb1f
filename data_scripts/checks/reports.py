"""What was found: a table for people, JSON for programs, and a map of what is covered."""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from vg_core.system.files import replacing
from vg_core.system.text import count, printable

from .survey import SEVERITIES, Finding, Survey

COLOURS = {"error": "31", "warning": "33", "note": "36"}  # of terminals


def as_text(survey: Survey, findings: Sequence[Finding]) -> str:
    """The findings, serious ones first: severity, number of files, check; then what to do, and examples."""
    bright = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    wide, lines = max((len(one.name) for one in findings), default=0), [f"{survey.root}: {_sizes(survey)}"]
    for one in findings:
        head = f"{one.severity:8}"
        head = f"\x1b[{COLOURS[one.severity]}m{head}\x1b[0m" if bright else head
        lines.append(f"{head} {one.count:>7,}  {one.name:{wide}}  {printable(one.hint)}")
        lines += [f"{'':18}{printable(example)}" for example in one.examples]
    told = Counter(one.severity for one in findings)
    lines.append(", ".join(count(told[severity], severity) for severity in SEVERITIES))
    return "\n".join([printable(lines[0]), *lines[1:]])


def _sizes(survey: Survey) -> str:
    sizes = survey.table.groupby(["split", "role"], sort=False).size()
    told = [f"{' '.join(part).strip()} {size:,}" for part, size in sizes.items()]
    return ", ".join(told) or "no photographs"


def as_json(survey: Survey, findings: Sequence[Finding]) -> str:
    """The same for programs; ``status`` is the exit status."""
    facts = "name", "severity", "count", "examples", "hint"
    told = [{fact: getattr(one, fact) for fact in facts} for one in findings]
    whole = {"folder": str(survey.root), "photographs": len(survey.table), "status": status(findings), "findings": told}
    return json.dumps(whole, indent=1)


def status(findings: Sequence[Finding]) -> int:
    """1 if there is an error among the findings."""
    return int(any(one.severity == "error" for one in findings))


def write_map(survey: Survey, findings: Sequence[Finding], file: Path) -> None:
    """A page with a map of the splits, and a layer for each finding about photographs that have a place."""
    from vg_core.figures.interactive_maps import folium_map  # takes seconds

    table = survey.placed
    parts = {split or "photographs": rows for split, rows in table.groupby("split", sort=False)}
    for one in findings:
        if one.severity != "note" and len(rows := table.loc[table.index.intersection(one.rows)]):
            parts[f"{one.severity}: {one.name},"] = rows
    layers = {name: (rows[rows.role == "database"], rows[rows.role != "database"]) for name, rows in parts.items()}
    if table.empty:
        raise ValueError(f"{survey.root}: no photograph has a place, so there is no map")
    with replacing(file) as unfinished:
        folium_map(layers, by_name=True).save(str(unfinished))
