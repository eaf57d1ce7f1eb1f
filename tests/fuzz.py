"""What strangers hand over, mutated for minutes: every answer is a result or a sentence (``make fuzz``).

Each target feeds the package changed copies of good inputs. Anything but the errors that the command line prints is a
fault: it is shown with the command that repeats it. What was a fault once is a test of its module.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from PIL import Image
from scipy.io import savemat

from tests.tiny import TINY
from vg_core.config import Config
from vg_core.datasets.images import read_image
from vg_core.datasets.labels import parse_name
from vg_core.figures.interactive_maps import folium_map
from vg_core.models import build_model, load_model
from vg_core.models.checkpoint import FORMAT, model_bytes
from vg_core.retrieval.published.ground_truth import read_holidays, read_landmarks, read_san_francisco
from vg_core.retrieval.published.tokyo import read_specification
from vg_core.system import own_files
from vg_core.system.text import printable

SENTENCES = (ValueError, KeyError, OSError)  # what the command line prints as they are
NAME = "@0584291.21@4476924.92@17@T@040.43776@-080.00627@000005@00@180@@@@20131109@note@.jpg"
WORDS = [b"nan", b"inf", b"-1", b"1e400", b"9" * 400, b"[" * 3000, b"{", b"null", b"\0", b"\xff", b"@", b"{{7*7}}",
         b"{% raw %}", b"<script>", "\u2028".encode(), "５".encode(), b"../", b"$a^{", b"=1+1", b"'", b'"']  # fmt: skip
Feed = Callable[[bytes], object]


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy with one to four changes: bits, bytes, words put in, parts cut, doubled or moved."""
    for _ in range(rng.integers(1, 5)):
        data = b"".join(_changed(data, *sorted(rng.integers(0, len(data) + 1, 2).tolist()), rng))
    return data


def _changed(data: bytes, start: int, end: int, rng: np.random.Generator) -> tuple[bytes, ...]:
    """The copy in parts."""
    part, rest = data[start : min(end, start + 64)], data[min(end, start + 64) :]
    word, bit = WORDS[rng.integers(len(WORDS))], bytes(byte ^ 1 << int(rng.integers(8)) for byte in part[:1])
    changes = [(bytes([rng.integers(256)]), rest), (bit, part[1:], rest), (word, part, rest), (word, rest)]
    changes += [(), (part, part, rest), (rest, part)]
    return data[:start], *changes[rng.integers(len(changes))]


# --- targets: context with good inputs and what they are fed to ------------------------------------------------------
@contextmanager
def names() -> Iterator[tuple[list[bytes], Feed]]:
    def feed(data: bytes) -> object:
        return parse_name(data[:255].decode(errors="surrogateescape"))  # no file has a longer name

    yield [NAME.encode(), b"night" + NAME.encode()], feed


@contextmanager
def configurations() -> Iterator[tuple[list[bytes], Feed]]:
    yield [TINY.to_json().encode(), Config().to_json().encode()], lambda data: Config.from_json(data.decode("latin1"))


@contextmanager
def checkpoints() -> Iterator[tuple[list[bytes], Feed]]:
    """Header and tensors of one file, and the metadata inside of good tensors."""
    model = build_model(TINY)
    good, tensors = model_bytes(model, recall_5=50.0), model.state_dict()
    metadata = json.loads(good[8 : 8 + int.from_bytes(good[:8], "little")])["__metadata__"][FORMAT].encode()

    def feed(data: bytes) -> object:
        if data[:1] in b'{["n':
            data = safetensors.torch.save(tensors, {FORMAT: data.decode("latin1")})
        return load_model(put("model.safetensors", data))

    pickled = BytesIO()
    torch.save({"model_state_dict": tensors, "best_r5": np.float64(50.0)}, pickled)
    yield [good, metadata, metadata, pickled.getvalue()], feed


@contextmanager
def landmarks() -> Iterator[tuple[list[bytes], Feed]]:
    for name in ("oxford_1", "oxford_2", "oxford_3"):
        put(f"images/{name}.jpg", b"")
    for label in ("good", "ok", "junk"):
        put(f"truth/a_1_{label}.txt", b"oxford_2\n" if label == "good" else b"")

    def feed(data: bytes) -> object:
        put("truth/a_1_query.txt", data)
        put("truth/a_1_ok.txt", data)
        return read_landmarks(HERE / "truth", HERE / "images")

    yield [b"oxc1_oxford_1 136.5 34.1 648.5 955.7\n", b"oxford_3\n"], feed


@contextmanager
def holidays() -> Iterator[tuple[list[bytes], Feed]]:
    def feed(data: bytes) -> object:
        for file in (HERE / "jpg").glob("*"):
            file.unlink()
        for name in data.replace(b"/", b"").replace(b"\0", b"").split():
            put(f"jpg/{name.decode(errors='surrogateescape')[:60]}.jpg", b"")
        return read_holidays(HERE / "jpg")

    yield [b"100000 100001 100100 100101 100102"], feed


@contextmanager
def san_francisco() -> Iterator[tuple[list[bytes], Feed]]:
    put("database/PCI_sp_1_37.1_-122.1_5_0_123_45_6.jpg", b"")
    put("queries/0000.jpg", b"")
    yield (
        [b"0000 123 x456\n"],
        lambda data: read_san_francisco(put("truth.txt", data), HERE / "database", HERE / "queries"),
    )


@contextmanager
def specifications() -> Iterator[tuple[list[bytes], Feed]]:
    cells = np.array([["a.jpg"], ["b.jpg"]], dtype=object)
    struct = {"dbImageFns": cells, "qImageFns": cells, "utmDb": np.ones((2, 2)), "utmQ": np.ones((2, 2))}
    good = []
    for compressed in (False, True):
        file = BytesIO()
        savemat(file, {"dbStruct": struct}, do_compression=compressed)
        good.append(file.getvalue())
    yield good, lambda data: read_specification(put("set.mat", data))


@contextmanager
def own_tables() -> Iterator[tuple[list[bytes], Feed]]:
    """A changed own file is never read, whatever it still looks like."""
    table, good = pd.DataFrame({"rank": range(20), "query": "a"}), {}
    for suffix, value in {".json": [1], ".csv": table, ".parquet": table, ".npy": np.ones(9), ".pt": {"a": 1}}.items():
        own_files.write(HERE / f"table{suffix}", value)
        good[suffix] = (HERE / f"table{suffix}").read_bytes()

    def feed(data: bytes) -> object:
        for suffix, content in good.items():
            if data != content:
                try:
                    own_files.read(put(f"table{suffix}", data))
                except own_files.Damaged:
                    continue
                raise AssertionError(f"a changed table{suffix} was believed")
        return None

    yield list(good.values()), feed


@contextmanager
def photographs() -> Iterator[tuple[list[bytes], Feed]]:
    good, exif = [], Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "GIF"):
        file = BytesIO()
        picture.save(file, kind, **({"exif": exif} if kind in ("JPEG", "PNG", "WEBP") else {}))
        good.append(file.getvalue())
    yield good, lambda data: read_image(put("photo.jpg", data), (24, 32))


@contextmanager
def pages() -> Iterator[tuple[list[bytes], Feed]]:
    """No name of a photograph adds an element to a page."""

    def page(name: str) -> str:
        table = pd.DataFrame({"path": [name], "latitude": [45.0], "longitude": [7.0], "easting": 1.0, "northing": 1.0})
        return folium_map({name: (table, table)}).get_root().render()

    usual = page("plain").lower().count("<script")

    def feed(data: bytes) -> object:
        found = page(data.decode(errors="surrogateescape"))
        found.encode()  # what cannot be written is no page
        if found.lower().count("<script") != usual:
            raise AssertionError("a name has become a script")

    yield [b"</script><script>alert(1)</script>", b"{% endraw %}{{7*7}}{% raw %}", NAME.encode()], feed


TARGETS = (names, configurations, checkpoints, landmarks, holidays, san_francisco, specifications, own_tables,
           photographs, pages)  # fmt: skip
HERE = Path()


def put(name: str, data: bytes) -> Path:
    """Path of a file below the folder of the target, with this content."""
    file = HERE / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def fault(feed: Feed, data: bytes) -> str:
    """What is wrong with the answer; empty for a result or a sentence."""
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            feed(data)
    except SENTENCES as error:
        said = printable(str(error.args[0] if isinstance(error, KeyError) and error.args else error))  # as printed
        return "" if 10 < len(said) < 3000 else f"no sentence: {said[:300]!r}"
    except Exception:
        return traceback.format_exc()
    return ""


def run(target: Callable, seconds: float, first: int, only: bool) -> int:
    """Number of faults of one target; inputs follow from their numbers, from ``first`` on."""
    global HERE
    faults, number = 0, first
    with tempfile.TemporaryDirectory() as folder:
        HERE = Path(folder)
        with target() as (good, feed):
            end = time.monotonic() + seconds
            while time.monotonic() < end and faults < 5:
                rng = np.random.default_rng(number)
                data = mutated(good[rng.integers(len(good))], rng)
                if wrong := fault(feed, data):
                    faults += 1
                    print(f"{wrong}\ninput {data[:400]!r}")
                    print(f"again: python -m tests.fuzz {target.__name__} --first {number}")
                number += 1
                if only:
                    break
    print(f"{target.__name__:16} {number - first:8,} inputs, {faults} faults", flush=True)
    return faults


def main(arguments: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(t.__name__ for t in TARGETS))
    p.add_argument("--minutes", type=float, default=5.0, help="for all targets together (default: 5)")
    p.add_argument("--first", type=int, help="only the input of this number")
    options = p.parse_args(arguments)
    chosen = [t for t in TARGETS if not options.targets or t.__name__ in options.targets]
    first = int(time.time()) * 1000 if options.first is None else options.first
    torch.set_num_threads(1)
    each = 60 * options.minutes / max(len(chosen), 1)
    return 1 if sum(run(target, each, first, options.first is not None) for target in chosen) else 0


if __name__ == "__main__":
    sys.exit(main())
