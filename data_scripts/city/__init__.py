"""A procedural city seen by a pinhole camera: layout, façades, light, rendering, and the dataset made of it."""
