"""Names of runs: what changes the numbers of a training or of a test changes its name, and nothing else does."""

import shutil
from dataclasses import make_dataclass

import pytest

from tests.tiny import GROUPS, TINY
from vg_core import config as configuration
from vg_core.config import Config, GroupOptions
from vg_core.datasets.places import PlaceSet
from vg_core.runs import identity

DEFAULTS = {  # a name leaves out what is at its default: raise identity.DEFAULTS when one of these has to change
    1: """L=2 M=10.0 N=5 accumulate=1 alpha=30 augmentation='none' backbone='resnet18' cache_refresh_rate=1000
    classifiers_lr=0.01 clusters=64 compile=False dataset='pitts30k' epochs_num=50 fc_output_dim=0 freeze='layer2'
    groups_num=8 groups_order='sorted' image_size=(480, 640) images_per_row=12 infer_batch_size=16
    joint_normaliser='pairs' l2='both' layer='layer3' logit_margin=None logit_scale=None loss='triplet' lr=1e-05
    lr_halving_epochs=0 margin=0.1 margin_gradient='straight_through' min_images_per_class=10 mining='full'
    momentum=0.9 neg_samples_num=1000 negs_num_per_query=10 optimizer='adam' patience=3 pooling='gem' profile='full'
    queries_per_epoch=5000 seed=0 selected_by='recall_5' skip_unreadable=False test_dataset='' test_image_size=None
    test_method='hard_resize' test_queries='queries' train_batch_size=4 train_positives_dist_threshold=10.0
    train_positives_min_dist=0.0 val_positives_dist_threshold=25.0 val_queries=0 weight_decay=0.0 weights='imagenet'
    whitened_dim=0"""
}


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
    ("option", "value"),
    [
        ("M", 25.0),
        ("alpha", 180),
        ("groups_num", 1),
        ("groups_order", "legacy"),
        ("logit_margin", 0.3),
        ("loss", "softmax"),
    ],
)
def test_other_classes_are_another_training(names, option, value):
    assert names(GROUPS)[0] != names(GROUPS.replace(**{option: value}))[0]


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


def test_no_default_changes_unnoticed():
    values = vars(GroupOptions()) | Config().options()
    written = " ".join(f"{name}={value!r}" for name, value in sorted(values.items()))
    known = " ".join(DEFAULTS[identity.DEFAULTS].split())
    assert known.split() == [word for word in written.split() if word in known.split()]  # new options may be more


def test_what_is_said_may_also_be_left_out(names):
    said = TINY.replace(test_dataset=TINY.dataset, test_image_size=TINY.image_size)
    assert names(said) == names(TINY)


# --- code ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A copy of the package's source, and the digests of it."""
    ignored = shutil.ignore_patterns("__pycache__")
    copy = shutil.copytree(identity.PACKAGE, tmp_path_factory.mktemp("code") / "vg_core", ignore=ignored)
    return copy, digests(copy)


def digests(package) -> dict[str, str]:
    """Of what makes weights and of what tests."""
    for cached in (identity.code_digest, identity._tree, identity._written):
        cached.cache_clear()
    roots = {"weights": identity.TRAINER, "test": identity.TESTER}
    return {what: identity.code_digest(modules, package) for what, modules in roots.items()}


SHOWN = "losses/gradients figures/recalls evaluation/comparisons training/progress runs/experiments system/own_files"


@pytest.mark.parametrize(
    ("modules", "addition", "renamed"),
    [
        (SHOWN, "X = 1", ()),
        ("losses/tuples", "# why", ()),
        ("losses/tuples", "X = 1", ("weights",)),
        ("training/trainer", "X = 1", ("weights",)),
        ("mining/nearest", "X = 1", ("weights", "test")),
        ("models/precision", "X = 1", ("weights", "test")),
        ("retrieval/strategies", "X = 1", ("test",)),
    ],
)
def test_code_that_makes_numbers_names_what_it_makes(package, modules, addition, renamed):
    (copy, before), files = package, [package[0] / f"{module}.py" for module in modules.split()]
    texts = [file.read_text() for file in files]
    for file, text in zip(files, texts, strict=True):
        file.write_text(f"{text}\n{addition}\n")
    after = digests(copy)
    for file, text in zip(files, texts, strict=True):
        file.write_text(text)
    assert [what for what in before if before[what] != after[what]] == list(renamed)


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [("Old.", "New.", True), ("'why'", "'because'", True), ("'told'", "'said'", True), ("K = 1", "K = 2", False)],
)
def test_words_make_no_number(tmp_path, old, new, same):
    text = '"""Old."""\nK = 1\n\n\ndef f():\n    """Old."""\n    print(\'told\')\n    raise ValueError(\'why\')\n'
    found = []
    for name, source in (("one", text), ("other", text.replace(old, new))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "module.py").write_text(source)
        found.append(identity.code_digest(("module",), tmp_path / name))
    assert (found[0] == found[1]) == same
