"""Progress of a training: a live curve in JupyterLab, a bar with time left in a terminal, plain lines elsewhere."""

import sys
import time
from typing import TextIO

import pandas as pd

from vg_core.figures import training_curves
from vg_core.figures.house_style import percent
from vg_core.system.progress_bar import bar, in_notebook, watched
from vg_core.system.text import count, spoken

SILENCE = 30  # seconds


class Progress:
    """Shows how far one run is: at most ``epochs`` of so many rounds, of which ``done`` came before it was resumed.
    Where lines go to a log, a few of them reach the ``screen``.
    """

    def __init__(self, name: str, epochs: int, rounds: int = 1, done: int = 0, screen: TextIO | None = None):
        self.screen, self.told = screen, time.monotonic()
        self.name, self.total, self.rounds, self.done = name, epochs * rounds, rounds, done
        self.started, self.before, self.history = time.monotonic(), done, []
        self.bar = bar(total=self.total, initial=done, desc=name, unit="round")
        self.display = None

    def round(self, history: list[dict], validation: list[dict]) -> None:
        """Show that a round is finished; only mined ones have active tuples."""
        self.done, self.history, last = self.done + 1, history, history[-1]
        active = {"active": f"{percent(100 * last['active'])}%"} if "active" in last else {}
        shown = {"loss": f"{last['loss']:.4f}"} | active
        self.bar.set_postfix(shown, refresh=False)
        self._move(self.done)
        if in_notebook():
            self._draw(validation)
        elif not watched():
            facts = " ".join(f"{name} {value}" for name, value in shown.items())
            each = (time.monotonic() - self.started) / max(self.done - self.before, 1)
            seconds = each * (self.total - self.done)
            self._say(f"epoch {last['epoch']} round {last['round']} {facts}, {spoken(seconds)} left")

    def batch(self, done: int, total: int) -> None:
        """Show, now and then, how many batches of a round have passed."""
        self._move(self.done + done / total)
        if not watched() and time.monotonic() - self.told > SILENCE:
            self._say(f"batch {done} of {total} after {count(self.done, 'round')}")

    def epoch(self, validation: list[dict]) -> None:
        """Show the recalls of a finished validation."""
        last = validation[-1]
        recalls = ", ".join(f"R@{n} {percent(last[f'recall_{n}'], 1)}" for n in (1, 5, 10, 20) if f"recall_{n}" in last)
        self.bar.write(f"{self.name}: after epoch {last['epoch']} val {recalls}", file=sys.stdout)
        if in_notebook() and self.history:
            self._draw(validation)

    def _move(self, rounds: float) -> None:
        self.bar.n = round(rounds, 2)
        self.bar.update(0)

    def _say(self, what: str) -> None:
        """Print a line; on the screen, too, where that is another file and was silent for a while."""
        print(f"{self.name}: {what}", flush=True)
        if time.monotonic() - self.told > SILENCE:
            self.told = time.monotonic()
            if self.screen:
                print(f"{self.name}: {what}", file=self.screen, flush=True)

    def close(self) -> None:
        self.bar.close()

    def _draw(self, validation: list[dict]) -> None:
        from IPython.display import display

        history = pd.DataFrame(self.history).assign(rounds=self.rounds)
        figure = training_curves(history, pd.DataFrame(validation))
        if self.display is None:
            self.display = display(figure, display_id=True)
        else:
            self.display.update(figure)
