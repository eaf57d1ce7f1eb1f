"""Maps opened in a browser without a network: pop-ups can be read whole, and missing streets are explained."""

import numpy as np
import pandas as pd
import pytest

from tests.browser.test_hostile_names import BROWSER, opened, read
from vg_core.figures.interactive_maps import folium_map

# the dot nearest to the layer box is clicked, then streets are switched on; the map moves at once, not in steps
SCRIPT = """<script>addEventListener("load", () => {
  L.PosAnimation.include({run(pane, place) { L.DomUtil.setPosition(pane, place); this.fire("end"); }});
  const chart = window[Object.keys(window).find(name => name.startsWith("map_"))], dots = [];
  chart.eachLayer(dot => dot instanceof L.CircleMarker && dots.push(dot));
  const far = ({lat, lng}) => lat + lng;
  const corner = dots.sort((a, b) => far(b.getLatLng()) - far(a.getLatLng()))[0];
  corner.fire("click", {latlng: corner.getLatLng()});
  document.querySelector(".leaflet-control-layers input").click();
  setTimeout(() => {
    const [popup, layers, remark] = [".leaflet-popup", ".leaflet-control-layers", ".remark"].map(
      part => document.querySelector(part).getBoundingClientRect().toJSON());
    const facts = {popup, layers, remark, text: document.querySelector(".remark").textContent};
    const textContent = JSON.stringify(facts);
    document.body.append(Object.assign(document.createElement("pre"), {id: "read", textContent}));
  }, 2000);
});</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def apart(one: dict, other: dict) -> bool:
    across = one["right"] <= other["left"] or other["right"] <= one["left"]
    return across or one["bottom"] <= other["top"] or other["bottom"] <= one["top"]


def test_a_popup_is_clear_of_all_boxes_and_missing_streets_are_said(tmp_path):
    steps = np.arange(6)
    degrees = {"latitude": 45.1 + 1e-3 * steps, "longitude": 9 + 1.5e-3 * steps}
    metres = {"easting": 5e5 + 100.0 * steps, "northing": 5e6 + 100.0 * steps}
    table = pd.DataFrame(degrees | metres).assign(path=[f"there/{step}.jpg" for step in steps])
    folium_map({"train": (table, table)}).save(str(tmp_path / "map.html"))
    facts = read(opened(tmp_path / "map.html", tmp_path / "profile", SCRIPT))
    assert apart(facts["popup"], facts["layers"]) and apart(facts["popup"], facts["remark"])
    assert facts["text"].startswith("no connection to openstreetmap.org: streets are not shown")
