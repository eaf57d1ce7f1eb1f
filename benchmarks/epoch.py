"""One epoch of training, from the field's reference loop to the package's own Trainer, one speed-up after the other.

The city, 10,000 + 7,000 photographs of 480x640 in each split, then the ladder; last, a small one for a CPU:

    VG_DATA=$PWD/data_large python data_scripts/toy_city.py --city toycity --size large
    VG_DATA=$PWD/data_large python benchmarks/epoch.py --rounds 1
    python benchmarks/epoch.py --queries_per_epoch 24 --cache_refresh_rate 12 --neg_samples_num 40 --output small.csv

Before anything is timed every rung is compared with the reference on a few photographs: tuples and loss. Seconds are
those of one epoch; ``other`` is Python between the phases and the start of workers, ``validation`` follows the rounds.
What is made once (decoded photographs, stems, clusters, compiled code), what a first use costs and what is saved to
disk is not in them: a whole round goes before, to warm up, and is taken back, so that the timed rounds draw and mine
the tuples that they would without it. The random weights of the default take the same time as trained ones. Rungs that
the CSV has for the same settings are kept; those that do nothing on this device are left out, with the reason.
"""

import argparse
import gc
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from PIL import Image

FOLDER = Path(__file__).resolve().parent
if str(FOLDER.parent) not in sys.path:  # run as a script: only its own folder is on the path
    sys.path.insert(0, str(FOLDER.parent))

from benchmarks import lines  # noqa: E402
from benchmarks.agreement import compare  # noqa: E402
from benchmarks.device import machine  # noqa: E402
from benchmarks.ladder import RUNGS, Loop, make_runner  # noqa: E402
from benchmarks.lines import OF_ROUNDS, PARTS  # noqa: E402
from benchmarks.measure import Disagreement  # noqa: E402
from benchmarks.prediction import GOALS, IMAGE_SIZE, predicted  # noqa: E402
from vg_core.config import Config  # noqa: E402
from vg_core.datasets.places import PlaceSet  # noqa: E402
from vg_core.models.precision import network_dtype  # noqa: E402
from vg_core.system.devices import pick_device  # noqa: E402
from vg_core.system.errors import KINDS, has_sentence, sentence  # noqa: E402
from vg_core.system.paths import data_root  # noqa: E402
from vg_core.training.progress import Progress  # noqa: E402
from vg_core.training.step import can_compile  # noqa: E402
from vg_core.training.trainer import State, Trainer  # noqa: E402

OPTIONS = {  # of Config, with the defaults of this command
    **{"weights": "none", "mining": "partial", "clusters": 64, "seed": 0, "lr": 1e-5},
    **{"queries_per_epoch": 5000, "cache_refresh_rate": 1000, "negs_num_per_query": 10, "neg_samples_num": 1000},
    **{"train_batch_size": 4, "infer_batch_size": 16},
}
DRAW = "VG_DATA=$PWD/data_large python data_scripts/toy_city.py --city toycity --size large"


# --- command ----------------------------------------------------------------------------------------------------------
def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dataset", default="toycity", help="name below VG_DATA or path of a folder (default: %(default)s)")
    p.add_argument("--rungs", nargs="+", metavar="RUNG", help=f"which (default: all): {', '.join(RUNGS)}")
    p.add_argument("--rounds", type=int, metavar="N", help="time N rounds of the epoch and scale (default: all)")
    p.add_argument("--output", type=Path, metavar="CSV", help="default: benchmarks/epoch_cpu.csv or epoch_cuda.csv")
    p.add_argument("--again", action="store_true", help="measure rungs that the CSV has already")
    for name, default in OPTIONS.items():
        p.add_argument(f"--{name}", type=type(default), default=default, help="(default: %(default)s)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Climb the ladder; 1 with a sentence for bad input and for rungs that disagree."""
    args = parser().parse_args(arguments)
    try:
        sets = load(args.dataset)
        config = configure(args, sets)
        climb(args, config, sets)
    except (*KINDS, Disagreement) as error:
        if not has_sentence(error) and not isinstance(error, Disagreement):
            raise
        print(f"error: {sentence(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command goes on with the rung that was under way", file=sys.stderr)
        return 130
    return 0


def load(dataset: str) -> list[PlaceSet]:
    """Train and val; FileNotFoundError says how to draw the large city: the small one would be drawn unasked."""
    if dataset == "toycity" and not (data_root() / dataset).is_dir():
        raise FileNotFoundError(f"there is no {dataset} in {data_root()}; draw it: {DRAW}")
    return [PlaceSet.load(dataset, split) for split in ("train", "val")]


def configure(args: argparse.Namespace, sets: Sequence[PlaceSet]) -> Config:
    """What all rungs train; ValueError where the photographs do not suit it."""
    if args.mining == "random":
        raise ValueError("mining=random compares no descriptors, so there is no loop to time; choose partial or full")
    fixed = {"dataset": args.dataset, "image_size": size_of(sets), "pooling": "netvlad", "epochs_num": 1}
    config = Config().replace(**fixed, profile="smoke", **{name: getattr(args, name) for name in OPTIONS})
    rounds = config.queries_per_epoch // config.cache_refresh_rate
    if args.rounds is not None and not 1 <= args.rounds <= rounds:
        raise ValueError(f"rounds={args.rounds} must be 1 to {rounds}, which make one epoch")
    trainable = sum(len(some) > 0 for some in sets[0].neighbours(config.task.train_positives_dist_threshold))
    if trainable < config.cache_refresh_rate:
        raise ValueError(
            f"{args.dataset} has {trainable} queries with a positive, a round takes {config.cache_refresh_rate}: "
            f"lower --cache_refresh_rate and --queries_per_epoch, or draw a larger city: {DRAW}"
        )
    return config


def size_of(sets: Sequence[PlaceSet]) -> tuple[int, int]:
    """(height, width) of all photographs; ValueError when they differ."""
    sizes = set()
    for path in pd.concat([table for places in sets for table in (places.database, places.queries)]).path:
        with Image.open(path) as image:
            sizes.add(image.size[::-1])
    if len(sizes) > 1:
        raise ValueError(f"{sets[0].name} has photographs of {len(sizes)} sizes, and the reference loop resizes none")
    return sizes.pop()


def climb(args: argparse.Namespace, config: Config, sets: Sequence[PlaceSet]) -> None:
    """Compare, then time what the CSV lacks, writing each rung as it comes; then the table."""
    device = pick_device()
    file = args.output or FOLDER / f"epoch_{device.type}.csv"
    whole = config.queries_per_epoch // config.cache_refresh_rate
    rounds = args.rounds or whole
    settings = settings_of(config, sets, rounds, device)
    chosen = chosen_rungs(args.rungs, device)
    found = lines.kept(file, settings)
    todo = [rung for rung in chosen if args.again or rung not in set(found.rung)]
    compared = compare(todo, config, sets[0]) if todo else {}
    for number, rung in enumerate(todo, 1):
        started = time.monotonic()
        line = timed(rung, config, sets, rounds, device) | compared[rung]
        found = lines.write(file, line, settings)
        left = (time.monotonic() - started) * (len(todo) - number) / 60  # the next ones are faster, if anything
        print(f"{rung}: {line['seconds']:.1f} s an epoch; at most about {left:.0f} min left", flush=True)
    if not found.empty:
        print(f"\n{lines.table(found)}\n\n{settings['machine']}, {settings['threads']} threads; {file}")
        print(f"timed: {rounds} of {whole} rounds of each epoch, scaled to all, and a whole validation")


def chosen_rungs(wanted: Sequence[str] | None, device: torch.device) -> list[str]:
    """In the order of the ladder; KeyError, listing all, for an unknown one."""
    for rung in wanted or ():
        RUNGS[rung]
    chosen, useless = [rung for rung in RUNGS if rung in (wanted or RUNGS)], useless_on(device)
    for rung in chosen:
        if rung in useless:
            print(f"{rung}: left out, {useless[rung]}")
    return [rung for rung in chosen if rung not in useless]


def useless_on(device: torch.device) -> dict[str, str]:
    """The rungs that do nothing on a device or cannot be climbed there, and why."""
    found = {}
    if network_dtype(device) is not torch.bfloat16:
        found["bf16"] = "this device computes no faster in it"
    if device.type == "cpu":
        found["device_pixels"] = "a CPU has decoded pixels in its own memory already"
    if not can_compile():
        found["compiled"] = "torch.compile needs a C++ compiler and there is none"
    return found


# --- one rung ---------------------------------------------------------------------------------------------------------
def timed(rung: str, config: Config, sets: Sequence[PlaceSet], rounds: int, device: torch.device) -> dict[str, object]:
    """One line of the table: seconds of an epoch, of which ``rounds`` rounds were trained."""
    _forget(device)
    with TemporaryDirectory(prefix="vg_epoch_") as folder:
        runner = make_runner(rung, config, Path(folder), *sets)
        runner.start()
        warm_up(runner, f"{rung}, to warm up", config.infer_batch_size)
        runner.progress = Progress(rung, rounds)
        with patch.object(runner, "describe", wraps=runner.describe) as describe:
            runner.run(rounds)
        runner.progress.close()
    scale = config.queries_per_epoch / config.cache_refresh_rate / rounds
    described = sum(len(call.args[0]) for call in describe.call_args_list) * scale
    spent = seconds_of(pd.DataFrame(runner.state.history), runner.state.validation[-1]["seconds"], scale)
    found = {"rung": rung, "seconds": sum(spent.values()), **spent, "described": round(described)}
    if device.type == "cuda":
        found["peak_bytes"] = torch.cuda.max_memory_allocated()
        if config.image_size == IMAGE_SIZE:
            found |= {"predicted": predicted(rung, *counts(config, sets[1], described)), "goal": GOALS.get(rung)}
    return found


def warm_up(runner: Loop | Trainer, label: str, batch_size: int) -> None:
    """A whole round of which only what is made once remains: pixels and stems kept, code compiled, algorithms chosen.

    Network, objective and optimizer are afterwards what they were, and the next round is the first.
    """
    parts = runner.model, runner.objective, runner.optimizer
    before = [deepcopy(part.state_dict()) for part in parts]
    for count in (batch_size + batch_size // 2, 1):  # code is compiled for one size, for all others, and for one image
        runner.describe(np.arange(min(count, len(runner.images))))
    runner.progress = Progress(label, 1)
    runner.training_round()
    runner.progress.close()
    for part, state in zip(parts, before, strict=True):
        part.load_state_dict(state)
    runner.state = State()


def seconds_of(history: pd.DataFrame, validation: float, scale: float) -> dict[str, float]:
    """Seconds of an epoch by part, from rounds that are ``1 / scale`` of it."""
    phases = {phase: history[f"seconds_{phase}"].sum() * scale for phase in OF_ROUNDS}
    other = history.seconds.sum() * scale - sum(phases.values())
    return dict(zip(PARTS, (*phases.values(), other, validation), strict=True))


def counts(config: Config, val_set: PlaceSet, described: float) -> tuple[float, ...]:
    """Queries mined for in an epoch, images described, trained on, and described for validation."""
    trained = config.queries_per_epoch * config.task.images_per_row
    return config.queries_per_epoch, described, trained, len(val_set.database) + len(val_set.queries)


def _forget(device: torch.device) -> None:
    """The device memory of the rung before."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


# --- results ----------------------------------------------------------------------------------------------------------
def settings_of(config: Config, sets: Sequence[PlaceSet], rounds: int, device: torch.device) -> dict[str, str]:
    """All that makes two measurements comparable, as texts of the CSV."""
    options = config.options()
    photographs = " ".join([config.dataset, "{}x{}".format(*config.image_size), *(s.fingerprint for s in sets)])
    facts = {"photographs": photographs, "options": ", ".join(f"{name}={options[name]}" for name in OPTIONS)}
    return {name: str(value) for name, value in (facts | {"rounds": rounds} | machine(device)).items()}


if __name__ == "__main__":
    sys.exit(main())
