"""What of the machine this process may use."""

from __future__ import annotations

import os
import resource
from pathlib import Path

__all__ = ["allow_open_files", "usable_cores"]

SPARE_FILES = 256  # for what else a process opens: libraries, pipes, sockets


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def allow_open_files(count: int) -> int:
    """See to it that so many more files may be open in this process; return how many may.

    The limit that the system counts with is raised where it is too low, as far as the one behind it allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    needed = _open_files() + count + SPARE_FILES
    if soft != unlimited and soft < needed:
        soft = needed if hard == unlimited else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return count if soft == unlimited else max(0, min(count, soft - needed + count))


def _open_files() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0
