"""The scripts of ``data_scripts``, run from a notebook as from a terminal."""

import subprocess
import sys

from vg_core.system import paths
from vg_core.system.text import printable


def run_script(name: str, *arguments, check: bool = True) -> None:
    """Run ``data_scripts/<name>.py`` with these arguments, and print what it says as it says it.

    OSError when it fails, which a script that only tells what it found, as doctor does, may without being ``check``ed.
    """
    command = [sys.executable, "-u", str(paths.DATA_SCRIPTS / f"{name}.py"), *map(str, arguments)]
    told = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "encoding": "utf-8", "errors": "replace"}
    with subprocess.Popen(command, **told) as process:
        for line in process.stdout:
            print(printable(line.rstrip("\n")), flush=True)
    if check and process.returncode:
        raise OSError(f"data_scripts/{name}.py failed: see above")
