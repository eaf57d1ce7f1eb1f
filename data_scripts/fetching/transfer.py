"""Files and folders fetched from the addresses of a data set, with patience, and checked."""

import hashlib
import re
import shlex
import shutil
import subprocess
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from vg_core.system.downloads import download
from vg_core.system.files import not_written
from vg_core.system.text import printable

from .archives import safe_name

PAUSES = (1, 4, 15, 60)  # seconds between tries
BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers after which a server may be asked again
SUM = re.compile(r"([0-9a-fA-F]{32}|[0-9a-fA-F]{64}) [ *](\S.*)")
RSYNC = ("rsync", "-rt", "--no-links", "--partial", "--info=progress2")


def fetch(url: str, file: Path, digest: str = "") -> None:
    """Bring what a URL gives to a file, unless it is there; ``digest`` is its MD5 or SHA-256, where one is known.

    What has come when the network fails stays beside it, and the next call goes on from there. OSError in a sentence.
    """
    if file.exists():
        return
    part = file.with_name(f"{file.name}.part")
    by_hand = f"run again; or fetch it elsewhere and place it at {file}, or give another address with --url"
    pauses, most = iter(PAUSES), 0
    while True:
        try:
            download(url, part, part.with_name(f"{part.name}.json"))
            break
        except HTTPError as error:
            reason, again = f"the server says {error.code} {printable(error.reason)}", error.code in BUSY
        except OSError as error:
            if error.errno is not None:
                raise not_written(file, error) from error
            reason, again = printable(error), True
        if part.exists() and part.stat().st_size > most:  # patience begins anew as long as something comes
            pauses, most = iter(PAUSES), part.stat().st_size
        pause = next(pauses, None)
        if pause is None or not again:
            raise OSError(f"{printable(url)} could not be fetched ({reason}); {by_hand}")
        print(f"{printable(file.name)}: {reason}; trying again in {pause} s", flush=True)
        time.sleep(pause)
    if fault := _fault(part, digest):
        part.unlink()
        raise OSError(f"what {printable(url)} gave is not kept: {fault}; {by_hand}")
    part.replace(file)


def _fault(file: Path, digest: str) -> str:
    """Why a file is not what was to be fetched; "" when it may be."""
    with file.open("rb") as opened:
        start = opened.read(512).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "it is a page, not a file: perhaps one must sign in there, in a browser"
    found = digest_of(file, digest)
    return f"its checksum is {found}, not {digest}, so that it was damaged or replaced" if found != digest else ""


def digest_of(file: Path, like: str) -> str:
    """The checksum of a file of the kind that another one is: MD5 or SHA-256 in hexadecimal; "" for ""."""
    if not like:
        return ""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "md5" if len(like) == 32 else "sha256").hexdigest()


def file_name(url: str) -> str:
    """What to call the file of a URL; ValueError if its path ends with no name."""
    try:
        return safe_name(unquote(Path(urlsplit(url).path).name))
    except ValueError as error:
        raise ValueError(f"{printable(url)}: its path ends with no name of a file; fetch it, and use --from") from error


def check_sums(folder: Path, archives: list[Path]) -> None:
    """Compare archives with the lists of checksums (md5sums.txt, msls_checksums.md5 …) that lie beside them; ValueError
    names those that differ.
    """
    there, bad = {archive.name: archive for archive in archives}, []
    named = (file for file in sorted(folder.iterdir()) if re.search("md5|sha256", file.name.lower()))
    for sums in filter(Path.is_file, named):
        lines = sums.read_text(errors="replace").splitlines() if sums.stat().st_size < 10**6 else []
        for digest, name in (match.groups() for match in map(SUM.fullmatch, lines) if match):
            archive = there.get(name.removeprefix("./"))
            if archive and digest_of(archive, digest) != digest.lower():
                bad.append(archive.name)
    if bad:
        raise ValueError(f"{folder}: {', '.join(bad)} differ from their checksums; fetch them again")


def mirror(address: str, folder: Path) -> None:
    """Bring what lies at an rsync address into a folder; what is there already is not sent again. OSError says why not.

    Links are not taken over.
    """
    command = [*RSYNC, "--", f"{address.rstrip('/')}/", f"{folder}/"]
    if shutil.which("rsync") is None:
        raise OSError(f"rsync is not installed; install it (its package is called rsync), or run {shlex.join(command)}")
    folder.mkdir(parents=True, exist_ok=True)
    for pause in (*PAUSES[:2], None):
        status = subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode
        if not status:
            return
        if pause is None:
            raise OSError(f"rsync ended with status {status}, see above; run again, and it goes on from there")
        time.sleep(pause)
