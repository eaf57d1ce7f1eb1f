"""Pages with hostile names, opened in a browser: nothing in them runs, and every name can be read."""

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from tests.hostile import FOLDER, NAMES
from vg_core.figures.interactive_maps import folium_map, locate_map
from vg_core.system.text import printable

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
CLICKS = """<script>addEventListener("load", () => {
  const chart = window[Object.keys(window).find(name => name.startsWith("map_"))];
  const read = [".leaflet-control-layers", ".remark"].map(part => document.querySelector(part));
  chart.eachLayer(dot => {
    if (!(dot instanceof L.CircleMarker)) return;
    dot.fire("click", {latlng: dot.getLatLng()});
    read.push(dot.getPopup().getElement().querySelector(".said"));
  });
  const tags = read.slice(2).flatMap(part => [...part.querySelectorAll("*")].map(tag => tag.tagName));
  const facts = {texts: read.map(part => part.textContent), tags: [...new Set(tags)]};
  document.body.append(Object.assign(document.createElement("pre"), {id: "read", textContent: JSON.stringify(facts)}));
});</script><img src=x onerror=document.documentElement.dataset.control=1>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def opened(file, profile, script: str = CLICKS) -> str:
    """The page once its scripts have run, and this one, after which every dot was clicked; the network is away."""
    file.write_text(file.read_text("utf-8") + script, "utf-8")
    command = [
        BROWSER,
        *OPTIONS,
        f"--user-data-dir={profile}",
        "--virtual-time-budget=3000",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--dump-dom",
        file.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, encoding="utf-8", timeout=60).stdout


def read(page: str) -> dict:
    return json.loads(html.unescape(re.search(r'<pre id="read">(.*?)</pre>', page, flags=re.DOTALL)[1]))


def photographs() -> pd.DataFrame:
    """One photograph for each name, along a street."""
    count = np.arange(len(NAMES))
    metres = {"easting": 5e5 + 20.0 * count, "northing": 5e6 + 7.0 * (count % 3)}
    degrees = {"latitude": 45.1 + 1e-4 * (count % 3), "longitude": 9 + 2e-4 * count}
    table = pd.DataFrame(metres | degrees | {"metres": 20.0 * count, "distance": 0.5, "error": 9.0})
    return table.assign(path=pd.Series([f"there/{name}" for name in NAMES], dtype=object))


@pytest.mark.parametrize("kind", ["splits", "guesses without zones"])
def test_nothing_runs_and_every_name_is_read(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = photographs()
    if kind == "splits":
        chart = folium_map({name: (table.iloc[[n]], table.iloc[[n]]) for n, name in enumerate(NAMES)})
    else:
        chart = locate_map(NAMES[7], table.assign(latitude=np.nan, longitude=np.nan), table.head(1))
    chart.save("map.html")
    page = opened(tmp_path / "map.html", tmp_path / "profile")
    assert 'data-control="1"' in page  # what runs can be told
    assert "data-ran=" not in page and not (tmp_path / FOLDER).exists()
    facts = read(page)
    legend, remark, *dots = facts["texts"]
    assert len(dots) == (2 * len(NAMES) if kind == "splits" else len(NAMES) + 1)  # where it was taken
    assert set(facts["tags"]) <= {"B", "SPAN", "SMALL"}
    assert all(any(printable(name) in text for text in dots) for name in NAMES)
    if kind == "splits":
        assert all(f"{printable(name)} database: 1 photographs" in legend for name in NAMES)
    else:
        assert printable(NAMES[7]) in remark and "a grid of metres" in remark
