"""A notebook as a program: its parameters, what a kernel was given for them, and its errors in a line."""

import ast
import json
import os
import sys
import traceback
from pathlib import Path

from vg_core.system import paths
from vg_core.system.errors import KINDS, has_sentence, sentence
from vg_core.system.text import printable

PACKAGE = f"{Path(__file__).resolve().parents[1]}{os.sep}"
MORE = "(%tb in a cell shows where)"
STOPPED = "stopped; what is trained is kept, the same cell goes on from there"


def defaults(notebook: Path) -> dict:
    """The parameters of a notebook with the values that it has by itself; ValueError for one that is no literal."""
    found = {}
    for line in ast.parse("\n".join(_code(notebook, tagged=True))).body:
        try:
            (target,) = line.targets
            found[target.id] = ast.literal_eval(line.value)
        except (AttributeError, TypeError, ValueError):
            raise ValueError(
                f"{notebook.stem}: '{ast.unparse(line)}' in its cell of parameters must give a name a plain value, "
                "such as seeds = [0, 1]"
            ) from None
    return found


def fitting(value, default, where: str):
    """The value of a parameter, of the type of its default; a text is read as JSON or as a Python literal, unless the
    default is a text. ValueError says ``where`` a value does not fit.
    """
    given = value
    if isinstance(value, str) and not isinstance(default, str):
        value = _read(value)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if isinstance(default, list) and isinstance(value, tuple | range):
        value = list(value)
    if default is None or type(value) is type(default):
        return value
    meant = isinstance(default, list) and type(value) in map(type, default)
    raise ValueError(
        f"{where}: {given!r} is not of type {type(default).__name__}, as its default {default!r} is"
        + (f"; did you mean [{value!r}]?" if meant else "")
    )


def _read(text: str):
    """What a text is as JSON, else as a Python literal, else the text."""
    try:
        return json.loads(text)
    except ValueError:
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError):
            return text


def given(slug: str) -> dict:
    """The parameters of a notebook as its kernel has them, there made ``fitting``; {} outside of a kernel."""
    kernel, notebook = _kernel(), paths.NOTEBOOKS / f"{slug}.ipynb"
    if not kernel or not notebook.exists():
        return {}
    names, known = kernel.user_ns, defaults(notebook)
    found = {name: fitting(names[name], known[name], f"{slug}, {name}") for name in known.keys() & names.keys()}
    names.update(found)
    return found


def is_edited(slug: str) -> bool:
    """True when a cell of the notebook was not executed in this kernel as it stands, its parameters apart."""
    kernel, notebook = _kernel(), paths.NOTEBOOKS / f"{slug}.ipynb"
    if not kernel or not notebook.exists():
        return False
    executed = {cell.strip() for cell in kernel.history_manager.input_hist_raw}
    return any(cell.strip() not in executed for cell in _code(notebook, tagged=False))


def say_errors() -> None:
    """In a kernel: from here on an error that a user can do something about is a line, and ``%tb`` shows the rest."""
    if kernel := _kernel():
        kernel.set_custom_exc((*KINDS, KeyboardInterrupt), _say)


def _say(kernel, kind: type, error: BaseException, trace, tb_offset: int | None = None) -> list[str]:
    """What is shown of an error."""
    if not _is_ours(error, trace):
        kernel.showtraceback((kind, error, trace), tb_offset=tb_offset)
        return []
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace  # which %tb shows
    usual = STOPPED if isinstance(error, KeyboardInterrupt) else kind.__name__
    said = printable(sentence(error)) or usual
    shown = [f"{said} {MORE}"]
    kernel._showtraceback(kind, said, shown)  # the only way to an output of kind "error", by which a runner sees it
    return shown


def is_sentence(shown: list[str]) -> bool:
    """True when what an executed notebook shows of an error is a sentence, and no traceback."""
    return len(shown) == 1 and shown[0].endswith(MORE)


def _is_ours(error: BaseException, trace) -> bool:
    """True for a sentence of the package. A ValueError or KeyError of a cell's own code, or of a library's, is none."""
    ours = [frame.f_code.co_filename.startswith(PACKAGE) for frame, _ in traceback.walk_tb(trace)]
    if isinstance(error, ValueError | KeyError):
        return ours[-1]
    return any(ours) and (isinstance(error, KeyboardInterrupt) or has_sentence(error))


def _kernel():
    """The IPython that this runs in, None outside of one; it is not imported for that."""
    ipython = sys.modules.get("IPython")
    return ipython and ipython.get_ipython()


def _code(notebook: Path, tagged: bool) -> list[str]:
    """The code cells of a notebook: those tagged as parameters, or the others."""
    cells = [cell for cell in json.loads(notebook.read_bytes())["cells"] if cell["cell_type"] == "code"]
    return ["".join(cell["source"]) for cell in cells if ("parameters" in cell["metadata"].get("tags", ())) == tagged]
