"""Brings a published data set into ``VG_DATA`` (default ``data/``), in the folders that everything here reads.

    python data_scripts/download.py --list
    python data_scripts/download.py amstertime
    python data_scripts/download.py pitts30k --from ~/Downloads/pittsburgh

What was cut off goes on when the same command runs again; a finished set is counted again, and stays. Some sets one
must ask for: the command says whom, and which files then to put into one folder for --from. That folder stays as it is.
"""

import argparse
import sys
from pathlib import Path

from vg_core.system import interrupts
from vg_core.system.errors import has_sentence, sentence
from vg_core.system.text import printable


def main() -> int:
    """Exit status of the command: 0 for a complete data set, 1 otherwise, 2 for a wrong command line."""
    interrupts.once()
    try:
        if __package__:
            from .fetching import sets
        else:  # run as a script: its own folder is on the path
            from fetching import sets
        args = parser(sets.CATALOGUE).parse_args()
        if args.list:
            print(sets.table())
            return 0
        return int(not sets.obtain(args.name, args.url, args.folder, args.agreed))
    except KeyboardInterrupt:
        interrupts.no_more()
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        return 130
    except Exception as error:
        if not has_sentence(error):
            raise
        print("error:", "\n".join(map(printable, sentence(error).split("\n"))), file=sys.stderr)
        return 1


def parser(names) -> argparse.ArgumentParser:
    """The command line; ``names`` are those of the data sets."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = p.add_mutually_exclusive_group(required=True)
    help_of_name = "the data set, one of those that --list prints"
    what.add_argument("name", nargs="?", type=_spelled, choices=names, metavar="NAME", help=help_of_name)
    what.add_argument("--list", action="store_true", help="print what there is, how it comes, and under which terms")
    where = p.add_mutually_exclusive_group()
    where.add_argument("--url", nargs="+", default=(), help="addresses in place of the known ones (http, https, rsync)")
    help_of_from = "archives, or what was in them; photographs are linked where the disk can do that, else copied"
    where.add_argument("--from", dest="folder", type=Path, metavar="FOLDER", help=help_of_from)
    p.add_argument("--agreed", action="store_true", help="the form of its makers is filled in, where there is one")
    return p


def _spelled(name: str) -> str:
    return name.lower().replace("-", "_")


if __name__ == "__main__":
    sys.exit(main())
