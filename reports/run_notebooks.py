"""Notebooks run headless, in order and strictly: ``run_notebooks.py --profile smoke [NAME …] [-p PARAMETER VALUE …]``.

Sources stay as they are; executed copies go to the cache folder of the profile. A parameter that a notebook does not
have, or a value of another type than its default's, is an error before anything runs. One notebook that fails does not
stop the others; the exit status is then 1. What is unchanged since it was executed is not executed again (``stamps``
says what that means, ``--again`` executes it); otherwise finished runs are read back by vg_core.runs.experiments.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from vg_core.system import interrupts, paths, version
from vg_core.system.notebooks import defaults, fitting

MOST = 4  # notebooks side by side: each kernel takes a GB of memory


def main(arguments: list[str] | None = None) -> int:
    """Exit status of the command. Libraries that take seconds are imported by what needs them, where Ctrl-C is a
    sentence.
    """
    interrupts.once()
    try:
        return command(parser().parse_args(arguments))
    except KeyboardInterrupt:
        interrupts.no_more()
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
    for notebook in sorted(version.edited(paths.NOTEBOOKS) & {*values}):
        print(f"{notebook.name} is edited: its edits are used", flush=True)
    failed = execute(values, paths.executed_folder(options.profile), options.again, options.profile == "smoke")
    if failed:
        print(f"{len(failed)} of {len(values)} notebooks failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def execute(values: dict[Path, dict], folder: Path, again: bool, small: bool) -> list[str]:
    """Names of the notebooks that failed. ``small`` ones share the cores of this machine, others have it one by one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    sharing = sum(not execution().is_alone(notebook) for notebook in values)
    side_by_side = max(1, min(cores, sharing, MOST)) if small else 1
    share = {} if side_by_side == 1 else dict.fromkeys(("VG_CORES", "OMP_NUM_THREADS"), str(cores // side_by_side))
    logging.getLogger("papermill").setLevel(logging.ERROR)
    before = dict(os.environ)  # which kernels inherit: plain lines; no debugger's warning
    os.environ |= {"VG_HEADLESS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"} | share
    try:
        return execution().Execution(values, folder, again).run(side_by_side)
    finally:
        os.environ.clear()
        os.environ.update(before)


def execution():
    """The module of that name."""
    if __package__:
        from . import execution
    else:  # run as a script: its own folder is on the path
        import execution
    return execution


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


def typed(notebook: Path, given: dict[str, str]) -> dict:
    """The values of the texts in ``given``, each of its default's type; ValueError names what does not fit."""
    known = defaults(notebook)
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ValueError(f"{notebook.stem} has no parameter {', '.join(unknown)}; it has: {', '.join(known) or 'none'}")
    values = {name: fitting(text, known[name], f"{notebook.stem}, {name}") for name, text in given.items()}
    return {name: absolute(value) for name, value in values.items()}


def absolute(value):
    """Paths that exist seen from here, as they are seen from anywhere: notebooks run in their own folder."""
    if isinstance(value, dict):
        return {name: absolute(inner) for name, inner in value.items()}
    if isinstance(value, str) and os.sep in value and Path(value).expanduser().exists():
        return str(Path(value).expanduser().resolve())
    return value


if __name__ == "__main__":
    sys.exit(main())
