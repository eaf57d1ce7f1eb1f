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

from vg_core.datasets.zones import is_made_up
from vg_core.figures.galleries import small_photo
from vg_core.figures.house_style import GROUPS, ink
from vg_core.figures.static_maps import round_length
from vg_core.system.text import printable

DOTS = 3000  # on one map: the browser stays quick, the file small
PICTURES = 300  # on one map
THUMBNAIL = 96  # pixels, longer side
THUMBNAIL_BYTES = 3_500_000  # of all thumbnails on a map, as text
CIRCLES = {"database": {"radius": 5, "fillOpacity": 0.7}, "queries": {"radius": 3, "fillOpacity": 0.9}}
STRIP = 250, 20  # pixels from the left and the top that photographs beside a map may cover
CSS = (
    ".leaflet-container {background: white} .leaflet-popup-content {overflow-wrap: anywhere}"
    ".number {background: none; border: 0; box-shadow: none; color: white; font-weight: bold}"
    ".said > * {display: block} .said img {height: 72px}"
    ".said.remark img {height: 54px} .said.remark > img:first-child {height: 108px}"
    ".remark {position: absolute; left: 10px; bottom: 50px; z-index: 1000; padding: 4px 8px; max-width: 200px;"
    "max-height: calc(100% - 150px); overflow: auto; overflow-wrap: anywhere; background: #fffd; font: 12px sans-serif}"
    ".colour {font-size: 16px}"
)
DRAW = """(chart, page) => {
  const made = (tag, facts) => Object.assign(document.createElement(tag), facts);
  const box = (className, parts) => parts.reduce((whole, [tag, text]) => {
    whole.append(made(tag, tag == "img" ? {src: text} : {textContent: text}));
    return whole;
  }, made("div", {className}));
  const remark = box("said remark", page.remark), popups = [];
  document.body.append(remark);
  const layers = L.control.layers(null, null, {collapsed: false}).addTo(chart);
  const streets = L.tileLayer("https://tile.openstreetmap.org/{z}/{x}/{y}.png", {maxZoom: 19,
    attribution: '&copy; <a href="https://www.openstreetmap.org/copyright">OpenStreetMap</a> contributors'});
  if (page.degrees) layers.addOverlay(streets, "streets (from the network)");
  const lost = made("b", {textContent: "no connection to openstreetmap.org: streets are not shown"});
  streets.on("tileerror", () => remark.prepend(lost)).on("tileload remove", () => lost.remove());
  L.polyline(page.lines, {color: "#ccc", weight: 1, interactive: false}).addTo(chart);
  for (const {title, look, dots, name} of page.layers) {
    const circles = dots.map(({at: [lng, lat], said, number}) => {
      const circle = L.circleMarker({lat, lng}, look);
      popups.push([circle, said]);
      return number ? circle.bindTooltip(number, {permanent: true, direction: "center", className: "number"}) : circle;
    });
    const dot = `<span class="colour" style="color: ${look.color}">●</span>`;
    const key = `${dot} ${made("span", {textContent: title}).outerHTML}`;
    const group = L.layerGroup(circles).addTo(chart);
    if (name) group.addLayer(L.tooltip([name[1], name[2]], {permanent: true, direction: "top"})
      .setContent(made("span", {textContent: name[0]})));
    layers.addOverlay(group, key);
  }
  const tall = remark.offsetHeight > chart.getSize().y / 3;  // pop-ups stay clear of what lies over the map
  const clear = {autoPanPaddingTopLeft: [tall ? remark.offsetWidth + 20 : 10, 10], autoPanPaddingBottomRight:
    [layers.getContainer().offsetWidth + 20, tall ? 10 : remark.offsetHeight + 60]};
  for (const [circle, said] of popups) circle.bindPopup(() => box("said", said), clear);
}"""


def folium_map(splits: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], by_name: bool = False) -> folium.Map:
    """Interactive map of the splits, name -> (database, queries): a layer for each table, photographs in pop-ups.

    Tables need the columns path, latitude and longitude (degrees), easting and northing (metres). Where no photograph
    has degrees, since names give no UTM zone, they lie on a grid of metres. Photographs that share a position are one
    dot. At most 3,000 dots are drawn and 300 of them carry a picture; the page stays below 5 MB, and what was left out
    is counted on it. Database and queries have a colour each, or, ``by_name``, all that share a name. Raises ValueError
    when there is no photograph.
    """
    tables, names = [table for pair in splits.values() for table in pair], [*map(printable, splits)]
    degrees = any(table.latitude.notna().any() for table in tables)
    sets = [
        (printable(split), role, dots)
        for number, role in enumerate(CIRCLES)  # queries last: on top
        for split, pair in splits.items()
        if len(dots := _dots(pair[number], degrees))
    ]
    positions = sum(len(dots) for *_, dots in sets)
    if not positions:
        raise ValueError("there is no position to draw: a map needs at least one photograph")
    drawn, layers, pictured = [], [], 0
    for split, role, dots in sets:
        share = len(dots) / positions  # of all that the page can hold
        shown = dots.iloc[_spread(len(dots), round(share * DOTS))].reset_index(drop=True)
        pictures = _thumbnails(shown.path, int(share * PICTURES), int(share * THUMBNAIL_BYTES))
        points = [
            _dot(row, (f"{split} {role}", f"photographs here: {row.photographs:,}"), pictures)
            for row in shown.itertuples()
        ]
        title = f"{split} {role}: {dots.photographs.sum():,} photographs, {len(dots):,} positions"
        title += f", {len(shown):,} of them shown" if len(shown) < len(dots) else ""
        look = {"color": ink(names.index(split) if by_name else GROUPS[role]), "weight": 0, **CIRCLES[role]}
        name = [split, float(dots.y.max()), float(dots.x.mean())] if role == "database" and not by_name else None
        layers.append({"title": title, "dots": points, "look": look, "name": name})
        drawn.append(shown)
        pictured += len(pictures)
    drawn, lost = pd.concat(drawn), sum(map(len, tables)) - sum(dots.photographs.sum() for *_, dots in sets)
    remark = f"{pictured:,} of {len(drawn):,} dots have a picture: click."
    remark += f" {lost:,} photographs without degrees are not shown." if lost else ""
    return _page(drawn, layers, [("span", remark)], degrees, unit="units" if any(map(is_made_up, tables)) else "metres")


def locate_map(photo: str | Path, guesses: pd.DataFrame, taken: pd.DataFrame) -> folium.Map:
    """Interactive map of the best guesses for one photograph, numbered, and of where it was taken if that is known;
    beside it all photographs.

    Columns of guesses, best first: latitude, longitude (degrees), easting, northing (metres), metres (from the best
    guess), distance (of its descriptor), error (metres from ``taken``), path. ``taken`` has one row or none. Where a
    guess has no degrees all lie on a grid of metres.
    """
    degrees = bool(guesses[["latitude", "longitude"]].notna().all(axis=None))
    rows, taken = (_placed(table, degrees).reset_index(drop=True) for table in (guesses, taken))
    taken = taken.dropna(subset=["y", "x"])
    pictures = _thumbnails(rows.path, len(rows), THUMBNAIL_BYTES)
    beside = [_thumbnail(photo, 2 * THUMBNAIL), ("span", f"where is this? {printable(Path(photo).name)}")]
    dots = []
    for row in rows.itertuples():
        place = f"{row.error:,.0f} m off" if len(taken) else f"{row.metres:,.0f} m from the best"
        facts = f"descriptor distance {row.distance:.3f}", place, _position(row, degrees)
        dots.append(_dot(row, (f"guess {row.Index + 1}", *facts), pictures, str(row.Index + 1)))
        beside += [*filter(None, [pictures.get(row.Index)]), ("span", f"guess {row.Index + 1}: {place}")]
    truth = [_dot(row, ("taken here, as it says itself", _position(row, degrees)), {}) for row in taken.itertuples()]
    small, ring = {"radius": 9, "weight": 1, "fillOpacity": 0.9}, {"radius": 16, "weight": 4, "fillOpacity": 0}
    kinds = [("where it was taken", truth, "green", ring)] * len(truth)
    kinds += [("other guesses", dots[:0:-1], "blue", small), ("best guess", dots[:1], "vermillion", small)]
    layers = [{"title": title, "dots": some, "look": {"color": ink(name), **look}} for title, some, name, look in kinds]
    return _page(pd.concat([rows, taken]), layers, beside, degrees, STRIP)


def _position(row, degrees: bool) -> str:
    return f"{row.y:.5f}, {row.x:.5f}" if degrees else f"{row.x:.2f} E {row.y:.2f} N"


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


def _page(
    dots: pd.DataFrame, layers: list[dict], remark: list[tuple], degrees: bool, room=(20, 20), unit: str = "metres"
) -> folium.Map:
    """A white map zoomed to its dots, with a scale, a switch for each layer, and a remark in the corner; ``room`` is
    left at its left and top (pixels).

    It loads nothing: Leaflet is written into the page. Streets can be switched on; without degrees there is a grid.
    """
    crs, lowest, highest = ("EPSG3857", 0, 19) if degrees else ("Simple", -15, 2)  # zoom 0: here a pixel per metre
    look = {"control_scale": unit == "metres", "prefer_canvas": True, "font_size": "12px"}
    chart = folium.Map(tiles=None, crs=crs, minZoom=lowest, **look)
    chart.default_js, chart.default_css = [], []  # links to Leaflet, and to libraries that we do not use
    corners = dots[["y", "x"]].agg(["min", "max"]).to_numpy()
    chart.fit_bounds(corners.tolist(), padding_top_left=room, padding_bottom_right=(20, 20), max_zoom=highest)
    step, lines = (0, []) if degrees else _grid(*corners)
    why = "The names give no UTM zone" if unit == "metres" else "The coordinates are made up"
    said = f"{why}: this is a grid of {unit}, a line every {step:,.0f} {unit.replace('metres', 'm')}."
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
