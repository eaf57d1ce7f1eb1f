"""JupyterLab on copies of the notebooks, so that playing edits no source: ``make lab ARGS="--no-browser --port 9999"``.

The copies lie in the cache, in ``lab``, with the README and the PDF if there is one. What was edited there is kept: if
its source has changed since, it gets another name, and a line says so. Results go where those of the runner go.
"""

import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from vg_core.system import paths
from vg_core.system.errors import sentence
from vg_core.system.files import replacing

START = "/lab/tree/README.md"
SETTINGS = paths.REPORTS / "jupyter"  # Markdown opens as a page; nothing is fetched
LINK = re.compile(r"""(?:\]\(|(?:src|href)=")([^)"#:]+)""")  # to a file beside the README


def main(arguments: list[str]) -> None:
    """JupyterLab takes this process over; where it cannot, that is a sentence."""
    if find_spec("jupyterlab") is None:
        sys.exit(f"JupyterLab is missing: {sys.executable} -m pip install --editable .")
    try:
        folder = paths.cache_root() / "lab"
        for line in prepare(folder):
            print(line, flush=True)
    except (OSError, ValueError) as error:
        sys.exit(f"no copies of the notebooks: {sentence(error)}")
    root = ["--allow-root"] if os.geteuid() == 0 else []  # else Jupyter refuses to start, as in a container
    others = os.environ.get("JUPYTER_CONFIG_PATH")
    os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, [str(SETTINGS), others]))
    options = [f"--LabApp.default_url={START}", *root, *arguments]
    os.execv(sys.executable, [sys.executable, "-m", "jupyterlab", str(folder), *options])


def prepare(folder: Path) -> list[str]:
    """Sentences about copies that have another name now; the copies in the folder are then those of the sources."""
    list_file = folder / ".copied.json"  # digest of each source as it was copied
    copied = json.loads(list_file.read_text()) if list_file.exists() else {}
    said = []
    for name in sources():
        copy, now = folder / name, digest(paths.ROOT / name)
        if copy.exists():
            before = copied.get(name, now)
            if before == now:
                continue
            if digest(copy) != before:
                mine = aside(copy)
                said.append(f"{name} has changed since you edited your copy, which is {mine.name} now")
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths.ROOT / name, copy)
        copied[name] = now
    for pdf in paths.REPORTS.glob("*.pdf"):
        if not (folder / pdf.name).is_symlink():
            (folder / pdf.name).symlink_to(pdf)
    with replacing(list_file) as unfinished:
        unfinished.write_text(json.dumps(copied, indent=1))
    return said


def sources() -> Iterator[str]:
    """Paths, seen from the project's folder, of what is copied: notebooks, the README, and files that it links to."""
    readme = (paths.ROOT / "README.md").read_text()
    linked = {name for name in LINK.findall(readme) if (paths.ROOT / name).is_file()}
    notebooks = {f"notebooks/{notebook.name}" for notebook in paths.NOTEBOOKS.glob("*.ipynb")}
    yield from sorted({"README.md"} | linked | notebooks)


def digest(file: Path) -> str:
    """Digest of a file; of a notebook without its outputs, which are no edit."""
    content = file.read_bytes()
    try:
        cells = [(cell["cell_type"], "".join(cell["source"])) for cell in json.loads(content)["cells"]]
        content = json.dumps(cells).encode()
    except (ValueError, LookupError, TypeError):
        pass  # it is no notebook
    return hashlib.sha256(content).hexdigest()


def aside(copy: Path) -> Path:
    """Where an edited copy lies from now on, beside its old place."""
    number = 1
    while (mine := copy.with_name(f"{copy.stem}_mine{number}{copy.suffix}")).exists():
        number += 1
    copy.rename(mine)
    return mine


if __name__ == "__main__":
    main(sys.argv[1:])
