"""Memory that stays with the process, for the next photograph or the next step of a model."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator, Mapping

__all__ = ["keep_memory", "kept_memory"]

# From malloc.h of the GNU C library, and its defaults as they are once a program has freed large blocks (mallopt(3)).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_DEFAULTS = {_MMAP_MAX: 65536, _MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 64 << 20}
_KEEP = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1}


def keep_memory() -> None:
    """Let the C library keep, from now on, the memory that is freed in this process.

    The GNU C library asks the system for each large block and gives it back at once; the system then clears every page
    of the next one anew. Other C libraries have no such switch and are left as they are.
    """
    _set(_KEEP)


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Let the C library keep, for a block, the memory that is freed in it, and give it back at the end.

    A step of a model on a CPU takes and frees tensors of a hundred megabytes; clearing their pages was up to half of
    the time of a training step (``bench/training_step.py``). The most memory in use grew by 8 % in six steps of
    EfficientNet-B0.

    It is a setting of the whole process: of blocks that overlap, the first that ends, ends it for all. Afterwards the
    defaults of the library hold, whatever was set before.

    Examples
    --------
    >>> with kept_memory():
    ...     total = sum(len(bytearray(1 << 26)) for _ in range(3))
    """
    keep_memory()
    try:
        yield
    finally:
        _set(_DEFAULTS)
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
            trim(0)


def _set(values: Mapping[int, int]) -> None:
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        for name, value in values.items():
            mallopt(name, value)
