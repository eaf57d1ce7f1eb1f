"""The toy city as a dataset: names, places, splits, the same bytes however it is drawn, and nothing half-finished."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from itertools import combinations
from pathlib import Path

import numpy as np
import psutil
import pytest
import utm
from PIL import Image

from data_scripts import toy_city
from data_scripts.city import dataset
from data_scripts.city.dataset import build_city
from vg_core.config import Config
from vg_core.datasets.cells import classes_and_groups
from vg_core.datasets.labels import parse_name
from vg_core.datasets.places import PlaceSet, load_places
from vg_core.system.paths import DATA_SCRIPTS, data_root

SPLITS = ("train", "val", "test")
DENSE = (*SPLITS, "unlabelled")


@pytest.fixture(scope="module")
def city(tmp_path_factory) -> Path:
    """The tiny city, drawn by one process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VG_DATA", str(tmp_path_factory.mktemp("city")))
        return build_city(size="tiny", workers=1)


@pytest.fixture
def quick(monkeypatch):
    """Drawing without drawing: empty files, to test what happens around it."""

    def draw(plan, split, start, stop, folder):
        for number in range(start, stop):
            (folder / "images" / split / "database" / f"{number}.jpg").touch()
        return stop - start

    monkeypatch.setattr(dataset, "draw_shots", draw)


def labels(city: Path, split: str, kind: str):
    return [parse_name(path) for path in sorted((city / "images" / split / kind).iterdir())]


def places(found) -> np.ndarray:
    return np.array([(label.easting, label.northing) for label in found])


def to_nearest(points, others) -> np.ndarray:
    return np.hypot(*(points[:, None] - others[None]).transpose(2, 0, 1)).min(1)


def contents(folder: Path) -> dict:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def command(*options: str, **kwargs):
    line = [sys.executable, str(DATA_SCRIPTS / "toy_city.py"), *options]
    return subprocess.run(line, capture_output=True, text=True, timeout=120, **kwargs)


def test_counts_and_folders(city):
    for split in SPLITS:
        assert len(labels(city, split, "database")) == 36
        assert len(labels(city, split, "queries")) == 12


def test_same_bytes_from_two_processes(city):
    assert contents(build_city(size="tiny", workers=2)) == contents(city)


def test_another_seed_is_another_city(city):
    one = dataset.shots_of(dataset.make_plan("toycity", "tiny", 0), "train")
    two = dataset.shots_of(dataset.make_plan("toycity", "tiny", 1), "train")
    assert {shot.name for shot in one}.isdisjoint(shot.name for shot in two)


def test_degrees_agree_with_utm(city):
    for label in labels(city, "train", "database") + labels(city, "test", "queries"):
        assert (label.zone_number, label.zone_letter) == (32, "T")
        easting, northing, number, letter = utm.from_latlon(label.latitude, label.longitude)
        assert (number, letter) == (32, "T")
        assert np.hypot(easting - label.easting, northing - label.northing) < 1.5


def test_names_tell_heading_time_and_conditions(city):
    for split in SPLITS:
        for kind in ("database", "queries"):
            for label in labels(city, split, kind):
                assert 0 <= label.heading < 360
                assert time.strptime(label.timestamp, "%Y%m%d_%H%M%S")
                view, _, conditions = label.note.partition("_")
                assert view.startswith("view")
                assert (conditions == "summer") == (kind == "database")


def test_views_of_a_position_share_it_and_look_around(city):
    panoramas = defaultdict(list)
    for label in labels(city, "val", "database"):
        panoramas[label.pano_id].append(label)
    assert len(panoramas) == 6
    for views in panoramas.values():
        assert len({(v.easting, v.northing) for v in views}) == 1
        headings = np.sort([v.heading for v in views])
        assert np.diff(headings) == pytest.approx(60, abs=0.11)


def test_splits_lie_hundreds_of_metres_apart(city):
    for first, second in (("train", "val"), ("train", "test"), ("val", "test")):
        all_first, all_second = (
            places(labels(city, split, "database") + labels(city, split, "queries")) for split in (first, second)
        )
        assert to_nearest(all_first, all_second).min() > 300


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("size", ["tiny", "small"])
def test_one_query_on_purpose_has_no_positive(size, seed):
    plan = dataset.make_plan("toycity", size, seed)
    for split in SPLITS:
        shots = dataset.shots_of(plan, split)
        database, queries = (places(s.label for s in shots if s.kind == kind) for kind in ("database", "queries"))
        assert (to_nearest(queries, database) > 25).sum() == (split == "test")


def test_positives_are_rare():
    shots = dataset.shots_of(dataset.make_plan("toycity", "small", 0), "test")
    database, queries = (places(s.label for s in shots if s.kind == kind) for kind in ("database", "queries"))
    metres = np.hypot(*(queries[:, None] - database[None]).transpose(2, 0, 1))
    assert (metres <= 25).mean() < 0.08


def test_drive_looks_ahead(monkeypatch):
    folder = build_city("toycity_drive", "tiny", workers=1)
    assert sorted(path.name for path in (folder / "images").iterdir()) == ["test"]
    database, queries = labels(folder, "test", "database"), labels(folder, "test", "queries")
    assert (len(database), len(queries)) == (24, 12)
    assert {label.note for label in database} == {"front_noon"}
    assert {label.note for label in queries} == {"front_afternoon"}
    assert to_nearest(places(queries), places(database)).max() < 25


@pytest.fixture(scope="module")
def dense():
    """Shots of each split of the dense city as it is drawn for rehearsals."""
    plan = dataset.make_plan("toycity_dense", "small", 0)
    return {split: dataset.shots_of(plan, split) for split in DENSE}


def seen_from(shots, *kinds) -> np.ndarray:
    return places(shot.label for shot in shots if shot.kind in kinds)


def test_the_dense_city_is_a_dataset_whose_train_split_is_flat(capsys):
    folder = build_city("toycity_dense", "tiny", workers=1)
    build_city("toycity_dense", "tiny", workers=1)
    assert "already there, made by the same recipe" in capsys.readouterr().out
    sets = {split: PlaceSet.load("toycity_dense", split) for split in SPLITS}
    assert {split: (len(one.database), len(one.queries)) for split, one in sets.items()} == {
        **{"train": (96, 0), "val": (36, 12)},
        **{"test": (36, 12)},
    }
    night = PlaceSet.load("toycity_dense", "test", queries="night").queries
    assert night[["easting", "northing", "heading"]].equals(sets["test"].queries[["easting", "northing", "heading"]])
    assert night.note.unique().tolist() == ["view00_night"]
    assert not sets["test"].queries.note.str.endswith("night").any()
    brightness = [np.mean([Image.open(path) for path in table.path]) for table in (night, sets["test"].queries)]
    assert brightness[0] < 0.7 * brightness[1]
    unlabelled = load_places(Config(dataset="toycity_dense", augmentation="fda"), "train").unlabelled
    assert len(unlabelled) == 6 and {parse_name(path).note for path in unlabelled} == {"view00_night"}
    assert sorted(path.name for path in (folder / "images" / "test").iterdir()) == ["database", "night", "queries"]


def test_every_cell_of_the_dense_city_is_seen_in_all_directions(dense):
    """Two photographs in each 30 degrees of every position, four positions in 10 metres, which make eight groups."""
    train = [shot.label for shot in dense["train"]]
    headings = np.array([label.heading for label in train])
    from_middle = (headings.reshape(-1, 24) - np.arange(7.5, 360, 15) + 180) % 360 - 180
    assert abs(from_middle).max() < 7.5 + 0.06  # names say tenths
    (easting, northing), year = places(train).T, {label.note.split("_")[1] for label in train}
    assert year == {"clear", "spring", "overcast", "evening", "rain", "winter", "fog"}
    found = classes_and_groups(easting, northing, headings, 10, 30, 2, 2, 4)
    sizes = np.diff(found.starts, append=len(found.corners))
    assert len(train) == 6720 and len(sizes) == 8 and sizes.min() >= 100 and sizes.max() <= 138
    assert (found.of_images >= 0).sum() > 6300


def test_queries_of_the_dense_city_look_into_any_direction_and_have_positives(dense):
    for split, count in (("val", 150), ("test", 500)):
        found = [shot.label for shot in dense[split] if shot.kind == "queries"]
        assert len(found) == count
        directions = np.bincount((np.array([label.heading for label in found]) // 30).astype(int), minlength=12)
        assert directions.min() > 0
        metres = to_nearest(places(found), seen_from(dense[split], "database"))
        assert metres.max() < 25
    assert len([shot for shot in dense["test"] if shot.kind == "night"]) == 500


def test_splits_of_the_dense_city_lie_hundreds_of_metres_apart(dense):
    assert len(dense["unlabelled"]) == 150
    for first, second in combinations(DENSE, 2):
        everywhere = [seen_from(dense[split], "", "database", "queries") for split in (first, second)]
        assert to_nearest(everywhere[0][::4], everywhere[1]).min() > 300


def test_the_same_recipe_is_kept(quick, capsys):
    folder = build_city(size="tiny", workers=1)
    born = folder.stat().st_mtime_ns
    assert build_city(size="tiny", workers=1) == folder
    assert "already there" in capsys.readouterr().out
    assert folder.stat().st_mtime_ns == born


def test_another_recipe_is_refused_unless_forced(quick):
    folder = build_city(size="tiny", workers=1)
    with pytest.raises(FileExistsError, match="another seed; --force"):
        build_city(size="tiny", seed=5, workers=1)
    with pytest.raises(FileExistsError, match="another size; --force"):
        build_city(size="small", workers=1)
    build_city(size="tiny", workers=1, database=7, force=True)
    assert json.loads((folder / dataset.RECIPE).read_text())["size"]["database"] == 7
    assert [path.name for path in data_root().iterdir()] == ["toycity"]


def test_foreign_photographs_are_never_replaced(quick):
    (data_root() / "toycity" / "images").mkdir(parents=True)
    for force in (False, True):
        with pytest.raises(FileExistsError, match="was not made by toy_city"):
            build_city(size="tiny", workers=1, force=force)


def test_a_failure_leaves_nothing(quick, monkeypatch):
    draw = dataset.draw_shots

    def stumble(plan, split, start, stop, folder):
        if split == "val":
            raise OSError("no space left on device")
        return draw(plan, split, start, stop, folder)

    monkeypatch.setattr(dataset, "draw_shots", stumble)
    with pytest.raises(OSError, match="no space"):
        build_city(size="tiny", workers=1)
    assert list(data_root().iterdir()) == []


def test_the_slower_of_two_processes_gives_way(quick, monkeypatch):
    draw, folders = dataset.draw_shots, []

    def overtaken(plan, split, start, stop, folder):
        if not folders:
            folders.append(folder)
            build_city(size="tiny", workers=1)  # another process starts later and ends first
            (data_root() / "toycity" / "first").touch()
        return draw(plan, split, start, stop, folder)

    monkeypatch.setattr(dataset, "draw_shots", overtaken)
    build_city(size="tiny", workers=1)
    assert (data_root() / "toycity" / "first").exists()
    assert [path.name for path in data_root().iterdir()] == ["toycity"]


# --- what ends before it is done --------------------------------------------------------------------------------------
def start(*options: str, **environment: str) -> subprocess.Popen:
    line = [sys.executable, str(DATA_SCRIPTS / "toy_city.py"), "--city", "toycity", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    return subprocess.Popen(line, env=os.environ | environment, **pipes)


def drawing(process: subprocess.Popen) -> list[psutil.Process]:
    """The processes that it has started, once there are photographs."""
    deadline = time.monotonic() + 300
    while not list(data_root().glob(".vg-*/toycity/images/train/database/*.jpg")):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    return psutil.Process(process.pid).children(recursive=True)


def are_gone(processes: list[psutil.Process]) -> bool:
    psutil.wait_procs([one for one in processes if not is_over(one)], timeout=10)
    return all(map(is_over, processes))


def is_over(process: psutil.Process) -> bool:
    """Nobody may be there to bury it."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_killed_run_takes_its_processes_along_and_the_next_one_cleans_up():
    process = start("--size", "small", "--workers", "2")
    children = drawing(process)
    process.kill()
    process.communicate()
    assert len(children) >= 2 and are_gone(children)
    assert [path.name[:4] for path in data_root().iterdir()] == [".vg-"]
    (data_root() / ".vg-0000000000-1-kept").mkdir()  # of another machine
    (data_root() / ".hidden").mkdir()
    made = command("--city", "toycity_drive", "--size", "tiny", "--database", "1", "--queries", "1", "--workers", "1")
    assert made.returncode == 0, made.stderr
    left = sorted(path.name for path in data_root().iterdir())
    assert left == [".hidden", ".vg-0000000000-1-kept", "toycity_drive"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_is_a_sentence_and_leaves_nothing(workers):
    process = start("--size", "small", "--workers", workers)
    children = drawing(process)
    for _ in range(3):  # in a row, as a terminal sends it: to all of them
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.02)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and "Traceback" not in said
    assert said.endswith("\nstopped; nothing unfinished is left, the same command begins again\n")
    assert list(data_root().iterdir()) == [] and are_gone(children)


def test_ctrl_c_while_libraries_are_imported_is_a_sentence(tmp_path):
    (tmp_path / "numpy.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)")
    process = start(PYTHONPATH=str(tmp_path))
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130 and said.startswith("\nstopped; ")


def test_a_process_that_is_killed_is_a_sentence():
    process = start("--size", "small", "--workers", "2")
    next(child for child in drawing(process) if "spawn_main" in " ".join(child.cmdline())).kill()
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 1 and "Traceback" not in said
    assert said.splitlines()[-1].startswith("error: a process that draws was killed, perhaps for want of memory")
    assert list(data_root().iterdir()) == []


def test_a_run_ends_with_the_process_that_it_is_told():
    code = """
import os, subprocess, sys
environment = os.environ | {"VG_PARENT": str(os.getpid())}
process = subprocess.Popen([sys.executable, sys.argv[1], "--size", "small", "--workers", "1"], env=environment)
print(process.pid, flush=True)
process.wait()
"""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    parent = subprocess.Popen([sys.executable, "-c", code, str(DATA_SCRIPTS / "toy_city.py")], **pipes)
    child = psutil.Process(int(parent.stdout.readline()))
    try:
        assert drawing(parent) == [child]
        parent.kill()
        parent.wait()
        assert are_gone([child])
    finally:
        for process in (parent, child):
            with suppress(psutil.NoSuchProcess):
                process.kill()


def test_command_line(monkeypatch, capsys):
    made = command("--city", "toycity_drive", "--size", "tiny", "--database", "5", "--queries", "2", "--workers", "1")
    assert made.returncode == 0, made.stderr
    assert "7 photographs" in made.stdout
    monkeypatch.setattr(toy_city.interrupts, "once", lambda: None)  # here Ctrl-C is the tests'
    monkeypatch.setattr(sys, "argv", ["toy_city.py", "--city", "toycity_drive", "--size", "tiny"])
    assert toy_city.main() == 1
    refused = capsys.readouterr().err
    assert refused.startswith("error: ") and "--force" in refused
    monkeypatch.setattr(sys, "argv", ["toy_city.py", "--seed", "-1"])
    assert toy_city.main() == 1 and capsys.readouterr().err == "error: seed -1 must not be negative\n"
    monkeypatch.setattr(sys, "argv", ["toy_city.py", "--size", "huge"])
    with pytest.raises(SystemExit, match="2"):
        toy_city.main()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "atlantis"}, "toycity, toycity_drive, toycity_dense"),
        ({"size": "huge"}, "tiny, small, large"),
        ({"queries": 0}, "queries 0"),
        ({"workers": 0}, "workers 0"),
    ],
)
def test_unknown_options_are_sentences(options, message):
    with pytest.raises(ValueError, match=message):
        build_city(**options)
