"""Errors that a user can do something about, as sentences. Any other is a fault of the program: let it be raised."""

import errno

KINDS = ValueError, KeyError, OSError, FloatingPointError, MemoryError, RuntimeError  # of the last, few are known
MEMORY = "out of memory", "allocate memory", "not enough memory", "ALLOC_FAILED", "bad_alloc"  # PyTorch, Faiss
HELPS = (
    "lower train_batch_size, infer_batch_size (batch_size) or image_size, raise accumulate, or set VG_RAM to the bytes "
    "of RAM that one process may take, so that descriptors go by disk"
)
DENIED = errno.EACCES, errno.EPERM, errno.EROFS


def known(error: BaseException) -> bool:
    """Is there a ``sentence`` about the error?"""
    return isinstance(error, KINDS) and (not isinstance(error, RuntimeError) or lacks_memory(error))


def lacks_memory(error: BaseException) -> bool:
    """Was there no memory left, of a GPU or of the machine?"""
    said = isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY)
    return said or isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM


def sentence(error: BaseException) -> str:
    """What is wrong, and what helps if the error itself does not say it."""
    if lacks_memory(error):
        return f"there is too little memory ({str(error).partition(chr(10))[0] or 'RAM'}): {HELPS}"
    if isinstance(error, OSError) and error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        remedy = "; choose another place or check its permissions" if where and error.errno in DENIED else ""
        return where + error.strerror + remedy
    return str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
