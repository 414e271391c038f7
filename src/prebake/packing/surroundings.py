"""What must be the same wherever parts of one pack are baked: versions, and the folders that are seen."""

from __future__ import annotations

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

__all__ = ["require_same_versions", "require_sources", "versions"]

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
    unseen = [root for root in roots if as_url(root) is None and not Path(root).exists()]
    if unseen:
        raise PackError(
            f"the worker on {socket.gethostname()} does not see a source",
            expected="the same path on all workers",
            got=f"no {', '.join(unseen)}",
            do="give sources on a shared disk, then run the same command again: finished parts are kept",
        )
