"""Loaders as a training needs them: without what Lightning would misread, and with the time it waits for them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prebake.loader import Loader

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Batches", "TimedLoader"]


class Batches:
    """A loader without its ``sampler``, which Lightning takes for one of torch's where it validates."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return iter(self._loader)


class TimedLoader(Loader):
    """A loader that adds up, in ``waited``, the seconds for which its consumer waited for batches."""

    waited = 0.0

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return _Timed(self, super().__iter__())


class _Timed:
    """The batches of one iteration; keeps none of them."""

    def __init__(self, loader: TimedLoader, batches: Iterator[tuple[Tensor, ...]]) -> None:
        self._loader, self._batches = loader, batches

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return self

    def __next__(self) -> tuple[Tensor, ...]:
        since = time.monotonic()
        try:
            return next(self._batches)
        finally:
            self._loader.waited += time.monotonic() - since
