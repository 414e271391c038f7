"""How fast the files of the photographs come from the disk, not from memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.errors import SourceError
from prebake.sources import read_bytes

if TYPE_CHECKING:
    from prebake.records import Sample

__all__ = ["cold_speed"]


def cold_speed(samples: Sequence[Sample]) -> float | None:
    """Return the bytes a second in which files are read one after the other, none of them from memory.

    The operating system is asked to forget the files first. Where it does not (a file system that lives in memory,
    files that were just written, another process that holds them), the answer is ``None``.
    """
    files = {_file(sample) for sample in samples}
    if not samples or not _forget(files):
        return None
    count, start = 0, time.perf_counter()
    for sample in samples:
        try:
            count += len(read_bytes(sample))
        except SourceError:  # named where it is baked
            continue
    return count / (time.perf_counter() - start) if count else None


def _file(sample: Sample) -> Path:
    root = Path(sample.root)
    return root / sample.member if root.is_dir() else root


def _forget(files: Iterable[Path]) -> bool:
    """Drop files from memory; tell whether they are gone."""
    gone = True
    for path in files:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            gone = gone and not _in_memory(handle)
        finally:
            os.close(handle)
    return gone


def _in_memory(handle: int) -> bool:
    """Tell whether the first byte of a file can be read without waiting for the disk."""
    try:
        os.preadv(handle, [bytearray(1)], 0, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    except OSError:  # the file system cannot tell
        return True
    return True
