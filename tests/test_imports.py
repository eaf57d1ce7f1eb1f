"""Every module can be imported where the system is not POSIX, as Windows is not."""

import importlib
import multiprocessing
import sys
from collections import namedtuple

import psutil
import pytest

from vg_core.system.paths import ROOT

OURS = ("vg_core", "data_scripts", "reports")
POSIX_ONLY = ("curses", "fcntl", "grp", "posix", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")
NAMES = [
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for folder in OURS
    for file in sorted((ROOT / folder).rglob("*.py"))
]


def import_all() -> None:
    """A second time without modules of POSIX: libraries, which know what system this is, are loaded by then."""
    for name in NAMES:
        importlib.import_module(name)
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]
    sys.modules.update(dict.fromkeys(POSIX_ONLY))
    for name in NAMES:
        importlib.import_module(name)


def tell_memory() -> None:
    """As Windows tells it: with a peak, and without files that do."""
    devices, memory = sys.modules["vg_core.system.devices"], namedtuple("memory", "rss peak_wset")(1, 2)
    devices.STATUS = ROOT / "none"
    psutil.Process.memory_info = lambda _: memory
    assert devices.used_memory(devices.torch.device("cpu")) == (1, 2)


def check() -> None:
    import_all()
    tell_memory()


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="it is such a system")
def test_without_modules_of_posix(capfd):
    child = multiprocessing.get_context("fork").Process(target=check)  # most libraries are loaded already
    child.start()
    child.join(120)
    child.kill()
    assert child.exitcode == 0, capfd.readouterr().err
