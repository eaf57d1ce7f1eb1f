"""What lies in the cache folder, and how to free what is soon made again. Nothing outside that folder is touched."""

import os
import re
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from vg_core.system import paths
from vg_core.system.files import OWNED
from vg_core.system.own_files import SUMS
from vg_core.system.text import printable

# Patterns of files below the cache folder, the first that fits; its first group is a folder that counts as one thing
KINDS = {
    "unfinished": rf"((?:.*/)?{OWNED.pattern[:-2]}[^/]*)(?:/.*)?",  # of killed processes, or being written
    "pixels": r"pixels/[0-9a-f]{20}_\d+x\d+\.npy",
    "contents": rf"contents/(?:[0-9a-f]{{20}}\.parquet|{SUMS})",
    "labels": rf"labels/(?:[0-9a-f]{{20}}\.feather|{SUMS})",
    "descriptors": rf"descriptors/(?:[0-9a-f]{{20}}\.npy|{SUMS})",
    "ranges": rf"ranges/(?:[^/]+\.csv|{SUMS})",
    "states": r"checkpoints/[^/]+/[^/]+/state\.pt",  # of finished trainings: nothing will go on from them
    "checkpoints": r"(checkpoints/[^/]+/[^/]+)/.*",
    "runs": r"([^/]+/runs/[^/]+)/.*",
    "assets": r"([^/]+/assets/[^/]+)/.*",
    "notebooks": r"[^/]+/notebooks/[^/]+",
    "other": r"([^/]+)(?:/.*)?",
}
EVICTABLE = ("pixels", "contents", "labels", "descriptors", "ranges", "states", "unfinished")  # the others took hours
YOUNG = 1.0  # days; an unfinished file used since may belong to a process at work


def contents(older_than: float = 0.0) -> pd.DataFrame:
    """A table of the files below the cache folder: kind (of ``KINDS``), thing, bytes, days since its last use, file.

    A thing is a file, or a folder such as that of a run, as a path below the cache folder; it is as old as its file
    used last. Those used within ``older_than`` days are left out. A use is reading or writing, as far as the file
    system notes it: many note one reading a day. Links to other folders are not followed.
    """
    root, now = paths.cache_root(), time.time()
    rows = []
    for file in (Path(folder, name) for folder, _, names in os.walk(root) for name in names):
        with suppress(FileNotFoundError):  # others use the cache, too
            stat = file.lstat()
            age = max(0.0, now - max(stat.st_atime, stat.st_mtime)) / 86_400
            rows.append((*_belongs(file.relative_to(root).as_posix()), stat.st_size, age, file))
    table = pd.DataFrame(rows, columns=["kind", "thing", "bytes", "days", "file"])
    table["days"] = table.groupby(["kind", "thing"]).days.transform("min")
    table = table.iloc[np.lexsort([table.thing, table.days, table.kind.map(list(KINDS).index)])]
    return table[table.days >= older_than]


def evict(kinds: Collection[str], older_than: float = 0.0) -> pd.DataFrame:
    """Remove what ``contents`` lists of these kinds, some of ``EVICTABLE``; its rows come back.

    Unfinished files less than a day old stay, and a sentence says so. A process that has a removed file open keeps it
    until it is done. Raises OSError for a file that may not be removed, ValueError for another kind.
    """
    strange = set(kinds) - set(EVICTABLE)
    if strange:
        raise ValueError(f"{', '.join(sorted(strange))} is not evicted; choose some of: {', '.join(EVICTABLE)}")
    found = contents(older_than)
    found = found[found.kind.isin(kinds)]
    young = (found.kind == "unfinished") & (found.days < YOUNG)
    if young.any():
        print(f"unfinished files left alone, less than a day old, perhaps of a process at work: {young.sum()}")
    for file in found.file[~young]:
        file.unlink(missing_ok=True)
    return found[~young]


def listing(files: pd.DataFrame) -> str:
    """Rows of ``contents`` as text: a line per thing with size and age, then a line per kind with the sum."""
    things = files.groupby(["kind", "thing"], sort=False, as_index=False).agg({"bytes": "sum", "days": "min"})
    sums = things.groupby("kind", sort=False).bytes.agg(["size", "sum"])
    lines = [
        f"{t.kind:11} {t.bytes / 1e6:9,.1f} MB {t.days:6,.1f} days  {printable(t.thing)}" for t in things.itertuples()
    ]
    lines += [f"{kind:11} {total / 1e6:9,.1f} MB in {count:,}" for kind, count, total in sums.itertuples()]
    return "\n".join(lines or ["nothing"])


def _belongs(path: str) -> tuple[str, str]:
    """Kind and thing of a file, which is given and named by its path below the cache folder."""
    matches = ((kind, re.fullmatch(pattern, path, re.DOTALL)) for kind, pattern in KINDS.items())
    kind, match = next((k, m) for k, m in matches if m and (k != "states" or _is_finished(path)))
    return kind, next(filter(None, match.groups()), path)


def _is_finished(state: str) -> bool:
    """True when the training that wrote this state has written its tables, too."""
    _, profile, run, _ = state.split("/")
    return (paths.runs_folder(profile) / run / "config.json").exists()
