"""Progress of a training: a live curve in JupyterLab, a bar with time left in a terminal, plain lines elsewhere."""

import sys
import time

import pandas as pd

from vg_core.figures import training_curves
from vg_core.system.progress_bar import bar, in_notebook, watched


class Progress:
    """Shows how far one run is: of ``total`` rounds at most, ``done`` were finished before it was resumed."""

    def __init__(self, name: str, total: int, done: int = 0):
        self.name, self.total, self.done = name, total, done
        self.started, self.before = time.monotonic(), done
        self.bar = bar(total=total, initial=done, desc=name, unit="round")
        self.display = None

    def round(self, history: list[dict], validation: list[dict]) -> None:
        """Show that a round is finished; only mined ones have active tuples."""
        self.done, last = self.done + 1, history[-1]
        shown = {"loss": f"{last['loss']:.4f}"} | ({"active": f"{last['active']:.0%}"} if "active" in last else {})
        self.bar.set_postfix(shown)
        self.bar.update()
        if in_notebook():
            self._draw(history, validation)
        elif not watched():
            facts = " ".join(f"{name} {value}" for name, value in shown.items())
            each = (time.monotonic() - self.started) / max(self.done - self.before, 1)
            seconds = each * (self.total - self.done)
            left = f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"
            print(f"{self.name}: epoch {last['epoch']} round {last['round']} {facts}, {left} left", flush=True)

    def epoch(self, validation: list[dict]) -> None:
        """Show the recalls of a finished validation."""
        last = validation[-1]
        recalls = ", ".join(f"R@{n} {last[f'recall_{n}']:.1f}" for n in (1, 5, 10, 20) if f"recall_{n}" in last)
        self.bar.write(f"{self.name}: after epoch {last['epoch']} val {recalls}", file=sys.stdout)

    def close(self) -> None:
        self.bar.close()

    def _draw(self, history: list[dict], validation: list[dict]) -> None:
        from IPython.display import display

        figure = training_curves(pd.DataFrame(history), pd.DataFrame(validation))
        if self.display is None:
            self.display = display(figure, display_id=True)
        else:
            self.display.update(figure)
