"""Photographs made small for looking at: pop-ups of maps, cells of galleries."""

from pathlib import Path

from PIL import Image, ImageOps

BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)  # what Pillow raises on a broken file


def small_photo(path: str | Path, pixels: int) -> Image.Image | None:
    """The photograph upright, in RGB, at most ``pixels`` on its longer side; None when the file cannot be decoded."""
    try:
        with Image.open(path) as photo:
            photo.draft("RGB", (2 * pixels, 2 * pixels))  # JPEG decodes faster at a fraction of its size
            small = ImageOps.exif_transpose(photo).convert("RGB")
    except BROKEN:
        return None
    small.thumbnail((pixels, pixels))
    return small
