"""Which version of the code this is, as far as git knows."""

import subprocess
from pathlib import Path

from vg_core.system import paths

SOURCES = ("vg_core", "notebooks", "data_scripts", "benchmarks", ":(glob)reports/*.csv")  # what results follow from


def commit(changed: bool = False) -> str:
    """The commit of the code, with "+" when that was ``changed`` or a source of results differs from the commit;
    "unknown" outside of a git checkout.
    """
    head = _git("rev-parse", "HEAD")
    if head is None:
        return "unknown"
    return head + ("+" if changed or _git("status", "--porcelain", "--", *SOURCES) else "")


def edited(folder: Path) -> set[Path]:
    """The files below a folder that differ from the commit; none outside of a git checkout."""
    names = _git("diff", "--name-only", "-z", "--relative", "HEAD", "--", str(folder)) or ""
    return {paths.ROOT / name for name in names.split("\0") if name}


def _git(*words: str) -> str | None:
    """What git says, None when it fails."""
    how = {"cwd": paths.ROOT, "capture_output": True, "text": True, "check": True}
    try:
        return subprocess.run(["git", *words], **how).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
