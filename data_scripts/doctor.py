"""Says what is wrong with a dataset before a night of training:

  python data_scripts/doctor.py pitts30k
  python data_scripts/doctor.py ~/photos/campus --deep --html campus.html

Looks at files (empty, cut, locked, copies, odd sizes), at names (positions, zones, degrees, headings, times), and at
places (splits that touch, queries without positives, jumps, panoramas). Nothing is decoded, unless --deep: then each
photograph is, once, which also finds what cannot be decoded and what looks alike. Errors make results wrong or stop a
training, warnings may, notes should be known. Exit status: 1 if there is an error, 0 if not, 2 for bad usage.
"""

import argparse
import sys
from pathlib import Path

from vg_core.system import interrupts


def main() -> int:
    """Exit status of the command."""
    return interrupts.exit_status(look, fault=2)


def look() -> int:
    """What the command does, and its status. What takes a second to import is imported here, where Ctrl-C is a
    sentence.
    """
    args = parser().parse_args()
    if __package__:
        from .checks.examination import examine
        from .checks.reports import as_json, as_text, status, write_map
    else:  # run as a script: its own folder is on the path
        from checks.examination import examine
        from checks.reports import as_json, as_text, status, write_map
    survey, findings = examine(args.dataset, args.radius, args.deep)
    print((as_json if args.json else as_text)(survey, findings), flush=True)
    if args.html:
        write_map(survey, findings, args.html)
    return status(findings)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("dataset", help="a dataset's folder or its name below VG_DATA, or any folder of photographs")
    p.add_argument("--radius", type=float, default=25.0, metavar="M", help="metres of one place (default: 25)")
    p.add_argument("--deep", action="store_true", help="decode every photograph, too: minutes for 20,000")
    p.add_argument("--json", action="store_true", help="print JSON in place of a table")
    p.add_argument("--html", type=Path, metavar="FILE", help="also write a map of what is covered and what was found")
    return p


if __name__ == "__main__":
    sys.exit(main())
