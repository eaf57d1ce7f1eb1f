"""Maps for the screen. Leaflet travels inside the page: it opens without a network; only the streets need one."""

import base64
import io
from collections.abc import Mapping
from html import escape
from pathlib import Path

import folium
import numpy as np
import pandas as pd
from branca.element import Element
from folium.utilities import JsCode
from matplotlib import style
from matplotlib.colors import to_hex
from xstatic.pkg import leaflet

from vg_core.maps.photos import small_photo
from vg_core.maps.static import SPLIT_COLOURS

DOTS = 3000  # on one map: the browser stays quick, the file small
THUMBNAIL = 96  # pixels, longer side
THUMBNAIL_BYTES = 3_500_000  # of all thumbnails on a map, as text
CIRCLES = {"database": {"radius": 5, "fill_opacity": 0.35}, "queries": {"radius": 3, "fill_opacity": 0.9}}
CSS = (
    ".leaflet-container {background: white} .leaflet-popup-content {overflow-wrap: anywhere}"
    ".number {background: none; border: 0; box-shadow: none; color: white; font-weight: bold}"
    ".remark {position: absolute; left: 10px; bottom: 50px; z-index: 1000; max-width: 200px; padding: 4px 8px;"
    " background: #fffd; font: 12px sans-serif; overflow-wrap: anywhere}"
)
TALK = JsCode(  # what a dot says when it is clicked, and the number that it carries all the time
    "(dot, layer) => {layer.bindPopup(dot.properties.text); if (dot.properties.number) layer.bindTooltip("
    "dot.properties.number, {permanent: true, direction: 'center', className: 'number'});}"
)


@style.context("vg_core.house", after_reset=True)
def folium_map(splits: Mapping[str, tuple[pd.DataFrame, pd.DataFrame]], thumbnails: int = 300) -> folium.Map:
    """Interactive map of the splits, name -> (database, queries): a layer for each of them, photographs in pop-ups.

    Tables need the columns path, latitude and longitude (degrees). Photographs that share a position are one dot. At
    most 3,000 dots are drawn and ``thumbnails`` of them carry a picture; the page stays below 5 MB, and what was left
    out is counted on it. Raises ValueError when no photograph has degrees.
    """
    layers = [
        (f"{split} {role}", _dots(tables[number]), to_hex(SPLIT_COLOURS.get(split, f"C{index}")), role)
        for number, role in enumerate(CIRCLES)  # queries last: on top
        for index, (split, tables) in enumerate(splits.items())
    ]
    positions = sum(len(dots) for _, dots, *_ in layers)
    if not positions:
        raise ValueError("no photograph has a latitude and longitude: file names must give them, or the UTM zone")
    chart, drawn, pictured = _chart(), [], 0
    for name, dots, colour, role in layers:
        share = len(dots) / positions  # of all that the page can hold
        shown = dots.iloc[_spread(len(dots), round(share * DOTS))].reset_index(drop=True)
        pictures = _thumbnails(shown.path, int(share * thumbnails), int(share * THUMBNAIL_BYTES))
        texts = (f"<b>{escape(name)}</b><br>photographs here: {number:,}" for number in shown.photographs)
        points = [_dot(row, text, pictures) for row, text in zip(shown.itertuples(), texts, strict=True)]
        title = f"{name}: {dots.photographs.sum():,} photographs, {len(dots):,} positions"
        title += f", {len(shown):,} of them shown" if len(shown) < len(dots) else ""
        _add_layer(chart, title, points, colour, weight=0, **CIRCLES[role])
        drawn.append(shown)
        pictured += len(pictures)
    drawn = pd.concat(drawn)
    lost = sum(int(table.latitude.isna().sum()) for pair in splits.values() for table in pair)
    remark = f"{pictured:,} of {len(drawn):,} dots have a picture: click."
    return _finished(chart, drawn, remark + (f" {lost:,} photographs without degrees are not shown." if lost else ""))


@style.context("vg_core.house", after_reset=True)
def locate_map(photo: str | Path, guesses: pd.DataFrame) -> folium.Map:
    """Interactive map of the best guesses for one photograph, numbered; the best one is vermillion.

    Columns of guesses, best first: latitude, longitude (degrees), metres (from the best guess), distance (of its
    descriptor), path.
    """
    rows = guesses.reset_index(drop=True)
    if not rows[["latitude", "longitude"]].notna().all(axis=None):
        raise ValueError("a guess has no latitude and longitude: database file names must give them, or the UTM zone")
    chart = _chart()
    pictures = _thumbnails(rows.path, len(rows), THUMBNAIL_BYTES)
    dots = []
    for row in rows.itertuples():
        text = (
            f"<b>guess {row.Index + 1}</b>, descriptor distance {row.distance:.3f}<br>{row.metres:,.0f} m from the best"
        )
        dots.append(_dot(row, f"{text}<br>{row.latitude:.5f}, {row.longitude:.5f}", pictures, str(row.Index + 1)))
    for title, chosen, colour in (("other guesses", dots[:0:-1], "C0"), ("best guess", dots[:1], "C3")):
        _add_layer(chart, title, chosen, to_hex(colour), radius=9, weight=1, fill_opacity=0.9)
    query = _picture(_thumbnail(photo, 2 * THUMBNAIL))
    return _finished(chart, rows, f"{query}<br>where is this? {escape(Path(photo).name)}")


def _dots(table: pd.DataFrame) -> pd.DataFrame:
    """One row a position (latitude, longitude): path of its first photograph, and how many photographs it has."""
    known = table.dropna(subset=["latitude", "longitude"])
    places = known.groupby(["latitude", "longitude"], as_index=False)
    return places.agg(path=("path", "first"), photographs=("path", "size"))


def _spread(count: int, most: int) -> np.ndarray:
    """Indices of at most ``most`` of ``count`` rows, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _thumbnails(paths: pd.Series, most: int, most_bytes: int) -> dict[int, str]:
    """Pictures by index of ``paths``, evenly spread over it, until there are enough or their text is too long."""
    pictures, spent = {}, 0
    for index in paths.index[_spread(len(paths), most)]:
        picture = _thumbnail(paths[index], THUMBNAIL)
        spent += len(picture)
        if spent > most_bytes:
            break
        pictures[index] = picture
    return pictures


def _thumbnail(path: str | Path, pixels: int) -> str:
    """A small JPEG as a ``data:`` address; empty when the file cannot be decoded."""
    photo = small_photo(path, pixels)
    if photo is None:
        return ""
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=60)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _picture(address: str) -> str:
    return f'<img src="{address}">' if address else "(file cannot be read)"


def _chart() -> folium.Map:
    """A white map with a scale and, to be switched on, streets. It loads nothing: Leaflet is written into the page."""
    chart = folium.Map(tiles=None, control_scale=True, prefer_canvas=True, font_size="12px")
    chart.default_js, chart.default_css = [], []  # links to Leaflet, and to libraries that our layers do not use
    code, look = (Path(leaflet.BASE_DIR, name).read_text("utf-8") for name in ("leaflet.js", "leaflet.css"))
    _write(chart.get_root().header, f"<style>{look}{CSS}</style><script>{code}</script>")
    folium.TileLayer("OpenStreetMap", name="streets (from the network)", overlay=True, show=False).add_to(chart)
    return chart


def _write(part: Element, text: str) -> None:
    """Add HTML as it is: braces in it are no template."""
    part.add_child(Element(f"{{% raw %}}{text}{{% endraw %}}"))


def _dot(row, text: str, pictures: Mapping[int, str], number: str = "") -> dict:
    """GeoJSON feature of a row: where it is and what its pop-up says."""
    picture = f"<br>{_picture(pictures[row.Index])}" if row.Index in pictures else ""
    facts = {"text": f"{text}{picture}<br><small>{escape(Path(row.path).name)}</small>", "number": number}
    point = {"type": "Point", "coordinates": [round(row.longitude, 7), round(row.latitude, 7)]}
    return {"type": "Feature", "properties": facts, "geometry": point}


def _add_layer(chart: folium.Map, title: str, dots: list[dict], colour: str, **circle) -> None:
    """One GeoJSON layer of circles: a hundred times as many as Leaflet bears as markers with pop-ups of their own."""
    circles = folium.CircleMarker(color=colour, fill=True, fill_color=colour, **circle)
    key = f'<span style="color:{colour}">●</span> {escape(title)}'
    every = {"type": "FeatureCollection", "features": dots}
    folium.GeoJson(every, name=key, marker=circles, on_each_feature=TALK).add_to(chart)


def _finished(chart: folium.Map, dots: pd.DataFrame, remark: str) -> folium.Map:
    """The map zoomed to its dots, with a switch for each layer and a remark in the corner."""
    corners = dots[["latitude", "longitude"]].agg(["min", "max"]).to_numpy().tolist()
    chart.fit_bounds(corners, padding=(20, 20), max_zoom=19)
    folium.LayerControl(collapsed=False).add_to(chart)
    _write(chart.get_root().html, f'<div class="remark">{remark}</div>')
    return chart
