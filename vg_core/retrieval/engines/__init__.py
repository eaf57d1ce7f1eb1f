"""Search in large databases: exact in bounded memory, or approximate and measured against exact."""

from vg_core.retrieval.descriptor_store import DescriptorStore
from vg_core.retrieval.engines.index import ENGINES, Index
from vg_core.retrieval.engines.scale import compare_disk, extrapolate, measure_engines
from vg_core.retrieval.engines.synthetic import SyntheticPlaces
from vg_core.retrieval.exact_search import exact

__all__ = ["ENGINES", "DescriptorStore", "Index", "SyntheticPlaces"]
__all__ += ["compare_disk", "exact", "extrapolate", "measure_engines"]
