"""How a row is added to the table."""

from collections.abc import Callable

from benchmarks.measure import Case, Row
from vg_core.system.errors import ByName

ROWS: dict[str, Row] = ByName("row", {})


def row(stage: str, rival: str, full: dict[str, int], quick: dict[str, int], **bars) -> Callable:
    """Decorator of a ``prepare(device, **shape) -> Case`` whose name becomes the row's; ``bars`` are fields of Row."""

    def register(prepare: Callable[..., Case]) -> Callable[..., Case]:
        ROWS[prepare.__name__] = Row(prepare.__name__, stage, rival, prepare, full, quick, **bars)
        return prepare

    return register
