"""Data sets from archives of the original forms to our folders, through the command, counted at the end."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from data_scripts import download
from data_scripts.fetching import sets
from data_scripts.fetching.catalogue import CATALOGUE
from data_scripts.fetching.sets import obtain
from tests.datasets.test_images import resized_header
from tests.fetching import originals
from tests.fetching.servers import refuse, serve
from tests.fetching.test_transfer import fake_rsync
from vg_core.datasets.folders import read_folder
from vg_core.datasets.labels import parse_name
from vg_core.datasets.places import PlaceSet
from vg_core.datasets.splits import PUBLISHED, find_split
from vg_core.retrieval.published.ground_truth import read_landmarks
from vg_core.system.paths import DATA_SCRIPTS, data_root

DATABASE, QUERIES = "images/test/database", "images/test/queries"


@pytest.fixture
def expect(monkeypatch):
    """Function that sets what is expected of a data set, and where it comes from."""

    def of(name, **fields):
        monkeypatch.setitem(CATALOGUE, name, replace(CATALOGUE[name], **fields))

    return of


@pytest.fixture
def command(monkeypatch, capsys):
    """Function that runs the command: (status, what it printed, what it said of errors)."""

    def run(*words):
        monkeypatch.setattr("sys.argv", ["download.py", *map(str, words)])
        return download.main(), *capsys.readouterr()

    return run


@pytest.fixture
def given(tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    return folder


def names(folder) -> list[str]:
    return sorted(path.name for path in (data_root() / folder).iterdir())


def tape(folder: Path, file: Path, *parts: str) -> Path:
    """Parts of a folder as an archive, all of it without parts."""
    if file.suffix == ".zip":
        with zipfile.ZipFile(file, "w") as whole:
            for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                whole.write(path, path.relative_to(folder))
        return file
    with tarfile.open(file, "w:gz" if file.suffix == ".gz" else "w") as whole:
        for part in parts or [entry.name for entry in folder.iterdir()]:
            whole.add(folder / part, part)
    return file


# --- the original forms -----------------------------------------------------------------------------------------------
def test_pittsburgh_from_its_archives(given, tmp_path, command, expect):
    loose = originals.pittsburgh(tmp_path / "loose")
    for part in ("000", "001", "002", "queries_real"):
        tape(loose, given / f"{part}.tar", part)
    tape(loose, given / "netvlad_v100_datasets.tar.gz", "datasets")
    counts = {
        f"images/{split}/{role}": n for split in originals.SPLITS for role, n in (("database", 4), ("queries", 1))
    }
    expect("pitts30k", counts=counts)
    before = {path: path.stat().st_mtime_ns for path in given.rglob("*")}
    status, said, _ = command("pitts30k", "--from", given)
    assert status == 0 and f"pitts30k is in {data_root() / 'pitts30k'}\n  images/train/database: 4 of 4\n" in said
    first = "@0584291.21@4476924.92@17@T@040.43870@-080.00614@000010@00@@@@@@pitch1_yaw1@.jpg"
    assert first in names("pitts30k/images/val/database")
    for split in originals.SPLITS:
        folder = find_split("pitts30k", split)
        database, queries = read_folder(folder / "database"), read_folder(folder / "queries")
        assert sorted(set(database.easting)) == [584291.21, 584391.21] and queries.northing.tolist() == [4476925.0]
        assert sorted({parse_name(path).tile for path in database.path}) == ["00", "35"]
    assert {path: path.stat().st_mtime_ns for path in given.rglob("*")} == before  # what was given stays as it is
    status, again, _ = command("pitts30k", "--from", given)
    assert status == 0 and again == said.partition("\n")[2]  # counted again, not made again
    assert [entry.name for entry in data_root().iterdir()] == ["pitts30k"]


def test_tokyo_by_night(given, command, expect):
    originals.tokyo(given)
    expect("tokyo247", counts={DATABASE: 24, QUERIES: 3})
    assert command("tokyo247", "--from", given)[0] == 0
    queries = names(f"tokyo247/{QUERIES}")
    assert [parse_name(name).note for name in queries] == ["day", "sunset", "night"]
    assert parse_name(queries[0]).pano_id == "00001" and parse_name(queries[0]).zone_letter == "S"
    with Image.open(data_root() / "tokyo247" / QUERIES / queries[0]) as image:
        assert image.size == (480, 640)
    views = [parse_name(name) for name in names(f"tokyo247/{DATABASE}")]
    assert [view.extension for view in views] == [".png"] * 24
    assert sorted(view.tile for view in views) == sorted(f"{n:02}" for n in range(12) for _ in range(2))


def test_msls_city_by_city(given, tmp_path, command, expect):
    loose = originals.msls(tmp_path / "loose")
    tape(loose, given / "msls_metadata.zip")
    counts = {f"images/{split}/{role}": 2 for split in ("train", "val", "test") for role in ("database", "queries")}
    expect("msls", counts=counts)
    assert command("msls", "--from", given)[0] == 0
    night, day = sorted(map(parse_name, names("msls/images/val/queries")), key=lambda label: label.note)[::-1]
    assert (day.note, night.note) == ("day_forward_cph", "night_forward_cph") and day.pano_id == "q1_-key0"
    assert (day.zone_number, day.zone_letter, day.timestamp, day.heading) == (33, "U", "20180612", 10.5)
    assert (day.latitude, day.longitude) == (55.7, 12.6)
    assert names("msls/images/test/queries") == names("msls/images/val/queries")
    assert {parse_name(name).zone_number for name in names("msls/images/train/database")} == {32}


def test_gsv_cities_as_one_train(given, command):
    originals.gsv(given)
    status, said, _ = command("gsv_cities", "--from", given)
    assert status == 0 and "4 photographs; no number is published to compare with" in said
    labels = [parse_name(name) for name in names("gsv_cities/images/train/Paris")]
    assert sorted({label.note for label in labels}) == ["PRS_0000003", "PRS_0100004"]
    assert sorted({label.heading for label in labels}) == [7, 224] and labels[0].zone_number == 31
    assert {label.timestamp for label in labels} == {"201505", "201506"} and labels[0].pano_id[:10] == "7P0_nGV3k-"
    assert find_split("gsv_cities", "train") == data_root() / "gsv_cities" / "images" / "train"


def test_what_strangers_write_becomes_no_other_field(given, command):
    originals.gsv(given)
    file = given / "Dataframes" / "Paris.csv"
    file.write_text(file.read_text().replace("PRS", "P@R/S"))
    assert command("gsv_cities", "--from", given)[0] == 0
    notes = {parse_name(name).note for name in names("gsv_cities/images/train/Paris")}
    assert notes == {"P_R_S_0000003", "P_R_S_0100004"}


def test_nordland_frames(given, tmp_path, command):
    loose = originals.nordland(tmp_path / "loose")
    tape(loose, given / "summer.tar.gz", "summer")
    tape(loose / "winter", given / "winter.tar.gz")  # without a folder, as it is published
    shutil.copy(loose / "cleanImageNames.txt", given)
    assert command("nordland", "--from", given)[0] == 0
    found = names(f"nordland/{DATABASE}")
    assert found == names(f"nordland/{QUERIES}") and len(found) == 13
    assert found[:2] == ["@0000000.00@0000000.00@@@@@0@@@@@@@@.png", "@0000000.00@0000002.38@@@@@1@@@@@@@@.png"]
    second = data_root() / "nordland" / DATABASE / found[1]
    assert second.read_bytes() == (loose / "summer" / "images-00003.png").read_bytes()
    near = PlaceSet.load("nordland", "test").neighbours(25)
    assert near[0].tolist() == [*range(11)] and near[12].tolist() == [*range(2, 13)]  # ten frames to either side


def test_pairs_from_an_archive_in_an_archive(server, tmp_path, command, expect):
    loose = originals.pairs(tmp_path / "loose")
    (tmp_path / "outer").mkdir()
    tape(loose, tmp_path / "outer" / "AmsterTime-v1.0.zip")
    body = tape(tmp_path / "outer", tmp_path / "data.zip").read_bytes()
    server.answers["/data"] = [serve(body, cut=200), refuse(503), serve(body)]
    expect("amstertime", files=((f"{server.address}/data", "AmsterTime.zip"),), counts={DATABASE: 3, QUERIES: 3})
    status, said, _ = command("amstertime")
    assert status == 0 and "only 200 of" in said
    assert names(f"amstertime/{DATABASE}")[2] == "@0000000.00@0002000.00@@@@@0007@@@@@@@@.png"
    assert names(f"amstertime/{QUERIES}")[2] == "@0000000.00@0002000.00@@@@@0007@@@@@@@@.jpg"
    assert [near.tolist() for near in PlaceSet.load("amstertime", "test").neighbours(25)] == [[0], [1], [2]]
    assert [entry.name for entry in data_root().iterdir()] == ["amstertime"]  # what was fetched for it is gone
    assert command("amstertime")[0] == 0 and len(server.asked) == 3


@pytest.mark.parametrize("name", ["oxford5k", "paris6k"])
def test_landmarks_as_their_benchmark_wants_them(given, command, expect, name):
    originals.landmarks(given, corrupt=name == "paris6k")
    expect(name, counts={"images": 2, "groundtruth": 4})
    assert command(name, "--from", given)[0] == 0
    root = data_root() / name
    found = read_landmarks(root / "groundtruth", root / "images", *root.glob("corrupt.txt"))
    assert len(found.database) == 2 and found.queries["query"].tolist() == ["defense_1"]


def test_holidays(given, tmp_path, command, expect):
    for number in (100000, 100001):
        originals.photo(tmp_path / "loose" / "jpg" / f"{number}.jpg", number)
    for part in ("jpg1.tar.gz", "jpg2.tar.gz"):
        tape(tmp_path / "loose", given / part)
    expect("holidays", counts={"jpg": 2})
    assert command("holidays", "--from", given)[0] == 0 and names("holidays/jpg") == ["100000.jpg", "100001.jpg"]


def test_cross_view_lists(given, tmp_path, command, expect):
    originals.cvusa(given)
    expect("cvusa", counts={"splits/train-19zl.csv": 1, "splits/val-19zl.csv": 1})
    status, said, _ = command("cvusa", "--from", given)
    assert status == 0 and "splits/train-19zl.csv: 1 of 1" in said
    assert names("cvusa/bingmap/19") == names("cvusa/streetview/panos") == ["0000001.jpg", "0000002.jpg"]
    other = tmp_path / "other"
    other.mkdir()
    originals.cvact(other)
    assert command("cvact", "--from", other)[0] == 0
    assert len(names("cvact/streetview")) == len(names("cvact/satview_polish")) == 3
    assert names("cvact") == ["ACT_data.mat", "satview_polish", "streetview"]


def test_folders_of_the_field_come_as_they_are(given, tmp_path, command, expect):
    """SVOX calls its database gallery; a set that somebody has already laid out needs no original."""
    for role in ("gallery", "queries", "queries_night"):
        originals.photo(given / "svox" / "images" / "test" / role / "@0600000.00@5700000.00@30@U@@@@@@@@@@@.jpg")
    expect("svox", counts={DATABASE: 1, QUERIES: 1, "images/test/queries_night": 1})
    assert command("svox", "--from", given)[0] == 0
    assert read_folder(find_split("svox", "test", "queries_night") / "database").easting.tolist() == [600000]
    expect("pitts30k", counts={DATABASE: 1})
    assert command("pitts30k", "--from", given)[0] == 0


def test_rsync_and_a_form(server, tmp_path, command, expect, monkeypatch):
    street = "@0545981.19@4184971.70@10@S@037.81098@-122.47762@a@@174@@@@201409@@.jpg"
    for place in ("train/037.81", "val/database", "val/queries", "test/database", "test/queries_v1"):
        originals.photo(tmp_path / "small" / place / street)
    fake_rsync(tmp_path / "bin", monkeypatch, f'eval last=\\${{$#}}; cp -r {tmp_path}/small/* "$last"')
    parts = ("train", "val/database", "val/queries", "test/database", "test/queries_v1")
    expect("sf_xs", counts=dict.fromkeys(parts, 1))
    status, _, error = command("sf_xs")
    assert status == 1 and "fill in the form of the makers of sf_xs, https://forms.gle/" in error
    assert command("sf_xs", "--agreed")[0] == 0
    assert len(read_folder(find_split("sf_xs", "train"))) == 1 and names("sf_xs") == ["test", "train", "val"]


# --- what goes wrong --------------------------------------------------------------------------------------------------
def test_what_must_be_asked_for_says_where_and_what(command):
    for name in (name for name, entry in CATALOGUE.items() if entry.way == "by request"):
        status, _, error = command(name)
        assert status == 1 and error.startswith(f"error: {name} cannot be fetched without asking. ")
        assert error.endswith(f"Then: python data_scripts/download.py {name} --from FOLDER\n")
    assert not data_root().exists()


def test_other_numbers_are_told_each_time(given, command, expect):
    originals.pairs(given, "ref/jpg", "query/jpg")
    expect("sped", counts={DATABASE: 3, QUERIES: 4}, source="a paper")
    for _ in range(2):
        status, said, _ = command("sped", "--from", given)
        assert status == 1 and "images/test/queries: 3 of 4" in said
        assert "queries holds 3, published are 4 (a paper)\n  this is not the published set: do not compare" in said


def test_a_set_of_that_name_is_never_replaced(given, command, expect):
    file = originals.photo(data_root() / "sped" / "mine.jpg")
    originals.pairs(given, "ref/jpg", "query/jpg")
    expect("sped", counts={DATABASE: 3})
    assert command("sped", "--from", given)[0] == 1 and file.exists() and names("sped") == ["mine.jpg"]


def other_sum(given):
    tape(originals.msls(given / "loose"), given / "msls_metadata.zip")
    shutil.rmtree(given / "loose")
    (given / "msls_checksums.md5").write_text(f"{'0' * 32}  msls_metadata.zip\n")


def broken_csv(given):
    originals.msls(given)
    file = given / "train_val" / "cph" / "query" / "raw.csv"
    file.write_text(file.read_text().replace("12.6", "a\x1b[31m"))


def no_column(given):
    originals.gsv(given)
    originals.table(given / "Dataframes" / "Paris.csv", "place,lat")


def leads_out(given):
    originals.cvusa(given)
    (given / "splits" / "val-19zl.csv").write_text("../../secret.jpg,/etc/passwd\n")


def names_elsewhere(given):
    originals.pittsburgh(given)
    fields = {"dbImageFns": originals.column(["000/../../../secret_pitch1_yaw1.jpg"]), "utmDb": np.ones((2, 1)) * 5e5}
    fields |= {"qImageFns": originals.column([]), "utmQ": np.ones((2, 0))}
    savemat(given / "datasets" / "pitts30k_train.mat", {"dbStruct": fields})


def odd_pair(given):
    originals.pairs(given, "ref/jpg", "query/jpg")
    originals.photo(given / "ref" / "0009.jpg")


def odd_frame(given):
    originals.nordland(given)
    (given / "winter" / "images-00003.png").unlink()


def missing(given):
    originals.msls(given)
    (given / "train_val" / "cph" / "query" / "images" / "q1_-key0.jpg").unlink()


def fields_in_a_key(given):
    originals.msls(given)
    for name in ("raw", "postprocessed"):
        file = given / "train_val" / "cph" / "query" / f"{name}.csv"
        file.write_text(file.read_text().replace("q1_-key0", "../../x"))


def numbers_of_none(given):
    originals.cvact(given)
    sets_of = {"trainSet": {"trainInd": np.array([[9]])}, "valSet": {"valInd": np.array([[1]])}}
    savemat(given / "ACT_data.mat", {"panoIds": ["a"]} | sets_of)


def hostile_archive(given):
    with tarfile.open(given / "x.tar", "w") as whole:
        whole.addfile(tarfile.TarInfo("../x"))


def huge_query(given):
    originals.tokyo(given)
    resized_header(originals.photo(given / "247query_subset_v2" / "00002.jpg", 0, (30, 20)), 60_000, 60_000)


FAULTS = {
    "msls": {
        broken_csv: r"raw\.csv, line 2: 'a�\[31m' is no number",
        other_sum: r"msls_metadata\.zip differ from their checksums; fetch them again",
        missing: r"q1_-key0\.jpg is missing, but listed; unpack all archives",
        fields_in_a_key: r"it names '\.\./\.\./x\.jpg', which leads elsewhere",
    },
    "gsv_cities": {no_column: r"Paris\.csv has no column place_id, year, .*; unpack it again"},
    "cvusa": {leads_out: r"it names '\.\./\.\./secret\.jpg', which leads elsewhere"},
    "cvact": {numbers_of_none: r"ACT_data\.mat is not CVACT's list of pairs \(.*index out of range\)"},
    "pitts30k": {names_elsewhere: r"names 000/\.\./\.\./\.\./secret_pitch1_yaw1\.jpg, which is not in"},
    "sped": {odd_pair: "'0009' is in one of the folders ref and query alone"},
    "nordland": {odd_frame: r"summer and winter have other frames, such as images-00003\.png"},
    "tokyo247": {
        hostile_archive: r"x\.tar is not unpacked: it names '\.\./x', which leads elsewhere",
        huge_query: r"00002\.jpg: its 60000x60000 pixels take 10\.80 GB, VG_IMAGE_BYTES allows 1\.00",
        (lambda given: (given / "empty").mkdir()): r"tokyo247\.mat is not in .*; put all parts there",
    },
    "oxford5k": {(lambda given: None): "there is no photograph in what was given"},
}


@pytest.mark.parametrize(("name", "fault"), [(name, fault) for name in FAULTS for fault in FAULTS[name]])
def test_what_is_odd_is_a_sentence_and_leaves_nothing(given, tmp_path, command, name, fault):
    originals.photo(tmp_path / "secret.jpg")
    fault(given)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    status, _, error = command(name, "--from", given)
    assert status == 1 and error.startswith("error: ") and "\x1b" not in error
    assert re.search(FAULTS[name][fault], error), error
    assert not any(data_root().rglob("*"))
    shutil.rmtree(tmp_path / "cache")
    shutil.rmtree(data_root(), ignore_errors=True)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}.keys() == before.keys()


def test_a_run_that_was_cut_off_goes_on(server, tmp_path, command, expect, monkeypatch):
    """What is whole is not fetched again, whatever happened to the next, or while photographs were sorted."""
    loose = originals.pairs(tmp_path / "loose", "ref/jpg", "query/jpg")
    bodies = [tape(loose, tmp_path / f"{part}.tar", part).read_bytes() for part in ("ref", "query")]
    server.answers |= {"/ref.tar": [serve(bodies[0])], "/query.tar": [refuse(404), serve(bodies[1])]}
    words = ["sped", "--url", *(f"{server.address}/{part}.tar" for part in ("ref", "query"))]
    expect("sped", counts={DATABASE: 3})
    assert command(*words)[0] == 1
    link = sets._link
    monkeypatch.setattr(sets, "_link", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    status, _, error = command(*words)
    assert status == 130 and error == "\nstopped; the same command goes on from here\n"
    assert [entry.name for entry in data_root().iterdir()] == [".download-sped"]
    monkeypatch.setattr(sets, "_link", link)
    assert command(*words)[0] == 0
    assert [path for path, _ in server.asked] == ["/ref.tar", "/query.tar", "/query.tar"]
    assert [entry.name for entry in data_root().iterdir()] == ["sped"]


def test_two_addresses_of_one_name_are_told(command):
    status, _, error = command("sped", "--url", "http://a.b/c/x.zip?1", "http://a.b/c/x.zip?2")
    assert status == 1 and "several addresses end with the same name of a file; fetch them, and use --from" in error


def test_a_disk_without_links_gets_copies(given, command, expect, monkeypatch):
    originals.pairs(given, "ref/jpg", "query/jpg")

    def refused(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refused)
    expect("sped", counts={DATABASE: 3})
    assert command("sped", "--from", given)[0] == 0
    assert len(names(f"sped/{DATABASE}")) == 3 and (given / "ref" / "0000.jpg").stat().st_nlink == 1


def test_two_photographs_of_one_name_are_told(given, command):
    for city in ("a", "b"):
        originals.photo(given / city / "100000.jpg", ord(city))
    status, _, error = command("holidays", "--from", given)
    assert status == 1 and "two photographs would be called 100000.jpg; one is" in error


# --- the catalogue ----------------------------------------------------------------------------------------------------
def test_the_list_tells_all_there_is(command):
    status, said, _ = command("--list")
    lines = said.splitlines()[1:]
    assert status == 0 and [line.split()[0] for line in lines] == [*CATALOGUE] and len(lines) == 20
    assert "AmsterTime, archive and street" in said and " direct " in said and " rsync " in said and "51,840" in said


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_is_whole(name):
    entry = CATALOGUE[name]
    assert entry.title and entry.terms and (entry.files or entry.rsync or entry.ask)
    assert bool(entry.counts) == bool(entry.source)
    assert all(url.startswith("https://") and set(digest) <= {""} for url, _, *digest in entry.files)


def test_numbers_agree_with_those_that_tests_are_compared_with():
    for (name, split), (database, queries) in PUBLISHED.items():
        for place, number in CATALOGUE[name].counts.items():
            folder = place.split("|")[0].removeprefix("images/")
            if folder.startswith(split):
                last = place.split("|")[-1].split("/")[-1]
                assert number == (database if last in ("database", split) else queries.get(last, number))


def test_the_script_runs_by_itself(tmp_path):
    done = subprocess.run(
        [sys.executable, DATA_SCRIPTS / "download.py", "nothing"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2 and "invalid choice: 'nothing' (choose from 'pitts30k', " in done.stderr


def test_obtain_is_true_for_a_complete_set(given, expect):
    originals.pairs(given, "ref/jpg", "query/jpg")
    expect("sped", counts={DATABASE: 3})
    assert obtain("sped", folder=given) is True
