"""Photographs to descriptors, descriptors to ranked database images."""
