"""The cache folder: what lies there is named, what is freed is soon made again, what others write is left alone."""

import os
import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from vg_core.__main__ import main
from vg_core.datasets.photographs import Photographs
from vg_core.system import cache, paths
from vg_core.system.files import replacing

DIGEST, HIDDEN = "0123456789abcdef0123", ".vg-0123456789-4711-01234567"
RUN = "toycity-resnet18-gem-triplet-seed0-0123456789"
OF_KIND = {
    "unfinished": [
        f"pixels/{HIDDEN}.npy",
        f"checkpoints/smoke/{RUN}/{HIDDEN}.pt",
        HIDDEN,
        f"{HIDDEN}-folder/index/codes.npy",
    ],
    "pixels": [f"pixels/{DIGEST}_480x640.npy"],
    "contents": [f"contents/{DIGEST}.parquet", "contents/SHA256SUMS"],
    "labels": [f"labels/{DIGEST}.feather", "labels/SHA256SUMS"],
    "descriptors": [f"descriptors/{DIGEST}.npy", "descriptors/SHA256SUMS"],
    "ranges": [f"ranges/{RUN}-1e-06-1-60.csv"],
    "states": [f"checkpoints/smoke/{RUN}/state.pt"],
    "checkpoints": [f"checkpoints/smoke/{RUN}/best.safetensors", "checkpoints/full/going_on/state.pt"],
    "runs": [f"smoke/runs/{RUN}/config.json", f"smoke/runs/{RUN}/toycity-54x72-hard_resize/ranks.parquet"],
    "assets": ["smoke/assets/10_baseline/curves.svg"],
    "notebooks": ["smoke/notebooks/10_baseline.ipynb"],
    "other": ["pixels/mine.npy", "descriptors/table.npy", "photographs/street/1.jpg", "two\nlines.txt"],
}


def put(name: str, days: float = 0.0, size: int = 1000) -> Path:
    """A file below the cache folder that was last used so many days ago."""
    file = paths.cache_root() / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(bytes(size))
    os.utime(file, (time.time() - 86400 * days,) * 2)
    return file


def names() -> set[str]:
    root = paths.cache_root()
    return {file.relative_to(root).as_posix() for file in root.rglob("*") if not file.is_dir()}


@pytest.fixture
def filled():
    for name in chain(*OF_KIND.values()):
        put(name, days=3)


def test_every_kind_is_told_from_the_others(filled):
    found = cache.contents()
    of_kind = {
        kind: sorted(str(f.relative_to(paths.cache_root())) for f in group.file)
        for kind, group in found.groupby("kind")
    }
    assert of_kind == {kind: sorted(files) for kind, files in OF_KIND.items()}
    assert list(dict.fromkeys(found.kind)) == list(cache.KINDS)


def test_a_run_is_one_thing_as_old_as_its_youngest_file(filled):
    put(f"smoke/runs/{RUN}/history.csv", days=1, size=500)
    line = next(line for line in cache.listing(cache.contents()).splitlines() if line.startswith("runs"))
    assert line.split() == ["runs", "0.0", "MB", "1.0", "days", f"smoke/runs/{RUN}"]
    assert set(cache.contents(older_than=2).kind) == set(cache.KINDS) - {"runs"}


@pytest.mark.parametrize("kind", cache.EVICTABLE)
def test_one_kind_is_freed_and_nothing_else(filled, kind):
    before = names()
    freed = cache.evict([kind])
    assert before - names() == set(OF_KIND[kind])
    assert freed.bytes.sum() == 1000 * len(OF_KIND[kind])


def test_young_unfinished_files_stay(filled, capsys):
    young = put("pixels/.vg-ffffffffff-4711-01234567.npy", days=0.9)
    cache.evict(["unfinished"])
    assert young.exists() and names() & set(OF_KIND["unfinished"]) == set()
    assert "left alone, less than a day old, perhaps of a process at work: 1" in capsys.readouterr().out


def test_a_file_under_way_is_one_of_them():
    with replacing(paths.pixels_folder() / "new.npy") as file:
        np.save(file, np.zeros(9))
        assert cache.evict(["unfinished"]).empty and cache.contents().kind.tolist() == ["unfinished"]
    assert cache.contents().kind.tolist() == ["other"]


def test_what_was_used_lately_stays(filled):
    recent = put(f"pixels/{DIGEST}_60x80.npy", days=1)
    os.utime(recent, (time.time(), recent.stat().st_mtime))  # written yesterday, read now
    assert cache.evict(["pixels"], older_than=0.5).thing.tolist() == OF_KIND["pixels"]
    assert recent.exists()


def test_what_trainings_left_is_not_evicted(filled):
    before = names()
    with pytest.raises(ValueError, match="checkpoints is not evicted; choose some of: pixels, "):
        cache.evict(["pixels", "checkpoints"])
    assert names() == before


def test_links_are_not_followed_out_of_the_cache(filled, tmp_path):
    outside = tmp_path / "elsewhere" / f"{DIGEST}_480x640.npy"
    outside.parent.mkdir()
    outside.write_bytes(b"mine")
    link = paths.pixels_folder() / f"{'a' * 20}_480x640.npy"
    link.symlink_to(outside)
    (paths.cache_root() / "descriptors").rename(tmp_path / "moved")
    (paths.cache_root() / "descriptors").symlink_to(tmp_path / "moved")
    cache.evict(["pixels", "descriptors"])
    assert outside.read_bytes() == b"mine" and (tmp_path / "moved" / f"{DIGEST}.npy").exists()
    assert not link.is_symlink()


def test_evicted_pixels_are_decoded_again_and_those_in_use_go_on(street):
    files = sorted((street / "images" / "val" / "queries").iterdir())
    first = Photographs(files, (24, 32), mapped=True)
    before = first.batch([0, 3]).clone()
    (thing,) = cache.evict(["pixels"]).thing
    assert thing.endswith("_24x32.npy") and cache.contents().empty
    assert first.batch([0, 3]).equal(before)
    assert Photographs(files, (24, 32), mapped=True).batch([0, 3]).equal(before)


def test_the_command_lists_and_frees(filled, capsys):
    assert main(["cache"]) == 0
    printed = capsys.readouterr().out
    assert f"kept in {paths.cache_root()}" in printed and f"3.0 days  pixels/{DIGEST}_480x640.npy" in printed
    assert main(["cache", "--evict", "pixels", "ranges", "--older-than", "2"]) == 0
    printed = capsys.readouterr().out
    assert (
        printed.startswith("freed")
        and [line.split()[0] for line in printed.splitlines()[1:]] == ["pixels", "ranges"] * 2
    )
    assert main(["cache", "--evict", "pixels"]) == 0
    assert capsys.readouterr().out.splitlines()[1:] == ["nothing"]
    with pytest.raises(SystemExit):
        main(["cache", "--evict", "runs"])


def test_a_cache_that_is_not_there_holds_nothing():
    assert cache.listing(cache.contents()) == "nothing" and not paths.cache_root().exists()
