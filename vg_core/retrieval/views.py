"""Views of a photograph: which rectangles of it a network sees, and at which size. Geometry only, no pixels."""

from typing import NamedTuple

Size = tuple[int, int]  # height, width in pixels

SMALLEST_SIDE = 32  # pixels; below it VGG-16 has no location left


class View(NamedTuple):
    """A rectangle of a photograph and the size that the network sees it at."""

    box: tuple[float, float, float, float]  # left, top, right, bottom in pixels of the photograph
    size: Size


# --- (photograph's size, configured size) -> views ------------------------------------------------------------------
def single_query(photo: Size, size: Size) -> list[View]:
    """The whole photograph in its own proportions, its shorter side as long as that of ``size``."""
    return [View(_rectangle(photo, photo), scaled(photo, min(size) / min(photo)))]


def own_size(photo: Size, size: Size) -> list[View]:
    """The whole photograph as it is; enlarged, if need be, to a shorter side of ``SMALLEST_SIDE`` pixels."""
    return [View(_rectangle(photo, photo), scaled(photo, max(1.0, SMALLEST_SIDE / min(photo))))]


def central_crop(photo: Size, size: Size) -> list[View]:
    """The largest central part that has the proportions of ``size``, at that size."""
    scale = max(size[0] / photo[0], size[1] / photo[1])
    part = min(size[0] / scale, photo[0]), min(size[1] / scale, photo[1])  # rounding must not pass the border
    return [View(_rectangle(photo, part), size)]


def five_crops(photo: Size, size: Size) -> list[View]:
    """Four corners and the centre, squares as large as the photograph allows, at the shorter side of ``size``.

    Such squares fill the shorter side: two pairs of corners are the same, and all five are in a square photograph.
    """
    places = [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.5)]  # share of the free room: down, across
    side, seen = (min(photo), min(photo)), (min(size), min(size))
    return [View(_rectangle(photo, side, *place), seen) for place in places]


def scaled(size: Size, factor: float) -> Size:
    """The size times a factor, in whole pixels."""
    return round(size[0] * factor), round(size[1] * factor)


def _rectangle(photo: Size, part: tuple[float, float], down: float = 0.5, across: float = 0.5) -> tuple:
    top, left = down * (photo[0] - part[0]), across * (photo[1] - part[1])
    return left, top, left + part[1], top + part[0]
