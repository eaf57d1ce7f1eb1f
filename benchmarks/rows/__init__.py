"""The rows of the table, in its order."""

from benchmarks.rows import labels, layers, network, night, photographs, retrieval  # noqa: F401  (each adds its rows)
from benchmarks.rows.registry import ROWS

__all__ = ["ROWS"]
