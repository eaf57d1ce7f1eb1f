"""Things found by their exact name, never by a part of it."""

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class ByName(dict[str, T]):
    """A dict whose KeyError is a sentence that lists the names there are; ``what`` is the noun in it."""

    def __init__(self, what: str, entries: Mapping[str, T]):
        super().__init__(entries)
        self.what = what

    def __missing__(self, name: str) -> T:
        raise KeyError(f"no {self.what} is called {name!r}; choose one of: {', '.join(self)}")
