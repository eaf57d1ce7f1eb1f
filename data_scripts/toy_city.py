"""Draws the embedded city: ``python data_scripts/toy_city.py`` writes it below ``VG_DATA`` (default ``data/``).

``toycity`` has three districts (train, val, test), a database of one summer day, queries of other days and hours;
``toycity_drive`` is another town, seen twice through a windscreen. ``toycity_dense`` is a third one: its train split is
a survey every 2.5 metres into all directions, to learn classes from, without queries; queries of its test look into any
direction by day (``queries``) and from the same places by night (``night``); ``unlabelled`` is another district by
night, whose names nobody needs to read. ``toycity_pairs`` are panoramas (``ground``) and, under the same names, square
tiles of the ground around them from another day (``aerial``), north up; north is the middle of panoramas, too, and
names say when and where these were taken. Finished photographs appear all at once.
"""

import argparse
import os
import sys
import time
from threading import Thread

from vg_core.system import interrupts

PARENT = "VG_PARENT"  # environment variable: number of the process that started this one, which ends with it


def main() -> int:
    """Exit status of the command."""
    return interrupts.exit_status(draw)


def draw() -> None:
    """What the command does. What takes a second to import is imported here, where Ctrl-C is a sentence."""
    if PARENT in os.environ:
        Thread(target=end_with, args=(int(os.environ[PARENT]),), daemon=True).start()
    if __package__:
        from .city import dataset, plan
    else:  # run as a script: its own folder is on the path
        from city import dataset, plan
    args = parser(plan).parse_args()
    counts = {"database": args.database, "queries": args.queries}
    for name in args.city:
        dataset.build_city(name, args.size, args.seed, args.workers, force=args.force, **counts)


def parser(plan) -> argparse.ArgumentParser:
    """The command line; ``plan`` is the module that knows cities and sizes."""
    usual, dense, pairs = (sizes.items() for sizes in (plan.SIZES, plan.DENSE_SIZES, plan.PAIR_SIZES))
    sizes = "; ".join(f"{name}: {s.database} + {s.queries} of {s.height}x{s.width}" for name, s in usual)
    denser = "; ".join(
        f"{name}: {s.train_database}, {s.database} + {s.queries} of {s.height}x{s.width}" for name, s in dense
    )
    paired = "; ".join(
        f"{name}: {s.train_database}, {s.database} of {s.height}x{s.width} and {s.tile}x{s.tile}" for name, s in pairs
    )
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    help_of_city = f"which cities to draw, one or more (default: {', '.join(plan.COURSEWORK)})"
    p.add_argument("--city", choices=[*plan.SPLITS], nargs="+", default=plan.COURSEWORK, help=help_of_city)
    help_of_size = (
        f"database + queries of train, and of test: {sizes}. toycity_dense: train, database + queries of test: "
        f"{denser}. toycity_pairs: pairs of train, of test: {paired}"
    )
    p.add_argument("--size", choices=[*plan.SIZES], default="small", help=help_of_size)
    p.add_argument("--seed", type=int, default=0, help="another number is another city (default: 0)")
    p.add_argument("--workers", type=int, help="processes (default: one for each core); never changes a byte")
    p.add_argument("--database", type=int, metavar="N", help="database photographs of each split")
    p.add_argument("--queries", type=int, metavar="N", help="queries of each split")
    p.add_argument("--force", action="store_true", help="replace a toy city made by another recipe")
    return p


def end_with(parent: int) -> None:
    """End this process as soon as its parent is another one than that."""
    while os.getppid() == parent:
        time.sleep(0.2)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
