"""Six floors: a room uses rooms below its own, and of those beside it the ones named here. And no room is too large."""

import ast
from pathlib import Path

import pytest

from vg_core.runs.identity import imports
from vg_core.system import paths

PACKAGE = paths.ROOT / "vg_core"
FLOORS = (
    {"config", "system", "evaluation"},
    {"datasets", "augmentation", "models", "attention", "losses", "mining", "cross_view", "figures", "report"},
    {"retrieval"},
    {"training"},
    {"runs"},
    {"__main__", "__init__"},
)
BESIDE = {
    **{"config": {"system"}, "evaluation": {"system"}, "models": {"losses", "attention"}},
    **{"figures": {"datasets"}, "augmentation": {"datasets"}, "cross_view": {"datasets", "models"}},
}
BY_OPTIONS = {  # what loads photographs and what builds networks finds those of pairs here, when they are asked for
    "datasets/places.py": {"cross_view"},
    "models/network.py": {"cross_view"},
}
WINGS = (
    "retrieval/engines",
    "retrieval/published",
    "models/transformers",
)  # which are closed: nobody else needs to read them
FILES = {file: ast.parse(file.read_text()) for file in sorted(PACKAGE.rglob("*.py"))}


def room(file: Path) -> str:
    return file.relative_to(PACKAGE).with_suffix("").parts[0]


def wing(file: Path) -> str:
    folder = file.parent.relative_to(PACKAGE).as_posix()
    return folder if folder in WINGS else room(file)


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_imports_go_down(file):
    own, used = room(file), {name.split(".")[0] for name in imports(FILES[file])}
    allowed = {own} | BESIDE.get(own, set()) | BY_OPTIONS.get(file.relative_to(PACKAGE).as_posix(), set())
    assert {name for name in used - allowed if floor(name) >= floor(own)} == set()


def test_a_stranger_finds_every_room():
    assert sum(not entry.name.startswith("__pycache__") for entry in PACKAGE.iterdir()) <= 17
    lines = {file: len(file.read_text().splitlines()) for file in FILES}
    assert max(lines.values()) <= 250
    assert max(sum(count for file, count in lines.items() if wing(file) == name) for name in map(wing, FILES)) <= 2000
    functions = [node for tree in FILES.values() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    assert [one.name for one in functions if one.end_lineno - one.lineno >= 40] == []
