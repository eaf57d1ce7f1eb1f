"""Pretrains the weights that rehearsals start from: ``python data_scripts/pretrain.py``, ten minutes on two cores.

They stand for those of ImageNet: a network that has seen many photographs, but no task like the one to come. This one
tells places of another rendered city apart by daylight, and has hardly met a query: those are of other days and hours.
"""

import os
import sys
from pathlib import Path

import vg_core as vg

WEIGHTS = Path(vg.__file__).with_name("models") / "streets.safetensors"
CITY = {"city": "toycity", "seed": 7, "database": 1800, "queries": 30}  # of each split
LEARNING = {
    **{"weights": "none", "freeze": "none", "loss": "geo_classification", "augmentation": "random_resized_crop"},
    **{"lr": 1e-3, "lr_halving_epochs": 1, "epochs_num": 6, "patience": 6, "train_batch_size": 8},
    **{"queries_per_epoch": 480, "cache_refresh_rate": 480, "images_per_row": 5, "image_size": (54, 72)},
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
