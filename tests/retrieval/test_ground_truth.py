"""Ground truth of Tokyo and San Francisco: files made here as they are published, and a sentence for each fault."""

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from tests.retrieval.test_landmarks import lists, right, touch
from vg_core.retrieval.published.ground_truth import positives_by_building, read_san_francisco
from vg_core.retrieval.published.tokyo import ranks_at_other_times, read_tokyo247, read_tokyo_tm

# --- Tokyo 24/7 ------------------------------------------------------------------------------------------------


def views(panorama):
    return [f"03814/pano_{panorama}_012_{30 * view}" for view in range(12)]


@pytest.fixture
def tokyo(tmp_path):
    """(file, images, queries): three panoramas 20 m apart, one viewpoint beside the second."""
    database = [*views("c"), *views("a"), *views("b")]  # not the order of the names
    queries = ["00001.jpg", "00002.jpg", "00003.jpg"]
    struct = {
        "whichSet": "test",
        "dbImageFns": column([f"{name}.jpg" for name in database]),
        "utmDb": np.array([[0.0] * 12 + [20.0] * 12 + [40.0] * 12, [5.0] * 36]),
        "qImageFns": column(queries),
        "utmQ": np.array([[19.0, 20.0, 45.0], [5.0, 5.0, 5.0]]),
    }
    savemat(tmp_path / "tokyo247.mat", {"dbStruct": struct})
    images = touch(tmp_path / "images", *(f"{name}.png" for name in database))
    return tmp_path / "tokyo247.mat", images, touch(tmp_path / "query", *queries)


def column(names):
    cells = np.empty((len(names), 1), dtype=object)
    cells[:, 0] = names
    return cells


def changed(file, **entries):
    """The same file with other entries; None removes one."""
    struct = loadmat(file, simplify_cells=True)["dbStruct"]
    struct |= {key: column(list(struct[key])) for key in ("dbImageFns", "qImageFns")} | entries
    savemat(file, {"dbStruct": {key: value for key, value in struct.items() if value is not None}})


def test_tokyo(tokyo):
    found = read_tokyo247(*tokyo)
    assert [len(found.database), len(found.queries)] == [36, 3]
    assert found.database[12] == str(tokyo[1] / "03814/pano_a_012_0.png")
    assert found.shown[0][0].tolist() == ["day", "sunset", "night"]
    assert found.queries.place.tolist() == ["e0_n0", "e0_n0", "e1_n0"]
    assert found.queries.positives.tolist() == [36, 36, 24]
    assert right(found)[2] == list(range(12, 36))  # 25 m counts


def test_each_panorama_is_retrieved_once(tokyo):
    """The third query sees 12 views of a wrong panorama before the right ones: wrong at 1, right at 2."""
    found = read_tokyo247(*tokyo)
    ranking = np.tile(np.arange(36), (3, 1))
    assert found.retrieved == 120 and found.score(ranking).tolist() == [1, 1, 2]
    assert found.score(ranking[:, :12]).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"qImageFns": None}, r"tokyo247\.mat: not NetVLAD's specification of a dataset \('qImageFns'\)"),
        (
            {"utmQ": np.zeros((2, 2))},
            r"tokyo247\.mat: numbers of images, .* differ \(\[\[36, 3\], \[36, 2\]\]\); fetch",
        ),
        ({"utmDb": np.zeros((3, 35))}, r"tokyo247\.mat: not NetVLAD's specification"),
        (
            {"qImageFns": column(["00001.jpg", "00002.jpg"]), "utmQ": np.zeros((2, 2))},
            r"tokyo247\.mat: 2 images, expected a multiple of 3; fetch it again",
        ),
    ],
)
def test_another_specification(tokyo, entries, message):
    changed(tokyo[0], **entries)
    with pytest.raises(ValueError, match=message):
        read_tokyo247(*tokyo)


def test_tokyo_with_files_missing(tokyo, tmp_path):
    (tokyo[1] / "03814/pano_b_012_60.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"tokyo247\.mat names 03814/pano_b_012_60\.jpg, which is"):
        read_tokyo247(*tokyo)
    with pytest.raises(FileNotFoundError, match=r"lost\.mat: there is no such file"):
        read_tokyo247(tmp_path / "lost.mat", *tokyo[1:])
    (tmp_path / "text.mat").write_text("no matrix" * 40)
    with pytest.raises(ValueError, match=r"text\.mat: not NetVLAD's specification of a dataset"):
        read_tokyo247(tmp_path / "text.mat", *tokyo[1:])


# --- Tokyo Time Machine ----------------------------------------------------------------------------------------

MONTHS = [200907, 201312, 200907, 201312, 200907]  # of the database
STAMPS = np.array(MONTHS), np.array([200907, 201312, 201501])


@pytest.fixture
def time_machine(tmp_path):
    """(file, images): two spots 40 m apart with a photograph of either month, a third beside the first; three queries,
    the first of which is a database image, too.
    """
    database = [f"03814/{i}/{month}/pano_000_0.jpg" for i, month in enumerate(MONTHS)]
    queries = [database[0], "03814/q/201312/pano_000_0.jpg", "03814/q/201501/pano_000_0.jpg"]
    struct = {
        "whichSet": "val",
        "dbImageFns": column(database),
        "utmDb": np.array([[0.0, 0.0, 40.0, 40.0, 25.0], [5.0] * 5]),
        "dbTimeStamp": np.array([MONTHS]),
        "qImageFns": column(queries),
        "utmQ": np.array([[0.0, 40.0, 0.0], [5.0] * 3]),
        "qTimeStamp": np.array([[200907, 201312, 201501]]),
        "posDistThr": 25.0,
    }
    savemat(tmp_path / "tokyoTM_val.mat", {"dbStruct": struct})
    return tmp_path / "tokyoTM_val.mat", touch(tmp_path / "images", *database, *queries)


def test_time_machine(time_machine):
    found = read_tokyo_tm(*time_machine)
    assert [len(found.database), len(found.queries)] == [5, 3]
    [(part, shown)] = found.shown
    assert part == "all" and shown[0] == found.database[0] == str(time_machine[1] / "03814/0/200907/pano_000_0.jpg")
    assert found.queries.place.tolist() == ["e0_n0", "e1_n0", "e0_n0"]
    assert right(found) == [[1], [2, 4], [0, 1, 4]]  # 25 m counts, the month of the query does not


def test_images_of_the_month_of_a_query_are_not_retrieved(time_machine):
    """The first query finds itself first, and the second the wrong spot: of its own month both are passed over."""
    found = read_tokyo_tm(*time_machine)
    ranking, truth = np.array([[0, 2, 4, 3, 1], [1, 3, 0, 4, 2], [2, 3, 1, 0, 4]]), (right(found), *STAMPS)
    assert found.score(ranking).tolist() == [2, 2, 3]
    assert ranks_at_other_times(ranking, *truth, 2).tolist() == [2, 2, 0]
    assert ranks_at_other_times(ranking[:, :3], *truth, 5).tolist() == [0, 0, 3]  # fewer than 5 are kept
    assert ranks_at_other_times(np.full((3, 2), -1), *truth, 5).tolist() == [0, 0, 0]  # no image at all


def test_ranks_at_other_times_are_what_their_definition_says(time_machine):
    positives, rng = right(read_tokyo_tm(*time_machine)), np.random.default_rng(0)
    for _ in range(20):
        ranking = np.stack([rng.permutation(5) for _ in positives])
        expected = []
        for row, own, near in zip(ranking, STAMPS[1], positives, strict=True):
            left = [image for image in row if MONTHS[image] != own][:2]
            expected.append(next((rank for rank, image in enumerate(left, 1) if image in near), 0))
        assert ranks_at_other_times(ranking, positives, *STAMPS, 2).tolist() == expected


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"qTimeStamp": None}, r"tokyoTM_val\.mat: not NetVLAD's specification of a dataset \('qTimeStamp'\)"),
        ({"dbTimeStamp": np.zeros((1, 4))}, r"differ \(\[\[5, 3\], \[5, 3\], \[4, 3\]\]\); fetch it again"),
    ],
)
def test_a_time_machine_without_its_times(time_machine, entries, message):
    changed(time_machine[0], **entries)
    with pytest.raises(ValueError, match=message):
        read_tokyo_tm(*time_machine)


# --- San Francisco ---------------------------------------------------------------------------------------------

PCI = "PCI_sp_1184{}_37.789727_-122.386935_937762214_0_{}_246.264_-37.8198.jpg"


@pytest.fixture
def san_francisco(tmp_path):
    truth = tmp_path / "cartoid_groundTruth.txt"
    truth.write_text("0000 671172717 671172716\n0001 727224067 x671172717\n0002\n0003 55\n")
    buildings = (727224067, 671172716, 55, 671172717, 727224067)
    database = touch(tmp_path / "database", *(f"{i}/" + PCI.format(i, b) for i, b in enumerate(buildings)))
    return truth, database, touch(tmp_path / "queries", *(f"000{i}.jpg" for i in range(4)))


def test_san_francisco(san_francisco):
    found = read_san_francisco(*san_francisco)
    assert found.shown == [("all", [str(san_francisco[2] / f"000{i}.jpg") for i in range(4)])]
    assert found.database[2] == str(san_francisco[1] / "2" / PCI.format(2, 55))
    assert found.queries.place.tolist() == ["building 671172716", "building 727224067", "0002", "building 55"]
    assert right(found) == [[1, 3], [0, 4], [], [2]]  # of a shared building


def test_positives_by_building_are_what_their_definition_says():
    rng = np.random.default_rng(0)
    buildings, wanted = rng.integers(0, 12, 60), [rng.integers(0, 14, size) for size in rng.integers(0, 4, 40)]
    wanted = [np.unique(query) for query in wanted]
    expected = [[i for i, building in enumerate(buildings) if building in query] for query in wanted]
    assert [sorted(images) for images in lists(positives_by_building(wanted, buildings))] == expected


def test_faults_of_san_francisco(san_francisco, tmp_path):
    truth, database, queries = san_francisco
    (queries / "0002.jpg").unlink()
    with pytest.raises(ValueError, match=r"groundTruth\.txt, line 3: image '0002' is not in the folder of images"):
        read_san_francisco(*san_francisco)
    truth.write_text("0000 671172717\n0001 67a\n")
    with pytest.raises(ValueError, match=r"groundTruth\.txt, line 2: expected a query and numbers, not '0001"):
        read_san_francisco(*san_francisco)
    with pytest.raises(FileNotFoundError, match=r"lost\.txt: there is no such file"):
        read_san_francisco(tmp_path / "lost.txt", database, queries)
    with pytest.raises(FileNotFoundError, match=r"nowhere: no images there"):
        read_san_francisco(truth, tmp_path / "nowhere", queries)
    truth.write_text("0000 671172717\n")
    touch(database, "IMG_1.jpg")
    with pytest.raises(ValueError, match=r"IMG_1\.jpg: expected a name PCI_sp_… of ten parts"):
        read_san_francisco(truth, database, queries)
