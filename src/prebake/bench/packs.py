"""Packing the sample both ways, with processes that run already, as many on either side."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prebake.bench import published
from prebake.bench.stages import use_one_thread
from prebake.packing import pack
from prebake.packing.local import LocalPool

if TYPE_CHECKING:
    from prebake.recipe import Recipe

__all__ = ["PackBoth"]


class PackBoth:
    """Two pools of processes, one for each way of packing.

    Parameters
    ----------
    recipe
        Of prebake's pack; its size is that of the published one too.
    workers
        Processes of each pool.

    Attributes
    ----------
    start
        Seconds until prebake's processes were there.
    """

    def __init__(self, recipe: Recipe, workers: int) -> None:
        self._recipe, self._workers = recipe, workers
        self._old, self._new = LocalPool(workers), LocalPool(workers)
        start = time.perf_counter()
        for future in [self._new.submit(use_one_thread) for _ in range(workers)]:
            future.result()
        self.start = time.perf_counter() - start

    def pack_published(self, paths: Sequence[Path], target: Path) -> float:
        """Pack as in 2019; return the seconds for each photograph."""
        start = time.perf_counter()
        published.pack(paths, target, size=self._recipe.size, pool=self._old)
        return (time.perf_counter() - start) / len(paths)

    def pack_prebake(self, photographs: Path, target: Path, codec: str) -> float:
        """Pack a folder with prebake, from nothing; return the seconds for each photograph."""
        target.unlink(missing_ok=True)
        shutil.rmtree(target.with_name(f".{target.name}.prebake"), ignore_errors=True)
        start = time.perf_counter()
        made = pack(
            photographs,
            target,
            recipe=self._recipe,
            codec=codec,
            layout="folder",
            workers=self._workers,
            progress=False,
            executor=self._new,
        )
        return (time.perf_counter() - start) / len(made)

    def close(self) -> None:
        """End the processes, whatever they are doing."""
        self._old.kill()
        self._new.kill()
