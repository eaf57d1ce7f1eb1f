"""Search in large databases: exact in bounded memory, or approximate and measured against exact."""

from vg_core.engines.exact import exact
from vg_core.engines.index import ENGINES, Index
from vg_core.engines.scale import compare_disk, extrapolate, measure_engines
from vg_core.engines.store import DescriptorStore
from vg_core.engines.synthetic import SyntheticPlaces
from vg_core.engines.tuning import tune

__all__ = [
    "ENGINES",
    "DescriptorStore",
    "Index",
    "SyntheticPlaces",
    "compare_disk",
    "exact",
    "extrapolate",
    "measure_engines",
    "tune",
]
