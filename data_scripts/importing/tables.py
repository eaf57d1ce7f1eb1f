"""Files of strangers as rows: CSV tables, points of KML and GeoJSON, tracks of GPX."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from .rows import Row, kind_of, make_row


def read_csv(file: Path) -> list[Row]:
    """The rows of a table with a column of files and others by their usual names, between commas, semicolons or tabs.

    ValueError, which lists the columns, when those needed are missing.
    """
    text = re.sub(r"\Asep=.\r?\n", "", _text(file))  # of Excel
    try:
        tables = [_lines(text, delimiter) for delimiter in ",;\t"]
    except csv.Error as error:
        raise ValueError(f"{file} is no table of text ({error})") from None
    number, head, lines = max(tables, key=lambda table: len({*map(kind_of, table[1])} - {""}))
    kinds = [*map(kind_of, head)]
    said = {kind for kind in kinds if kind}
    if "file" not in said or len(said) < 2 or ("latitude" in said) != ("longitude" in said):
        found = ", ".join(head)[:200]
        raise ValueError(f"{file}: line {number} must name columns such as file, lat and lon; it has: {found}")
    return [_row(f"{file.name} line {number}", kinds, line) for number, line in lines]


def read_points(file: Path) -> list[Row]:
    """The points of a KML or GeoJSON file; any of their texts may name the photograph."""
    readers = {".kml": _kml, ".json": _geojson, ".geojson": _geojson}
    if file.suffix.lower() not in readers:
        unpack = "; unpack this zip archive and name the .kml inside" if file.suffix.lower() == ".kmz" else ""
        raise ValueError(f"{file}: points are read from .kml, .geojson and .json files{unpack}")
    found = [
        make_row(
            f"{file.name} point {number}", [*texts.values()], {kind_of(name): t for name, t in texts.items()} | place
        )
        for number, (texts, place) in enumerate(readers[file.suffix.lower()](file), 1)
    ]
    if not found:
        raise ValueError(f"{file} holds no points")
    return found


def track_points(file: Path) -> Iterator[tuple[str, str, str]]:
    """(latitude, longitude, time) of each point of a GPX track, as texts."""
    for point in read_xml(file).iter():
        if _tag(point) == "trkpt":
            time = next((child.text for child in point if _tag(child) == "time"), None)
            yield point.get("lat", ""), point.get("lon", ""), (time or "").strip()


def read_xml(file: Path) -> ElementTree.Element:
    """The root of an XML file. ValueError for one that is none, or declares a document type: with one, a few lines
    can become gigabytes, or read other files.
    """

    def refuse(*_declaration) -> None:
        raise ValueError(f"{file} declares a document type (DTD), which no track or map needs; remove the declaration")

    content, look = file.read_bytes(), expat.ParserCreate()
    look.StartDoctypeDeclHandler = refuse
    try:
        look.Parse(content, True)
        return ElementTree.fromstring(content)
    except (expat.ExpatError, ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"{file} is no XML ({error}); export it again") from None


def _lines(text: str, delimiter: str) -> tuple[int, list[str], list[tuple[int, list[str]]]]:
    """The number of the first line that is not empty, its cells, and (number, cells) of the others."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    lines = [(reader.line_num, [cell.strip() for cell in line]) for line in reader]
    lines = [(number, line) for number, line in lines if any(line)] or [(1, [])]
    return *lines[0], lines[1:]


def _row(where: str, kinds: list[str], line: list[str]) -> Row:
    values = dict(reversed([*zip(kinds, line, strict=False)]))  # of two columns of a kind, the first
    row = make_row(where, [values.pop("file", "")], values if len(line) <= len(kinds) else {})
    if len(line) > len(kinds):
        row.doubts.append(f"{len(line)} cells for {len(kinds)} columns (decimal commas need semicolons or quotes)")
    return row


def _kml(file: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    for mark in read_xml(file).iter():
        if _tag(mark) != "Placemark":
            continue
        texts, place = {}, ""
        for part in mark.iter():
            text = (part.text or "").strip()
            if _tag(part) == "coordinates" and len(text.split()) == 1:
                place = text
            elif _tag(part) == "Data":
                texts[part.get("name", "")] = " ".join("".join(child.itertext()).strip() for child in part)
            elif text and _tag(part) in ("name", "SimpleData", "when"):
                texts[{"name": "name", "when": "time"}.get(_tag(part)) or part.get("name", "")] = text
        if place:
            longitude, latitude = [*place.split(","), ""][:2]
            yield texts, {"latitude": latitude, "longitude": longitude}


def _geojson(file: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    try:
        content = json.loads(_text(file))
        features = content.get("features", [content])
        for feature in features:
            shape, texts = feature.get("geometry") or {}, feature.get("properties") or {}
            if shape.get("type") == "Point":
                longitude, latitude = map(str, shape["coordinates"][:2])
                texts = {str(name): str(value).strip() for name, value in texts.items() if value is not None}
                yield texts, {"latitude": latitude, "longitude": longitude}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise ValueError(f"{file} is no GeoJSON ({type(error).__name__}: {error}); export it again") from None


def _text(file: Path) -> str:
    """A file as text: UTF-8, or UTF-16 as spreadsheets save it with a byte-order mark."""
    content = file.read_bytes()
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"{file}: line {line} is no UTF-8; save the file as UTF-8") from None


def _tag(element: ElementTree.Element) -> str:
    """Without its namespace, which differs between versions."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""
