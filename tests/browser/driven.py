"""Chromium driven as by a hand on mouse and keyboard, through its DevTools protocol."""

import base64
import json
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import websocket  # comes with Jupyter's server

from tests.browser.test_hostile_names import BROWSER, OPTIONS

PATIENCE = 300  # seconds, of a machine that does much else
CONTROL, SHIFT = 2, 8  # modifiers of a key
# where the middle of an element is on the page, through all frames around it, once it is in sight
MIDDLE = """(one => {
  one.scrollIntoView({block: "center"});
  let {x, y, width, height} = one.getBoundingClientRect();
  for (let view = one.ownerDocument.defaultView; view.frameElement; view = view.parent) {
    const frame = view.frameElement.getBoundingClientRect();
    [x, y] = [x + frame.x, y + frame.y];
  }
  return [x + width / 2, y + height / 2];
})"""


class Tab:
    """A page. Elements are given as expressions in JavaScript."""

    def __init__(self, address: str):
        self.socket, self.asked = websocket.create_connection(address, timeout=PATIENCE, suppress_origin=True), 0

    def ask(self, method: str, **parameters) -> dict:
        """What the browser answers."""
        self.asked += 1
        self.socket.send(json.dumps({"id": self.asked, "method": method, "params": parameters}))
        while (answer := json.loads(self.socket.recv())).get("id") != self.asked:
            pass  # an event
        assert "error" not in answer, answer
        return answer["result"]

    def value(self, script: str):
        """What an expression is on this page; None if it fails, as it may while the page is being made."""
        return self.ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def wait(self, script: str) -> None:
        """Return as soon as the expression is true."""
        until(lambda: self.value(f"!!({script})"), lambda: f"{script}: {self.value('document.body.innerText')}")

    def click(self, element: str, drag: int = 0) -> None:
        """Click on an element as soon as it is there, or drag it as many pixels to the right."""
        self.wait(element)
        x, y = self.value(f"{MIDDLE}({element})")
        for kind, right in ("Moved", 0), ("Pressed", 0), ("Moved", drag), ("Released", drag):
            place = {"x": x + right, "y": y, "button": "left", "clickCount": 1}
            self.ask("Input.dispatchMouseEvent", type=f"mouse{kind}", **place)

    def press(self, key: str, code: int, modifiers: int = 0) -> None:
        for kind in ("rawKeyDown", "keyUp"):
            facts = {"key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers}
            self.ask("Input.dispatchKeyEvent", type=kind, **facts)

    def write(self, text: str) -> None:
        self.ask("Input.insertText", text=text)

    def photograph(self, file: Path, element: str = "") -> None:
        """Write what is in sight, or what is once this element is."""
        if element:
            self.value(f"{MIDDLE}({element})")
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))


@contextmanager
def chromium(profile: Path) -> Iterator[Tab]:
    """The page of a browser of its own, which is closed afterwards."""
    own = [f"--user-data-dir={profile}", "--remote-debugging-port=0", "--window-size=1400,1000"]
    process = subprocess.Popen([BROWSER, *OPTIONS, *own], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        file = profile / "DevToolsActivePort"
        port = until(lambda: file.exists() and file.read_text().partition("\n")[0])
        with urllib.request.urlopen(f"http://localhost:{port}/json", timeout=PATIENCE) as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        yield Tab(pages[0]["webSocketDebuggerUrl"])
    finally:
        process.terminate()
        process.wait(PATIENCE)


def until(look: Callable, say: Callable = lambda: "nothing came"):
    """What ``look`` returns as soon as it is true."""
    end = time.monotonic() + PATIENCE
    while not (found := look()):
        assert time.monotonic() < end, say()
        time.sleep(0.1)
    return found
