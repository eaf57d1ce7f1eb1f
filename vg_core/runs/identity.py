"""Names of runs: a hash of everything that the numbers of a training, or of a test, follow from."""

import ast
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from vg_core.config import TESTING, Config
from vg_core.datasets.places import PlaceSet
from vg_core.models.backbones import STREETS
from vg_core.system import own_files
from vg_core.system.text import printable

TRAINER = ("training.trainer",)  # with all that it imports, it makes the weights
# and these make the results of a test
TESTER = ("retrieval.ranking", "retrieval.strategies", "retrieval.whitened", "augmentation.restyle")
# options count by their values; files, devices and processes carry numbers, and figures show them
NO_NUMBERS = ("config", "system", "figures", "report")
DEFAULTS = 1  # raised when the default of an option changes: names leave out what is at its default
PACKAGE = Path(__file__).parents[1]


def weights_id(config: Config, train: PlaceSet, val: PlaceSet) -> str:
    """Readable name of a training, and a hash of its options that differ from their defaults, of its photographs and of
    the modules that the trainer imports.
    """
    facts = {name: value for name, value in config.changed().items() if name not in (*TESTING, "profile")}
    weights = STREETS if config.weights == "streets" else Path(os.path.expanduser(config.weights))
    if weights.is_file():
        facts["weights"] = own_files.digest(weights)
    short = _hash([DEFAULTS, facts, train.fingerprint, val.fingerprint, code_digest(TRAINER)])
    dataset = printable(Path(config.dataset).name)
    return "-".join([dataset, *config.architecture, config.task.loss, f"seed{config.seed}", short])


def test_id(config: Config) -> str:
    """Readable name of a test among those of one trained model, and a hash of its options that differ from their
    defaults and of the modules that test. Which photographs it saw stands in its card.
    """
    same = {"test_dataset": config.tested_on, "test_image_size": config.tested_at}  # said, or left at its default
    facts = {name: value for name, value in (config.changed() | same).items() if name in TESTING}
    return f"{test_name(config)}-{_hash([DEFAULTS, facts, code_digest(TESTER)])[:6]}"


def test_name(config: Config) -> str:
    """Readable part of a test's name: dataset, other queries, size, how queries are shown, whitening."""
    height, width = config.tested_at
    queries = "" if config.test_queries == "queries" else f"-{printable(config.test_queries)}"
    whitened = f"-whitened{config.whitened_dim}" if config.whitened_dim else ""
    return f"{printable(Path(config.tested_on).name)}{queries}-{height}x{width}-{config.test_method}{whitened}"


@cache
def code_digest(roots: Sequence[str], package: Path = PACKAGE) -> str:
    """Hash of the syntax trees of some modules and of all of ours that they import, one through the other.

    Comments, docstrings, the words of errors and of what is printed make no number and do not count.
    """
    digest = hashlib.sha256()
    for file in sorted(_reached(roots, package)):
        digest.update(f"{file.relative_to(package).as_posix()}: {_written(file)}\n".encode())
    return digest.hexdigest()[:12]


def _reached(roots: Sequence[str], package: Path) -> set[Path]:
    """Files of the modules and of all that they import, but for NO_NUMBERS."""
    found, waiting = set(), [package.joinpath(*root.split(".")) for root in roots]
    while waiting:
        place = waiting.pop()
        file = next((one for one in (place.with_suffix(".py"), place / "__init__.py") if one.is_file()), None)
        if file and file not in found and file.relative_to(package).with_suffix("").parts[0] not in NO_NUMBERS:
            found.add(file)
            waiting += [package.joinpath(*name.split(".")) for name in imports(_tree(file))]
    return found


def imports(tree: ast.Module) -> Iterator[str]:
    """Dotted names below this package that a module imports, inside of functions, too: of modules, or of what is taken
    from them.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        yield from (name.removeprefix("vg_core.") for name in names if name.startswith("vg_core."))


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


@cache
def _written(file: Path) -> str:
    return repr(_canonical(_tree(file)))


def _canonical(part: object) -> object:
    """A syntax tree as nested lists, the same in every version of Python: fields without a value are left out."""
    if isinstance(part, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(part) is not None:
        return _canonical(type(part)(**{**dict(ast.iter_fields(part)), "body": part.body[1:]}))
    if isinstance(part, ast.Raise) or (isinstance(part, ast.Call) and getattr(part.func, "id", "") == "print"):
        return type(part).__name__
    if isinstance(part, ast.AST):
        named = [[name, _canonical(value)] for name, value in ast.iter_fields(part) if value not in (None, [])]
        return [type(part).__name__, *named]
    return [_canonical(inner) for inner in part] if isinstance(part, list) else repr(part)


def _hash(facts: object) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
