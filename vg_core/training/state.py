"""The state of a training: what an interrupted run needs to go on exactly where it stopped."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from vg_core.system import own_files, processes


@dataclass
class State:
    """How far a training is, beside the weights of network, objective and optimizer.

    Randomness needs no state: every round draws from a generator seeded by (seed, epoch, round).
    """

    epoch: int = 0  # epochs validated; 0 is the untrained network
    round: int = 0  # rounds done in the epoch under way
    best: float = -1.0  # best recall on val so far, of the kind that chooses the model, in percent
    best_epoch: int = 0
    not_improved: int = 0  # epochs since the best one
    finished: bool = False
    history: list[dict] = field(default_factory=list)  # one row per round
    validation: list[dict] = field(default_factory=list)  # one row per epoch
    best_model: bytes = field(default=b"", repr=False)  # its file; the first process alone has it

    def improves(self, recall: float) -> bool:
        """True when the recall of this epoch is the best so far; remembers which epoch was best, and how long ago."""
        improved = recall > self.best
        self.not_improved = 0 if improved else self.not_improved + 1
        if improved:
            self.best, self.best_epoch = recall, self.epoch
        return improved

    def save(self, file: Path, parts: Mapping[str, object]) -> None:
        """Write the state, with the state dict of each of the ``parts`` by name; only the first process does."""
        if not processes.first():
            return
        saved = {name: part.state_dict() for name, part in parts.items()} | asdict(self)
        saved["best_model"] = torch.from_numpy(np.frombuffer(self.best_model, np.uint8).copy())
        own_files.write(file, saved)

    @classmethod
    def load(cls, file: Path, parts: Mapping[str, object]) -> "State":
        """The state that ``save`` wrote; the ``parts`` get their state dicts back."""
        remedy = f"delete {file.parent} to train it again from the start"
        saved = own_files.read(file, remedy)
        for name, part in parts.items():
            try:
                part.load_state_dict(saved.pop(name))
            except (KeyError, RuntimeError, ValueError) as error:
                said = str(error).splitlines()[-1].strip()
                raise ValueError(f"{file}: the {name} in it is of another training ({said}); {remedy}") from error
        return cls(**saved | {"best_model": saved["best_model"].numpy().tobytes()})
