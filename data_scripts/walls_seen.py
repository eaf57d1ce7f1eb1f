"""Tells which walls photographs of a generated city show: ``python data_scripts/walls_seen.py`` writes a table for the
train split of toycity, with a row for each photograph and wall, below ``VG_DATA``/toycity/walls.
"""

import argparse
import sys

from vg_core.system import interrupts


def draw() -> None:
    """What the command does."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--city", default="toycity", help="one that is drawn already (default: toycity)")
    p.add_argument("--split", default="train", help="default: train")
    args = p.parse_args()
    from city.sight import write_walls  # takes a second

    print(write_walls(args.city, args.split))


if __name__ == "__main__":
    sys.exit(interrupts.exit_status(draw))
