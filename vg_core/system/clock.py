"""A clock for the phases of a training: seconds per phase, no second counted twice."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch

PHASES = ("decode", "waiting", "extraction", "mining", "forward", "backward")


class Clock:
    """Seconds spent in each of ``PHASES`` since they were last taken.

    A phase inside another counts for itself alone. On a GPU a phase ends when the device has done its work, all but
    ``waiting``: images are read and decoded while the device computes, and only what is left of that is waited for.
    ``decode`` is all that is done once: pixels decoded or sent to a GPU for good, frozen layers' output that stays,
    the clusters that NetVLAD starts from.
    """

    def __init__(self, device: torch.device):
        self.device = device
        self.under_way: list[str] = []  # the innermost last
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.turned = time.monotonic()

    def take(self) -> dict[str, float]:
        """The seconds as columns of a table, ``seconds_<phase>``; the clock starts again at zero."""
        taken, self.seconds = self.seconds, dict.fromkeys(PHASES, 0.0)
        return {f"seconds_{phase}": seconds for phase, seconds in taken.items()}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """The time of the block counts for this phase, one of ``PHASES``."""
        self._turn()
        self.under_way.append(name)
        try:
            yield
            if self.device.type == "cuda" and name != "waiting":
                torch.cuda.synchronize(self.device)
        finally:
            self._turn()
            self.under_way.pop()

    def waits(self, batches: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The same batches; the time until each is there counts as waiting."""
        coming = iter(batches)
        while True:
            with self.phase("waiting"):
                batch = next(coming, None)
            if batch is None:
                return
            yield batch

    def _turn(self) -> None:
        """Count the time since the last turn for the innermost phase."""
        now = time.monotonic()
        if self.under_way:
            self.seconds[self.under_way[-1]] += now - self.turned
        self.turned = now


class Timed:
    """A source of images, such as Photographs; the time until each batch is there counts as waiting on a clock."""

    def __init__(self, source, clock: Clock):
        self.source, self.clock = source, clock

    def batches(self, indices) -> Iterator[torch.Tensor]:
        return self.clock.waits(self.source.batches(indices))
