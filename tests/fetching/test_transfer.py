"""Downloads from a server that cuts, lies, changes files and leads astray: the file that was meant, or a sentence."""

import errno
import hashlib
import os
import random
import shutil
import stat
from collections import namedtuple
from urllib.error import HTTPError
from urllib.request import Request

import pytest

from data_scripts.fetching.transfer import check_sums, digest_of, fetch, file_name, mirror
from tests.fetching.servers import redirect, refuse, serve
from vg_core.system import downloads

BODY, OTHER = random.Random(0).randbytes(300_000), random.Random(1).randbytes(250_000)
SHA256, MD5 = (hashlib.new(kind, BODY).hexdigest() for kind in ("sha256", "md5"))


@pytest.fixture
def file(tmp_path):
    (tmp_path / "files").mkdir()
    return tmp_path / "files" / "a.zip"


def ranges(server):
    return [asked for _, asked in server.asked]


def left(file):
    return sorted(entry.name for entry in file.parent.iterdir())


@pytest.mark.parametrize("digest", ["", SHA256, MD5])
def test_a_file_is_fetched_once(server, file, digest):
    server.answers["/a"] = [serve(BODY)]
    for _ in range(2):
        fetch(f"{server.address}/a", file, digest)
    assert file.read_bytes() == BODY and ranges(server) == [None] and left(file) == ["a.zip"]


def test_what_was_cut_goes_on_from_there(server, file, capsys):
    server.answers["/a"] = [serve(BODY, cut=100_000), serve(BODY, cut=50_000), serve(BODY)]
    fetch(f"{server.address}/a", file, SHA256)
    assert file.read_bytes() == BODY and left(file) == ["a.zip"]
    assert ranges(server) == [None, "bytes=100000-", "bytes=150000-"]
    assert "a.zip: only 100,000 of 300,000 bytes came; trying again in 0 s\n" in capsys.readouterr().out


def test_patience_begins_anew_as_long_as_something_comes(server, file):
    server.answers["/a"] = [*(serve(BODY, cut=20_000) for _ in range(14)), serve(BODY)]
    fetch(f"{server.address}/a", file, SHA256)
    assert file.read_bytes() == BODY and len(server.asked) == 15


def test_another_run_goes_on_where_the_first_gave_up(server, file):
    server.answers["/a"] = [serve(BODY, cut=90_000), refuse(503), refuse(502), serve(BODY)]
    with pytest.raises(OSError, match=r"/a could not be fetched \(the server says 502 Bad Gateway\); run again; or "):
        fetch(f"{server.address}/a", file)
    assert left(file) == ["a.zip.part", "a.zip.part.json"]
    assert server.address not in (file.parent / "a.zip.part.json").read_text()  # it may hold a password
    fetch(f"{server.address}/a", file)
    assert file.read_bytes() == BODY and ranges(server)[-1] == "bytes=90000-" and left(file) == ["a.zip"]


@pytest.mark.parametrize("careless", [False, True])
def test_a_file_that_changed_meanwhile_begins_anew(server, file, careless):
    """A server that does as it is asked sends all of the new file, a careless one its end, which then is not taken."""
    server.answers["/a"] = [serve(BODY, cut=90_000), serve(OTHER, careless=careless)]
    fetch(f"{server.address}/a", file)
    assert file.read_bytes() == OTHER and left(file) == ["a.zip"]


def test_a_server_without_ranges_or_versions(server, file):
    server.answers["/a"] = [serve(BODY, cut=90_000, ranges=False), serve(BODY, ranges=False)]
    fetch(f"{server.address}/a", file)
    assert file.read_bytes() == BODY and ranges(server) == [None, None]


def test_another_address_does_not_go_on_with_the_same_file(server, file):
    server.answers |= {"/a": [serve(BODY, cut=90_000), refuse(404)], "/b": [serve(OTHER)]}
    with pytest.raises(OSError, match="404 Not Found"):
        fetch(f"{server.address}/a", file)
    fetch(f"{server.address}/b", file)
    assert file.read_bytes() == OTHER and server.asked[-1] == ("/b", None)


def test_a_kill_just_before_the_end_costs_nothing(server, file):
    server.answers["/a"] = [serve(BODY, cut=90_000), refuse(404), serve(BODY)]
    with pytest.raises(OSError, match="404 Not Found"):
        fetch(f"{server.address}/a", file)
    (file.parent / "a.zip.part").write_bytes(BODY)  # all of it, and the note is still there
    fetch(f"{server.address}/a", file, SHA256)
    assert file.read_bytes() == BODY and left(file) == ["a.zip"]


@pytest.mark.parametrize("note", ["", "[", "[1, 2, 3]", "null", '["x", "y"]'])
def test_a_note_that_says_nothing_means_to_begin_anew(server, file, note):
    server.answers["/a"] = [serve(BODY)]
    file.with_name("a.zip.part").write_bytes(OTHER)
    file.with_name("a.zip.part.json").write_text(note)
    fetch(f"{server.address}/a", file)
    assert file.read_bytes() == BODY


def test_what_fails_its_checksum_is_not_kept(server, file):
    server.answers["/a"] = [serve(OTHER)]
    said = f"gave is not kept: its checksum is {hashlib.md5(OTHER).hexdigest()}, not {MD5}, so that it was damaged"
    with pytest.raises(OSError, match=said):
        fetch(f"{server.address}/a", file, MD5)
    assert left(file) == []


def test_a_page_to_sign_in_is_no_archive(server, file):
    server.answers["/a"] = [serve(b"\n<!DOCTYPE html><title>Virus scan warning</title>")]
    with pytest.raises(OSError, match="is not kept: it is a page, not a file: perhaps one must sign in there"):
        fetch(f"{server.address}/a", file)
    assert left(file) == []


def test_more_is_promised_than_the_disk_has(server, file):
    server.answers["/a"] = [serve(BODY, length=10**15)]
    with pytest.raises(
        OSError, match=r"a.zip could not be written \(1,000,000.0 GB are needed, the disk has"
    ) as caught:
        fetch(f"{server.address}/a", file)
    assert caught.value.errno == errno.ENOSPC and len(server.asked) == 1


def test_a_disk_that_fills_meanwhile(server, file, monkeypatch):
    usage, seen = namedtuple("usage", "free"), []

    def free(_folder):
        seen.append(len(seen))
        return usage(10**12 if len(seen) < 3 else 10**9)

    monkeypatch.setattr(shutil, "disk_usage", free)
    monkeypatch.setattr(downloads, "BLOCK", 1000)
    server.answers["/a"] = [serve(BODY)]
    with pytest.raises(OSError, match="free some space and run again"):
        fetch(f"{server.address}/a", file)
    assert not file.exists()


def test_less_is_promised_than_is_there(server, file):
    """What a server keeps back shows in the checksum alone, or when the archive is opened."""
    server.answers["/a"] = [serve(BODY, length=1000)]
    with pytest.raises(OSError, match="is not kept: its checksum"):
        fetch(f"{server.address}/a", file, SHA256)


# --- led astray -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("file:///etc/passwd", r"302 Found - Redirection to url 'file:///etc/passwd' is not allowed"),
        ("ftp://127.0.0.1/a", "302 a redirect from http to ftp is not followed"),
        ("data:text/plain,a", "302 Found - Redirection to url 'data:.*' is not allowed"),
        ("/a", "302 The HTTP server returned a redirect error that would lead to an infinite loop"),
        ("http://[", r"\(.*\)"),
    ],
)
def test_where_a_redirect_may_not_lead(server, file, to, said):
    server.answers["/a"] = [redirect(to)]
    with pytest.raises(OSError, match=said):
        fetch(f"{server.address}/a", file)
    assert not file.exists() and len(server.asked) <= 33


def test_a_redirect_for_ever(server, file):
    server.answers |= {f"/{n}": [redirect(f"/{n + 1}")] for n in range(50)}
    with pytest.raises(OSError, match="would lead to an infinite loop"):
        fetch(f"{server.address}/0", file)
    assert len(server.asked) < 15


def test_a_redirect_to_another_place_keeps_what_is_asked_for(server, file):
    server.answers |= {"/a": [redirect("/b")], "/b": [serve(BODY, cut=90_000), serve(BODY)]}
    fetch(f"{server.address}/a", file)
    assert file.read_bytes() == BODY and server.asked[-1] == ("/b", "bytes=90000-")


def test_no_redirect_gives_up_encryption():
    web = downloads._OnlyWeb()
    with pytest.raises(HTTPError, match="a redirect from https to http is not followed"):
        web.redirect_request(Request("https://a.b/c"), None, 302, "", {}, "http://a.b/c")
    assert web.redirect_request(Request("http://a.b/c"), None, 302, "", {}, "https://a.b/c").full_url == "https://a.b/c"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.b/c", "/etc/passwd", "http:///x", "gopher://x/y"])
def test_addresses_that_are_none(server, file, url):
    with pytest.raises(OSError, match=r"could not be fetched \("):
        fetch(url, file)
    assert not file.exists()


def test_what_is_not_there_is_not_asked_for_again(server, file):
    with pytest.raises(OSError, match=r"the server says 404 Not Found\); .* another address with --url"):
        fetch(f"{server.address}/a", file)
    assert len(server.asked) == 1


# --- names and checksums ----------------------------------------------------------------------------------------------
def test_the_name_of_a_file_in_a_url():
    assert file_name("https://a.b/c/d%20e.zip?token=1") == "d e.zip"
    for url in ("https://a.b", "https://a.b/c/..", "https://a.b/%2e%2e", "https://a.b/%2e%2e%2fc", "https://a.b/a%00b"):
        with pytest.raises(ValueError, match="its path ends with no name of a file; fetch it, and use --from"):
            file_name(url)


def test_lists_of_checksums_beside_archives(tmp_path):
    archives = [tmp_path / name for name in ("a.zip", "b.tar")]
    for archive in archives:
        archive.write_bytes(archive.name.encode())
    lines = [f"{digest_of(archives[0], MD5)}  a.zip", f"{digest_of(archives[1], SHA256).upper()} *./b.tar", f"{MD5}  c"]
    (tmp_path / "md5sums.txt").write_text("\n".join([*lines, "a comment"]))
    check_sums(tmp_path, archives)
    archives[1].write_bytes(b"other")
    with pytest.raises(ValueError, match=r"b\.tar differ from their checksums; fetch them again"):
        check_sums(tmp_path, archives)


# --- rsync ------------------------------------------------------------------------------------------------------------
def fake_rsync(folder, monkeypatch, script):
    folder.mkdir()
    (folder / "rsync").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "rsync").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_rsync_is_asked_for_a_folder_without_links(server, tmp_path, monkeypatch):
    fake_rsync(tmp_path / "bin", monkeypatch, f'printf "%s\\n" "$@" > {tmp_path}/asked')
    mirror("rsync://a.b/c", tmp_path / "there")
    *options, address, folder = (tmp_path / "asked").read_text().split()
    assert options[-1] == "--" and {"--no-links", "--partial"} <= {*options}
    assert (address, folder) == ("rsync://a.b/c/", f"{tmp_path}/there/")


def test_rsync_that_fails_or_is_missing(server, tmp_path, monkeypatch):
    monkeypatch.setattr("data_scripts.fetching.transfer.PAUSES", (0, 0, 0))
    fake_rsync(tmp_path / "bin", monkeypatch, f"echo >> {tmp_path}/tries; exit 30")
    with pytest.raises(OSError, match="rsync ended with status 30, see above; run again, and it goes on from there"):
        mirror("rsync://a.b/c", tmp_path / "there")
    assert len((tmp_path / "tries").read_text()) == 3
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OSError, match=r"rsync is not installed; .* or run rsync -rt --no-links .* rsync://a.b/c/"):
        mirror("rsync://a.b/c", tmp_path / "there")
