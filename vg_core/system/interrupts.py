"""Commands that end in order: after Ctrl-C, however often it is pressed, and after an error that has a sentence."""

import math
import signal
import sys
import time
from collections.abc import Callable

from vg_core.system.errors import sentence

PATIENCE = 5.0  # seconds in which another one means the same: what the command began is being ended


def once() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt as ever, but not again within PATIENCE of the one before."""
    last = -math.inf

    def stop(_signal, _frame) -> None:
        nonlocal last
        waited, last = time.monotonic() - last, time.monotonic()
        if waited > PATIENCE:
            raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else it is ignored, or another's
        signal.signal(signal.SIGINT, stop)


def no_more() -> None:
    """Ignore Ctrl-C from here on: the last thing that a command does before it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def exit_status(work: Callable[[], int | None], fault: int = 1) -> int:
    """Exit status of a command that leaves nothing unfinished: what its work returns, or 0; ``fault`` after an error
    and 130 after Ctrl-C, of each of which a sentence is printed.
    """
    once()
    try:
        return work() or 0
    except (ValueError, OSError) as error:
        from vg_core.system.text import printable  # which takes a second

        print(f"error: {printable(sentence(error))}", file=sys.stderr)
        return fault
    except KeyboardInterrupt:
        no_more()
        print("\nstopped; nothing unfinished is left, the same command begins again", file=sys.stderr)
        return 130
