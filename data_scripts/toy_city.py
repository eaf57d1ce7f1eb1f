"""Draws the embedded city: ``python data_scripts/toy_city.py`` writes it below ``VG_DATA`` (default ``data/``).

``toycity`` has three districts (train, val, test), a database of one summer day, queries of other days and hours;
``toycity_drive`` is another town, seen twice through a windscreen. Finished photographs appear all at once.
"""

import argparse
import sys

if __package__:
    from .city.dataset import build_city
    from .city.shots import SIZES, SPLITS
else:  # run as a script: its own folder is on the path
    from city.dataset import build_city
    from city.shots import SIZES, SPLITS

__all__ = ["build_city"]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    sizes = "; ".join(f"{k}: {s.database} + {s.queries} of {s.height}x{s.width}" for k, s in SIZES.items())
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--city", choices=[*SPLITS, "all"], default="all", help="which city to draw (default: all)")
    p.add_argument("--size", choices=[*SIZES], default="small", help=f"database + queries of each split: {sizes}")
    p.add_argument("--seed", type=int, default=0, help="another number is another city (default: 0)")
    p.add_argument("--workers", type=int, help="processes (default: one for each core); never changes a byte")
    p.add_argument("--database", type=int, metavar="N", help="database photographs of each split")
    p.add_argument("--queries", type=int, metavar="N", help="queries of each split")
    p.add_argument("--force", action="store_true", help="replace a toy city made by another recipe")
    return p


def main() -> None:
    args = parser().parse_args()
    counts = {"database": args.database, "queries": args.queries}
    try:
        for name in SPLITS if args.city == "all" else [args.city]:
            build_city(name, args.size, args.seed, args.workers, force=args.force, **counts)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
