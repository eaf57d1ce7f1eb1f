"""Draws where cars and people are in a generated city: ``python data_scripts/traffic_masks.py`` writes a PNG, black and
white, for each query of toycity's test split below ``VG_DATA``/toycity/masks.
"""

import argparse
import sys

from vg_core.system import interrupts


def main() -> int:
    """Exit status of the command."""
    interrupts.once()
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--city", default="toycity", help="one that is drawn already (default: toycity)")
    p.add_argument("--split", default="test", help="default: test")
    p.add_argument("--photographs", default="queries", help="folder of the split (default: queries)")
    args = p.parse_args()
    try:
        from city.masks import write_masks  # takes a second

        print(write_masks(args.city, args.split, args.photographs))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        interrupts.no_more()
        print("\nstopped; nothing unfinished is left, the same command begins again", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
