"""Memory that stays with the process between the steps of a model."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

__all__ = ["kept_memory"]

# From malloc.h of the GNU C library, and its defaults as they are once a program has freed large blocks (mallopt(3)).
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_DEFAULTS = ((_MMAP_MAX, 65536), (_MMAP_THRESHOLD, 32 << 20), (_TRIM_THRESHOLD, 64 << 20))
_LARGEST = 2**31 - 1


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Let the C library keep, for a block, the memory that is freed in it, and give it back at the end.

    A step of a model on a CPU takes and frees tensors of a hundred megabytes. The GNU C library asks the system for
    each and gives it back at once; the system then clears every page of the next one anew, which was up to half of the
    time of a training step (``bench/training_step.py``). The most memory in use grew by 8 % in six steps of
    EfficientNet-B0. Other C libraries have no such switch and are left as they are.

    Examples
    --------
    >>> with kept_memory():
    ...     total = sum(len(bytearray(1 << 26)) for _ in range(3))
    """
    try:
        library = ctypes.CDLL(None)
        setting, trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError):
        yield
        return
    setting(_MMAP_MAX, 0)
    setting(_TRIM_THRESHOLD, _LARGEST)
    try:
        yield
    finally:
        for name, value in _DEFAULTS:
            setting(name, value)
        trim(0)
