"""Ranked database images to recall, mAP and intervals: NumPy and pandas only."""
