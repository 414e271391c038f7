"""Batches of baked images: out of a pack, or out of photographs through a recipe; in threads, in order, bounded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from prebake.records import Failure, Sample
from prebake.sources import read_bytes

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from prebake.recipe import Recipe
    from prebake.store import Pack

__all__ = ["Batch", "pack_batches", "photograph_batches"]

Pixels = npt.NDArray[np.uint8]
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Batch:
    """Positions in the source with their (B, H, W, 3) images, and what failed on the way to them."""

    rows: list[int]
    images: Pixels
    failures: list[Failure]


def pack_batches(pack: Pack, batch_size: int, pool: ThreadPoolExecutor) -> Generator[Batch]:
    """Read a pack in its order; at most three batches are in memory."""

    def load(start: int) -> Batch:
        rows = range(start, min(start + batch_size, len(pack)))
        return Batch(list(rows), pack.read(rows), [])

    return _in_order(pool, load, range(0, len(pack), batch_size), ahead=2)


def photograph_batches(
    samples: Sequence[Sample], recipe: Recipe, batch_size: int, pool: ThreadPoolExecutor
) -> Generator[Batch]:
    """Bake photographs in their order; at most three batches are in memory."""

    def bake(sample: Sample) -> Pixels | Failure:
        try:
            return recipe.bake(read_bytes(sample)).image
        except Exception as error:  # noqa: BLE001 - a recipe of the user may raise whatever it likes
            return Failure.of(sample, error)

    rows: list[int] = []
    images: list[Pixels] = []
    failures: list[Failure] = []
    baked = _in_order(pool, bake, samples, ahead=batch_size)
    for row, result in enumerate(baked):
        if isinstance(result, Failure):
            failures.append(result)
        else:
            rows.append(row)
            images.append(result)
        if len(rows) + len(failures) == batch_size or row == len(samples) - 1:
            yield Batch(rows, np.stack(images) if images else np.empty((0, 0, 0, 3), np.uint8), failures)
            rows, images, failures = [], [], []


def _in_order(pool: ThreadPoolExecutor, work: Callable[[T], U], items: Iterable[T], ahead: int) -> Generator[U]:
    """Map in threads, results in the order of the items, at most ``ahead`` + 1 of them waiting."""
    waiting: deque[Future[U]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
