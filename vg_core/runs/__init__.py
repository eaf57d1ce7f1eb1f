"""Experiments: a run is its configuration, a sweep is many of them."""
