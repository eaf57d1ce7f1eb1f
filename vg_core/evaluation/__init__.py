"""Ranked database images to recall, mAP and intervals: NumPy, SciPy and pandas only."""
