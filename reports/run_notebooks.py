"""Notebooks run headless, in order and strictly: ``run_notebooks.py --profile smoke [NAME …] [-p PARAMETER VALUE …]``.

Sources stay as they are; executed copies go to the cache folder of the profile. A parameter that a notebook does not
have, or a value of another type than its default's, is an error before anything runs. One notebook that fails does not
stop the others; the exit status is then 1. What is unchanged since it was executed is not executed again (``stamps``
says what that means, ``--again`` executes it); otherwise finished runs are read back by vg_core.runs.experiments.
"""

import argparse
import ast
import json
import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from vg_core.system import interrupts, paths


def main(arguments: list[str] | None = None) -> int:
    """Exit status of the command. Libraries that take seconds are imported by what needs them, where Ctrl-C is a
    sentence.
    """
    interrupts.once()
    try:
        return command(parser().parse_args(arguments))
    except KeyboardInterrupt:
        interrupts.no_more()
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it would tell of each thing that was going on
        end_kernels()
        print("\nstopped; what is trained is kept, the same command goes on from there", file=sys.stderr)
        return 130


def command(options: argparse.Namespace) -> int:
    """Exit status."""
    try:
        notebooks = select(options.names)
        if options.list:
            print(*(describe(notebook) for notebook in notebooks), sep="\n")
            return 0
        values = {notebook: typed(notebook, parameters(options)) for notebook in notebooks}
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    failed = run_all(values, paths.executed_folder(options.profile), options.again)
    if failed:
        print(f"{len(failed)} of {len(values)} notebooks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def end_kernels() -> None:
    """End what this process has started: Ctrl-C does not reach kernels, and one that begins is nobody's yet."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("names", nargs="*", metavar="NAME", help="10_baseline, or 10 for short; all without")
    p.add_argument("--profile", default="smoke", choices=("smoke", "full"), help="smoke: toy city, on a CPU")
    p.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=("PARAMETER", "VALUE"))
    p.add_argument("--again", action="store_true", help="execute notebooks that are unchanged, too")
    p.add_argument("--list", action="store_true", help="name the notebooks and their parameters, run nothing")
    return p


def parameters(options: argparse.Namespace) -> dict[str, str]:
    """Texts of the parameters by name; ValueError when one is given twice."""
    given = {"profile": options.profile}
    for name, text in options.parameters:
        if name in given:
            raise ValueError(f"{name} is given twice" + ("; use --profile alone" if name == "profile" else ""))
        given[name] = text
    return given


def select(names: list[str]) -> list[Path]:
    """The notebooks of these names or numbers in order, all without names; ValueError lists the known ones."""
    known = sorted(paths.NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    for name in names:
        if not any(_is(notebook, name) for notebook in known):
            raise ValueError(f"there is no notebook '{name}'; known: {', '.join(n.stem for n in known) or 'none'}")
    return [n for n in known if not names or any(_is(n, name) for name in names)]


def _is(notebook: Path, name: str) -> bool:
    return name.removesuffix(".ipynb") in (notebook.stem, notebook.stem[:2])


def describe(notebook: Path) -> str:
    """'10_baseline  title' and a line for each parameter with its default."""
    title = "".join(json.loads(notebook.read_text())["cells"][0]["source"]).splitlines()[0].lstrip("# ")
    lines = [f"    -p {name} {default!r}" for name, default in defaults(notebook).items()]
    return "\n".join([f"{notebook.stem}  {title}", *lines])


def defaults(notebook: Path) -> dict:
    """The parameters of a notebook with the values that it has by itself."""
    import papermill

    found = papermill.inspect_notebook(str(notebook))
    return {name: ast.literal_eval(parameter["default"]) for name, parameter in found.items()}


def typed(notebook: Path, given: dict[str, str]) -> dict:
    """The values of the texts in ``given``, each of its default's type; ValueError names what does not fit."""
    known = defaults(notebook)
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"{notebook.stem} has no parameter {', '.join(unknown)}; it has: {', '.join(known) or 'none'}")
    return {name: absolute(value_of(text, known[name], f"{notebook.stem}, {name}")) for name, text in given.items()}


def value_of(text: str, default, where: str):
    """``text`` read as JSON or as a Python literal, of the type of ``default``; texts are taken as they stand."""
    if isinstance(default, str):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = text
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if default is not None and type(value) is not type(default):
        raise ValueError(f"{where}: '{text}' is not of type {type(default).__name__}, as its default {default!r} is")
    return value


def absolute(value):
    """Paths that exist seen from here, as they are seen from anywhere: notebooks run in their own folder."""
    if isinstance(value, dict):
        return {name: absolute(inner) for name, inner in value.items()}
    if isinstance(value, str) and os.sep in value and Path(value).expanduser().exists():
        return str(Path(value).expanduser().resolve())
    return value


def run_all(values: dict[Path, dict], folder: Path, again: bool) -> list[str]:
    """Names of the notebooks that failed; each is announced with what the earlier ones took.

    What is unchanged since its executed copy was made is only run ``again`` if that is asked for.
    """
    os.environ |= {"VG_HEADLESS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}  # plain lines; no debugger's warning
    logging.getLogger("papermill").setLevel(logging.ERROR)
    failed, started = [], time.monotonic()
    for number, (notebook, parameters) in enumerate(values.items()):
        spent = time.monotonic() - started
        left = f", about {spent / number * (len(values) - number):.0f} s left" if number else ""
        print(f"[{number + 1}/{len(values)}] {notebook.stem}{left}", flush=True)
        if not again and stamps().unchanged(notebook, parameters, folder / notebook.name):
            print("      unchanged since it was executed (--again executes it all the same)", flush=True)
            continue
        if not run_one(notebook, parameters, folder):
            failed.append(notebook.stem)
        print(f"      {time.monotonic() - started - spent:.0f} s", flush=True)
    return failed


def run_one(notebook: Path, parameters: dict, folder: Path) -> bool:
    """True when the notebook ran to its end; its executed copy is then in ``folder``, else as ``.failed.ipynb``."""
    import papermill

    from vg_core.system.files import remove_leftovers, unfinished

    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder)
    copy, broken = folder / notebook.name, folder / f"{notebook.stem}.failed.ipynb"
    new, before = unfinished(copy), stamps().sources(notebook, parameters)
    try:
        papermill.execute_notebook(
            str(notebook),
            str(new),
            parameters=parameters,
            cwd=str(paths.NOTEBOOKS),
            kernel_name="python3",
            progress_bar=sys.stderr.isatty(),
            stdout_file=sys.stdout,
            extra_arguments=["--IPKernelApp.log_level=CRITICAL"],  # the kernel's own remarks are not about the notebook
        )
    except KeyboardInterrupt:
        new.unlink(missing_ok=True)
        raise
    except Exception as error:  # whatever it is, it is this notebook's, and the others shall still run
        print(complaint(notebook, error), file=sys.stderr, flush=True)
        if new.exists():
            os.replace(new, broken)
            print(f"its executed part: {broken}", file=sys.stderr, flush=True)
        return False
    stamps().mark(notebook, parameters, new, before)
    os.replace(new, copy)
    broken.unlink(missing_ok=True)
    return True


def stamps():
    """The module of that name."""
    if __package__:
        from . import stamps
    else:  # run as a script: its own folder is on the path
        import stamps
    return stamps


def complaint(notebook: Path, error: Exception) -> str:
    """What failed where: the error, and the source of its cell."""
    from papermill.exceptions import PapermillExecutionError

    if not isinstance(error, PapermillExecutionError):
        return f"{notebook.stem} failed outside its cells: {type(error).__name__}: {error}"
    source = "\n".join(f"    {line}" for line in error.source.splitlines())
    where = f"cell [{error.exec_count}] of its executed copy"
    return f"{notebook.stem} failed in {where}: {error.ename}: {error.evalue}\n{source}"


if __name__ == "__main__":
    sys.exit(main())
