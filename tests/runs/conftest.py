"""Workers for sweeps that start in a moment."""

import os
from multiprocessing import forkserver

import dask
import distributed  # noqa: F401  whose settings must be there before some are changed
import pytest

from tests import children  # noqa: F401  it says what the server imports
from vg_core.runs import workers


@pytest.fixture
def copied_workers(own_folders):
    """Workers are copies of a process that has imported what they need, work in the test's folders, and end with it."""
    forkserver.ensure_running()  # with what the tests' other children need, before Dask asks for less
    folders = {name: os.environ[name] for name in ("VG_DATA", "VG_CACHE")}
    settings = {"worker.multiprocessing-method": "forkserver", "nanny.environ": folders}
    with dask.config.set({f"distributed.{name}": value for name, value in settings.items()}):
        yield
        workers.end()
