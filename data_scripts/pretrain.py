"""Pretrains the weights that rehearsals start from: ``make pretrain``, about ten minutes on two cores.

They stand for those of ImageNet: of a network that has seen many photographs, but not the task to come. This one tells
places of another rendered city apart by daylight; it has met few queries, which are of other days and hours.
"""

import os
import sys
from pathlib import Path

import torch

import vg_core as vg

WEIGHTS = Path(vg.__file__).with_name("models") / "streets.safetensors"
SEED, DATABASE, QUERIES = 7, 1800, 3  # of the other city
LEARNING = {
    **{"weights": "none", "freeze": "none", "loss": "geo_classification", "augmentation": "random_resized_crop"},
    **{"image_size": (54, 72), "lr": 1e-3, "lr_halving_epochs": 1, "epochs_num": 6, "patience": 6},
    **{"train_batch_size": 8, "images_per_row": 5, "queries_per_epoch": 480, "cache_refresh_rate": 480},
}


def main() -> int:
    """Exit status of the command."""
    torch.backends.mkldnn.conv.fp32_precision = "bf16"  # faster where the processor has it
    try:
        run = vg.run(vg.Config.of("smoke", dataset=str(streets()), **LEARNING))
        vg.save_model(run.model().half(), WEIGHTS)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"wrote {WEIGHTS} ({WEIGHTS.stat().st_size / 1e6:.1f} MB)")
    return 0


def streets() -> Path:
    """Folder of a dataset with the train split of the other city, and val and test of the one of rehearsals."""
    from city import dataset  # run as a script: its own folder is on the path

    home = dataset.build_city("toycity")
    folder = vg.paths.cache_root() / "pretraining"
    os.environ["VG_DATA"] = str(folder)  # the other city must not take the place of the first
    away = dataset.build_city("toycity", seed=SEED, database=DATABASE, queries=QUERIES)
    (folder / "streets" / "images").mkdir(parents=True, exist_ok=True)
    for split, city in {"train": away, "val": home, "test": home}.items():
        link = folder / "streets" / "images" / split
        link.unlink(missing_ok=True)
        link.symlink_to(city / "images" / split)
    return folder / "streets"


if __name__ == "__main__":
    sys.exit(main())
