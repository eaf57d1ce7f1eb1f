"""Small data sets as their authors give them out: folders, lists and MATLAB files of the original forms."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat

from tests.retrieval.test_matlab import column

SPLITS = ("train", "val", "test")


def photo(file: Path, number: int = 0, size=(8, 6)) -> Path:
    """A photograph, whose format its suffix names; no two numbers give the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def table(file: Path, header: str, *rows) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(header.split(","))
        writer.writerows(rows)


def pittsburgh(folder: Path, name: str = "pitts30k") -> Path:
    """Two panoramas with two views for each split, and a query; one coordinate is that of a published file name."""
    for number, split in enumerate(SPLITS):
        views = [
            f"{number:03}/{n + 10 * number:06}_pitch{p}_yaw{y}.jpg" for n in range(2) for p, y in ((1, 1), (2, 12))
        ]
        query = f"{number:03}/{number:06}_pitch1_yaw3.jpg"
        for n, view in enumerate(views):
            photo(folder / view, 100 * number + n)
        photo(folder / "queries_real" / query, 100 * number + 99)
        database = np.array([[584291.21, 4476924.92]] * 2 + [[584391.21, 4476924.92]] * 2).T
        fields = {"dbImageFns": column(views), "utmDb": database}
        fields |= {"qImageFns": column([query]), "utmQ": np.array([[584300.0], [4476925.0]])}
        (folder / "datasets").mkdir(exist_ok=True)
        savemat(folder / "datasets" / f"{name}_{split}.mat", {"dbStruct": fields})
    return folder


def tokyo(folder: Path) -> Path:
    """Two panoramas of twelve views, which are .png although the list says .jpg, and the three queries of a place."""
    views = [f"03814/381450.{n}00_3947400.000_pano{n:08}_012_{30 * v}.jpg" for n in range(2) for v in range(12)]
    for number, view in enumerate(views):
        photo(folder / view.replace(".jpg", ".png"), number)
    queries = [f"0000{n}.jpg" for n in (1, 2, 3)]
    for number, query in enumerate(queries):
        photo(folder / "247query_subset_v2" / query, 50 + number, (960, 1280))
        table(folder / "247query_subset_v2" / query.replace(".jpg", ".csv"), f"{query},35.6,139.7")
    fields = {"dbImageFns": column(views), "utmDb": np.array([[381450.0] * 24, [3947400.0] * 24])}
    fields |= {"qImageFns": column(queries), "utmQ": np.array([[381455.0] * 3, [3947400.0] * 3])}
    (folder / "datasets").mkdir()
    savemat(folder / "datasets" / "tokyo247.mat", {"dbStruct": fields})
    return folder


def msls(folder: Path) -> Path:
    """A city of train and one of val; one photograph is a panorama, one was taken by night."""
    for number, (city, lat, lon) in enumerate((("trondheim", 63.4, 10.4), ("cph", 55.7, 12.6))):
        for role in ("database", "query"):
            there, keys = folder / "train_val" / city / role, [f"{role[:1]}{number}_-key{n}" for n in range(3)]
            rows = [(n, key, lon, lat + n / 1e4, 370.5, "2018-06-12", n == 2) for n, key in enumerate(keys)]
            table(there / "raw.csv", ",key,lon,lat,ca,captured_at,pano", *rows)
            views = [(n, key, 1, 2, n == 1, False, "Forward", 3) for n, key in enumerate(keys)]
            header = ",key,easting,northing,night,control_panel,view_direction,unique_cluster"
            table(there / "postprocessed.csv", header, *views)
            for n, key in enumerate(keys):
                photo(there / "images" / f"{key}.jpg", 10 * number + n + 5 * (role == "query"))
    return folder


def gsv(folder: Path) -> Path:
    """Two photographs of each of two places; the folder of a city and the start of its names differ."""
    rows = []
    for place, lat in ((3, 48.797334), (100004, 48.8)):
        for month, north in ((5, 584), (6, 7)):
            panorama = f"7P0_nGV3k-{month}"
            rows.append((place, 2015, month, north, "PRS", lat, 2.231461, panorama))
            name = f"PRS_{place % 10**5:07}_2015_{month:02}_{north:03}_{lat}_2.231461_{panorama}.JPG"
            image = photo(folder / "Images" / "Paris" / f"{name[:-4]}.jpg", len(rows))
            image.rename(image.with_suffix(".JPG"))
    header = "place_id,year,month,northdeg,city_id,lat,lon,panoid"
    table(folder / "Dataframes" / "Paris.csv", header, *rows)
    return folder


def nordland(folder: Path) -> Path:
    """Fourteen frames of each season, of which all but the second are chosen, in no order."""
    names = [f"images-{frame:05}.png" for frame in range(1, 15)]
    for number, season in enumerate(("summer", "winter")):
        for frame, name in enumerate(names):
            photo(folder / season / name, 20 * number + frame)
    (folder / "cleanImageNames.txt").write_text("\n".join([*names[:1:-1], names[0]]) + "\n")
    return folder


def pairs(folder: Path, database: str = "new/png", queries: str = "old/jpg") -> Path:
    for number, side in enumerate((database, queries)):
        name, suffix = side.split("/")
        for pair in (0, 1, 7):
            photo(folder / name / f"{pair:04}.{suffix}", 10 * number + pair)
    return folder


def landmarks(folder: Path, corrupt: bool) -> Path:
    for number, name in enumerate(("defense_000001", "defense_000002")):
        photo(folder / "paris" / "defense" / f"paris_{name}.jpg", number)
    for label, text in {
        "query": "paris_defense_000001 1 1 5 4",
        "good": "paris_defense_000002",
        "ok": "",
        "junk": "",
    }.items():
        (folder / "truth").mkdir(exist_ok=True)
        (folder / "truth" / f"defense_1_{label}.txt").write_text(text)
    if corrupt:
        (folder / "corrupt.txt").write_text("paris_louvre_000136.jpg\n")
    return folder


def cvusa(folder: Path) -> Path:
    for split, number in (("train", 1), ("val", 2)):
        cells = [f"{part}/{number:07}.jpg" for part in ("bingmap/19", "streetview/panos", "streetview/annotations")]
        for n, cell in enumerate(cells[:2]):
            photo(folder / cell, 10 * number + n)
        (folder / "splits").mkdir(exist_ok=True)
        (folder / "splits" / f"{split}-19zl.csv").write_text(",".join(cells) + "\n")
    return folder


def cvact(folder: Path) -> Path:
    names = [f"_-pano{n:014}" for n in range(4)]
    for number, name in enumerate(names):
        photo(folder / "streetview" / f"{name}_grdView.jpg", number)
        photo(folder / "satview_polish" / f"{name}_satView_polish.jpg", 10 + number)
    sets = {"trainSet": {"trainInd": np.array([[1], [3]])}, "valSet": {"valInd": np.array([[4]])}}
    savemat(folder / "ACT_data.mat", {"panoIds": names} | sets)
    return folder
