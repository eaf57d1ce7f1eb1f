"""Notebooks in JupyterLab, used as by a student: Run All, a pop-up, a mistyped option, the stop button, a slider."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_scripts.city.dataset import build_city
from tests.browser.driven import CONTROL, PATIENCE, SHIFT, Tab, chromium, until
from tests.browser.test_hostile_names import BROWSER
from vg_core.system import paths

TINY = {
    **{"image_size": [24, 32], "clusters": 4, "negs_num_per_query": 2, "neg_samples_num": 12, "train_batch_size": 4},
    **{"queries_per_epoch": 8, "cache_refresh_rate": 8, "epochs_num": 12, "patience": 12},
}
OUTPUT = ".jp-OutputArea-output"
TEXTS = f"[...document.querySelectorAll('{OUTPUT}')].map(one => one.textContent)"
IDLE = "![...document.querySelectorAll('.jp-InputPrompt')].some(one => one.textContent == '[*]:')"
FRAME = f"document.querySelector('{OUTPUT} iframe').contentWindow"
# a dot of the map, which is no element of the page but has a place on it
DOT = f"""(view => {{
  const chart = view[Object.keys(view).find(name => name.startsWith("map_"))], dots = [];
  chart.eachLayer(one => one instanceof view.L.CircleMarker && dots.push(one));
  const {{x, y}} = chart.latLngToContainerPoint(dots[0].getLatLng());
  const scrollIntoView = how => view.frameElement.scrollIntoView(how), ownerDocument = view.document;
  return {{scrollIntoView, ownerDocument, getBoundingClientRect: () => ({{x, y, width: 0, height: 0}})}};
}})({FRAME})"""
POPUP = f"{FRAME}.document.querySelector('.leaflet-popup')"
PICTURE = "document.querySelector('img.widget-image')"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """(cache, address of a notebook) of JupyterLab as ``make lab`` starts it, with a tiny city and default settings."""
    root = tmp_path_factory.mktemp("lab")
    names = "VG_DATA", "VG_CACHE", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"
    environment = os.environ | {name: str(root / name) for name in names}
    environment.pop("VG_HEADLESS", None)  # somebody looks
    command, log = [sys.executable, str(paths.REPORTS / "lab.py"), "--no-browser", "--port=0"], root / "log.txt"
    with log.open("wb") as lines:
        server = subprocess.Popen(command, env=environment, stdout=lines, stderr=lines)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("VG_DATA", environment["VG_DATA"])
            build_city(size="tiny", workers=1)
        host, token = until(lambda: re.search(r"(http://localhost:\d+)/\S+(token=\w+)", log.read_text())).groups()
        yield root / "VG_CACHE", f"{host}/lab/tree/notebooks/{{}}.ipynb?reset&{token}"
    finally:
        server.terminate()
        server.wait(PATIENCE)


@pytest.fixture
def opened(lab, tmp_path):
    """Function that opens a notebook and returns its tab, where the first cell is chosen and the kernel ready."""
    with chromium(tmp_path / "profile") as tab:

        def open_notebook(name: str) -> Tab:
            tab.ask("Page.navigate", url=lab[1].format(name))
            tab.click("document.querySelector('.jp-Notebook .jp-Cell')")
            tab.wait("document.querySelector('#jp-main-statusbar').textContent.includes('| Idle')")
            return tab

        yield open_notebook
        tab.photograph(tmp_path / "end.png")  # as a fault leaves it, too


def run_all(tab: Tab) -> None:
    """Run all cells, once none is running or waiting any more."""
    tab.wait(IDLE)
    for part, name in {"MenuBar": "Run", "Menu": "Run All Cells"}.items():
        tab.click(f"[...document.querySelectorAll('.lm-{part}-itemLabel')].find(one => one.textContent == '{name}')")


def set_options(tab: Tab, options: dict) -> None:
    """Write the cell of parameters anew."""
    tab.click("document.querySelector('.jp-CodeCell .cm-line')")
    tab.press("a", 65, CONTROL)
    tab.write(f"profile = 'smoke'\nseeds = [0]\noptions = {options}\ncluster = 'here'")


def shows(text: str) -> str:
    """True when an output contains a text."""
    return f"{TEXTS}.some(one => one.includes({text!r}))"


def the_only(tab: Tab, text: str, picture: Path) -> str:
    """The output that contains a text, once there is one and nothing runs any more; photographed."""
    tab.wait(shows(text))
    tab.wait(IDLE)
    (said,) = [output for output in tab.value(TEXTS) if text in output]
    tab.photograph(picture, f"[...document.querySelectorAll('{OUTPUT}')].findLast(one => one.textContent)")
    return said


def test_all_of_the_dataset_and_a_photograph_on_its_map(opened, tmp_path):
    tab = opened("00_dataset")
    run_all(tab)
    tab.wait(shows("00_dataset is written to"))
    tab.click(DOT)
    tab.wait(f"{POPUP}.querySelector('img').naturalWidth && getComputedStyle({POPUP}).opacity == 1")
    assert tab.value(f"{POPUP}.textContent").count("@") > 10  # the photograph's name
    tab.photograph(tmp_path / "popup.png")


def test_a_mistyped_option_then_stop_and_go_on(lab, opened, tmp_path):
    tab, more = opened("10_baseline"), "(%tb in a cell shows where)"
    set_options(tab, {"image_sise": [24, 32]})
    run_all(tab)
    said = the_only(tab, "image_sise", tmp_path / "mistyped.png")
    assert said == f"there is no option 'image_sise'; did you mean image_size? {more}"
    assert tab.value(TEXTS) == [said]
    set_options(tab, TINY)
    run_all(tab)
    tab.wait(f"document.querySelector('{OUTPUT} img')")  # the live curve
    for _ in range(20):  # as somebody would who sees that it was not felt
        tab.click("document.querySelector('[data-command=\"notebook:interrupt-kernel\"]')")
        time.sleep(1)
        if tab.value(shows("stopped")):
            break
    said = the_only(tab, "stopped", tmp_path / "stopped.png")
    assert said.endswith(f" goes on from there {more}") and "\n" not in said
    run_all(tab)
    tab.wait(shows("10_baseline is written to"))
    for log in lab[0].glob("checkpoints/smoke/*/log.txt"):
        epochs = [int(epoch) for epoch in re.findall(r"after epoch (\d+)", log.read_text())]
        assert epochs in ([0], [*range(TINY["epochs_num"] + 1)])  # untrained, or trained and no epoch twice


def test_the_slider_moves_the_picture(opened, tmp_path):
    tab = opened("30_sare")
    for _ in range(6):
        tab.press("Enter", 13, SHIFT)
    tab.wait(f"{PICTURE}.naturalWidth")
    before = tab.value(f"{PICTURE}.src")  # another picture has another address
    tab.photograph(tmp_path / "before.png", PICTURE)
    tab.click("document.querySelector('.noUi-handle')", drag=60)
    tab.wait(f"{PICTURE}.src != '{before}' && {PICTURE}.naturalWidth")
    tab.photograph(tmp_path / "after.png", PICTURE)
