"""Maps for the screen. Leaflet travels inside the page: it opens without a network; only the streets need one.

Names come from strangers: they reach the page as values, never as HTML or as part of a template. folium's own layers
and pop-ups would not do, for folium takes what they have written for a template once more.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import folium
import numpy as np
import pandas as pd
from branca.element import Element
from xstatic.pkg import leaflet

from vg_core.figures.galleries import small_photo
from vg_core.figures.house_style import GROUPS, ink
from vg_core.figures.static_maps import round_length
from vg_core.system.text import printable

DOTS = 3000  # on one map: the browser stays quick, the file small
PICTURES = 300  # on one map
THUMBNAIL = 96  # pixels, longer side
THUMBNAIL_BYTES = 3_500_000  # of all thumbnails on a map, as text
CIRCLES = {"database": {"radius": 5, "fillOpacity": 0.35}, "queries": {"radius": 3, "fillOpacity": 0.9}}
CSS = (
    ".leaflet-container {background: white} .leaflet-popup-content {overflow-wrap: anywhere}"
    ".number {background: none; border: 0; box-shadow: none; color: white; font-weight: bold}"
    ".said > * {display: block} .remark {position: absolute; left: 10px; bottom: 50px; z-index: 1000; padding: 4px 8px;"
    " max-width: 200px; background: #fffd; font: 12px sans-serif; overflow-wrap: anywhere}"
)
DRAW = """(chart, page) => {
  const made = (tag, facts) => Object.assign(document.createElement(tag), facts);
  const box = (className, parts) => parts.reduce((whole, [tag, text]) => {
    whole.append(made(tag, tag == "img" ? {src: text} : {textContent: text}));
    return whole;
  }, made("div", {className}));
  const layers = L.control.layers(null, null, {collapsed: false}).addTo(chart);
  const streets = L.tileLayer("https://tile.openstreetmap.org/{z}/{x}/{y}.png", {maxZoom: 19,
    attribution: '&copy; <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors'});
  if (page.degrees) layers.addOverlay(streets, "streets (from the network)");
  L.polyline(page.lines, {color: "#ccc", weight: 1, interactive: false}).addTo(chart);
  for (const {title, look, dots} of page.layers) {
    const circles = dots.map(({at: [lng, lat], said, number}) => {
      const circle = L.circleMarker({lat, lng}, look).bindPopup(() => box("said", said));
      return number ? circle.bindTooltip(number, {permanent: true, direction: "center", className: "number"}) : circle;
    });
    const key = `<span style="color: ${look.color}">●</span> ${made("span", {textContent: title}).outerHTML}`;
    layers.addOverlay(L.layerGroup(circles).addTo(chart), key);
  }
  document.body.append(box("said remark", page.remark));
}"""


def folium_map(splits: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]]) -> folium.Map:
    """Interactive map of the splits, name -> (database, queries): a layer for each of them, photographs in pop-ups.

    Tables need the columns path, latitude and longitude (degrees), easting and northing (metres). Where no photograph
    has degrees, since names give no UTM zone, they lie on a grid of metres. Photographs that share a position are one
    dot. At most 3,000 dots are drawn and 300 of them carry a picture; the page stays below 5 MB, and what was left out
    is counted on it. Raises ValueError when there is no photograph.
    """
    tables = [table for pair in splits.values() for table in pair]
    degrees = any(table.latitude.notna().any() for table in tables)
    sets = [
        (f"{printable(split)} {role}", _dots(pair[number], degrees), ink(GROUPS.get(split, index)), role)
        for number, role in enumerate(CIRCLES)  # queries last: on top
        for index, (split, pair) in enumerate(splits.items())
    ]
    positions = sum(len(dots) for _, dots, *_ in sets)
    if not positions:
        raise ValueError("there is no position to draw: a map needs at least one photograph")
    drawn, layers, pictured = [], [], 0
    for name, dots, colour, role in sets:
        share = len(dots) / positions  # of all that the page can hold
        shown = dots.iloc[_spread(len(dots), round(share * DOTS))].reset_index(drop=True)
        pictures = _thumbnails(shown.path, int(share * PICTURES), int(share * THUMBNAIL_BYTES))
        points = [_dot(row, (name, f"photographs here: {row.photographs:,}"), pictures) for row in shown.itertuples()]
        title = f"{name}: {dots.photographs.sum():,} photographs, {len(dots):,} positions"
        title += f", {len(shown):,} of them shown" if len(shown) < len(dots) else ""
        layers.append({"title": title, "dots": points, "look": {"color": colour, "weight": 0, **CIRCLES[role]}})
        drawn.append(shown)
        pictured += len(pictures)
    drawn, lost = pd.concat(drawn), sum(map(len, tables)) - sum(dots.photographs.sum() for _, dots, *_ in sets)
    remark = f"{pictured:,} of {len(drawn):,} dots have a picture: click."
    remark += f" {lost:,} photographs without degrees are not shown." if lost else ""
    return _page(drawn, layers, [("span", remark)], degrees)


def locate_map(photo: str | Path, guesses: pd.DataFrame) -> folium.Map:
    """Interactive map of the best guesses for one photograph, numbered; the best one is vermillion.

    Columns of guesses, best first: latitude, longitude (degrees), easting, northing (metres), metres (from the best
    guess), distance (of its descriptor), path. Where a guess has no degrees all lie on a grid of metres.
    """
    degrees = bool(guesses[["latitude", "longitude"]].notna().all(axis=None))
    rows = _placed(guesses, degrees).reset_index(drop=True)
    pictures = _thumbnails(rows.path, len(rows), THUMBNAIL_BYTES)
    dots = []
    for row in rows.itertuples():
        at = f"{row.y:.5f}, {row.x:.5f}" if degrees else f"{row.x:.2f} E {row.y:.2f} N"
        facts = f"descriptor distance {row.distance:.3f}", f"{row.metres:,.0f} m from the best", at
        dots.append(_dot(row, (f"guess {row.Index + 1}", *facts), pictures, str(row.Index + 1)))
    kinds = (("other guesses", dots[:0:-1], ink("blue")), ("best guess", dots[:1], ink("vermillion")))
    look = {"radius": 9, "weight": 1, "fillOpacity": 0.9}
    layers = [{"title": title, "dots": chosen, "look": {"color": colour, **look}} for title, chosen, colour in kinds]
    asked = ("span", f"where is this? {printable(Path(photo).name)}")
    return _page(rows, layers, [_thumbnail(photo, 2 * THUMBNAIL), asked], degrees)


def _placed(table: pd.DataFrame, degrees: bool) -> pd.DataFrame:
    """The table with columns y and x: degrees, or metres."""
    upwards, across = ("latitude", "longitude") if degrees else ("northing", "easting")
    return table.assign(y=table[upwards], x=table[across])


def _dots(table: pd.DataFrame, degrees: bool) -> pd.DataFrame:
    """One row per position (y, x): path of its first photograph, and how many photographs it has."""
    places = _placed(table, degrees).dropna(subset=["y", "x"]).groupby(["y", "x"], as_index=False)
    return places.agg(path=("path", "first"), photographs=("path", "size"))


def _spread(count: int, most: int) -> np.ndarray:
    """Indices of at most ``most`` of ``count`` rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _thumbnails(paths: pd.Series, most: int, most_bytes: int) -> dict[int, tuple]:
    """Pictures by index of ``paths``, evenly spread over it, until there are enough or their text is too long."""
    pictures, spent = {}, 0
    for index in paths.index[_spread(len(paths), most)]:
        picture = _thumbnail(paths[index], THUMBNAIL)
        spent += len(picture[1])
        if spent > most_bytes:
            break
        pictures[index] = picture
    return pictures


def _thumbnail(path: str | Path, pixels: int) -> tuple[str, str]:
    """A small JPEG as an image's ``data:`` address; a few words when the file cannot be decoded."""
    photo = small_photo(path, pixels)
    if photo is None:
        return "span", "(file cannot be read)"
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=60)
    return "img", "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _dot(row, facts: Sequence[str], pictures: Mapping[int, tuple], number: str = "") -> dict:
    """A dot: its place, and its pop-up as pairs of an HTML tag and a text: facts, the first in bold, picture, name."""
    said = [("b", facts[0]), *(("span", fact) for fact in facts[1:])]
    said += [pictures[row.Index]] if row.Index in pictures else []
    said += [("small", printable(Path(row.path).name))]
    return {"at": [round(row.x, 7), round(row.y, 7)], "said": said, "number": number}


def _page(dots: pd.DataFrame, layers: list[dict], remark: list[tuple], degrees: bool) -> folium.Map:
    """A white map zoomed to its dots, with a scale, a switch for each layer, and a remark in the corner.

    It loads nothing: Leaflet is written into the page. Streets can be switched on; without degrees there is a grid.
    """
    crs, lowest, highest = ("EPSG3857", 0, 19) if degrees else ("Simple", -15, 2)  # zoom 0: here a pixel per metre
    chart = folium.Map(tiles=None, crs=crs, minZoom=lowest, control_scale=True, prefer_canvas=True, font_size="12px")
    chart.default_js, chart.default_css = [], []  # links to Leaflet, and to libraries that we do not use
    corners = dots[["y", "x"]].agg(["min", "max"]).to_numpy()
    chart.fit_bounds(corners.tolist(), padding=(20, 20), max_zoom=highest)
    step, lines = (0, []) if degrees else _grid(*corners)
    said = f"The names give no UTM zone: this is a grid of metres, a line every {step:,.0f} m."
    remark = [*remark, *[("span", said)] * bool(lines)]
    page = json.dumps({"degrees": degrees, "lines": lines, "layers": layers, "remark": remark})
    code, look = (Path(leaflet.BASE_DIR, name).read_text("utf-8") for name in ("leaflet.js", "leaflet.css"))
    _write(chart.get_root().header, f"<style>{look}{CSS}</style><script>{code}</script>")
    page = page.replace("<", r"\u003c")  # no text ends the script
    _write(chart.get_root().script, f"addEventListener('load', () => ({DRAW})({chart.get_name()}, {page}));")
    return chart


def _write(part: Element, text: str) -> None:
    """Add text to a part of the page as it is: a value in a template, not a template."""
    piece = Element("{{ this.text }}")
    piece.text = text
    part.add_child(piece)


def _grid(low: np.ndarray, high: np.ndarray) -> tuple[float, list]:
    """Metres between lines, and the ends (y, x) of each line, around two corners (y, x)."""
    step = round_length(max(*(high - low), 100.0) / 4)
    (bottom, left), (top, right) = np.floor(low / step) * step, (np.floor(high / step) + 1) * step
    flat = [[[y, left], [y, right]] for y in np.arange(bottom, top + step / 2, step)]
    return step, flat + [[[bottom, x], [top, x]] for x in np.arange(left, right + step / 2, step)]
