"""Errors that a user can do something about, as sentences. Any other is a fault of the program: let it be raised."""

import errno

KINDS = ValueError, KeyError, OSError, FloatingPointError, MemoryError, RuntimeError  # of the last, few are known
MEMORY = "out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc"  # PyTorch, Faiss
LESS = "lower train_batch_size, infer_batch_size (batch_size) or image_size, raise accumulate, or set VG_RAM, in bytes"


class ByName(dict):
    """A dict whose KeyError is a sentence that lists the names there are; ``what`` is the noun in it."""

    def __init__(self, what: str, entries: dict):
        super().__init__(entries)
        self.what = what

    def __missing__(self, name: str):
        raise KeyError(f"no {self.what} is called {name!r}; choose one of: {', '.join(self)}")


def stopped(error: BaseException | None) -> bool:
    """True for KeyboardInterrupt, and for what code in C makes of one that comes while it works."""
    met = []
    while error is not None and error not in met:  # causes may go round in circles
        met.append(error)
        error = error.__cause__ or error.__context__
    return any(isinstance(one, KeyboardInterrupt) for one in met)


def has_sentence(error: BaseException) -> bool:
    """True when ``sentence`` can say what is wrong: a user can do something about the error."""
    return isinstance(error, KINDS) and (not isinstance(error, RuntimeError) or _lacks_memory(error))


def sentence(error: BaseException) -> str:
    """What is wrong, and what helps if the error itself does not say it."""
    if _lacks_memory(error):
        return f"there is too little memory ({str(error).partition(chr(10))[0] or 'RAM'}); {LESS}"
    if isinstance(error, OSError) and error.strerror:
        denied = error.filename is not None and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        place = "" if error.filename is None else f"{error.filename}: "
        return place + error.strerror + ("; choose another place or check its permissions" if denied else "")
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)


def _lacks_memory(error: BaseException) -> bool:
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY)
    return said or isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM
