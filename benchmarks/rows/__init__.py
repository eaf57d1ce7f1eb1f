"""The rows of the table, in its order."""

from benchmarks.rows import cross_view, labels, layers, network, night, photographs, retrieval  # noqa: F401  (each adds rows)
from benchmarks.rows.registry import ROWS

__all__ = ["ROWS"]
