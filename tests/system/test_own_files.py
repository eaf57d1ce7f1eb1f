"""Every file that the project writes, under every fault of the disk; every own file that it reads, in every damage.

Both tables are complete: the sources are searched for places that write or read, and a place without its row fails.
"""

import ast
import os
import re
import shutil
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pytest
import torch

from data_scripts.checks.examination import examine
from data_scripts.checks.reports import write_map
from data_scripts.city import dataset as city
from data_scripts.city import sight
from tests.conftest import make_street
from tests.own import DAMAGES, cut, empty, full_disk, killed, one_bit
from tests.tiny import TINY
from vg_core import __main__ as command_line
from vg_core import report
from vg_core.datasets import contents, label_tables
from vg_core.datasets.folders import read_folder
from vg_core.datasets.photographs import Photographs
from vg_core.models import load_model, save_model
from vg_core.models.checkpoint import whitened_file
from vg_core.models.released import fetched
from vg_core.retrieval.descriptor_store import DescriptorStore
from vg_core.retrieval.locating import locate
from vg_core.retrieval.whitened import whiten
from vg_core.runs import ensembles, experiments, label_audit, making, probes, soups
from vg_core.runs.record import Job, restore_best
from vg_core.system import downloads, files, own_files, paths
from vg_core.system.own_files import Damaged
from vg_core.training import estimate, taken
from vg_core.training.trainer import Trainer

sys.path.insert(0, str(paths.REPORTS))
import build
import stamps

TABLE = pd.DataFrame({"variant": ["GeM", "NetVLAD"], "recall": [0.25, 1.0]})
VALUES = {
    ".json": {"a": [1, 2.5, "ü"]},
    ".csv": TABLE,
    ".parquet": TABLE,
    ".feather": TABLE,
    ".npy": np.arange(200.0).reshape(20, 10),
    ".pt": {"model": {"weight": torch.arange(300.0)}, "history": [{"epoch": 1, "loss": 0.5}], "best": torch.zeros(0)},
    ".safetensors": b"header and tensors" * 20,
}


# --- formats -------------------------------------------------------------------------------------------------------
def same(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, pd.DataFrame):
        return a.equals(b)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else np.array_equal(a, b)


@pytest.mark.parametrize("suffix", own_files.FORMATS)
def test_what_was_written_is_read(tmp_path, suffix):
    file = tmp_path / "new folder" / f"@table é\udcff{suffix}"  # names need not be UTF-8
    own_files.write(file, VALUES[suffix])
    assert same(own_files.read(file), VALUES[suffix])
    own_files.write(file, VALUES[suffix])
    assert same(own_files.read(file), VALUES[suffix]) and len(list(file.parent.iterdir())) == 2


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", own_files.FORMATS)
def test_nothing_else_is_read(tmp_path, suffix, damage):
    file = tmp_path / f"table{suffix}"
    own_files.write(file, VALUES[suffix])
    damage(file)
    assert not own_files.is_intact(file)
    with pytest.raises(Damaged, match=rf"table\{suffix} is (damaged|missing).*; delete {tmp_path} and run again"):
        own_files.read(file)


def test_a_whole_file_of_another_shape_is_not_read(tmp_path):
    own_files.write(tmp_path / "ranks.parquet", TABLE)
    TABLE[:1].to_parquet(tmp_path / "ranks.parquet")
    with pytest.raises(Damaged, match="does not hold what was written"):
        own_files.read(tmp_path / "ranks.parquet")


def test_sums_are_those_of_sha256sum_and_survive_a_line_that_was_cut(tmp_path):
    own_files.write(tmp_path / "a.json", [1])
    sums = tmp_path / own_files.SUMS
    assert sums.read_text() == f"{own_files.digest(tmp_path / 'a.json')}  a.json\n"
    sums.write_text(sums.read_text() + "0123456789abcdef")  # a kill in the middle of a line
    own_files.write(tmp_path / "b.json", [2])
    assert own_files.read(tmp_path / "a.json") == [1] and own_files.read(tmp_path / "b.json") == [2]


def test_an_empty_table_is_a_table(tmp_path):
    own_files.write(tmp_path / "history.csv", pd.DataFrame())
    assert own_files.read(tmp_path / "history.csv").empty


@pytest.mark.parametrize("place", ["/dev/null", "folder", "pipe"])
def test_only_ordinary_files_are_replaced(tmp_path, monkeypatch, place):
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    with pytest.raises(OSError, match=f"{place} is no ordinary file"), files.replacing(place):
        pytest.fail("opened")


def test_what_a_link_leads_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "there" / "table.csv")
    own_files.write(tmp_path / "there" / "table.csv", TABLE)
    with files.replacing(tmp_path / "link.csv") as file:
        file.write_text("new")
    assert (tmp_path / "link.csv").is_symlink() and (tmp_path / "there" / "table.csv").read_text() == "new"


# --- a finished run, once for all ------------------------------------------------------------------------------------
SHORT = TINY.replace(epochs_num=1, queries_per_epoch=8, whitened_dim=4)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """Data and cache of a finished run."""
    root = tmp_path_factory.mktemp("shelf")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VG_DATA", str(root / "data"))
        patch.setenv("VG_CACHE", str(root / "cache"))
        make_street(root / "data" / "street")
        experiments.run(SHORT)
    return root


@pytest.fixture
def world(shelf, tmp_path, monkeypatch, capsys):  # with capsys nothing that is printed goes to a file
    """A copy of it, and paths in it."""
    shutil.copytree(shelf / "cache", tmp_path / "cache")
    monkeypatch.setenv("VG_DATA", str(shelf / "data"))
    monkeypatch.setattr(contents, "YOUNG", 0)
    job = Job.open(SHORT)
    return SimpleNamespace(
        job=job, name=job.id, tables=job.tables, tested=job.test_tables, checkpoints=job.checkpoints,
        best=job.best, places=job.val, out=tmp_path / "out", patch=monkeypatch, capsys=capsys,
    )  # fmt: skip


def photo(world) -> str:
    return world.places.queries.path[0]


def database(world) -> str:
    return os.path.dirname(world.places.database.path[0])


def trainer(world) -> Trainer:
    made = Trainer(SHORT.training(), world.checkpoints, world.job.train, world.places)
    made.resume()
    made.progress = SimpleNamespace(epoch=lambda *_: None)
    return made


# --- writers: place in the sources -> a function that writes there and says what it writes --------------------------
def by_command(*words):
    """A command of the command line that ends well or raises the sentence that it prints."""

    def write(world):
        text = [str(word(world) if callable(word) else word) for word in words]
        if command_line.main(text):
            raise OSError(world.capsys.readouterr().err)
        return world.out / text[-1]

    return write


def validate(world):
    made = trainer(world)
    made.state.best = -1.0
    made.validate()
    return world.best


def restore(world):
    world.best.unlink(missing_ok=True)
    restore_best(world.checkpoints)
    return world.best


def lay_range(world):
    world.patch.setattr(probes, "_range_curve", lambda *_: TABLE)
    file = paths.cache_root() / "ranges" / f"{world.name}-1e-06-1-60.csv"
    file.unlink(missing_ok=True)
    probes.learning_rate_range(SHORT)
    return file


def whiten_again(world):
    file = whitened_file(world.best)
    file.unlink(missing_ok=True)
    whiten(world.best)
    return file


def after(work, file):
    """A writer that does some work and writes the file that a function of the world names."""

    def write(world):
        work(world)
        return file(world)

    return write


def soup_again(world):
    world.patch.setattr(soups, "_tested", lambda *_: experiments.run(SHORT).ranks)
    folder = paths.runs_folder(SHORT.profile) / "soups"
    for file in folder.glob("*"):
        file.unlink()
    soups.soup_ranks({"one": [SHORT]})
    return next(folder.glob("*.parquet"))


def ensemble_again(world):
    folder = paths.runs_folder(SHORT.profile) / "ensembles"
    for file in folder.glob("*"):
        file.unlink()
    ensembles.ensemble_ranks({"one": [SHORT]}, weights="equal")
    return next(folder.glob("*.parquet"))


def fetch_again(world):
    world.patch.setattr(torch.hub, "get_dir", lambda: str(world.out))
    world.patch.setattr(downloads, "_opened", lambda url, _headers: urlopen(url))  # addresses of files are refused
    file = world.out / "checkpoints" / world.best.name
    file.unlink(missing_ok=True)
    return fetched(world.best.as_uri(), "a model", "do without")


def export(world):
    page = report.Page("20_optimizer", "smoke")
    page.table("gains", TABLE)
    page.close({})
    return paths.assets_folder("smoke") / "20_optimizer" / "gains.csv"


def decode(world):
    for file in paths.pixels_folder().iterdir():
        file.unlink()
    Photographs(world.places.queries.path, (24, 32), mapped=True)
    return next(paths.pixels_folder().iterdir())


def build_pdf(world):
    world.patch.setattr(build, "find_results", lambda *_: {})
    world.patch.setattr(build, "compile_paper", lambda *_: b"%PDF of a page")
    world.patch.setattr(paths, "REPORTS", world.out)
    return build.build("smoke")


def execute(world):
    world.patch.setattr(stamps, "sources", lambda *_: "sources")
    world.patch.setattr(stamps, "files", lambda *_: "files")
    copy = world.out / "10_baseline.ipynb"
    if not copy.exists():
        copy.write_text('{"cells": [], "metadata": {}}')
    stamps.mark(Path("10_baseline.ipynb"), {}, copy, "sources")
    return copy


def store(world):
    DescriptorStore.write(world.out / "store.npy", [np.eye(8)], (8, 8))
    return world.out / "store.npy"


def locate_kept(world):
    shutil.rmtree(paths.cache_root() / "descriptors", ignore_errors=True)
    locate(photo(world), world.best, database(world), 1)
    return next((paths.cache_root() / "descriptors").glob("*.npy"))


def digest_anew(world):
    shutil.rmtree(paths.cache_root() / "contents", ignore_errors=True)
    contents.digests(world.places.queries.path)
    return next((paths.cache_root() / "contents").glob("*.parquet"))


def read_names(world):
    world.patch.setattr(label_tables, "LARGE", 0)
    shutil.rmtree(paths.cache_root() / "labels", ignore_errors=True)
    read_folder(database(world))
    return next((paths.cache_root() / "labels").glob("*.feather"))


def draw_city(world):
    def draw(plan, folder, _workers):
        folder.joinpath("images").mkdir(parents=True)

    world.patch.setattr(city, "_draw", draw)
    world.patch.setenv("VG_DATA", str(world.out))
    return city.build_city("toycity", force=True) / city.RECIPE


def see_walls(world):
    plan = SimpleNamespace(size=SimpleNamespace(wall_resolution=1, ground_resolution=1))
    shot = SimpleNamespace(camera=None, kind="queries", name="a.jpg")
    made = {"plan_of": plan, "district_of": [None], "Scene": None, "shots_of": [shot], "walls_seen": TABLE}
    for name, value in made.items():
        world.patch.setattr(sight, name, lambda *_, value=value: value)
    world.patch.setenv("VG_DATA", str(world.out))
    return sight.write_walls("toycity", "train")


def audit(world):
    found = experiments.run(SHORT)
    for file in found.checkpoint.parent.glob("*-matches-*.parquet"):
        file.unlink()
    label_audit.label_audit(found, shown=2)
    return next(found.checkpoint.parent.glob("*-matches-*.parquet"))


def benchmark(world):
    for number in (100000, 100001, 100100, 100101):
        Path(world.out / "jpg").mkdir(exist_ok=True)
        os.path.lexists(file := world.out / "jpg" / f"{number}.jpg") or file.symlink_to(photo(world))
    return world.out


def foresee(world):
    sets = world.job.train, world.job.val, world.job.test
    estimate.expected(SHORT, sets).save(world.tables, "any")


MODEL = ("--model", lambda world: world.best)
WRITERS = {
    "vg_core.system.own_files:write": after(
        lambda world: own_files.write(world.out / "table.parquet", TABLE), lambda world: world.out / "table.parquet"
    ),
    "vg_core.runs.making:_train": after(
        lambda world: making._train(world.job, None), lambda w: w.tables / "history.csv"
    ),
    "vg_core.runs.making:_test": after(lambda world: making._test(world.job), lambda world: world.job.retrieved),
    "vg_core.training.estimate:save": after(foresee, lambda world: world.tables / taken.FILE),
    "vg_core.training.taken:_set_beside": after(
        lambda world: taken.after_test(world.tables, "any", 60.0, []), lambda world: world.tables / taken.FILE
    ),
    "vg_core.training.state:save": after(
        lambda world: trainer(world).save(), lambda world: world.checkpoints / "state.pt"
    ),
    "vg_core.training.trainer:validate": validate,
    "vg_core.runs.record:restore_best": restore,
    "vg_core.retrieval.whitened:whiten": whiten_again,
    "vg_core.runs.probes:learning_rate_range": lay_range,
    "vg_core.retrieval.locating:_described": locate_kept,
    "vg_core.datasets.contents:digests": digest_anew,
    "vg_core.datasets.label_tables:kept": read_names,
    "vg_core.datasets.photographs:_decode_into": decode,
    "vg_core.models.checkpoint:save_model": after(
        lambda world: save_model(load_model(world.best), world.out / "mine.safetensors"),
        lambda world: world.out / "mine.safetensors",
    ),
    "vg_core.models.released:fetched": fetch_again,
    "vg_core.runs.record:tested_together": ensemble_again,
    "vg_core.runs.label_audit:label_audit": audit,
    "vg_core.retrieval.descriptor_store:write": store,
    "vg_core.system.own_files:write_folder": export,
    "reports.build:build": build_pdf,
    "reports.stamps:mark": execute,
    "vg_core.__main__:Test": by_command("test", *MODEL, "--ranks", lambda world: world.out / "ranks.csv"),
    "vg_core.__main__:Describe": by_command(
        "describe", *MODEL, "--images", database, "--output", lambda world: world.out / "all.npz"
    ),
    "vg_core.__main__:Benchmark": by_command(
        "benchmark", "--name", "holidays", "--folder", benchmark, *MODEL, "--output", lambda world: world.out / "b.csv"
    ),
    "data_scripts.city.dataset:build_city": draw_city,
    "data_scripts.city.sight:write_walls": see_walls,
    "data_scripts.checks.reports:write_map": after(
        lambda world: write_map(*examine(database(world)), world.out / "faults.html"), lambda w: w.out / "faults.html"
    ),
    "vg_core.__main__:Locate": by_command(
        "locate", photo, *MODEL, "--database", database, "--map", lambda world: world.out / "map.html"
    ),
}
ELSEWHERE = {  # places that write and have no row, and why
    "vg_core.system.devices:forget_peak": "a switch of the kernel",
    **dict.fromkeys(("vg_core.report:_svg", "vg_core.report:_jpeg", "vg_core.figures.explorer:draw"), "into memory"),
    **dict.fromkeys(
        ("vg_core.figures.interactive_maps:_thumbnail", "vg_core.retrieval.engines.index:bytes_per_image"),
        "into memory",
    ),
    "vg_core.models.checkpoint:model_bytes": "into memory",
    "vg_core.system.downloads:download": "a part, which fetched and obtain rename when it is whole",
    **dict.fromkeys(
        (
            *(
                f"data_scripts.fetching.{place}"
                for place in ("archives:unpack", "archives:unpack_all", "archives:_merge")
            ),
            *(f"data_scripts.fetching.sets:{name}" for name in ("obtain", "_shrink")),
        ),
        "into a scratch folder, which is renamed when it is complete: see tests/fetching",
    ),
    **dict.fromkeys(
        (
            *(f"data_scripts.importing.copies:{name}" for name in ("_encode", "write_copy")),
            *("data_scripts.importing.reports:write_reports", "data_scripts.example_photos:_write"),
            "data_scripts.example_photos:fill",
        ),
        "into a scratch folder, which is renamed when it is complete: see tests/importing",
    ),
    "vg_core.system.own_files:": "formats, by write",
    "data_scripts.city.dataset:draw_shots": "into the folder of build_city, which is moved when it is complete",
    "data_scripts.city.masks:write_masks": "into a scratch folder, renamed when it is complete: see tests/city",
    "reports.lab:prepare": "copies of the sources, and by replacing: see test_lab",
    **dict.fromkeys(("reports.readme:_small", "reports.readme:_drawing"), "into memory"),
    **dict.fromkeys(
        ("reports.readme:main", "reports.readme:copy_minutes", "reports.readme:copy_pictures"),
        "by replacing, from sources that can be made again: see test_readme",
    ),
    "reports.execution:execute": "papermill writes; the copy is renamed: see test_runner",
    "reports.execution:keep_seconds": "only for estimates of time: without them each notebook counts alike",
    "vg_core.runs.experiments:_logged": "lines are added to a log, which nothing reads",
    "vg_core.training.trainer:save": "by State.save, which has a row",
    "vg_core.system.processes:joined": "/dev/null",
    "vg_core.runs.soups:_tested": "a folder in which save_model writes",
    "vg_core.retrieval.ranking:_table": "a folder in which DescriptorStore.write writes",
    "vg_core.retrieval.engines.scale:measure_engines": "a folder in which DescriptorStore.write writes",
    "vg_core.retrieval.engines.scale:compare_disk": "a folder in which DescriptorStore.write writes",
}


def writes(folder: str) -> set[str]:
    """Places below a folder of sources where a file is written, as ``module:function`` (of a command its class)."""
    found = set()
    for file in (paths.ROOT / folder).rglob("*.py"):
        module = ".".join(file.relative_to(paths.ROOT).with_suffix("").parts)
        for node in ast.walk(tree := ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and _writes(node):
                found.add(f"{module}:{_around(tree, node)}")
    return found


def _writes(call: ast.Call) -> bool:
    words = ast.unparse(call.func).split(".")
    texts = [a.value for a in [*call.args, *(k.value for k in call.keywords)] if isinstance(a, ast.Constant)]
    opens = words[-1] == "open" and any(
        re.fullmatch(r"[rwax]b?\+?|\+?[wax]b?", str(text)) and text[0] != "r" for text in texts
    )
    ways = "replacing write_text write_bytes mkdtemp scratch_folder savez savefig write_index open_memmap to_parquet"
    own = words[-1] in ways.split() or (words[-1] in ("save", "to_csv") and call.args)
    return opens or own or ast.unparse(call.func) in ("own_files.write", "own_files.read_or_make", "os.replace")


def _around(tree: ast.AST, wanted: ast.AST) -> str:
    """The function around a node, of a method that is called like a function its class."""
    around = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.ClassDef) and wanted in ast.walk(n)]
    names = [node.name for node in around if node.name != "__call__"]
    return names[-1] if names else ""


def test_every_place_that_writes_has_its_row():
    found = writes("vg_core") | writes("reports") | writes("data_scripts")
    assert found - WRITERS.keys() - ELSEWHERE.keys() == set(), "give it a row in WRITERS"
    assert WRITERS.keys() | ELSEWHERE.keys() <= found, "rows of places that write no more"


def tidy(file: Path) -> bool:
    return not [entry for entry in file.parent.iterdir() if files.OWNED.fullmatch(entry.name)]


@pytest.mark.parametrize("site", WRITERS)
def test_every_writer_under_every_fault_of_the_disk(world, site):
    """The old file stays whole and nothing half-written is left, or it goes with the next command; some writers remove
    what they replace first.
    """
    write = WRITERS[site]
    world.out.mkdir()
    file = write(world)
    content = file.read_bytes()

    def is_as_before() -> bool:
        return not file.exists() or file.read_bytes() == content

    with pytest.raises(OSError, match=r"could not be written \(.*\); (free some space|choose another)"), full_disk():
        write(world)
    assert is_as_before() and tidy(file)

    with world.patch.context() as patch:
        patch.setattr(files, "_owner", lambda: ".vg-" + 300 * "0")  # no file system takes such a name
        with pytest.raises(OSError, match=r"could not be written \(.*\); choose another place or check"):
            write(world)
    assert is_as_before() and tidy(file)

    for moment in ("fsync", "rename")[site != "vg_core.system.own_files:write" :]:  # before and after its digest
        assert killed(lambda: write(world), partial(die_at, moment, world.patch))
        assert is_as_before()
    assert write(world).exists() and tidy(file)


def die_at(moment: str, patch, die) -> None:
    """Let a process die when it first syncs, or renames, a file."""
    patch.setattr(os, "fsync", die if moment == "fsync" else os.fsync)
    for owner, rename in ((Path, "replace"), (Path, "rename"), (os, "replace")):
        patch.setattr(owner, rename, die)


# --- readers: own file -> where it is, what reads it, and whether it is then made again ------------------------------
def run_again(world):
    """Ranks of the run, which is not trained for it."""
    world.patch.setattr(Trainer, "training_round", lambda *_: pytest.fail("trained again"))
    found = experiments.run(SHORT)
    return pd.concat([found.ranks, found.history.loss, found.validation, pd.Series(found.card["checkpoint"])], axis=1)


def describe_by(world):
    return experiments.run(SHORT).model().state_dict()


def guesses(world):
    return locate(photo(world), world.best, database(world), 3)


def pixels(world):
    return {"pixels": Photographs(world.places.queries.path, (24, 32), mapped=True).batch(range(16))}


READERS = {
    "history.csv": (lambda world: world.tables / "history.csv", run_again),
    "validation.csv": (lambda world: world.tables / "validation.csv", run_again),
    "config.json": (lambda world: world.tables / "config.json", run_again),
    "card.json": (lambda world: world.tested / "card.json", run_again),
    "ranks.parquet": (lambda world: world.tested / "ranks.parquet", run_again),
    "retrieved images": (lambda world: world.job.retrieved, lambda world: experiments.run(SHORT).retrieved()),
    "best.safetensors": (lambda world: world.best, describe_by),
    "whitening": (lambda world: whitened_file(world.best), lambda world: whiten(world.best) or describe_by(world)),
    "range of rates": (lay_range, lambda world: probes.learning_rate_range(SHORT)),
    "ranks of a soup": (soup_again, lambda world: soups.soup_ranks({"one": [SHORT]})),
    "ranks of an ensemble": (ensemble_again, lambda world: ensembles.ensemble_ranks({"one": [SHORT]}, weights="equal")),
    "matches of an audit": (audit, lambda world: label_audit.label_audit(experiments.run(SHORT), shown=2)),
    "kept descriptors": (locate_kept, guesses),
    "digests": (digest_anew, lambda world: contents.digests(world.places.queries.path)),
    "labels": (read_names, lambda world: read_folder(database(world))),
    "pixels": (decode, pixels),
}


OTHERS = [(name, DAMAGES[number % 3]) for number, name in enumerate(READERS)]  # all of them above, for every format


@pytest.mark.parametrize(("name", "damage"), [*((name, one_bit) for name in READERS), *OTHERS])
def test_a_damaged_file_is_made_again(world, name, damage):
    world.out.mkdir()
    find, use = READERS[name]
    file, expected = find(world), use(world)
    damage(file)
    assert same(use(world), expected)
    assert same(use(world), expected), "and it stays so"


@pytest.mark.parametrize("name", READERS)
def test_a_folder_in_the_place_of_a_file_is_a_sentence(world, name):
    world.out.mkdir()
    find, use = READERS[name]
    file = find(world)
    file.unlink()
    file.mkdir()
    with pytest.raises((OSError, Damaged), match=re.escape(str(file))):
        use(world)


def test_a_lost_state_says_which_folder_to_delete(world):
    """It is needed only where the best model or a table of the training is lost, too."""
    expected = experiments.run(SHORT).ranks
    (world.checkpoints / "state.pt").write_bytes(b"damaged")
    assert experiments.run(SHORT).ranks.equals(expected)
    world.best.unlink()
    (world.tested / "ranks.parquet").unlink()
    with pytest.raises(Damaged, match=rf"state\.pt is damaged.*; delete {world.checkpoints} to train it again"):
        experiments.run(SHORT)


def test_a_lost_best_model_is_no_dead_end(world):
    """The same command restores it; without the state it says what to delete, and that helps."""
    content = world.best.read_bytes()
    for damage in DAMAGES:
        damage(world.best)
        experiments.run(SHORT)
        assert world.best.read_bytes() == content
    (world.checkpoints / "state.pt").unlink()
    for damage in DAMAGES:
        world.best.write_bytes(content)
        damage(world.best)
        assert experiments.run(SHORT).id == world.name  # its tables are whole
        assert command_line.main(["test", "--model", str(world.best)]) == 1
        assert f"delete runs/{world.name} and run its training's command again" in world.capsys.readouterr().err
    shutil.rmtree(world.tables)
    experiments.run(SHORT)
    assert load_model(world.best).dim


def test_a_damaged_best_model_is_restored_before_a_training_goes_on(world):
    content = world.best.read_bytes()
    (world.tables / "config.json").unlink()  # as long as it is not there, the training is not finished
    one_bit(world.best)
    experiments.run(SHORT)
    assert world.best.read_bytes() == content


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_export_is_a_sentence_for_the_summary(world, damage):
    damage(export(world))
    with pytest.raises(
        (Damaged, FileNotFoundError), match=r"gains\.csv.*run_notebooks\.py --profile smoke($| 20_optimizer)"
    ):
        report.Page("90_summary", "smoke").exported("gains")


@pytest.mark.parametrize("damage", [cut, empty, one_bit])
def test_a_damaged_executed_copy_or_export_is_made_again(world, damage):
    world.out.mkdir()
    copy = execute(world)
    notebook = Path("20_optimizer.ipynb")
    assert stamps.unchanged(notebook, {}, copy)
    file = export(world)
    assert stamps.unchanged(notebook, {}, copy)
    damage(file)
    assert not stamps.unchanged(notebook, {}, copy)
    export(world)
    damage(copy)
    assert not stamps.unchanged(notebook, {}, copy)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_estimate_is_a_sentence_and_stops_nothing(world, damage):
    damage(world.tables / taken.FILE)
    with pytest.raises(Damaged, match=r"estimate\.json.*: delete .* to train again"):
        taken.comparison(world.tables)
    (world.tested / "ranks.parquet").unlink()
    assert len(run_again(world))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_city_is_a_sentence(world, damage):
    world.out.mkdir()
    damage(draw_city(world))
    with pytest.raises(FileExistsError, match=r"toycity (exists and was not made by|holds a toy city with another)"):
        city.build_city("toycity")


def test_every_module_that_reads_own_files_is_tested_here():
    tested = "record state whitened probes locating contents label_tables report build stamps taken checkpoint"
    tested = {*tested.split(), "readme", "label_audit"}
    sources = [*(paths.ROOT / "vg_core").rglob("*.py"), *paths.REPORTS.glob("*.py")]
    asks = re.compile(r"own_files\.(read|is_intact|require|require_folder|read_or_make)\(")
    assert {file.stem for file in sources if asks.search(file.read_text())} == tested
