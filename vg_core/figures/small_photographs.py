"""Photographs made small for looking at: pop-ups of maps, cells of galleries."""

from pathlib import Path

from PIL import Image

from vg_core.datasets.decoding import UnreadableImage, decode


def small_photo(path: str | Path, pixels: int) -> Image.Image | None:
    """The photograph upright, in RGB, at most ``pixels`` on its longer side; None when the file cannot be decoded."""
    try:
        small = Image.fromarray(decode(path, about=2 * pixels))
    except UnreadableImage:
        return None
    small.thumbnail((pixels, pixels))
    return small
