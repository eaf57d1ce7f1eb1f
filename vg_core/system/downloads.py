"""Files fetched over http and https: a broken download goes on where it broke, a file that changed begins anew."""

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib import request
from urllib.error import HTTPError
from urllib.parse import urlsplit

from vg_core.system.progress_bar import bar

PATIENCE = 60  # seconds without an answer
RESERVE = 10**9  # bytes of a disk that stay free
BLOCK = 2**20  # bytes read at a time
LOOK = 64  # blocks between two looks at the disk: others fill it, too
PART = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


def download(url: str, file: Path, note: Path | None = None) -> None:
    """Write what a URL gives to a file, behind the bytes that an earlier call left there, if they are of this version.

    ``note`` is where it is remembered which version they are of, while the file is not whole; without it, or if the
    server names no versions, all is fetched. HTTPError says what the server refuses. OSError with a number is the
    disk's; without one the network failed, or ended before all had come.
    """
    start = file.stat().st_size if file.exists() else 0
    version = _remembered(note, url) if note and start else ""
    headers = {"Range": f"bytes={start}-", "If-Range": version} if version else {}
    try:
        with _opened(url, headers) as answer:
            start, length = _extent(answer, start)
            if start and _version(answer) not in ("", version):
                note.unlink()
                raise OSError("the file changed on the server; it begins anew")
            check_room(file, length - start)
            with file.open("rb+" if start else "wb") as sink:
                if note:
                    note.write_text(json.dumps([_digest(url), _version(answer)]))
                sink.seek(start)
                for number, block in enumerate(_blocks(answer, start, length, file.name)):
                    if number % LOOK == 0:
                        check_room(file, 0)
                    sink.write(block)
    except HTTPError as error:
        whole = version and error.code == 416 and error.headers["Content-Range"] == f"bytes */{start}"
        if not whole:  # else a kill came just before the note was removed
            raise
    if note:
        note.unlink(missing_ok=True)


def check_room(place: Path, need: int) -> None:
    """Raises OSError where a disk has less room than ``need`` bytes and RESERVE."""
    folder = next(filter(Path.is_dir, (place, *place.absolute().parents)))
    room = max(0, shutil.disk_usage(folder).free - RESERVE)
    if max(need, 1) > room:
        raise OSError(errno.ENOSPC, f"{gigabytes(need)} are needed, the disk has {gigabytes(room)} to give")


def gigabytes(number: float) -> str:
    return f"{number / 1e9:,.1f} GB" if number > 1e8 else f"{number / 1e6:,.1f} MB"


class _OnlyWeb(request.HTTPRedirectHandler):
    """Follows redirects to http and https, ten at most, and none from the second to the first."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):
        scheme = urlsplit(newurl).scheme
        if scheme != "https" and (scheme != "http" or req.type == "https"):
            raise HTTPError(newurl, code, f"a redirect from {req.type} to {scheme} is not followed", headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opened(url: str, headers: dict[str, str]) -> HTTPResponse:
    opener = request.OpenerDirector()
    handlers = request.ProxyHandler, request.HTTPHandler, request.HTTPSHandler, request.UnknownHandler
    for handler in (*handlers, request.HTTPDefaultErrorHandler, request.HTTPErrorProcessor, _OnlyWeb):
        opener.add_handler(handler())
    try:
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError("it is no address of http or https")
        return opener.open(request.Request(url, headers={"Accept-Encoding": "identity"} | headers), timeout=PATIENCE)
    except HTTPError:
        raise
    except (OSError, HTTPException, ValueError) as error:  # the last for addresses that are none
        raise OSError(str(error) or type(error).__name__) from error


def _extent(answer: HTTPResponse, asked: int) -> tuple[int, int]:
    """(first byte, length of the whole file) of what an answer gives; the length is 0 where it is not said."""
    if answer.status == 206:
        part = PART.fullmatch(answer.headers["Content-Range"] or "")
        if not part or int(part[1]) != asked:
            raise OSError("the server sent another part of the file than was asked for")
        return asked, 0 if part[2] == "*" else int(part[2])
    length = answer.headers["Content-Length"] or ""
    return 0, int(length) if re.fullmatch("[0-9]{1,18}", length) else 0


def _blocks(answer: HTTPResponse, come: int, length: int, name: str) -> Iterator[bytes]:
    """What an answer gives, piece by piece; OSError where that ends before the whole ``length``."""
    try:
        with bar(total=length or None, initial=come, desc=name, unit="B", unit_scale=True) as done:
            for block in iter(partial(answer.read, BLOCK), b""):
                come += len(block)
                done.update(len(block))
                yield block
    except (OSError, HTTPException) as error:
        raise OSError(str(error) or type(error).__name__) from error
    if come < length:
        raise OSError(f"only {come:,} of {length:,} bytes came")


def _version(answer: HTTPResponse) -> str:
    """What names the version of a file in a way that a later request may ask for: a strong ETag, or a date."""
    tag = answer.headers["ETag"] or ""
    return tag if tag.startswith('"') else answer.headers["Last-Modified"] or ""


def _remembered(note: Path, url: str) -> str:
    """The version that a note says an unfinished file is of; "" where there is none, or it is of another URL."""
    try:
        of, version = json.loads(note.read_text())
        return str(version) if of == _digest(url) else ""
    except (OSError, ValueError, TypeError):
        return ""


def _digest(url: str) -> str:
    """Stands for a URL, which may hold a password."""
    return hashlib.sha256(url.encode()).hexdigest()
