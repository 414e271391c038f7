"""What worker processes bake with under torture: a decoder that crashes, hangs or takes all where a file's end says so.

They have it from the moment that they are asked for :func:`bake_part` of this module.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import prebake.recipe
from prebake.packing import worker

if TYPE_CHECKING:
    from prebake.packing.folder import Receipt

real = prebake.recipe.decode


def _segfault() -> None:
    ctypes.string_at(0)


def _hang() -> None:
    ctypes.PyDLL(None).sleep(3600)  # inside a C library, with Python's lock held


def _sleep() -> None:
    time.sleep(3600)


def _eat() -> None:
    taken = []
    while True:  # as fast as the system can
        taken.append(mmap.mmap(-1, 1 << 28, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE))


DEEDS: dict[bytes, tuple[Callable[[], object], str]] = {
    b"poison: segfault": (_segfault, "died twice (signal 11)"),
    b"poison: abort": (os.abort, "died twice (signal 6)"),
    b"poison: exit": (lambda: os._exit(3), "died twice (exit code 3)"),
    b"poison: hang": (_hang, "longer than the time limit"),
    b"poison: sleep": (_sleep, "longer than the time limit"),
    b"poison: eat": (_eat, "more memory than the limit"),
}
"""What the end of a file brings about, and words of the reason that it must end with."""


def decode(data: bytes, **options: Any) -> Any:
    """Decode, unless the file ends in one of :data:`DEEDS`."""
    for mark, (deed, _) in DEEDS.items():
        if data.endswith(mark):
            deed()
    return real(data, **options)


def bake_part(task: worker.Task) -> Receipt:
    """Bake a part with that decoder."""
    prebake.recipe.decode = decode  # type: ignore[assignment]
    return worker.bake_part(task)
