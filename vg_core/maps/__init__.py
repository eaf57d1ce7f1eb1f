"""Where photographs were taken: tables of positions in, a figure in metres or an interactive map out."""

from vg_core.maps.interactive import folium_map, locate_map
from vg_core.maps.static import density_map, static_map

__all__ = ["density_map", "folium_map", "locate_map", "static_map"]
