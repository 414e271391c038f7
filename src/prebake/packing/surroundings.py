"""What must be the same wherever parts of one pack are baked: versions, and the folders that are seen."""

from __future__ import annotations

import os
import socket
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from prebake.errors import PackError
from prebake.remote import as_url
from prebake.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["require_same_versions", "require_sources", "unseen", "versions"]

LIBRARIES = ("kornia-rs", "numpy", "cramjam", "deflate", "h5py")


@cache
def versions() -> str:
    """Return the versions of all that pixels and bytes depend on."""
    found = [f"prebake {__version__}", f"OpenCV {cv2.__version__}", *(f"{name} {version(name)}" for name in LIBRARIES)]
    return ", ".join(found)


def require_same_versions(needed: str) -> None:
    """Refuse to bake a part for a process that has other versions.

    Raises
    ------
    PackError
        They differ; both are told.
    """
    if versions() != needed:
        raise PackError(
            f"the worker on {socket.gethostname()} has other versions: its images would be others",
            expected=needed,
            got=versions(),
            do="install the same versions there, then run the same command again: finished parts are kept",
        )


def require_sources(roots: Iterable[str]) -> None:
    """Refuse to bake photographs where none of them can be seen.

    Raises
    ------
    PackError
        A source is not there at all.
    """
    if missing := unseen(roots):
        raise PackError(
            f"the worker on {socket.gethostname()} does not see a source",
            expected="the same path on all workers",
            got=f"nothing at {', '.join(missing)}",
            do="give sources on a shared disk, then run the same command again: finished parts are kept",
        )


def unseen(roots: Iterable[str]) -> list[str]:
    """Return the sources on disks that are not there, or are empty: a folder where the disk is not mounted."""
    return [root for root in roots if as_url(root) is None and not _holds_something(root)]


def _holds_something(root: str) -> bool:
    try:
        if not Path(root).is_dir():
            return Path(root).exists()
        with os.scandir(root) as entries:
            return any(entries)
    except OSError:
        return False
