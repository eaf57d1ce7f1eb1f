"""Datasets that were generated: what is in their photographs is known, and drawn by scripts when it is asked for."""

from pathlib import Path

from vg_core.system.scripts import run_script

RECIPE = "toy_city.json"  # in the folder of a city that was generated


def drawn(photograph: str | Path, place: str, script: str, *options: str) -> Path | None:
    """The file or folder ``place`` in the folder of the city that a photograph is of; None where it is of no generated
    one. A script of ``data_scripts`` draws it when it is not there yet; OSError when that fails.
    """
    split, root = Path(photograph).parents[1], Path(photograph).parents[3]  # <root>/images/<split>/<folder>/<name>
    if not (root / RECIPE).exists():
        return None
    if not (root / place).exists():
        run_script(script, "--city", root.name, "--split", split.name, *options)
    return root / place
