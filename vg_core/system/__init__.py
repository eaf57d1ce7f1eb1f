"""Folders, files, devices, processes, progress and time: what carries numbers and makes none."""
