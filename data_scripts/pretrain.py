"""Pretrains the weights that rehearsals start from: ``python data_scripts/pretrain.py``, about seven minutes on two cores.

They stand for those of ImageNet: of a network that has seen many photographs, but not the task to come. This one tells
places of another rendered city apart by daylight; it has met few queries, which are of other days and hours.
"""

import os
import sys
from pathlib import Path

import vg_core as vg

WEIGHTS = Path(vg.__file__).with_name("models") / "streets.safetensors"
CITY = {"city": "toycity", "seed": 7, "database": 1800, "queries": 30}  # of each split
LEARNING = {
    **{"weights": "none", "freeze": "none", "pooling": "average", "loss": "geo_classification", "image_size": (42, 56)},
    **{"lr": 1e-3, "lr_halving_epochs": 1, "epochs_num": 4, "train_batch_size": 8, "images_per_row": 5},
    **{"queries_per_epoch": 360, "cache_refresh_rate": 360, "val_queries": 0},
}


def main() -> int:
    """Exit status of the command."""
    from city import dataset  # run as a script: its own folder is on the path

    os.environ["VG_DATA"] = str(vg.paths.cache_root() / "pretraining")  # beside the city that rehearsals see
    try:
        dataset.build_city(CITY["city"], "small", CITY["seed"], **{n: CITY[n] for n in ("database", "queries")})
        run = vg.run(vg.Config.of("smoke", dataset=CITY["city"], **LEARNING))
        vg.save_model(run.model().half(), WEIGHTS)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {WEIGHTS} ({WEIGHTS.stat().st_size / 1e6:.1f} MB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
