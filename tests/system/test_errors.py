"""Which errors are sentences for the user, and which are faults of the program."""

import errno
import io
import sys

import numpy as np
import pytest
import torch

from vg_core import __main__ as program
from vg_core.system.errors import has_sentence, sentence

HUGE = 10**15
NO_MEMORY = {
    "numpy": lambda: np.empty(HUGE),
    "torch": lambda: torch.empty(HUGE),
    "python": lambda: bytearray(HUGE),
    "operating system": lambda: raises(OSError(errno.ENOMEM, "Cannot allocate memory", "pixels.npy")),
    "gpu": lambda: raises(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")),
    "cuda": lambda: raises(RuntimeError("CUDA error: out of memory")),
    "cudnn": lambda: raises(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")),
    "faiss": lambda: raises(RuntimeError("std::bad_alloc")),
}
FAULTS = (
    RuntimeError("shapes differ"),
    RecursionError("deep"),
    NotImplementedError("no"),
    TypeError("no"),
    IndexError(1),
)


def raises(error):
    raise error


@pytest.mark.parametrize("happens", NO_MEMORY.values(), ids=NO_MEMORY)
def test_too_little_memory_is_a_sentence_of_what_helps(monkeypatch, capsys, happens):
    monkeypatch.setattr(program, "load_model", lambda _file: happens())
    assert program.main(["test", "--model", "any"]) == 1
    [error] = capsys.readouterr().err.splitlines()
    assert error.startswith("error: there is too little memory (")
    assert all(word in error for word in ("infer_batch_size", "image_size", "VG_RAM"))


@pytest.mark.parametrize("fault", FAULTS, ids=repr)
def test_faults_of_the_program_keep_their_traceback(monkeypatch, fault):
    monkeypatch.setattr(program, "load_model", lambda _file: raises(fault))
    with pytest.raises(type(fault)):
        program.main(["test", "--model", "any"])
    assert not has_sentence(fault)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError("no loss is called 'x'"), "no loss is called 'x'"),
        (KeyError(3), "3"),
        (KeyError(), ""),
        (ValueError("margin is wrong"), "margin is wrong"),
        (FileNotFoundError(errno.ENOENT, "No such file", "a.png"), "a.png: No such file"),
        (
            PermissionError(errno.EACCES, "Denied", "a.png"),
            "a.png: Denied; choose another place or check its permissions",
        ),
        (OSError(errno.ENOSPC, "a.png could not be written"), "a.png could not be written"),
        (OSError("weights could not be fetched"), "weights could not be fetched"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", b"a\xff"), "b'a\\xff': Is a directory"),
    ],
    ids=repr,
)
def test_what_is_said(error, said):
    assert has_sentence(error)
    assert sentence(error) == said


@pytest.mark.parametrize("name", ["caf\udce9.jpg", "\x1b[2Jcleared.jpg", "\u202egpj.exe", "ö" * 3])
def test_any_name_can_be_printed(monkeypatch, capsys, tmp_path, name):
    """Bytes that are no UTF-8, what drives a terminal, what turns the direction of writing."""
    monkeypatch.setattr(program, "load_model", lambda _file: raises(ValueError(f"{name} is no photograph")))
    assert program.main(["test", "--model", "any"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.endswith(" is no photograph\n")
    assert not {"\x1b", "\u202e"} & {*error}
    error.encode()


def test_a_terminal_that_lacks_characters_shows_others_in_their_place(monkeypatch):
    """Other modules, and their progress bars, print there, too."""
    terminals = [io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2)]
    monkeypatch.setattr(sys, "stdout", terminals[0])
    monkeypatch.setattr(sys, "stderr", terminals[1])
    monkeypatch.setattr(program, "load_model", lambda _file: raises(ValueError(print("größer", "\udce9") or "größer")))
    assert program.main(["test", "--model", "any"]) == 1
    shown = [terminal.flush() or terminal.buffer.getvalue() for terminal in terminals]
    assert shown == [rb"gr\xf6\xdfer \udce9" + b"\n", rb"error: gr\xf6\xdfer" + b"\n"]
