"""Draws where cars and people are in a generated city: ``python data_scripts/traffic_masks.py`` writes a PNG, black and
white, for each query of toycity's test split below ``VG_DATA``/toycity/masks.
"""

import argparse
import sys

from vg_core.system import interrupts


def draw() -> None:
    """What the command does."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--city", default="toycity", help="one that is drawn already (default: toycity)")
    p.add_argument("--split", default="test", help="default: test")
    p.add_argument("--photographs", default="queries", help="folder of the split (default: queries)")
    args = p.parse_args()
    from city.masks import write_masks  # takes a second

    print(write_masks(args.city, args.split, args.photographs))


if __name__ == "__main__":
    sys.exit(interrupts.exit_status(draw))
