"""One list of packages, imports that stay light, nothing of anybody's machine in what is tracked."""

import ast
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from vg_core.runs.identity import imports
from vg_core.system import paths

ROOT = paths.ROOT
PACKAGE = ROOT / "vg_core"
WITHOUT_TORCH = ["vg_core", "vg_core.config", "vg_core.report", "vg_core.datasets.labels", "vg_core.datasets.images"]
SCRIPTS = ("data_scripts", "reports")
SCRIPTS_MAY_USE = {"vg_core.system", "vg_core.datasets", "vg_core.evaluation"}
SCRIPTS_MAY_USE |= {"vg_core.figures", "vg_core.retrieval.published"}
MACHINE = re.compile(r"(?<![\w.])/(?:home|Users|root|work|mnt|media|srv)/\w|(?<!\w)[A-Z]:\\{1,2}Users")


# --- packages -----------------------------------------------------------------------------------------------------
def test_conda_and_pip_install_the_same():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, listed = conda["dependencies"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    assert [python, pip] == [f"python{project['requires-python']}", "pip"]
    assert sorted(listed["pip"]) == sorted(["--editable .", *wanted])


# --- imports ------------------------------------------------------------------------------------------------------
def test_the_oldest_python_can_read_every_module():
    for file in PACKAGE.rglob("*.py"):
        ast.parse(file.read_text(), feature_version=(3, 11))


@pytest.mark.parametrize("folder", SCRIPTS)
def test_scripts_use_little_of_the_package(folder):
    for file in (ROOT / folder).rglob("*.py"):
        used = {f"vg_core.{name}" for name in imports(ast.parse(file.read_text()))}
        strange = {name for name in used if not name.startswith(tuple(SCRIPTS_MAY_USE))}
        assert not strange, f"{file.relative_to(ROOT)} uses {', '.join(sorted(strange))}"


def test_tables_and_figures_do_without_torch():
    files = [file for room in ("evaluation", "figures") for file in (PACKAGE / room).glob("[!_]*.py")]
    names = ", ".join([*WITHOUT_TORCH, *(f"vg_core.{file.parent.name}.{file.stem}" for file in files)])
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_pdf_builds_without_torch():
    code = "import sys; sys.path.insert(0, 'reports'); import build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_importing_touches_no_folder(tmp_path):
    code = "import vg_core.runs.experiments, vg_core.report, vg_core.figures"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)  # conftest's folders, not yet made
    assert not (tmp_path / "cache").exists() and not (tmp_path / "data").exists()


# --- what is tracked ----------------------------------------------------------------------------------------------
def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [name for name in done.stdout.split("\0") if name]


def test_no_tracked_file_names_a_path_of_one_machine():
    found = []
    for name in set(tracked()) - {"tests/test_packaging.py"}:  # it names what it refuses
        try:
            text = (ROOT / name).read_text()
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture, or removed and not yet committed
        found += [f"{name}: {match[0]}" for match in MACHINE.finditer(text)]
    assert found == []


def test_what_can_be_made_again_is_not_tracked():
    made = r"(^|/)(\.cache|\.venv|data|__pycache__)/|\.egg-info/|reports/draft\.pdf|\.pyc$"
    made = re.compile(rf"{made}|(?<!models/streets)\.safetensors$")
    assert [name for name in tracked() if made.search(name)] == []


def test_make_knows_every_notebook_once():
    lists = re.findall(
        r"^(?:COURSEWORK|CONTRIBUTION|SYSTEMS) = (.+)$", (ROOT / "Makefile").read_text(), flags=re.MULTILINE
    )
    named = " ".join(lists).split()
    assert sorted(named) == sorted(file.stem[:2] for file in (ROOT / "notebooks").glob("*.ipynb"))
