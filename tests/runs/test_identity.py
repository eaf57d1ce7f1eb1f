"""Names of runs: what changes the numbers of a training or of a test changes its name, and nothing else does."""

import shutil
from dataclasses import make_dataclass

import pytest

from tests.tiny import TINY
from vg_core import config as configuration
from vg_core.config import Config
from vg_core.datasets.places import PlaceSet
from vg_core.runs import identity

DEFAULTS = 1, "8a"  # raise the first, a part of every name, when the default of an option changes


@pytest.fixture
def names(street):
    """Function from a configuration to the names of its training and of its test."""
    train, val = (PlaceSet.load("street", split) for split in ("train", "val"))
    return lambda config: (identity.weights_id(config, train, val), identity.test_id(config))


@pytest.mark.parametrize(("option", "value"), [("lr", 2e-3), ("seed", 1), ("margin", 0.2), ("epochs_num", 3)])
def test_another_training_has_another_name_and_the_same_test(names, option, value):
    (weights, test), (changed, same) = names(TINY), names(TINY.replace(**{option: value}))
    assert changed != weights and same == test


@pytest.mark.parametrize(
    ("option", "value"), [("test_method", "five_crops"), ("whitened_dim", 8), ("test_queries", "n")]
)
def test_another_test_renames_no_training(names, option, value):
    (weights, test), (same, changed) = names(TINY), names(TINY.replace(**{option: value}))
    assert same == weights and changed != test


def test_a_new_option_with_a_default_changes_no_name(names, monkeypatch):
    before = names(TINY)
    newer = make_dataclass("Newer", [("novelty", int, 0)], bases=(Config,), frozen=True)
    with_it = newer(**{name: getattr(TINY, name) for name in (*configuration.names(Config), "task")})
    monkeypatch.setattr(configuration, "Config", newer)
    assert "novelty" in with_it.options() and names(with_it) == before
    assert names(with_it.replace(novelty=1)) != before


def test_where_results_go_is_no_part_of_a_name(names):
    assert names(TINY.replace(profile="full")) == names(TINY)


# --- code ---------------------------------------------------------------------------------------------------------
@pytest.fixture
def package(tmp_path):
    """A copy of the package's source."""
    return shutil.copytree(identity.PACKAGE, tmp_path / "vg_core", ignore=shutil.ignore_patterns("__pycache__"))


def digests(package):
    """Digests of what trains and of what tests, of a copy of the package."""
    identity.code_digest.cache_clear()
    identity._tree.cache_clear()
    return tuple(identity.code_digest(roots, package) for roots in (identity.TRAINER, identity.TESTER))


def changed(package, module, old, new) -> list[str]:
    """Which of the two digests change with a module's text."""
    before, file = digests(package), package / module
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return [
        name for name, one, other in zip(("weights", "test"), before, digests(package), strict=True) if one != other
    ]
