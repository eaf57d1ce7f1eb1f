"""Progress bars with time left where somebody looks, in a terminal or JupyterLab; nothing that moves in logs."""

import os
import sys

from tqdm.auto import tqdm

HEADLESS = "VG_HEADLESS"  # set by the notebook runner: executed copies keep plain lines, not dead widgets


def in_notebook() -> bool:
    """True in a Jupyter kernel that somebody looks at."""
    if HEADLESS in os.environ or "IPython" not in sys.modules:
        return False
    return type(sys.modules["IPython"].get_ipython()).__name__ == "ZMQInteractiveShell"


def watched() -> bool:
    """True when a moving bar reaches a person; of several processes that train together, only the first one's does."""
    return os.environ.get("RANK", "0") == "0" and (in_notebook() or sys.stderr.isatty())


def bar(*items, wanted: bool = True, **options) -> tqdm:
    """A progress bar with time left that vanishes when it is done; silent when nobody looks or it is not wanted."""
    return tqdm(*items, **({"leave": False} | options), disable=not (wanted and watched()))
