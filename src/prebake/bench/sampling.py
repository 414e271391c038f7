"""Which photographs are measured, and where they lie meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

from prebake.sources import read_bytes

if TYPE_CHECKING:
    from prebake.records import Sample

__all__ = ["choose", "fetch", "lay_out"]

T = TypeVar("T")


def choose(things: Sequence[T], count: int) -> list[T]:
    """Choose ``count`` things (or all, where there are fewer), evenly spread: the same ones each time.

    Examples
    --------
    >>> choose("abcdefgh", 4)
    ['b', 'd', 'f', 'h']
    """
    count = min(count, len(things))
    return [things[(2 * place + 1) * len(things) // (2 * count)] for place in range(count)]


def fetch(sample: Sample, folder: Path, number: int) -> Path:
    """Lay a photograph into ``folder`` under a number: a link to its file, or what an archive holds."""
    path = folder / f"{number:05d}{PurePosixPath(sample.member).suffix}"
    if Path(sample.root).is_dir():
        path.symlink_to(Path(sample.root, sample.member))
    else:
        path.write_bytes(read_bytes(sample))
    return path


def lay_out(paths: Sequence[Path], folder: Path, count: int) -> list[Path]:
    """Fill a new folder with ``count`` links to the photographs, each as often as it takes; return them in order."""
    folder.mkdir()
    links = []
    for number, path in zip(range(count), itertools.cycle(paths)):
        link = folder / f"{number:05d}{path.suffix}"
        link.symlink_to(path.resolve())
        links.append(link)
    return links
