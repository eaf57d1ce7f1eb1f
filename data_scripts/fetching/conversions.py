"""Data sets as their authors give them out, turned into photographs with places in our folders. Nothing is written."""

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import utm

from vg_core.datasets.folders import listed
from vg_core.datasets.labels import IMAGE_SUFFIXES, Label, format_name, to_utm
from vg_core.datasets.path_lists import LIST
from vg_core.datasets.splits import SPLITS
from vg_core.system.text import printable

from .archives import safe_name
from .source import DATABASES, Photo, Source

SHORT_SIDE = 480  # pixels of queries of Tokyo 24/7, as its authors advise
APART = 1000.0  # units between pairs without positions: pairs are right or wrong, never near
FRAME = 25 / 10.5  # units between frames of Nordland: within 25 lie ten frames to either side
VALIDATION = ("cph", "sf")  # cities of MSLS
TRAINING = (
    *("trondheim", "london", "boston", "melbourne", "amsterdam", "helsinki", "tokyo", "toronto", "saopaulo"),
    *("moscow", "zurich", "paris", "bangkok", "budapest", "austin", "berlin", "ottawa", "phoenix", "goa", "amman"),
    *("nairobi", "manila"),
)
GSV_NAME = re.compile(r"\w+?_(\d+)_(\d{4})_(\d\d)_(\d+)_(-?[\d.]+)_(-?[\d.]+)_(.+)")
TRUTH = re.compile(r"\w+_(query|good|ok|junk)\.txt")
VIEW = re.compile(r"(\w+?)_(pitch(\d)_yaw(\d+))")


def laid_out(source: Source) -> Iterator[Photo]:
    """A data set that comes in our folders, or in those of the field, where a database is called gallery."""
    root = source.folder("images", "processed", *SPLITS)
    lists = [file for depth in ("", "*/", "*/*/") for file in root.glob(f"{depth}*{LIST}")]
    for path in [*map(Path, listed(root).paths), *lists]:
        parts = path.relative_to(root).parts
        yield Photo(path, "/".join("database" if part in DATABASES else part for part in parts))


def pittsburgh(source: Source, name: str) -> Iterator[Photo]:
    """Pitts30k or Pitts250k from ``NAME_{train,val,test}.mat`` of NetVLAD's authors, and the folders 000 …"""
    folders = {"database": source.folder("000"), "queries": source.below("queries_real")}
    for split in SPLITS:
        file = source.below(f"{name}_{split}.mat")
        for role, _, path, where in _specified(file, lambda role, _names: folders[role], (17, "T")):
            view = VIEW.fullmatch(path.stem)
            if not view:
                raise ValueError(f"{file} names {printable(path)}, which is no PANORAMA_pitchN_yawN")
            tile = (int(view[3]) - 1) * 24 + int(view[4]) - 1
            fields = {"pano_id": view[1], "tile": f"{tile:02d}", "note": view[2]}
            yield _placed(path, f"images/{split}/{role}", where, **fields)


def tokyo247(source: Source) -> Iterator[Photo]:
    """Tokyo 24/7 from ``tokyo247.mat``, the folders 03814 … and the 315 queries, which are shrunk to the usual size."""
    from vg_core.retrieval.published.tokyo import TIMES  # which takes seconds

    def top(_role, names: Sequence[str]) -> Path:
        return source.folder(safe_name(names[0]).partition("/")[0])

    for role, number, path, where in _specified(source.below("tokyo247.mat"), top, (54, "S")):
        view = re.search(r"_012_(\d+)$", path.stem)
        fields = {"pano_id": path.stem[:22], "tile": f"{int(view[1]) // 30:02d}" if view else ""}
        if role == "queries":
            fields = {"pano_id": path.stem, "note": TIMES[number % 3], "short_side": SHORT_SIDE}
        yield _placed(path, f"images/test/{role}", where, **fields)


def _specified(file: Path, folder_of: Callable, zone: tuple[int, str]) -> Iterator[tuple[str, int, Path, tuple]]:
    """(role, number, path, where) of the images in a specification of NetVLAD's authors, in its order.

    ``folder_of`` a role and the names of its images is the folder that these are relative to.
    """
    from vg_core.retrieval.published.tokyo import read_specification, resolved  # which takes seconds

    names, places, _ = read_specification(file)
    for role, images, metres in zip(("database", "queries"), names, places, strict=True):
        degrees = utm.to_latlon(*metres.T, zone[0], northern=True, strict=False)
        rows = zip(resolved(images, folder_of(role, images), file), *metres.T, *degrees, strict=True)
        for number, (path, east, north, *angles) in enumerate(rows):
            yield role, number, Path(path), (east, north, *zone, *angles)


def msls(source: Source) -> Iterator[Photo]:
    """Mapillary SLS from raw.csv and postprocessed.csv of each city; panoramas are left out. The places of its test
    cities are secret; as in the field, what is called test is val.
    """
    for file in sorted(source.folder(*VALIDATION, *TRAINING).glob("*/*/raw.csv")):
        city, role = file.parts[-3:-1]
        split, role = "val" if city in VALIDATION else "train", "database" if role == "database" else "queries"
        views = {row["key"]: row for _, row in _rows(file.with_name("postprocessed.csv"), "key night view_direction")}
        for line, row in _rows(file, "key lon lat ca captured_at pano"):
            if row["pano"] == "True":
                continue
            if row["key"] not in views:
                raise ValueError(f"{file}, line {line}: postprocessed.csv beside it lacks this photograph")
            view = views[row["key"]]
            note = f"{'night' if view['night'] == 'True' else 'day'}_{view['view_direction'].lower()}_{city}"
            fields = {"pano_id": row["key"], "timestamp": row["captured_at"].replace("-", ""), "note": note}
            heading = _number(row["ca"], file, line) % 360 if row["ca"] else None
            path = file.parent / "images" / safe_name(f"{row['key']}.jpg")
            where = _where(row, file, line)
            photo = _placed(path, f"images/{split}/{role}", where, heading=heading, **fields)
            yield photo
            if split == "val":
                yield photo._replace(target=photo.target.replace("/val/", "/test/", 1))


def gsv_cities(source: Source) -> Iterator[Photo]:
    """GSV-Cities from Dataframes/CITY.csv and Images/CITY: one flat train, whose notes name the places."""
    root = source.folder("Dataframes")
    for file in sorted((root / "Dataframes").glob("*.csv")):
        there = {}
        for path in listed(root / "Images" / file.stem).paths:
            if found := GSV_NAME.fullmatch(Path(path).stem):
                there[int(found[1]), int(found[2]), int(found[3]), int(found[4]), found[7]] = path
        for line, row in _rows(file, "place_id year month northdeg city_id lat lon panoid"):
            numbers = (_number(row[name], file, line, int) for name in ("place_id", "year", "month", "northdeg"))
            place, year, month, north = numbers
            path = there.get((place % 10**5, year, month, north, row["panoid"]))
            if path is None:
                raise FileNotFoundError(f"{file}, line {line}: its photograph is not in Images/{file.stem}")
            fields = {"timestamp": f"{year:04d}{month:02d}", "note": f"{row['city_id']}_{place:07d}"}
            where = _where(row, file, line)
            yield _placed(
                path, f"images/train/{file.stem}", where, pano_id=row["panoid"], heading=north % 360, **fields
            )


def nordland(source: Source) -> Iterator[Photo]:
    """Nordland from frames of summer (database) and winter (queries), those of cleanImageNames.txt if that is there.

    Positions are made up: along a line, ten frames to either side are within 25 units (Hausler et al., CVPR 2021).
    """
    seasons = [{Path(path).name: path for path in listed(source.below(name)).paths} for name in ("summer", "winter")]
    try:
        chosen = set(source.below("cleanImageNames.txt").read_text(errors="replace").split())
    except FileNotFoundError:
        chosen = set(seasons[0]) | set(seasons[1])
    frames = [sorted(chosen & set(season)) for season in seasons]
    if frames[0] != frames[1]:
        odd = printable(min(set(frames[0]) ^ set(frames[1])))
        raise ValueError(f"summer and winter have other frames, such as {odd}; unpack both again")
    for role, season in zip(("database", "queries"), seasons, strict=True):
        for number, frame in enumerate(frames[0]):
            yield _placed(season[frame], f"images/test/{role}", (0.0, number * FRAME), pano_id=str(number))


def pairs(source: Source, database: str, queries: str) -> Iterator[Photo]:
    """Pairs of the same name in two folders; positions are made up, each pair far from all others."""
    sides = [{Path(path).stem: path for path in listed(source.below(name)).paths} for name in (database, queries)]
    if odd := sorted(set(sides[0]) ^ set(sides[1])):
        raise ValueError(f"'{printable(odd[0])}' is in one of the folders {database} and {queries} alone; unpack again")
    for role, side in zip(("database", "queries"), sides, strict=True):
        for number, stem in enumerate(sorted(side)):
            yield _placed(side[stem], f"images/test/{role}", (0.0, number * APART), pano_id=stem)


def landmarks(source: Source) -> Iterator[Photo]:
    """Oxford 5k or Paris 6k as `python -m vg_core benchmark` reads them: images, groundtruth, corrupt.txt."""
    for path in source.photographs():
        yield Photo(path, f"images/{path.name}")
    for root in source.roots:
        for path in sorted(root.rglob("*.txt")):
            if TRUTH.fullmatch(path.name) or path.name == "corrupt.txt":
                yield Photo(path, path.name if path.name == "corrupt.txt" else f"groundtruth/{path.name}")


def holidays(source: Source) -> Iterator[Photo]:
    """INRIA Holidays as `python -m vg_core benchmark` reads it."""
    return (Photo(path, f"jpg/{path.name}") for path in source.photographs())


def cvusa(source: Source) -> Iterator[Photo]:
    """CVUSA as its lists splits/{train,val}-19zl.csv name it: aerial, ground and more on each line."""
    root = source.folder("splits")
    seen = set()
    for name in ("splits/train-19zl.csv", "splits/val-19zl.csv"):
        yield Photo(root / name, name)
        with (root / name).open(newline="", encoding="utf-8", errors="replace") as file:
            for line, cells in enumerate(csv.reader(file), 1):
                if len(cells) < 2:
                    raise ValueError(f"{root / name}, line {line}: expected an aerial and a ground photograph")
                for cell in map(safe_name, cells[:2]):
                    if cell not in seen:
                        yield Photo(root / cell, cell)
                    seen.add(cell)


def cvact(source: Source) -> Iterator[Photo]:
    """The train and val pairs of CVACT that ACT_data.mat numbers, from 1; streetview and satview_polish beside it."""
    from scipy.io import loadmat

    file, root = source.below("ACT_data.mat"), source.folder("streetview")
    yield Photo(file, file.name)
    try:
        found = loadmat(file, simplify_cells=True)
        chosen = found["trainSet"]["trainInd"], found["valSet"]["valInd"]
        numbers = [int(number) for number in np.concatenate([*map(np.ravel, chosen)])]
        names = [safe_name(str(found["panoIds"][number - 1])) for number in numbers]
    except Exception as error:  # whatever a damaged file makes of its reader
        raise ValueError(f"{file} is not CVACT's list of pairs ({printable(error)}); fetch it again") from error
    for name in names:
        for part, end in (("streetview", "grdView"), ("satview_polish", "satView_polish")):
            images = [root / part / f"{name}_{end}{suffix}" for suffix in IMAGE_SUFFIXES]
            image = next(filter(Path.exists, images), images[0])
            yield Photo(image, f"{part}/{image.name}")


def _placed(path, folder: str, where: Sequence, short_side: int = 0, **fields) -> Photo:
    """A photograph under the name that says where it was taken; what strangers wrote cannot become other fields."""
    path = Path(path)
    fields = {key: re.sub("[@/]", "_", value) if isinstance(value, str) else value for key, value in fields.items()}
    extension = ".jpg" if short_side else path.suffix.lower()
    return Photo(path, f"{folder}/{format_name(Label(*where, **fields, extension=extension))}", short_side)


def _rows(file: Path, columns: str) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, row) of a CSV with these columns, and perhaps others."""
    with file.open(newline="", encoding="utf-8-sig", errors="replace") as opened:
        reader = csv.DictReader(opened, restval="")
        if lacking := [name for name in columns.split() if name not in (reader.fieldnames or ())]:
            raise ValueError(f"{file} has no column {', '.join(lacking)}; unpack it again")
        for row in reader:
            yield reader.line_num, row


def _where(row: dict[str, str], file: Path, line: int) -> tuple:
    latitude, longitude = (_number(row[axis], file, line) for axis in ("lat", "lon"))
    try:
        return *to_utm(latitude, longitude), latitude, longitude
    except (ValueError, utm.OutOfRangeError) as error:
        raise ValueError(f"{file}, line {line}: no such place ({error})") from error


def _number(text: str, file: Path, line: int, kind: type = float):
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{file}, line {line}: '{printable(text[:40])}' is no number") from None
