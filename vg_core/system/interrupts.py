"""Ctrl-C that ends a command in order, however often it is pressed."""

import math
import signal
import time

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
