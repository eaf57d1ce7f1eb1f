"""One list of packages, one direction of imports, commands that exist, nothing of anybody's machine."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from vg_core.runs.record import NUMBER_MAKERS
from vg_core.system import paths

ROOT = paths.ROOT
PACKAGE = ROOT / "vg_core"
FLOORS = (  # a room may use the floors below its own
    {"registry", "bootstrap", "processes", "bounds", "errors", "files", "interrupts", "other_names", "text"},
    {"decoding", "own_files", "plots"},  # for the floor of datasets and figures
    {
        "config",
        "devices",
        "paths",
        "watch",
        "augmentation",
        "views",
        "lr_range",
        "mining",
        "losses",
        "evaluation",
        "statistics",
        "maps",
        "places.labels",
    },
    {"cache", "places", "models", "report", "chapters", "progress", "galleries", "rounds", "toy", "engines", "clock"},
    {"stem_cache"},
    {"descriptors"},
    {"retrieval", "records", "tasks", "heatmaps", "embedding"},
    {"learner", "strategies", "dimensions", "attribution", "locating"},
    {"training"},
    {"cost"},
    {"estimate"},
    {"runs", "probes", "protocols"},
    {"rates"},
    {"__main__"},
)
WITHOUT_TORCH = {
    "statistics",
    "bootstrap",
    "plots",
    "maps",
    "report",
    "chapters",
    "galleries",
    "embedding",
    "config",
    "paths",
    "files",
    "places.labels",
}
SCRIPTS_MAY_USE = {f"vg_core.{name}" for name in ("paths", "files", "interrupts", "own_files", "places.labels")}
SCRIPTS = ("data_scripts", "reports")
MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|root|work)/\w")


# --- packages -----------------------------------------------------------------------------------------------------
def test_conda_and_pip_install_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, listed = conda["dependencies"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert [python, pip] == [f"python{project['requires-python']}", "pip"]
    assert sorted(listed["pip"]) == sorted(["--editable .", *wanted])


# --- floors -------------------------------------------------------------------------------------------------------
def modules() -> dict[str, Path]:
    """Dotted name below vg_core -> file; a folder's __init__ goes by the folder's name."""
    files = sorted(file for file in PACKAGE.rglob("*.py") if file != PACKAGE / "__init__.py")
    parts = [file.relative_to(PACKAGE).with_suffix("").parts for file in files]
    return {".".join(part).removesuffix(".__init__"): file for part, file in zip(parts, files, strict=True)}


def imported(tree: ast.Module) -> set[str]:
    """Dotted names of modules of ours that a tree imports, functions included ('vg_core.' cut off)."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "vg_core" else {module}
    return {name.removeprefix("vg_core.") for name in found if name.startswith(("vg_core", "."))}


def room(module: str) -> str:
    """The room of a module: 'places.labels' has a floor of its own, else the first name counts."""
    return module if module == "places.labels" else module.split(".")[0]


def floor(module: str) -> int:
    found = [number for number, rooms in enumerate(FLOORS) if room(module) in rooms]
    assert found, f"vg_core.{module} has no floor: give it one in design and here"
    return found[0]


def upward(name: str, tree: ast.Module) -> list[str]:
    """Imports of one module that do not go down, nor stay in its room."""
    return [
        f"{name} imports {other}"
        for other in sorted(imported(tree))
        if other.startswith(".") or (room(other) != room(name) and floor(other) >= floor(name))
    ]


@pytest.mark.parametrize("name", modules())
def test_imports_go_down(name):
    assert upward(name, ast.parse(modules()[name].read_text())) == []


@pytest.mark.parametrize("name", modules())
def test_the_oldest_python_can_read_every_module(name):
    ast.parse(modules()[name].read_text(), feature_version=(3, 11))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("config", "from vg_core import paths"),
        ("mining", "from vg_core.config import Config"),
        ("report", "import vg_core.training.trainer"),
        ("models.pooling", "def f():\n    from vg_core.runs.experiments import run"),
        ("retrieval", "from . import training"),
    ],
)
def test_an_import_that_goes_up_is_found(name, source):
    assert len(upward(name, ast.parse(source))) == 1


@pytest.mark.parametrize("folder", SCRIPTS)
def test_scripts_use_little_of_the_package(folder):
    for file in (ROOT / folder).rglob("*.py"):
        strange = {f"vg_core.{name}" for name in imported(ast.parse(file.read_text())) if not name.startswith(".")}
        assert strange <= SCRIPTS_MAY_USE, (
            f"{file.relative_to(ROOT)} uses {', '.join(sorted(strange - SCRIPTS_MAY_USE))}"
        )


def test_what_makes_numbers_uses_no_module_that_may_change_unnoticed():
    makers = {name.removesuffix(".py") for name in NUMBER_MAKERS}
    used = {
        other.split(".")[0]
        for name, file in modules().items()
        if name.split(".")[0] in makers
        for other in imported(ast.parse(file.read_text()))
    }
    others = "bounds clock config files own_files paths progress records registry text watch"  # they keep and say
    assert used - makers <= set(others.split())


def test_tables_and_figures_do_without_torch():
    names = ", ".join(f"vg_core.{name}" for name in sorted(WITHOUT_TORCH & modules().keys()))
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_pdf_builds_without_torch():
    code = "import sys; sys.path.insert(0, 'reports'); import build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_importing_touches_no_folder(tmp_path):
    code = "import vg_core.runs.experiments, vg_core.report, vg_core.figures, vg_core.figures"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)  # conftest's folders, not yet made
    assert not (tmp_path / "cache").exists() and not (tmp_path / "data").exists()


# --- commands -----------------------------------------------------------------------------------------------------
def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def test_commands_of_the_readme_exist():
    text = (ROOT / "README.md").read_text()
    assert set(re.findall(r"\bmake ([a-z]+)\b(?= |`|$)", text, flags=re.MULTILINE)) <= targets()
    scripts = set(re.findall(r"\b((?:reports|data_scripts|benchmarks)/\w+\.py)", text))
    assert [script for script in sorted(scripts) if not (ROOT / script).exists()] == []


def test_make_lists_every_target_and_help_is_the_default():
    listed = subprocess.run(["make", "-C", ROOT], capture_output=True, text=True, check=True).stdout
    assert (
        set(re.findall(r"^make (\w+)", listed, flags=re.MULTILINE)) == targets() >= {"report", "test", "lab", "strip"}
    )


def test_the_ci_runs_the_test_command_of_the_readme():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert lines[0] == "#!/usr/bin/env bash" and "set -euo pipefail" in lines
    assert lines[-1] == "make test" and "make test" in (ROOT / "README.md").read_text()


# --- what is tracked ----------------------------------------------------------------------------------------------
def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.split("\0") if name]


def test_no_tracked_file_names_a_path_of_one_machine():
    own = {
        "tests/notebook_rules.py",
        "tests/test_notebooks.py",
        "tests/test_packaging.py",
    }  # they name what they refuse
    found = []
    for name in set(tracked()) - own:
        try:
            text = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture, or removed and not yet committed
        found += [f"{name}: {match[0]}" for match in MACHINE.finditer(text)]
    assert found == []


def test_what_can_be_made_again_is_not_tracked():
    made = re.compile(r"(^|/)(\.cache|\.venv|data|__pycache__)/|\.egg-info/|reports/draft\.pdf|\.pyc$|\.safetensors$")
    assert [name for name in tracked() if made.search(name)] == []


def test_make_knows_every_notebook_once():
    lists = re.findall(r"^(?:COURSEWORK|CONTRIBUTION) = (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    named = " ".join(lists).split()
    assert sorted(named) == sorted(file.stem[:2] for file in (ROOT / "notebooks").glob("*.ipynb"))
